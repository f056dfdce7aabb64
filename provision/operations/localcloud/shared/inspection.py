"""What `provision cloud doctor` looks at, all parts at the same time, on one host or several; changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from provision.adapters.haproxy import HAProxy
from provision.adapters.host.expiries import certificates
from provision.adapters.openstack.admin import Admin
from provision.base import paths
from provision.base.errors import ProvisionError
from provision.model.galera.status import STATUS_QUERY
from provision.model.localcloud.doctor import observed
from provision.model.localcloud.doctor.observed import Clock, DatabaseMember
from provision.model.localcloud.settings import LABEL, PROJECT, apis, reserved_names
from provision.model.registrator.services import RegistratorSettings, plan_changes, token_hash, wanted_services
from provision.operations.localcloud.shared.installation import read_passwords
from provision.operations.localcloud.shared.login import admin_login

if TYPE_CHECKING:
    from collections.abc import Mapping

    from provision.adapters.consul.catalogue import Catalogue
    from provision.adapters.docker.inspect import Inspector
    from provision.model.localcloud.doctor.observed import Unit
from provision.model.localcloud.settings import Settings

Fields = dict[str, Any]
"""Some fields of ObservedLocalCloud."""
Inspection = Callable[[], Fields]
"""Looks at one part of the local cloud; raises ProvisionError if it cannot."""

NETWORK: Final = f"{PROJECT}_management"
"""Docker network whose addresses the Registrator puts into Consul (compose/stack.yaml)."""
DATA_FOLDERS: Final = {
    "mariadb": {"/": "Docker's containers and images", "/var/lib/mysql": "the database"},
    "consul": {"/var/lib/consul": "Consul's data"},
    "glance": {"/var/lib/glance": "Glance's images"},
    "compute": {"/var/lib/nova": "the guests' disks"},
}
"""Folders with data, by image family: path in the container -> what lies there, for a person."""
_SETTLE: Final = 3.0
"""Seconds after which the Registrator has followed any change."""
_STATUS_AND_CLOCK: Final = f"{STATUS_QUERY}; SELECT 'clock', UNIX_TIMESTAMP(NOW(6));"
# The node name is in the server's environment, which only the server's own user may read.
_QUEUES: Final = (
    "exec env $(setpriv --reuid=rabbitmq --regid=rabbitmq --clear-groups cat /proc/$(pidof -s beam.smp)/environ "
    "| tr '\\0' '\\n' | grep -E '^RABBITMQ_(NODENAME|USE_LONGNAME)=') "
    "rabbitmqctl -q list_queues --formatter json name messages consumers"
)


def inspections(
    settings: Settings,
    inspector: Inspector,
    units: tuple[Unit, ...],
    *,
    consul: Callable[[], Catalogue],
    proxy: Callable[[], str],
) -> dict[str, Inspection]:
    """Return what can be looked at from this machine, by name; `units` are the machine's containers."""
    return {
        "certificates": lambda: {"certificates": _certificates()},
        "engine clock": lambda: {"clocks": (inspector.clock(),)},
        "checks": lambda: inspect_consul(consul(), inspector),
        "backends": lambda: {"backends": observed.read_backends(HAProxy(proxy(), timeout=10).statistics())},
        "members": partial(inspect_database, inspector, units),
        "queues": partial(inspect_queues, inspector, units),
        "disks": partial(inspect_disks, inspector, units),
        "openstack": partial(inspect_openstack, settings),
    }


def gather(parts: Mapping[str, Inspection]) -> Fields:
    """Run all inspections at the same time; `unseen` says which could not be made, and why."""
    fields: Fields = {"clocks": (), "unseen": {}}
    with ThreadPoolExecutor(len(parts)) as pool:
        for part in pool.map(lambda item: _try(*item), parts.items()):
            fields = {**fields, **part, "clocks": fields["clocks"] + part.get("clocks", ()),
                      "unseen": fields["unseen"] | part.get("unseen", {})}  # fmt: skip
    return fields


def _try(name: str, inspect: Inspection) -> Fields:
    try:
        return inspect()
    except ProvisionError as error:
        return {"unseen": {name: error.message}}


def _certificates() -> tuple[observed.Certificate, ...]:
    folders = (path for path in paths.cluster_dir("").glob("*") if path.is_dir())
    of_clusters = [found for folder in sorted(folders) for found in certificates(folder, folder.name)]
    return (*certificates(paths.localcloud_dir()), *of_clusters)


def inspect_consul(consul: Catalogue, inspector: Inspector) -> Fields:
    """Read Consul's catalogue, members and clock, and compare the catalogue with the containers that run."""
    before = time.time()
    date = consul.date()
    after = time.time()
    members = consul.members()
    unregistered, stale = _differences(consul, inspector)
    if unregistered or stale:
        # A container may have started or ended a moment ago: only a difference that stays is wrong.
        time.sleep(_SETTLE)
        still_unregistered, still_stale = _differences(consul, inspector)
        unregistered, stale = unregistered & still_unregistered, stale & still_stale
    return {
        "checks": observed.read_checks(consul.states()),
        "failed_nodes": tuple(member["Name"] for member in members if member["Status"] != 1),
        "unregistered": tuple(sorted(unregistered)),
        "stale": tuple(sorted(stale)),
        "clocks": _http_clock("Consul's host", date, before, after),
    }


def _differences(catalogue: Catalogue, inspector: Inspector) -> tuple[set[str], set[str]]:
    """Return the ids of the services that the Registrator has still to register, and to remove."""
    host = inspector.host()
    holder = token_hash(read_passwords().get("consul_registrator", ""))
    registrator = RegistratorSettings(
        host,
        internal=True,
        network=NETWORK,
        token_hash=holder,
        reserved=frozenset(reserved_names()),
        reserved_for=LABEL,
    )
    changes = plan_changes(
        wanted_services(inspector.running_containers(), registrator), catalogue.services(), host, holder
    )
    return {service.id for service in changes.register}, set(changes.deregister)


def _http_clock(whose: str, date: str, before: float, after: float) -> tuple[Clock, ...]:
    """Read the time in a Date header, which is exact to a second only."""
    if not date:
        return ()
    remote = parsedate_to_datetime(date).timestamp() + 0.5
    return (Clock(whose, remote - (before + after) / 2, 0.5 + (after - before) / 2),)


def _running(units: tuple[Unit, ...], family: str) -> list[Unit]:
    return [unit for unit in units if unit.family == family and unit.state == "running"]


def inspect_database(inspector: Inspector, units: tuple[Unit, ...]) -> Fields:
    """Read the state and the clock of each MariaDB member among `units`."""
    members, clocks = [], []
    for unit in _running(units, "mariadb"):
        before = time.time()
        try:
            text = inspector.output_of(unit, ["mariadb", "-NBe", _STATUS_AND_CLOCK])
        except ProvisionError:
            members.append(DatabaseMember(unit.name, answers=False))
            continue
        after = time.time()
        variables = observed.read_variables(text)
        remote = float(variables.pop("clock"))
        members.append(DatabaseMember(unit.name, answers=True, variables=variables))
        clocks.append(Clock(f"{unit.name}'s host", remote - (before + after) / 2, (after - before) / 2))
    return {"members": tuple(members), "clocks": tuple(clocks)}


def inspect_queues(inspector: Inspector, units: tuple[Unit, ...]) -> Fields:
    """Read RabbitMQ's queues from the first member that answers: each knows all queues."""
    problem = ProvisionError("no member of RabbitMQ runs")
    for unit in _running(units, "rabbitmq"):
        try:
            text = inspector.output_of(unit, ["bash", "-c", _QUEUES], seconds=45)
            return {"queues": observed.read_queues(text)}
        except ProvisionError as error:
            problem = error
        except ValueError as error:
            problem = ProvisionError(str(error))
    raise problem


def inspect_disks(inspector: Inspector, units: tuple[Unit, ...]) -> Fields:
    """Read how full the disks with the local cloud's data are."""
    disks: list[observed.Disk] = []
    for family, folders in DATA_FOLDERS.items():
        for unit in _running(units, family)[:1] if family == "compute" else _running(units, family):
            text = inspector.output_of(unit, ["df", "-PB1", *folders])
            disks += observed.read_disks(text, list(folders.values()))
    return {"disks": tuple(disks)}


def inspect_openstack(settings: Settings) -> Fields:
    """Ask Keystone, Nova and Neutron, each on its own: one that does not answer does not hide the others."""
    cloud = Admin(admin_login(settings, read_passwords().get("admin", "")), timeout=20)
    fields: Fields = {"unseen": {}}
    questions = {
        "clocks": cloud.clock,
        "endpoints": cloud.endpoints,
        "compute": cloud.compute_services,
        "agents": cloud.network_agents,
    }
    if any(api.name == "neutron" and api.idle for api in apis(settings)):
        del questions["agents"]
    for name, ask in questions.items():
        try:
            answer = ask()
            fields[name] = (answer,) if isinstance(answer, Clock) else answer
        except ProvisionError as error:
            fields["unseen"][name] = error.message
    fields["unseen"].pop("clocks", None)
    return fields
