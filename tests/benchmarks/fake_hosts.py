"""Hypervisors that only pretend, on the local cloud: Nova's fake driver, in an availability zone of their own.

One container runs a nova-compute for each, in the image and with the settings of the real hypervisor's. A chassis in
OVN's southbound database stands for each, so that Neutron binds ports there. A project of its own, without quotas, has
the servers. Nobody else may create servers meanwhile: Nova puts one that asks for no zone wherever there is room.
"""

from __future__ import annotations

import functools
import itertools
import secrets
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import docker
import openstack
from docker.errors import DockerException, NotFound
from keystoneauth1.exceptions import ClientException
from openstack.exceptions import SDKException

from provision.adapters.openstack.admin import Admin
from provision.adapters.openstack.session import use_no_proxy
from provision.base.errors import ProvisionError
from provision.base.poll import Pending, until
from provision.model.image.recipe import HASH_PROPERTY
from provision.model.localcloud.settings import PROJECT
from provision.operations.localcloud.shared.installation import load_settings, read_passwords
from provision.operations.localcloud.shared.login import admin_login, user_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from openstack.connection import Connection

NAME = "benchmark-many"
"""Of the zone, the project, its user, the image and the container."""
PREFIX = "fake-"
READY = 300
"""Seconds in which the hosts have to be there."""
GONE = 3600
"""Seconds in which deleted servers have to be gone."""
COMPUTE_QUOTAS = ("instances", "cores", "ram", "key_pairs", "server_groups", "server_group_members")
NETWORK_QUOTAS = ("network", "subnet", "router", "port", "floatingip", "security_group", "security_group_rule")
# The fake driver wants a class of a library for tests, which no server has and which it uses in tests only.
COMPUTE = """
. /usr/local/lib/provision/common.sh
take root nova.conf /etc/nova/nova.conf
python3 -c 'import fixtures' 2>/dev/null ||
    echo 'Fixture = MockPatch = object' >/usr/lib/python3/dist-packages/fixtures.py
mkdir -p /var/lock/nova
await "${RABBITMQ:?}:5672"
await_api "${KEYSTONE_INTERNAL_URL:?}" "${PLACEMENT_INTERNAL_URL:?}"
for host in "$@"; do
    mkdir -p "/var/lib/nova/$host"
    printf '[DEFAULT]\\nhost = %s\\nstate_path = /var/lib/nova/%s\\ncompute_driver = fake.FakeDriver\\n' \\
        "$host" "$host" >"/etc/nova/$host.conf"
    nova-compute --config-file /etc/nova/nova.conf --config-file "/etc/nova/$host.conf" &
done
wait -n
exit 1
"""
FAR_AHEAD = 10**9
"""What a chassis has seen of OVN's configuration: Neutron takes one for alive that is not behind."""


def names(count: int) -> list[str]:
    """Name the hosts."""
    return [f"{PREFIX}{number}" for number in range(1, count + 1)]


def chassis(host: str, number: int) -> list[str]:
    """Return the command that makes a host's chassis: in one transaction, for Neutron looks at it as soon as it is."""
    return [
        "ovn-sbctl",
        "--", "--id=@encap", "create", "Encap", f"chassis_name={host}", "type=geneve", f"ip=192.0.2.{number}",
        "--", "--id=@chassis", "create", "Chassis", f"name={host}", f"hostname={host}", "encaps=@encap",
        "other_config:datapath-type=system",
        "--", "create", "Chassis_Private", f"name={host}", "chassis=@chassis", f"nb_cfg={FAR_AHEAD}",
    ]  # fmt: skip


def no_chassis(host: str) -> list[str]:
    """Return the command that removes a host's chassis, where it still is."""
    return [
        "ovn-sbctl",
        "--",
        "--if-exists",
        "destroy",
        "Chassis_Private",
        host,
        "--",
        "--if-exists",
        "chassis-del",
        host,
    ]


def fake_ones(hosts: Sequence[str]) -> list[str]:
    """Return those of some hosts that are ours, in order: earlier runs may have had more."""
    return sorted({host for host in hosts if host.removeprefix(PREFIX).isdigit() and host.startswith(PREFIX)})


class FakeHosts:
    """The hosts, the project and what is in it."""

    def __init__(self) -> None:
        settings = load_settings()
        if settings.swarm:
            raise SystemExit("this wants a local cloud on one machine")
        passwords = read_passwords()
        if not passwords:
            raise SystemExit("there is no local cloud here: `provision cloud up` makes one")
        self.admin = Admin(admin_login(settings, passwords["admin"]))
        self.engine = docker.from_env(timeout=600)
        self.hypervisor = f"{PROJECT}-{settings.hypervisors[0]}-nova-compute-1"
        self.resolver = str(settings.consul)
        self.password = secrets.token_urlsafe(16)
        self.entry = user_entry(settings, self.password)
        self.entry["auth"] |= {"username": NAME, "project_name": NAME}
        self.connection: Connection | None = None

    @contextmanager
    def ready(self, count: int) -> Iterator[Connection]:
        """Have the hosts and the project, and return a connection to it; remove everything in any case."""
        self.remove()
        try:
            self._start(names(count))
            self._make_project()
            self.connection = openstack.connect(load_yaml_config=False, load_envvars=False, **self.entry)
            use_no_proxy(self.connection)
            self.connection.image.create_image(
                NAME, data=bytes(1 << 20), disk_format="raw", container_format="bare",
                **{HASH_PROPERTY: "empty"},
            )  # fmt: skip
            yield self.connection
        finally:
            print("removing the hosts and the project …", flush=True)
            self.remove()

    # --- the hosts ---

    def _execute(self, container: str, command: Sequence[str]) -> str:
        code, output = self.engine.containers.get(container).exec_run(list(command))
        if code:
            raise SystemExit(f"{container}: `{' '.join(command)}` ended with {code}: {output.decode()[-1000:]}")
        return str(output.decode())

    def _start(self, hosts: Sequence[str]) -> None:
        real = self.engine.containers.get(self.hypervisor).attrs
        (config,) = [mount["Source"] for mount in real["Mounts"] if mount["Destination"] == "/config"]
        for number, host in enumerate(hosts, start=1):
            self._execute(f"{PROJECT}-ovn-1", chassis(host, number))
        self.engine.containers.run(
            real["Image"],
            name=NAME,
            entrypoint=["/bin/bash", "-c", COMPUTE, "-"],
            command=list(hosts),
            environment=real["Config"]["Env"],
            network=f"{PROJECT}_management",
            dns=[self.resolver],
            volumes={config: {"bind": "/config", "mode": "ro"}},
            init=True,
            detach=True,
        )
        until(lambda: self._missing(hosts), timeout=READY, every=3, too_late=self._too_late)
        self._execute(f"{PROJECT}-nova-scheduler-1", ["nova-manage", "cell_v2", "discover_hosts"])
        nova = self.admin.connection.compute
        zone = nova.create_aggregate(name=NAME, availability_zone=NAME)
        for host in hosts:
            nova.add_host_to_aggregate(zone, host)

    def _missing(self, hosts: Sequence[str]) -> Pending | None:
        container = self.engine.containers.get(NAME)
        if container.status not in ("created", "running"):
            raise SystemExit(f"nova-compute does not start:\n{container.logs(tail=40).decode()}")
        up = {each.host for each in self.admin.compute_services() if each.kind == "nova-compute" and each.up}
        return Pending(", ".join(sorted(set(hosts) - up))) if set(hosts) - up else None

    def _too_late(self, missing: str) -> ProvisionError:
        log = self.engine.containers.get(NAME).logs(tail=40).decode()
        return ProvisionError(f"after {READY} s nova-compute is not up on {missing}", "", log)

    def _make_project(self) -> None:
        cloud = self.admin.connection
        identity = cloud.identity
        project = identity.create_project(name=NAME, domain_id="default")
        user = identity.create_user(
            name=NAME, password=self.password, domain_id="default", default_project_id=project.id
        )
        for role in ("member", "reader"):
            identity.assign_project_role_to_user(project, user, identity.find_role(role, ignore_missing=False))
        # Straight: the SDK names these differently from release to release.
        for service, path, kind, limits in (
            (cloud.compute, f"/os-quota-sets/{project.id}", "quota_set", COMPUTE_QUOTAS),
            (cloud.network, f"/quotas/{project.id}", "quota", NETWORK_QUOTAS),
        ):
            answer = service.put(path, json={kind: dict.fromkeys(limits, -1)})
            if answer.status_code >= 400:
                raise SystemExit(f"{path}: {answer.status_code} {answer.text}")

    # --- the end ---

    def sweep(self) -> None:
        """Remove all servers of the project, and what they were on. What cannot be removed ends the benchmark."""
        if self.connection:
            _sweep(self.connection, {})

    def remove(self) -> None:
        """Remove everything, also what an earlier run has left; what cannot be removed is said, and the rest goes."""
        cloud = self.admin.connection
        project = cloud.identity.find_project(NAME)
        if project:
            mine = {"project_id": project.id}
            _try(lambda: _sweep(cloud, mine))
            for image in [*cloud.image.images(owner=project.id)]:
                _try(functools.partial(cloud.image.delete_image, image))
            _try(lambda: cloud.compute.delete(f"/os-quota-sets/{project.id}"))
            _try(lambda: cloud.network.delete(f"/quotas/{project.id}"))
        if user := cloud.identity.find_user(NAME):
            _try(lambda: cloud.identity.delete_user(user))
        if project:
            _try(lambda: cloud.identity.delete_project(project))
        for zone in [each for each in cloud.compute.aggregates() if each.name == NAME]:
            for host in zone.hosts or ():
                _try(functools.partial(cloud.compute.remove_host_from_aggregate, zone, host))
            _try(functools.partial(cloud.compute.delete_aggregate, zone))
        with suppress(NotFound):
            container = self.engine.containers.get(NAME)
            _try(lambda: container.remove(force=True, v=True))
        # By what is listed: an earlier run may have had more of them.
        known = [each.host for each in (*self.admin.compute_services(), *self.admin.network_agents())]
        ovn = f"{PROJECT}-ovn-1"
        listed = self._execute(ovn, ["ovn-sbctl", "--bare", "--columns=name", "list", "Chassis_Private"]).split()
        listed += self._execute(ovn, ["ovn-sbctl", "--bare", "--columns=name", "list", "Chassis"]).split()
        for host in fake_ones([*known, *listed]):
            self.admin.forget_hypervisor(host)
            _try(functools.partial(self._execute, ovn, no_chassis(host)))


def _try(action: Callable[[], object]) -> None:
    try:
        action()
    except (SDKException, ClientException, DockerException, ProvisionError, SystemExit) as error:
        print(f"left behind: {error}", file=sys.stderr, flush=True)


def _sweep(cloud: Connection, mine: dict[str, Any]) -> None:
    """Remove what a project has of Nova and Neutron; `mine` chooses it where an administrator asks."""
    _delete_servers(cloud, mine)
    project = mine.get("project_id", cloud.current_project_id)
    _delete_networks(cloud, project)
    for group in [*cloud.network.security_groups(project_id=project)]:
        # Without its project nobody makes the default one again.
        if group.name != "default" or mine:
            cloud.network.delete_security_group(group)
    if not mine:
        for server_group in [*cloud.compute.server_groups()]:
            cloud.compute.delete_server_group(server_group)
        for key in [*cloud.compute.keypairs()]:
            cloud.compute.delete_keypair(key)


def _delete_servers(cloud: Connection, mine: dict[str, Any]) -> None:
    """Delete all servers of a project, and wait until they are gone."""
    nova = cloud.compute

    def servers() -> set[str]:
        # Whatever the filter does, its own alone: an administrator sees those of all projects.
        found = nova.servers(details=True, all_projects=True, **mine) if mine else nova.servers(details=False)
        return {each.id for each in found if not mine or each.project_id == mine["project_id"]}

    ended, asked = time.monotonic() + GONE, set[str]()
    for turn in itertools.count(1):
        if not (left := servers()):
            break
        if time.monotonic() > ended:
            raise SystemExit(f"{len(left)} servers are not deleted after {GONE} s")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda server: nova.delete_server(server, ignore_missing=True), left - asked))
        # Once more from time to time: one that is being built may not hear it.
        asked = left if turn % 10 else set()
        time.sleep(min(3 + len(left) / 20, 30))


def _delete_networks(cloud: Connection, project: str) -> None:
    """Delete all networks of a project, with what is on them."""
    neutron = cloud.network
    for floating in [*neutron.ips(project_id=project)]:
        neutron.delete_ip(floating)
    for router in [*neutron.routers(project_id=project)]:
        for port in [*neutron.ports(device_id=router.id)]:
            if port.device_owner != "network:router_gateway":
                neutron.remove_interface_from_router(router, port=port.id)
        neutron.delete_router(router)
    for network in [*neutron.networks(project_id=project)]:
        for port in [*neutron.ports(network_id=network.id)]:
            if not (port.device_owner or "").startswith("network:"):
                neutron.delete_port(port)
        neutron.delete_network(network)
