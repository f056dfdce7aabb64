"""Look at all of the `local` cloud, at every part at once, for `provision cloud doctor`; changes nothing."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from provision.adapters.docker.inspect import Inspector
from provision.adapters.host.expiries import certificates
from provision.adapters.openstack.look import OpenStack
from provision.adapters.statistics import statistics
from provision.base import paths
from provision.base.errors import ProvisionError
from provision.model.galera.status import STATUS_QUERY
from provision.model.localcloud.doctor import observed
from provision.model.localcloud.doctor.observed import Clock, DatabaseMember, ObservedLocalCloud
from provision.model.localcloud.image_families import image_tags
from provision.model.localcloud.settings import PROJECT, apis
from provision.model.registrator.services import RegistratorSettings, plan_changes, token_hash, wanted_services
from provision.operations.localcloud.shared.bootstrap import admin_login
from provision.operations.localcloud.shared.images import contexts
from provision.operations.localcloud.shared.installation import (
    catalogue,
    control,
    hypervisors,
    load_settings,
    read_passwords,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from provision.adapters.consul.catalogue import Catalogue
    from provision.model.localcloud.doctor.observed import Unit
    from provision.model.localcloud.settings import Settings

NETWORK: Final = f"{PROJECT}_management"
"""Whose addresses the Registrator puts into Consul (compose/stack.yaml)."""
_SETTLE: Final = 3.0
"""Seconds in which the Registrator follows whatever happens."""
# Where the cloud's data lies, by the family that has it: container path -> what it is for a person.
_DATA: Final = {
    "mariadb": {"/": "Docker's containers and images", "/var/lib/mysql": "the database"},
    "consul": {"/var/lib/consul": "Consul's data"},
    "glance": {"/var/lib/glance": "Glance's images"},
    "compute": {"/var/lib/nova": "the guests' disks"},
}
_GALERA: Final = f"{STATUS_QUERY}; SELECT 'clock', UNIX_TIMESTAMP(NOW(6));"
# The node's name is what the server was started with: its own user may read that.
_QUEUES: Final = (
    "exec env $(setpriv --reuid=rabbitmq --regid=rabbitmq --clear-groups cat /proc/$(pidof -s beam.smp)/environ "
    "| tr '\\0' '\\n' | grep -E '^RABBITMQ_(NODENAME|USE_LONGNAME)=') "
    "rabbitmqctl -q list_queues --formatter json name messages consumers"
)

Part = dict[str, Any]
"""Some fields of ObservedLocalCloud."""


def observe() -> ObservedLocalCloud:
    """Look at everything; what cannot be looked at is said in `unseen`. Raises UsageError where Docker is away."""
    look, settings = Inspector(), load_settings()
    now = datetime.now(UTC)
    units = look.units()
    if not units or not (paths.localcloud_dir() / "compose.env").exists():
        return ObservedLocalCloud(now)
    parts: dict[str, Callable[[], Part]] = {
        "wanted": lambda: {"wanted": _wanted(settings)},
        "tags": lambda: {"tags": image_tags(contexts())},
        **parts_of(
            settings,
            look,
            units,
            consul=lambda: catalogue(settings),
            proxy=lambda: settings.local_url(settings.ports.haproxy_stats),
        ),
    }
    return ObservedLocalCloud(
        now, units=units, apis=apis(settings), hypervisors=settings.hypervisors, **gathered(parts)
    )


def parts_of(
    settings: Settings,
    look: Inspector,
    units: tuple[Unit, ...],
    *,
    consul: Callable[[], Catalogue],
    proxy: Callable[[], str],
) -> dict[str, Callable[[], Part]]:
    """List what is looked at from a machine, whether it has all of the cloud or a part: `units` are its containers."""
    return {
        "certificates": lambda: {"certificates": _certificates()},
        "engine clock": lambda: {"clocks": (look.clock(),)},
        "checks": lambda: _consul(consul(), look),
        "backends": lambda: {"backends": observed.read_backends(statistics(proxy()))},
        "members": partial(_database, look, units),
        "queues": partial(_queues, look, units),
        "disks": partial(_disks, look, units),
        "openstack": partial(_openstack, settings),
    }


def gathered(parts: Mapping[str, Callable[[], Part]]) -> Part:
    """Look at all parts at once; what cannot be looked at is said in `unseen`."""
    fields: Part = {"clocks": (), "unseen": {}}
    with ThreadPoolExecutor(len(parts)) as pool:
        for part in pool.map(lambda item: _tried(*item), parts.items()):
            fields = {**fields, **part, "clocks": fields["clocks"] + part.get("clocks", ()),
                      "unseen": fields["unseen"] | part.get("unseen", {})}  # fmt: skip
    return fields


def _tried(name: str, part: Callable[[], Part]) -> Part:
    try:
        return part()
    except ProvisionError as error:
        return {"unseen": {name: error.message}}


def _wanted(settings: Settings) -> Mapping[tuple[str, str], int]:
    return {
        (project.project, service): count
        for project in (control(), *hypervisors(settings))
        for service, count in project.replicas().items()
    }


def _certificates() -> tuple[observed.Certificate, ...]:
    folders = (each for each in paths.cluster_dir("").glob("*") if each.is_dir())
    of_clusters = [one for folder in sorted(folders) for one in certificates(folder, folder.name)]
    return (*certificates(paths.localcloud_dir()), *of_clusters)


def _consul(consul: Catalogue, look: Inspector) -> Part:
    """Read Consul's catalogue and its members' clocks, and compare it with what runs."""
    before = time.time()
    date = consul.date()
    after = time.time()
    members = consul.members()
    unregistered, stale = _differences(consul, look)
    if unregistered or stale:
        # Something may have started or ended a moment ago: only what stays is wrong.
        time.sleep(_SETTLE)
        again, still = _differences(consul, look)
        unregistered, stale = unregistered & again, stale & still
    return {
        "checks": observed.read_checks(consul.states()),
        "failed_nodes": tuple(each["Name"] for each in members if each["Status"] != 1),
        "unregistered": tuple(sorted(unregistered)),
        "stale": tuple(sorted(stale)),
        "clocks": _http_clock("Consul's host", date, before, after),
    }


def _differences(catalogue: Catalogue, look: Inspector) -> tuple[set[str], set[str]]:
    """Name what the Registrator has still to register, and to remove."""
    host = look.host()
    holder = token_hash(read_passwords().get("consul_registrator", ""))
    wanted = wanted_services(
        look.serving(), RegistratorSettings(host, internal=True, network=NETWORK, token_hash=holder)
    )
    changes = plan_changes(wanted, catalogue.services(), host, holder)
    return {service.id for service in changes.register}, set(changes.deregister)


def _http_clock(whose: str, date: str, before: float, after: float) -> tuple[Clock, ...]:
    """Read a Date header: it says the second only."""
    if not date:
        return ()
    theirs = parsedate_to_datetime(date).timestamp() + 0.5
    return (Clock(whose, theirs - (before + after) / 2, 0.5 + (after - before) / 2),)


def _of(units: tuple[Unit, ...], family: str) -> list[Unit]:
    return [unit for unit in units if unit.family == family and unit.state == "running"]


def _database(look: Inspector, units: tuple[Unit, ...]) -> Part:
    members, clocks = [], []
    for unit in _of(units, "mariadb"):
        before = time.time()
        try:
            text = look.answer(unit, ["mariadb", "-NBe", _GALERA])
        except ProvisionError:
            members.append(DatabaseMember(unit.name, answers=False))
            continue
        after = time.time()
        variables = observed.read_variables(text)
        theirs = float(variables.pop("clock"))
        members.append(DatabaseMember(unit.name, answers=True, variables=variables))
        clocks.append(Clock(f"{unit.name}'s host", theirs - (before + after) / 2, (after - before) / 2))
    return {"members": tuple(members), "clocks": tuple(clocks)}


def _queues(look: Inspector, units: tuple[Unit, ...]) -> Part:
    brokers = _of(units, "rabbitmq")
    problem = ProvisionError("no member of RabbitMQ runs")
    for unit in brokers:
        try:
            text = look.answer(unit, ["bash", "-c", _QUEUES], seconds=45)
            return {"queues": observed.read_queues(text)}
        except ProvisionError as error:
            # Each member knows all queues: the next one may answer.
            problem = error
        except ValueError as error:
            problem = ProvisionError(str(error))
    raise problem


def _disks(look: Inspector, units: tuple[Unit, ...]) -> Part:
    disks: list[observed.Disk] = []
    for family, places in _DATA.items():
        for unit in _of(units, family)[:1] if family == "compute" else _of(units, family):
            text = look.answer(unit, ["df", "-PB1", *places])
            disks += observed.read_disks(text, list(places.values()))
    return {"disks": tuple(disks)}


def _openstack(settings: Settings) -> Part:
    """Ask Keystone, Nova and Neutron, each for itself: one that is away does not hide the others."""
    cloud = OpenStack(admin_login(settings, read_passwords().get("admin", "")))
    found: Part = {"unseen": {}}
    asked = {"clocks": cloud.clock, "endpoints": cloud.endpoints, "compute": cloud.compute, "agents": cloud.agents}
    if any(api.name == "neutron" and api.idle for api in apis(settings)):
        del asked["agents"]
    for name, ask in asked.items():
        try:
            answer = ask()
            found[name] = (answer,) if isinstance(answer, Clock) else answer
        except ProvisionError as error:
            found["unseen"][name] = error.message
    found["unseen"].pop("clocks", None)
    return found
