"""A node on a subnet without DHCP: from Nova's network_data.json to networkd's files, and when that is looked at."""

from __future__ import annotations

import json
import subprocess

import pytest

from .node_programs import PROGRAMS, load

LINK = {"id": "tap1", "type": "ovs", "mtu": 1442, "ethernet_mac_address": "fa:16:3e:00:00:01"}
STATIC = {
    "id": "network0",
    "type": "ipv4",
    "link": "tap1",
    "ip_address": "10.3.0.5",
    "netmask": "255.255.255.0",
    "routes": [
        {"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.3.0.1"},
        {"network": "169.254.169.254", "netmask": "255.255.255.255", "gateway": "10.3.0.2"},
    ],
    "services": [{"type": "dns", "address": "192.0.2.53"}],
}
DHCP = {"id": "network1", "type": "ipv4_dhcp", "link": "tap2", "network_id": "n"}
WRITTEN = """\
[Match]
MACAddress=fa:16:3e:00:00:01
[Link]
MTUBytes=1442
[Network]
Address=10.3.0.5/24
IPv6AcceptRA=no
LinkLocalAddressing=no
DNS=192.0.2.53
[Route]
Destination=0.0.0.0/0
Gateway=10.3.0.1
[Route]
Destination=169.254.169.254/32
Gateway=10.3.0.2
"""


write_addresses = load("write-addresses")


def test_an_address_its_routes_and_its_name_servers(tmp_path):
    links = [LINK, {**LINK, "id": "tap2", "ethernet_mac_address": "fa:16:3e:00:00:02"}]
    (tmp_path / "data").write_text(json.dumps({"links": links, "networks": [STATIC, DHCP], "services": []}))
    write_addresses.main(str(tmp_path / "data"), str(tmp_path / "run/network"))
    assert {path.name: path.read_text() for path in (tmp_path / "run/network").iterdir()} == {"70-tap1.network": WRITTEN}


def test_a_link_without_routes_or_servers():
    bare = {key: value for key, value in STATIC.items() if key not in ("routes", "services")}
    (text,) = write_addresses.units({"links": [{**LINK, "mtu": None}], "networks": [bare]}).values()
    assert "MTUBytes" not in text
    assert "[Route]" not in text
    assert "Address=10.3.0.5/24" in text


@pytest.mark.parametrize(("networks", "written"), [([DHCP], False), ([STATIC], True), ([DHCP, STATIC], True), (None, False)])
def test_python_starts_for_a_subnet_without_dhcp_alone(tmp_path, networks, written):
    commands = {
        "blkid": "echo /dev/sr0" if networks else "exit 2",
        "mount": f'mkdir -p "$4/openstack/latest"; cp {tmp_path}/data "$4/openstack/latest/network_data.json"',
        "umount": 'rm -r "$1/openstack"',
    }
    (tmp_path / "data").write_text(json.dumps({"networks": networks}))
    for name, body in commands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
    script = (PROGRAMS / "take-addresses").read_text().replace("/run/", f"{tmp_path}/run/")
    (tmp_path / "run").mkdir()
    (tmp_path / "take-addresses").write_text(script)
    (tmp_path / "write-addresses").write_text(f"#!/bin/sh\ntouch {tmp_path}/written\n")
    for name in (*commands, "take-addresses", "write-addresses"):
        (tmp_path / name).chmod(0o755)
    subprocess.run([tmp_path / "take-addresses"], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True)
    assert (tmp_path / "written").exists() == written
