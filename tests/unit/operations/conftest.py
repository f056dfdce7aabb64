"""A fake OpenStack in memory, with the interface of adapters.openstack.cloud: slow, and it can be killed."""
# ruff: noqa: A001, A002, PLR0917 - `id` is the cloud's own word

from __future__ import annotations

import base64
import itertools
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import wraps
from ipaddress import IPv4Network

import pytest

from provision.adapters import net
from provision.adapters.cluster_dir import ClusterDir
from provision.adapters.openstack.cloud import (
    BusyError,
    ExistingGroup,
    ExistingNetwork,
    ExistingRouter,
    ExistingSubnet,
    External,
    Image,
)
from provision.adapters.spark import SparkMaster
from provision.base.errors import ProvisionError
from provision.base.model import CloudProject, ClusterSpec, Flavor, NetworkSpec, WorkersSpec
from provision.base.progress import Silent
from provision.model.cluster import resources
from provision.operations.cluster.down import down
from provision.operations.cluster.nodes import known_host_keys
from provision.operations.cluster.up import Helpers, Up
from provision.operations.cluster.wait import ReadinessWait

ED25519 = base64.b64encode(b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20" + b"k" * 32).decode()
CONSOLE = f"""[    0.000000] Linux version 6.12
-----BEGIN SSH HOST KEY KEYS-----
ssh-ed25519 {ED25519} root@node
-----END SSH HOST KEY KEYS-----
"""


FLAVORS = {
    flavor.name: flavor
    for flavor in (Flavor("m1.tiny", 1, 512, 4), Flavor("m1.small", 1, 2048, 8), Flavor("m1.medium", 2, 4096, 16))
}


class Killed(BaseException):
    """SIGKILL, as far as a test can do it: nothing catches it."""


def request(method):
    """One API request: counted, and a place to die, before it reaches the cloud or before its answer is read."""

    @wraps(method)
    def counted(self, *args, **kwargs):
        # Some come from several threads.
        with self.lock:
            self.calls += 1
            self.log.append(method.__name__)
            dies = self.calls == self.die_at
            if dies and not self.die_late:
                raise self.death
            answer = method(self, *args, **kwargs)
            if dies:
                raise self.death
            return answer

    return counted


@dataclass
class Thing:
    kind: str
    id: str
    name: str = ""
    description: str = ""
    tags: tuple = ()
    data: dict = None


WRITES = ("create", "add", "delete", "tag", "set", "attach", "remove", "start", "mark")


class FakeCloud:
    """One project. `things` are Neutron's, `vms` Nova's; a deleted VM is gone after it was looked at once more."""

    name = "fake"
    project = "p"
    death: BaseException = Killed()
    unbuildable = 0
    marks = True

    def __init__(self):
        self.calls, self.die_at, self.die_late = 0, None, False
        self.lock = threading.RLock()
        self.log, self._ids = [], itertools.count(1)
        self.things: dict[str, Thing] = {}
        self.vms: dict[str, dict] = {}
        self.keys: dict[str, str] = {}
        self.hypervisors = 9
        self.limits = {}
        self.default_image = "img-golden"
        self.reclaims = False
        """Whether it keeps deleted VMs for a while, out of its lists: Nova's reclaim_instance_interval."""
        self.gone = set()
        """Names of what it offered once, and does not any more."""

    # --- what a test looks at ---

    def lists(self):
        """The cloud's own lists, without ids."""
        things = sorted((thing.kind, thing.name, thing.description) for thing in self.things.values())
        vms = sorted((vm["name"], vm["status"]) for vm in self.vms.values() if not vm["deleting"])
        return things, vms, sorted(self.keys)

    def of(self, kind):
        return [thing for thing in self.things.values() if thing.kind == kind]

    @property
    def writes(self):
        return [call for call in self.log if call.startswith(WRITES)]

    def add(self, kind, name, description="", **data):
        """Put a resource there, as somebody else would."""
        return self._add(kind, name, description, **data)

    def add_port(self, network, **data):
        """Put a port on a network, as Nova or somebody else would."""
        return self._port(network, **data)

    def vanish(self, server):
        """Remove a server without being asked."""
        self._vanish(server)

    def ask_ahead(self, question, *arguments):
        """Questions come one by one here: each has a number at which the program can be killed."""

    # --- what it offers ---

    @request
    def flavors(self):
        return {name: flavor for name, flavor in FLAVORS.items() if name not in self.gone}

    def flavor_id(self, name):
        return f"id-{name}"

    @request
    def has_marks(self):
        return self.marks

    @request
    def image(self, name):
        return Image("img-other", 4, golden=True) if name == "other" and name not in self.gone else None

    @request
    def external(self, name):
        if name != "public" or name in self.gone:
            return None
        return External("ext", (IPv4Network("172.29.0.0/24"),), "172.29.0.1")

    @request
    def network(self, name):
        found = [one for one in self.of("network") if name in {one.id, one.name}]
        if not found:
            return None
        return ExistingNetwork(
            found[0].id,
            tuple(
                ExistingSubnet(one.id, IPv4Network(one.data["cidr"]), one.name)
                for one in self.of("subnet")
                if one.data["network"] == found[0].id
            ),
            found[0].data.get("port_security", True),
        )

    @request
    def networks(self):
        return tuple(one.name for one in self.of("network"))

    @request
    def router(self, name):
        found = (one for one in self.of("router") if name in {one.id, one.name})
        return next((ExistingRouter(one.id, one.data.get("external", "")) for one in found), None)

    @request
    def subnet_ranges(self):
        return tuple(IPv4Network(one.data["cidr"]) for one in self.of("subnet"))

    @request
    def floating(self, address):
        found = (one for one in self.of("floating IP") if one.data["address"] == address)
        return next((resources.Floating(one.id, **one.data, marked=False) for one in found), None)

    @request
    def security_groups(self):
        return tuple(ExistingGroup(one.id, one.name, one.data.get("shared", False)) for one in self.of("group"))

    @request
    def server_groups(self):
        return tuple(self._server_groups())

    def _server_groups(self, name=""):
        for one in self.of("server group"):
            if name in {"", one.name}:
                members = one.data["members"] & set(self.vms)
                yield resources.ServerGroup(one.id, one.name, one.data["policy"], frozenset(members))

    @request
    def key_pairs(self):
        return dict(self.keys)

    @request
    def zones(self):
        return frozenset({"nova", "hall-2"} - self.gone)

    @request
    def externals(self):
        return ("public",)

    def host(self):
        return "cloud.example.org"

    def place(self):
        return CloudProject("fake", "https://cloud.example.org", self.project)

    def key(self, name):
        return self.keys.get(resources.key_name(name), "")

    @request
    def holds(self, kind, name, mark=""):
        if kind == "server group":
            return frozenset(one.id for one in self._server_groups(resources.group_name(name)))
        kind = {"security group": "group"}.get(kind, kind)
        return frozenset(one.id for one in self.of(kind) if one.description == (mark or resources.mark(name)))

    @request
    def room(self):
        return dict(self.limits)

    # --- what it holds ---

    def _base(self, thing, name):
        return {"id": thing.id, "name": thing.name, "tagged": set(resources.tags(name)) <= set(thing.tags)}

    @request
    def observe(self, name, about=0):
        def mine(kind):
            return [thing for thing in self.of(kind) if thing.description == resources.mark(name)]

        networks = mine("network")
        homes = {thing.id for thing in networks}
        groups = {thing.id for thing in mine("group")}
        worker, hub = resources.worker_mark(name), resources.hub_mark(name)
        vms = {server.id for server in self._listed(name)}
        own = [
            port
            for port in self.of("port")
            if port.description in {resources.mark(name), worker, hub}
            or port.data["device"] in vms
            or groups & {*port.data["groups"]}
        ]
        ports = [port for port in self.of("port") if port.data["network"] in homes] if homes else own
        marked = {port.id for port in ports if port.description in {resources.mark(name), hub}}
        floatings = mine("floating IP") or [one for one in self.of("floating IP") if one.data["port"] in marked]
        key = resources.key_name(name)
        return resources.ObservedCluster(
            networks=tuple(resources.Network(**self._base(one, name)) for one in networks),
            subnets=tuple(resources.Subnet(**self._base(one, name), **one.data) for one in mine("subnet")),
            routers=tuple(resources.Router(**self._base(one, name), **one.data) for one in mine("router")),
            groups=tuple(
                resources.Group(**self._base(one, name), rules=tuple(one.data["rules"])) for one in mine("group")
            ),
            ports=tuple(
                resources.Port(
                    **self._base(one, name),
                    **one.data,
                    marked=one.description in {resources.mark(name), worker, hub, resources.interface_mark(name)},
                    worker=one.description == worker,
                    hub=one.description == hub,
                    secured=self.things[one.data["network"]].data.get("port_security", True),
                )
                for one in ports
            ),
            floatings=tuple(
                resources.Floating(**self._base(one, name), **one.data, marked=one in mine("floating IP"))
                for one in floatings
            ),
            keys=(resources.KeyPair(key, self.keys[key]),) if key in self.keys else (),
            servers=resources.in_groups(self._servers(name), self._server_groups()),
            server_groups=tuple(self._server_groups(resources.group_name(name))),
        )

    def _listed(self, name):
        return [
            resources.Server(vm["id"], vm["name"], "worker")
            for vm in self.vms.values()
            if vm["metadata"].get(resources.META_CLUSTER) == name and vm["status"] != "SOFT_DELETED"
        ]

    def _servers(self, name):
        found = []
        for vm in list(self.vms.values()):
            if vm["metadata"].get(resources.META_CLUSTER) != name or vm["status"] == "SOFT_DELETED":
                continue
            found.append(
                resources.Server(
                    id=vm["id"],
                    name=vm["name"],
                    role=vm["metadata"][resources.META_ROLE],
                    status=vm["status"],
                    deleting=vm["deleting"],
                    launched=vm["launched"],
                    address=next(
                        (port.data["address"] for port in self.of("port") if port.data["device"] == vm["id"]), ""
                    ),
                    flavor=vm["flavor"],
                    size=FLAVORS.get(vm["flavor"]),
                    image=vm["image"],
                    zone=vm.get("zone", ""),
                    spec=vm["metadata"].get(resources.META_SPEC, ""),
                    packages=vm["metadata"].get(resources.META_PACKAGES, ""),
                    smoke_tested=vm["metadata"].get(resources.META_SMOKE_TESTED, ""),
                    floating=vm["metadata"].get(resources.META_FLOATING, ""),
                    certificate=vm["metadata"].get(resources.META_CERTIFICATE, ""),
                    fault=vm.get("fault", ""),
                    key=vm["metadata"].get(resources.META_KEY, ""),
                    origin=vm["metadata"].get(resources.META_ORIGIN, ""),
                    accounts=vm["metadata"].get(resources.META_ACCOUNTS, ""),
                    monitored=vm["metadata"].get(resources.META_MONITORED, ""),
                    baked=bool(vm["metadata"].get(resources.META_BAKED)),
                    users=resources.read_users(vm["metadata"]),
                )
            )
            if vm["deleting"] and self.reclaims:
                vm["status"] = "SOFT_DELETED"
            elif vm["deleting"]:
                self._vanish(vm["id"])
            elif vm["status"] == "BUILD" and self.unbuildable:
                self.unbuildable -= 1
                vm.update(status="ERROR", fault="No valid host was found.")
            elif vm["status"] == "BUILD":
                vm["status"], vm["launched"] = "ACTIVE", True
        return resources.with_own_names(name, found, {})

    def _vanish(self, id):
        del self.vms[id]
        for port in self.of("port"):
            if port.data["device"] == id:
                if port.description:
                    port.data.update(device="", owner="")
                else:
                    del self.things[port.id]

    @request
    def servers(self, name):
        return self._servers(name)

    @request
    def server_status(self, id):
        return self.vms[id]["status"] if id in self.vms else ""

    @request
    def building(self):
        return frozenset(id for id, vm in self.vms.items() if vm["status"] == "BUILD")

    @request
    def console(self, server):
        return self.vms[server].get("console", CONSOLE)

    def console_if_readable(self, server):
        with suppress(ProvisionError):
            return self.console(server)
        return ""

    # --- changes ---

    def _add(self, kind, name, description="", **data):
        id = f"{kind}-{next(self._ids)}"
        self.things[id] = Thing(kind, id, name, description, (), data)
        return id

    @request
    def create_network(self, name):
        return self._add("network", name, resources.mark(name))

    @request
    def create_subnet(self, name, network, cidr, nameservers=()):
        assert network in self.things
        return self._add("subnet", name, resources.mark(name), network=network, cidr=cidr, nameservers=nameservers)

    @request
    def set_nameservers(self, subnet, nameservers):
        self.things[subnet].data["nameservers"] = nameservers

    @request
    def create_router(self, name, external):
        return self._add("router", name, resources.mark(name), external=external)

    @request
    def set_gateway(self, router, external):
        self.things[router].data["external"] = external

    @request
    def add_interface(self, router, subnet):
        network = self.things[subnet].data["network"]
        if any(
            port.data["owner"].startswith("network:router")
            for port in self.of("port")
            if port.data["network"] == network
        ):
            raise BusyError("the subnet has a router already")
        return self._port(network, device=router, owner="network:router_interface")

    @request
    def mark_interface(self, port, name):
        self.things[port].description = resources.interface_mark(name)

    def _port(self, network, name="", description="", device="", owner="", groups=(), subnet=""):
        on = [one for one in self.of("subnet") if subnet in {"", one.id} and one.data["network"] == network]
        cidr = IPv4Network(on[0].data["cidr"] if on else "10.20.0.0/24")
        address = str(cidr[len(self.of("port")) + 10])
        return self._add(
            "port", name, description, network=network, address=address, device=device, owner=owner, groups=groups
        )

    @request
    def create_group(self, name):
        return self._add("group", name, resources.mark(name), rules=[])

    @request
    def add_rules(self, group, rules):
        have = {rule for rule, _ in self.things[group].data["rules"]}
        if have & set(rules):
            raise BusyError("a rule is there already")
        self.things[group].data["rules"] += [(rule, f"rule-{next(self._ids)}") for rule in rules]

    @request
    def delete_rule(self, rule):
        for group in self.of("group"):
            group.data["rules"] = [(one, id) for one, id in group.data["rules"] if id != rule]

    @request
    def create_port(self, name, network, subnet, groups, *, role="master"):
        called = resources.hub_name(name) if role == "hub" else resources.master_name(name)
        mark = resources.hub_mark(name) if role == "hub" else resources.mark(name)
        id = self._made_port(network, subnet, called, mark, groups)
        return id, self.things[id].data["address"]

    def _made_port(self, network, subnet, name, description, groups):
        assert self.things[subnet].data["network"] == network
        assert bool(groups) is self.things[network].data.get("port_security", True)
        assert all(self.things[group].kind == "group" for group in groups)
        return self._port(network, name, description, groups=groups, subnet=subnet)

    @request
    def create_worker_ports(self, name, workers, network, subnet, groups):
        mark = resources.worker_mark(name)
        return {worker: self._made_port(network, subnet, worker, mark, groups) for worker in workers}

    @request
    def set_groups(self, port, groups):
        self.things[port].data["groups"] = groups

    @request
    def create_server_group(self, name, policy):
        return self._add("server group", resources.group_name(name), policy=policy, members=set())

    @request
    def create_floating(self, name, external, port):
        self._reachable(port)
        address = f"172.29.0.{100 + len(self.of('floating IP'))}"
        return self._add("floating IP", "", resources.mark(name), address=address, port=port), address

    def _reachable(self, port):
        network = self.things[port].data["network"]
        if not any(
            one.data["owner"].startswith("network:router") for one in self.of("port") if one.data["network"] == network
        ):
            raise ProvisionError("external network is not reachable from the subnet")

    @request
    def attach_floating(self, floating, port):
        self._reachable(port)
        self.things[floating].data["port"] = port

    @request
    def tag(self, kind, id, name):
        assert self.things[id].kind == {"security group": "group"}.get(kind, kind)
        self.things[id].tags = resources.tags(name)

    @request
    def create_key(self, name, public_key):
        if resources.key_name(name) in self.keys:
            raise BusyError("the key pair is there already")
        self.keys[resources.key_name(name)] = public_key

    @request
    def create_servers(
        self, name, names, *, role, image, flavor, network, groups, user_data, metadata, zone="", server_group=""
    ):
        assert user_data.startswith("#cloud-config")
        assert resources.key_name(name) in self.keys
        assert image
        fault = self._fault(names, server_group)
        for one in names:
            id = f"vm-{next(self._ids):04}"
            self.vms[id] = {
                "id": id,
                "name": one,
                "status": "BUILD",
                "deleting": False,
                "launched": False,
                "flavor": flavor.removeprefix("id-"),
                "image": image,
                "zone": zone or "nova",
                **fault,
                "metadata": {resources.META_CLUSTER: name, resources.META_ROLE: role, **metadata},
            }
            if "port" in network:
                port = self.things[network["port"]]
                assert not port.data["device"], "the port is in use"
                port.data.update(device=id, owner="compute:nova")
            else:
                assert not any(self.things[group].data.get("shared") for group in groups), "Nova does not find it"
                self._port(network["uuid"], device=id, owner="compute:nova", groups=groups)
            if server_group:
                self.things[server_group].data["members"].add(id)

    def _fault(self, names, server_group):
        """What becomes of servers of one request: all, or none, find a hypervisor that the server group allows."""
        if not server_group or self.things[server_group].data["policy"] != "anti-affinity":
            return {}
        alive = [id for id in self.things[server_group].data["members"] if id in self.vms]
        if len(alive) + len(names) <= self.hypervisors:
            return {}
        return {"status": "ERROR", "fault": "No valid host was found. There are not enough hosts available."}

    @request
    def set_metadata(self, server, **metadata):
        self.vms[server]["metadata"] |= metadata

    @request
    def start_server(self, server, status):
        assert self.vms[server]["status"] == status
        self.vms[server]["status"] = "ACTIVE"

    @request
    def delete_server(self, server):
        if server in self.vms:
            self.vms[server]["deleting"] = True

    @request
    def force_delete_server(self, id):
        assert self.vms[id]["deleting"]
        self._vanish(id)

    @request
    def delete_key(self, name):
        self.keys.pop(resources.key_name(name), None)

    @request
    def remove_interface(self, router, port):
        if any(
            one.data["port"] and self.things[one.data["port"]].data["network"] == self.things[port].data["network"]
            for one in self.of("floating IP")
        ):
            raise BusyError("a floating IP needs the router")
        self.things.pop(port, None)

    @request
    def delete(self, kind, id):
        kind = {"security group": "group"}.get(kind, kind)
        if id not in self.things:
            return
        assert self.things[id].kind == kind
        ports = self.of("port")
        users = {
            "network": lambda: (
                [port for port in ports if port.data["network"] == id]
                or [one for one in self.of("subnet") if one.data["network"] == id]
            ),
            "subnet": lambda: [port for port in ports if port.data["network"] == self.things[id].data["network"]],
            "router": lambda: [port for port in ports if port.data["device"] == id],
            "group": lambda: [port for port in ports if id in port.data["groups"]],
            "server group": list,
        }.get(kind, list)
        if users():
            raise BusyError(f"{kind} is in use")
        del self.things[id]
        for floating in self.of("floating IP"):
            if floating.data["port"] == id:
                floating.data["port"] = ""


def readiness(cloud, spec, host_keys, spark_works, hub_problem):
    """The wait for a cluster of a FakeCloud: a VM that is ACTIVE works, its Hub when it says so."""

    def spark(_nodes):
        vms = [
            vm
            for vm in cloud.vms.values()
            if vm["metadata"][resources.META_ROLE] == "worker" and vm["status"] == "ACTIVE"
        ]
        ids = {vm["id"] for vm in vms}
        return SparkMaster(
            tuple(port.data["address"] for port in cloud.of("port") if port.data["device"] in ids), 2, 2048, 0
        )

    return ReadinessWait(
        cloud,
        spec.name,
        Silent(),
        nodes=spec.workers.count + len(spec.roles) - 1,
        spark=spark,
        hub_problem=hub_problem,
        spark_works=spark_works,
        spread=spec.workers.spread,
        host_keys=host_keys,
        sleep=lambda _: None,
    )


class FakeData:
    """Stands for operations.data.carry.CarriedData: what is on masters' disks, by server, and on this machine."""

    def __init__(self):
        self.disks, self.here, self.resumed = {}, {}, []
        self.unreachable = False

    def waiting(self):
        return tuple(self.here)

    def carry(self, cluster):
        if self.unreachable:
            raise ProvisionError("the data cannot be carried over", "Mend it.")
        self.here[cluster.hub.id] = self.disks.get(cluster.hub.id, "nothing")

    def restore(self, cluster, servers):
        for server in servers:
            self.disks[cluster.hub.id] = self.here.pop(server)

    def resume(self, cluster):
        self.resumed.append(cluster.hub.id)
        self.discard(cluster.hub.id)

    def discard(self, server):
        del self.here[server]


class Site:
    """One operator's machine before one fake cloud."""

    def __init__(self, cloud, spec):
        self.cloud, self.spec = cloud, spec
        self.cluster_dir = ClusterDir(spec.name)
        self.plans, self.configured, self.delivered, self.jobs, self.told = [], [], [], [], []
        self.naps = []
        """Seconds that `up` and `down` have waited for the cloud."""
        self.data = FakeData()
        self.named = []
        """Names of the nodes that were configured, each time."""
        self.failure = None
        """What configuring them ends with."""
        self.hub_problem = lambda: ""
        self.job_failure = None
        self.bakes = False
        """Whether the golden image is not on the cloud yet."""
        self.before_image = []
        """What had been done when it was there, each time."""

    def up(self, *, replace=False, without_data=False, spec=None, remove=False, source="cluster.yaml"):
        spec = spec or self.spec

        def configure(cluster, names):
            if self.failure:
                raise self.failure
            self.configured.append(cluster)
            self.named.append(tuple(names))

        def make_image():
            self.before_image.append(self.cloud.writes)
            self.bakes = False
            return self.cloud.default_image

        def smoke_test(cluster):
            if self.job_failure:
                raise self.job_failure
            self.jobs.append(cluster)
            return "499500"

        def works(observed):
            mine = (vm for vm in self.cloud.vms.values() if vm["metadata"][resources.META_CLUSTER] == spec.name)
            return all(vm["status"] == "ACTIVE" for vm in mine)

        def deliver(cluster):
            if self.failure:
                raise self.failure
            self.delivered.append(cluster)

        helpers = Helpers(
            find_image=lambda: "" if self.bakes else self.cloud.default_image,
            make_image=make_image,
            readiness=lambda address, told: readiness(
                self.cloud, spec, known_host_keys(self.cluster_dir), told, self.hub_problem
            ),
            configure=configure,
            deliver=deliver,
            refresh_targets=self.told.append,
            smoke_test=smoke_test,
            works=works,
            data=self.data,
        )
        operation = Up(
            self.cloud,
            self.cluster_dir,
            Silent(),
            spec=spec,
            source=source,
            remove=remove,
            helpers=helpers,
            without_data=without_data,
            sleep=self.naps.append,
        )
        return operation.run(self.plans.append, replace=replace)

    def assert_complete(self, workers=2):
        """Assert that exactly one whole cluster is there: tagged, working, its smoke test passed; return it."""
        seen = self.cloud.observe(self.spec.name)
        for things in (seen.networks, seen.subnets, seen.routers, seen.groups, seen.floatings, seen.keys):
            assert len(things) == 1
        for things in (seen.networks, seen.subnets, seen.routers, seen.groups, seen.floatings):
            assert things[0].tagged
        assert [port.name for port in seen.ports if port.marked] == [f"{self.spec.name}-master"]
        assert len([port for port in seen.ports if port.on_router]) == 1
        assert len(seen.ports) == 2 + workers
        names = [resources.master_name(self.spec.name), *resources.worker_names(self.spec.name, workers)]
        assert [server.name for server in seen.nodes] == names
        assert {server.status for server in seen.nodes} == {"ACTIVE"}
        request = seen.nodes[0].packages
        assert seen.nodes[0].smoke_tested == seen.nodes[0].spec + (f"+{request}" if request else "")
        assert {server.packages for server in seen.nodes} == {request}
        assert seen.nodes[0].floating == seen.floatings[0].address
        assert seen.floatings[0].port == seen.master_port.id
        assert seen.nodes[0].address == seen.master_port.address
        return seen

    def assert_nothing_to_do(self):
        """Assert that another `up` changes nothing and runs no job."""
        before, jobs = len(self.cloud.writes), len(self.jobs)
        assert self.up().changed is False
        assert len(self.cloud.writes) == before
        assert len(self.jobs) == jobs

    @contextmanager
    def killed_at(self, number, *, late):
        """Kill what runs inside at its n-th request, before the cloud gets it or, `late`, before its answer is read."""
        self.cloud.die_at, self.cloud.die_late = self.cloud.calls + number, late
        with suppress(Killed):
            yield
        self.cloud.die_at = None

    def down(self):
        return down(self.cloud, self.cluster_dir, Silent(), lambda observed: None, sleep=self.naps.append)


@pytest.fixture(autouse=True)
def _machine(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(net, "source_address", lambda target: "172.29.0.1")
    # Rendering and hashing have tests of their own, and these tests would do each a thousand times.
    module = "provision.operations.cluster"
    monkeypatch.setattr(f"{module}.apply.user_data", lambda context, **_: f"#cloud-config {sorted(context)}")
    monkeypatch.setattr(f"{module}.resolve.fitting_user_data", lambda context: ("#cloud-config", True))
    monkeypatch.setattr("provision.adapters.host.files.os.fsync", lambda handle: None)
    # `openssl passwd`, the one program that is run.
    monkeypatch.setattr(
        "provision.adapters.host.process.run_checked", lambda argv, *, stdin, **_: f"$6$salt${stdin.strip()}"
    )


@pytest.fixture
def make_site():
    def make(workers=2, name="analytics", network=None):
        cloud = FakeCloud()
        # Somebody else's things, some of them confusingly alike.
        cloud.add("network", name)
        cloud.add("network", "other", resources.mark("other"))
        cloud.add("router", name, f"{resources.mark(name)}-2")
        cloud.add("group", "default", rules=[])
        cloud.keys["provision-other"] = "ssh-ed25519 AAAA"
        cloud.vms["vm-x"] = {
            "id": "vm-x",
            "name": f"{name}-worker-1",
            "status": "ACTIVE",
            "deleting": False,
            "launched": True,
            "flavor": "m1.small",
            "image": "img",
            "metadata": {resources.META_CLUSTER: "other", resources.META_ROLE: "worker"},
        }
        spec = ClusterSpec(name, workers=replace(WorkersSpec(), count=workers), network=network or NetworkSpec())
        return Site(cloud, spec)

    return make
