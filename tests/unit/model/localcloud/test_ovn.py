from __future__ import annotations

import configparser
import re
from dataclasses import replace
from ipaddress import IPv4Network

import yaml

from provision.base import paths
from provision.model.localcloud import ovn, render
from provision.model.localcloud import settings as stack
from provision.model.localcloud.settings import Settings

PASSWORDS = {name: f"the-{name}-SECRET" for name in stack.PASSWORDS}
ADDRESSES = ("192.0.2.11", "192.0.2.12", "192.0.2.13")
SWARM = Settings(ha=True, swarm=True, members=ADDRESSES)
TLS = {ovn.AUTHORITY: "authority", ovn.CERTIFICATE: "certificate", ovn.KEY: "key"}


def section(settings, file, name):
    parsed = configparser.RawConfigParser(strict=True)
    parsed.read_string(render.documents(settings, PASSWORDS, TLS if settings.swarm else None)[file])
    return dict(parsed[name])


def test_one_machine_has_one_server_and_speaks_to_it_as_ever():
    assert ovn.remotes(Settings(), 6642) == "tcp:172.28.0.3:6642"
    for file in ("neutron/ml2_conf.ini", "neutron/metadata_agent.ini"):
        known = section(Settings(), file, "ovn")
        assert known["ovn_nb_connection"] == "tcp:172.28.0.3:6641"
        assert known["ovn_sb_connection"] == "tcp:172.28.0.3:6642"
        assert not any("key" in name or "cert" in name or "probe" in name for name in known)
    assert section(Settings(), "neutron/ml2_conf.ini", "ovn")["enable_distributed_floating_ip"] == "false"
    assert "path_mtu" not in section(Settings(), "neutron/ml2_conf.ini", "ml2")
    assert not any(name.startswith("ovn/") for name in render.documents(Settings(), PASSWORDS))
    assert set(ovn.environment(Settings())) == {"OVN_ADDRESS", "OVN_REMOTE"}


def test_several_hosts_name_every_member_and_show_a_certificate():
    for file in ("neutron/ml2_conf.ini", "neutron/metadata_agent.ini"):
        known = section(SWARM, file, "ovn")
        for database, port in (("nb", 6641), ("sb", 6642)):
            assert known[f"ovn_{database}_connection"] == ",".join(f"ssl:{each}:{port}" for each in ADDRESSES)
            files = {key: known[f"ovn_{database}_{key}"] for key in ("private_key", "certificate", "ca_cert")}
            assert files == {
                "private_key": "/etc/neutron/ovn-key.pem",
                "certificate": "/etc/neutron/ovn-certificate.pem",
                "ca_cert": "/etc/neutron/ovn-authority.pem",
            }
    documents = render.documents(SWARM, PASSWORDS, TLS)
    assert {name for name in documents if name.endswith(".pem")} == {
        f"{family}/{name}" for family in ("ovn", "neutron") for name in TLS
    }


def test_the_entrypoints_know_the_files_by_the_same_names():
    for name in ("ovn/member.sh", "neutron/entrypoint"):
        text = (paths.COMPOSE / name).read_text()
        assert all(file in text for file in TLS), name


def test_guests_learn_what_the_overlay_leaves_of_a_packet():
    assert section(SWARM, "neutron/ml2_conf.ini", "ml2")["path_mtu"] == "1450"
    narrow = replace(SWARM, overlay_mtu=1400)
    assert section(narrow, "neutron/ml2_conf.ini", "ml2")["path_mtu"] == "1400"


def test_a_floating_ip_is_answered_by_its_own_host():
    assert section(SWARM, "neutron/ml2_conf.ini", "ovn")["enable_distributed_floating_ip"] == "true"


def test_the_gateway_has_one_mac_on_every_host_and_one_that_is_nobody_else_s():
    assert ovn.gateway_mac(SWARM) == "02:00:ac:1d:00:01"
    assert ovn.gateway_mac(Settings(provider=IPv4Network("10.1.2.0/24"))) == "02:00:0a:01:02:01"


def test_each_member_is_told_its_own_number():
    override = yaml.safe_load((paths.COMPOSE / "swarm.yaml").read_text())["services"]
    assert [override[name]["environment"]["MEMBER"] for name in ovn.MEMBERS] == ["1", "2", "3"]
    assert ovn.environment(SWARM)["OVN_MEMBERS"] == ",".join(ADDRESSES)


def test_bridges_of_a_swarm_s_host_lead_out_and_its_tunnels_go_through_the_swarm():
    here, there = stack.bridges(Settings()), stack.bridges(SWARM)
    assert [each.name for each in here] == ["provision_provider", "provision_tunnel"]
    assert [each.name for each in there] == ["provision_provider", "provision_uplink"]
    assert here[0] == there[0]
    assert not there[1].internal
    subnets = (SWARM.management, SWARM.provider, SWARM.tunnel, SWARM.uplink)
    assert not any(one.overlaps(other) for one in subnets for other in subnets if one is not other)


def test_the_sync_is_asked_of_all_members():
    command = ovn.sync(SWARM)
    assert command[0] == "ovn-nbctl"
    assert f"--db={ovn.remotes(SWARM, 6641)}" in command
    assert re.search("--private-key=/config/ovn-key.pem", " ".join(command))
