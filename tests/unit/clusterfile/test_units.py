"""Sizes, times, ranges and names as people write them."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from provision.base.model import Bastion
from provision.clusterfile import units
from provision.clusterfile.units import Wrong

# id: text of the file, line that is named, parts of the message, part of the hint
BAD = {
    "name has capitals": ("name: Analytics", 1, ["name", "'Analytics'"], "a-z"),
    "name starts with a digit": ("name: 1a", 1, ["'1a'"], "start with a letter"),
    "name ends with a dash": ("name: a-", 1, ["'a-'"], "end with"),
    "name too long": ("name: " + "a" * 41, 1, ["name"], "at most 40"),
    "name with a path": ("name: ../x", 1, ["name"], "a-z"),
    "bad CIDR": ("name: a\nnetwork: {cidr: 10.20.0.0/33}", 2, ["network.cidr", "not an address range"], "10.20.0.0/24"),
    "CIDR is a word": ("name: a\nnetwork: {cidr: big}", 2, ["network.cidr", "'big'"], "10.20.0.0/24"),
    "CIDR without prefix": ("name: a\nnetwork: {cidr: 10.20.0.0}", 2, ["network.cidr", "no prefix"], "/24"),
    "an address that is none": (
        "name: a\nnetwork: {access: [192.0.2.300]}",
        2,
        ["network.access[0]", "not an address range"],
        "Write an IPv4 range",
    ),
    "CIDR is IPv6": ('name: a\nnetwork: {cidr: "fd00::/64"}', 2, ["network.cidr", "IPv6"], "IPv4"),
    "host bits": ("name: a\nnetwork:\n  cidr: 10.20.0.1/24", 3, ["network.cidr", "host bits"], "10.20.0.0/24"),
    "access host bits": ("name: a\nnetwork: {access: [1.2.3.4/24]}", 2, ["network.access[0]"], "1.2.3.0/24"),
    "memory nonsense": ("name: a\nspark: {executor_memory: lots}", 2, ["executor_memory", "'lots'"], "512m"),
    "time nonsense": ("name: a\nhub: {idle_timeout: soon}", 2, ["hub.idle_timeout", "'soon'"], "1h30m"),
    "port of SSH": ("name: a\nhub: {port: 22}", 2, ["hub.port", "SSH"], "443"),
    "port of Spark": ("name: a\nhub: {port: 7077}", 2, ["hub.port", "Spark master"], "443"),
    "port of Spark's UI": ("name: a\nhub: {port: 8080}", 2, ["hub.port", "UI"], "443"),
    "port of notebooks' UIs": ("name: a\nhub: {port: 4045}", 2, ["hub.port", "notebooks' Spark UIs"], "443"),
    "port of drivers": ("name: a\nhub: {port: 7110}", 2, ["hub.port", "drivers"], "443"),
    "port out of range": ("name: a\nhub: {port: 70000}", 2, ["hub.port", "not a port"], "65535"),
    "user root": ("name: a\nhub: {users: [root]}", 2, ["hub.users[0].name", "'root'"], "another name"),
    "user provision": ("name: a\nhub: {users: [provision]}", 2, ["'provision'"], "another name"),
    "user spark": ("name: a\nhub: {users: [spark]}", 2, ["'spark'"], "another name"),
    "user daemon": ("name: a\nhub: {users: [daemon]}", 2, ["'daemon'"], "another name"),
    "user with a space": ("name: a\nhub: {users: [a b]}", 2, ["'a b'"], "at most 32"),
    "group of the system": (
        "name: a\nhub: {users: [{name: b, groups: [sudo]}]}",
        2,
        ["groups[0]", "'sudo'"],
        "another",
    ),
    "group with capitals": ("name: a\nhub: {users: [{name: b, groups: [Team]}]}", 2, ["groups[0]", "'Team'"], "a-z"),
    "user with capitals": ("name: a\nhub: {users: [Bob]}", 2, ["'Bob'"], "a-z"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_spec(case, refused):
    refused(*BAD[case])


@pytest.mark.parametrize(
    ("text", "mib"),
    [("512m", 512), ("2g", 2048), ("2G", 2048), ("2gb", 2048), ("2 GiB", 2048), ("1t", 1 << 20), ("4096k", 4)],
)
def test_memory(text, mib):
    assert units.size_mib(text) == mib


@pytest.mark.parametrize("text", ["1023k", "0m", "-1g", "2", "g", ""])
def test_bad_memory(text):
    with pytest.raises(units.Wrong) as caught:
        units.size_mib(text)
    assert "512m or 2g" in caught.value.fix


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("90s", 90), ("30m", 1800), ("1h", 3600), ("1h30m", 5400), ("2d", 172800)]
)
def test_duration(text, seconds):
    assert units.duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "30m1h", "1.5h"])
def test_bad_duration(text):
    with pytest.raises(units.Wrong):
        units.duration_seconds(text)


def test_network():
    assert units.network("10.20.0.0/24") == IPv4Network("10.20.0.0/24")
    assert units.network("192.0.2.7/32") == IPv4Network("192.0.2.7/32")


@pytest.mark.parametrize("text", ["192.0.2.53", "10.0.0.1", "169.254.169.253", "100.64.0.2"])
def test_nameserver(text):
    assert units.nameserver(text) == text


@pytest.mark.parametrize(
    "text", ["", "dns.example.org", "192.0.2.0/24", "192.0.2.300", "fd00::53", "0.0.0.0", "127.0.0.53", "224.0.0.251"]
)
def test_bad_nameserver(text):
    with pytest.raises(units.Wrong) as caught:
        units.nameserver(text)
    assert "192.0.2.53" in caught.value.fix


@pytest.mark.parametrize("text", ["a", "analytics", "a-1", "a" * 40])
def test_cluster_names(text):
    assert units.cluster_name(text) == text


@pytest.mark.parametrize("text", ["alice", "_a", "a-b_c", "a" * 32])
def test_user_names(text):
    assert units.user_name(text) == text


@pytest.mark.parametrize("text", ["systemd-network", "systemd-anything", "a" * 33, "1a"])
def test_bad_user_names(text):
    with pytest.raises(units.Wrong):
        units.user_name(text)


@pytest.mark.parametrize("number", [1, 443, 8443, 65535])
def test_hub_ports(number):
    assert units.hub_port(number) == number


def test_every_port_of_a_node_is_taken():
    for first, last, use in units.taken_ports():
        for number in (first, last):
            with pytest.raises(units.Wrong, match=use):
                units.hub_port(number)


@pytest.mark.parametrize(
    "name",
    ["notebook", "notebook-admin", "kmem", "spark-guest", "_rpc", "statd", "dhcpcd", "clock", "shadow", "ubuntu"],
)
def test_names_of_the_nodes_own_accounts_and_groups_are_refused(name):
    with pytest.raises(units.Wrong, match="account or group of the node's own system"):
        units.user_name(name)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("jump", Bastion("jump")),
        ("me@jump.example.org", Bastion("jump.example.org", "me")),
        ("192.0.2.7:2222", Bastion("192.0.2.7", port=2222)),
        ("a.b@jump:22", Bastion("jump", "a.b", 22)),
    ],
)
def test_bastions(text, found):
    assert units.bastion(text) == found
    assert str(found) == text


@pytest.mark.parametrize(
    "text", ["", "@jump", "me@", "jump:", "jump:ssh", "jump:0", "jump:70000", "-oProxyCommand=x", "a b", "*", "!x"]
)
def test_what_is_no_bastion(text):
    with pytest.raises(Wrong):
        units.bastion(text)


def test_a_password_of_a_bastion_is_not_repeated():
    with pytest.raises(Wrong) as caught:
        units.bastion("alice:hunter22@jump.example.org")
    assert "hunter22" not in caught.value.wrong + caught.value.fix
    assert "USER@HOST:PORT" in caught.value.fix
