"""Shapes of cloud: clusters beside other people's things, on the real local cloud: up, looked at, and down again.

Each shape is made with one worker. What was there before is compared, field by field, before `up`, after it, and after
`down`; after `down` nothing is left. The servers are asleep (asleep.py), or with --golden run the golden image, and
`provision` itself waits until the Hub and Spark work.

    python tests/benchmarks/shapes.py [--golden] [SHAPE…]     (default: all; `list` names them)

Wants a local cloud that runs, leaves nothing on it, and touches no service of it. Ends with 1 when a shape failed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asleep
import openstack
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from openstack.config.loader import OpenStackConfig

from provision.adapters.openstack.cloud import connect
from provision.adapters.openstack.session import first_ipv4
from provision.base.errors import ProvisionError
from provision.base.progress import Silent
from provision.clusterfile import load
from provision.operations.cluster.down import down
from provision.operations.cluster.resolve import find_cluster_dir
from provision.operations.cluster.status import status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from openstack.connection import Connection

    from provision.adapters.openstack.cloud import Cloud
    from provision.model.cluster.resources import ObservedCluster

CHECKOUT: Final = Path(__file__).parents[2]
NAME: Final = "shapes"
IMAGE: Final = "shapes-empty-disk"
ALIAS: Final = "shapes"
"""The local cloud under another name: it is taken for somebody else's, and none of its services is changed."""
VOLATILE: Final = {"updated_at", "revision_number"}
"""What Neutron changes by itself."""
IN_USE: Final = {
    "floating IPs": {"port_id", "fixed_ip_address", "router_id", "status", "port_details"},
    "server groups": {"member_ids"},
}
"""What says of a thing that the cluster uses it; after `down` these are as they were, too."""


@dataclass(frozen=True)
class Shape:
    """A cluster's spec, what has to be true of the live cluster, and whether this machine can reach it."""

    spec: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    check: Callable[[Bed, ObservedCluster], object] = lambda bed, seen: True
    key_pair: str = ""
    refused: str = ""
    """What `up` has to end with, if it cannot succeed."""
    reachable: bool = True
    """Whether this machine has a way to the Hub: for --golden."""


def _existing(bed: Bed, seen: ObservedCluster) -> bool:
    return not (seen.networks or seen.subnets or seen.routers) and bed.all_on("172.30.70.0/24")


def _in_web(bed: Bed, seen: ObservedCluster) -> bool:
    wanted = {seen.groups[0].id, bed.ids["web"]}
    return all(set(port.security_group_ids) == wanted for port in bed.node_ports())


def _spread(policy: str) -> Callable[[Bed, ObservedCluster], bool]:
    def check(bed: Bed, seen: ObservedCluster) -> bool:
        (group,) = seen.server_groups
        return group.policy == policy and group.members == {seen.nodes[1].id}

    return check


SHAPES: Final[Mapping[str, Shape]] = {
    "own": Shape(check=lambda bed, seen: len(seen.networks) == len(seen.routers) == len(seen.groups) == 1),
    "existing": Shape({"network": {"existing": "shapes-team"}}, _existing),
    "existing-router": Shape(
        {"network": {"router": "shapes-spare", "cidr": "10.76.0.0/24"}},
        lambda bed, seen: len(seen.networks) == 1 and not seen.routers and bed.all_on("10.76.0.0/24"),
    ),
    "kept-address": Shape(
        {"network": {"existing": "shapes-team", "floating_ip": "ADDRESS"}},
        lambda bed, seen: _existing(bed, seen) and seen.address == bed.address,
    ),
    "private": Shape(
        {"network": {"existing": "shapes-team", "floating_ip": False}},
        lambda bed, seen: not seen.floatings and seen.master_port and seen.address == seen.master_port.address,
        reachable=False,
    ),
    "security-group": Shape({"network": {"existing": "shapes-team", "security_groups": ["shapes-web"]}}, _in_web),
    "spread-prefer": Shape({"workers": {"spread": "prefer"}}, _spread("soft-anti-affinity")),
    "spread-require": Shape({"workers": {"spread": "require"}}, _spread("anti-affinity")),
    # On a cloud with one hypervisor.
    "spread-too-far": Shape({"workers": {"spread": "require", "count": 2}}, refused="No valid host"),
    "server-group": Shape(
        {"workers": {"server_group": "shapes-racks"}, "master": {"server_group": "shapes-racks"}},
        lambda bed, seen: not seen.server_groups and bed.racked() == {server.id for server in seen.nodes},
    ),
    "mtu-1400": Shape({"network": {"existing": "shapes-small"}}, lambda bed, seen: bed.all_on("172.30.71.0/24")),
    "no-dhcp": Shape({"network": {"existing": "shapes-static"}}, lambda bed, seen: bed.all_on("172.30.75.0/24")),
    "dual-stack": Shape({"network": {"existing": "shapes-dual"}}, lambda bed, seen: bed.all_on("172.30.76.0/24")),
    "no-port-security": Shape(
        {"network": {"existing": "shapes-open"}},
        lambda bed, seen: not seen.groups and not any(port.security_group_ids for port in bed.node_ports()),
    ),
    "two-subnets": Shape(
        {"network": {"existing": "shapes-wide", "subnet": "shapes-wide-2"}},
        lambda bed, seen: bed.all_on("172.30.74.0/24") and len(seen.worker_ports) == 1,
    ),
    "key-pair": Shape({}, lambda bed, seen: bed.keys() >= {"shapes-laptop", "provision-shapes"}, "shapes-laptop"),
}


class Bed:
    """The cloud with other people's things on it, and a home for `provision`."""

    def __init__(self, cloud: Connection, folder: Path, stack: ExitStack) -> None:
        self.cloud, self.folder = cloud, folder
        self.ids: dict[str, str] = {}
        self.address = ""
        public = Ed25519PrivateKey.generate().public_key()
        self.key = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        self._furnish(stack)
        self.before = self._settled()

    def _settled(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return the picture once it stays as it is: ports and addresses come up a while after they were made."""
        earlier = self.picture()
        while True:
            time.sleep(5)
            now = self.picture()
            if now == earlier:
                return now
            earlier = now

    def _furnish(self, stack: ExitStack) -> None:
        """Make what people have; it is removed at the end, the last first."""
        neutron, nova = self.cloud.network, self.cloud.compute
        public = next(neutron.networks(is_router_external=True))
        routers = {}
        for name in ("edge", "spare"):
            routers[name] = neutron.create_router(
                name=f"shapes-{name}", external_gateway_info={"network_id": public.id}, description="somebody's"
            )
            stack.callback(neutron.delete_router, routers[name])
        for name, subnets, more in (
            ("team", ["172.30.70.0/24"], {}),
            ("small", ["172.30.71.0/24"], {"mtu": 1400}),
            ("open", ["172.30.72.0/24"], {"is_port_security_enabled": False}),
            ("wide", ["172.30.73.0/24", "172.30.74.0/24"], {}),
            ("static", ["172.30.75.0/24"], {}),
            ("dual", ["172.30.76.0/24", "fd00:76::/64"], {}),
        ):
            network = neutron.create_network(name=f"shapes-{name}", description="somebody's", **more)
            stack.callback(neutron.delete_network, network)
            for number, cidr in enumerate(subnets, start=1):
                six = {"ipv6_address_mode": "slaac", "ipv6_ra_mode": "slaac"} if ":" in cidr else {}
                subnet = neutron.create_subnet(
                    network_id=network.id, ip_version=6 if six else 4, cidr=cidr, name=f"shapes-{name}-{number}",
                    is_dhcp_enabled=name != "static", **six,
                )  # fmt: skip
                neutron.add_interface_to_router(routers["edge"], subnet.id)
                stack.callback(neutron.remove_interface_from_router, routers["edge"], subnet.id)
        group = neutron.create_security_group(name="shapes-web", description="somebody's")
        stack.callback(neutron.delete_security_group, group)
        neutron.create_security_group_rule(
            security_group_id=group.id, direction="ingress", ethertype="IPv4", protocol="tcp",
            port_range_min=8080, port_range_max=8080, remote_ip_prefix="192.0.2.0/24",
        )  # fmt: skip
        floating = neutron.create_ip(floating_network_id=public.id, description="somebody's")
        stack.callback(neutron.delete_ip, floating)
        racks = nova.create_server_group(name="shapes-racks", policies=["soft-anti-affinity"])
        stack.callback(nova.delete_server_group, racks)
        nova.create_keypair(name="shapes-laptop", public_key=self.key)
        stack.callback(nova.delete_keypair, "shapes-laptop")
        self.address = floating.floating_ip_address
        self.ids = {"web": group.id, "racks": racks.id}

    def _all(self) -> Iterator[tuple[str, Any]]:
        neutron, nova = self.cloud.network, self.cloud.compute
        yield "networks", neutron.networks()
        yield "subnets", neutron.subnets()
        yield "routers", neutron.routers()
        yield "security groups", neutron.security_groups()
        yield "floating IPs", neutron.ips()
        yield "ports", neutron.ports()
        yield "server groups", nova.server_groups()
        yield "key pairs", nova.keypairs()
        yield "servers", nova.servers(details=False)

    def picture(self, *, known: Mapping[str, Any] | None = None) -> dict[str, dict[str, dict[str, Any]]]:
        """Return every field of everything; with `known`, only of what that picture has, and without who uses it."""
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for kind, things in self._all():
            left_out = VOLATILE | (IN_USE.get(kind, set()) if known is not None else set())
            found[kind] = {
                thing.id or thing.name: {key: value for key, value in thing.to_dict().items() if key not in left_out}
                for thing in things
                if known is None or (thing.id or thing.name) in known[kind]
            }
        return json.loads(json.dumps(found, sort_keys=True, default=str))  # type: ignore[no-any-return]

    def compare(self, when: str, *, in_use: bool) -> None:
        """Raise SystemExit where something that was there differs; unless `in_use`, also where anything is left."""
        before, now = self.before, self.picture(known=self.before if in_use else None)
        if in_use:
            before = {
                kind: {
                    key: {name: value for name, value in thing.items() if name not in IN_USE.get(kind, ())}
                    for key, thing in things.items()
                }
                for kind, things in before.items()
            }
        for kind, things in before.items():
            for key in things | now[kind]:
                if things.get(key) != now[kind].get(key):
                    raise SystemExit(f"{when}: {kind} {key} was {things.get(key)} and is {now[kind].get(key)}")

    def node_ports(self) -> list[Any]:
        """Return the ports of the cluster's servers."""
        mine = {server.id for server in self.cloud.compute.servers(name=f"^{NAME}-")}
        return [port for port in self.cloud.network.ports() if port.device_id in mine]

    def all_on(self, cidr: str) -> bool:
        """Whether every node has its address in a range."""
        addresses = [IPv4Address(first_ipv4(port.fixed_ips)) for port in self.node_ports()]
        return len(addresses) == 2 and all(address in IPv4Network(cidr) for address in addresses)

    def racked(self) -> set[str]:
        """Return who is in the server group that was there."""
        return set(next(each for each in self.cloud.compute.server_groups() if each.id == self.ids["racks"]).member_ids)

    def keys(self) -> set[str]:
        """Name the key pairs."""
        return {each.name for each in self.cloud.compute.keypairs()}

    def write(self, shape: Shape, *, golden: bool) -> Path:
        """Write the shape's cluster.yaml."""
        spec: dict[str, Any] = {"name": NAME, "cloud": ALIAS, "workers": {"count": 1}, "network": {}}
        spec |= {"image": "golden" if golden else IMAGE} | ({"key_pair": shape.key_pair} if shape.key_pair else {})
        for section, fields in shape.spec.items():
            spec[section] = spec.get(section, {}) | fields
        file = self.folder / "cluster.yaml"
        file.write_text(yaml.safe_dump(spec).replace("ADDRESS", self.address))
        return file


def run_asleep(bed: Bed, shape: Shape, cloud: Cloud) -> None:
    """One shape with servers that are asleep."""
    spec = load(bed.write(shape, golden=False))
    folder = find_cluster_dir(cloud, NAME)
    try:
        try:
            asleep.up(cloud, folder, spec, lambda plan: None)
        except ProvisionError as error:
            if not shape.refused or shape.refused not in error.message:
                raise
        else:
            _look(bed, shape, cloud, status(cloud, spec, folder))
    finally:
        down(cloud, folder, Silent(), lambda observed: None)


def run_golden(bed: Bed, shape: Shape, cloud: Cloud) -> None:
    """One shape with the golden image, by the command itself, to a Hub and a Spark that work."""
    bed.write(shape, golden=True)

    def command(*words: str) -> str:
        # -P: the folder where this is run must not hide this checkout.
        argv = [sys.executable, "-P", "-m", "provision", *words]
        environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
        return subprocess.run(
            argv, cwd=bed.folder, env=environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    try:
        command("up", "--yes")
        _look(bed, shape, cloud, json.loads(command("status", "--json")))
        if shape.key_pair and bed.key not in command("ssh", "--", "cat ~/.ssh/authorized_keys"):
            raise SystemExit("the key of key_pair is not among the operator's")
        if "Nothing to do" not in command("up", "--yes"):
            raise SystemExit("a second `up` has found something to do")
    finally:
        command("down", "--yes")


def _look(bed: Bed, shape: Shape, cloud: Cloud, state: Mapping[str, Any]) -> None:
    if shape.refused:
        raise SystemExit(f"`up` was to end with {shape.refused!r}")
    bed.compare("after `up`", in_use=True)
    if not shape.check(bed, cloud.observe(NAME)):
        raise SystemExit(f"the cluster is not as the spec asks: {cloud.observe(NAME)}")
    if not state["exists"] or [node["status"] for node in state["nodes"]] != ["ACTIVE", "ACTIVE"]:
        raise SystemExit(f"status: {state}")


def main() -> int:
    """Run the shapes, one after another."""
    golden, names = "--golden" in sys.argv, [word for word in sys.argv[1:] if word != "--golden"]
    chosen = {name: SHAPES[name] for name in names or SHAPES if name in SHAPES}
    if len(chosen) != len(names or SHAPES):
        print(__doc__, f"Shapes: {', '.join(SHAPES)}", sep="\n")
        return 0 if names == ["list"] else 2
    local = OpenStackConfig().get_one(cloud="local")
    failed = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        entry = {key: local.config[key] for key in ("auth", "region_name", "cacert") if local.config.get(key)}
        Path(folder, "clouds.yaml").write_text(
            yaml.safe_dump({"clouds": {ALIAS: entry | {"auth": dict(entry["auth"])}}})
        )
        os.environ |= {"OS_CLIENT_CONFIG_FILE": f"{folder}/clouds.yaml", "XDG_STATE_HOME": f"{folder}/state"}
        direct = openstack.connect(cloud=ALIAS)
        stack.enter_context(asleep.empty_image(direct, IMAGE))
        bed, cloud = Bed(direct, Path(folder), stack), connect(ALIAS)
        for name, shape in chosen.items():
            if golden and not (shape.reachable and not shape.refused):
                print(f"{name}: left out, this machine cannot reach its Hub", flush=True)
                continue
            began, said = time.monotonic(), "ok"
            try:
                (run_golden if golden else run_asleep)(bed, shape, cloud)
                bed.compare("after `down`", in_use=False)
            except (Exception, SystemExit) as error:
                failed.append(name)
                said = f"FAILED: {error}"
            print(f"{name}: {said} after {time.monotonic() - began:.0f} s", flush=True)
    print(f"{len(chosen) - len(failed)} of {len(chosen)} shapes" + (f", not {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
