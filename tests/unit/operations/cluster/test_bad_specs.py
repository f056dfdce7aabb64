"""`provision up` with a spec that is wrong about what is there: 2, one sentence with file and line, no change."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from provision.base.errors import UsageError
from provision.base.model import Flavor
from provision.cli.main import cli

# Of each: the fields (lines 3 and later of the file), the line that is named, the message after it, part of the hint.
# What the cloud has: see `cloud` below.
BAD = {
    # What the file alone says.
    "existing, empty": ("network:\n  existing: ''", 4, "network.existing: it is empty", "Give a name"),
    "existing, a number": ("network:\n  existing: 7", 4, "network.existing: a number (7) where text", "quotes"),
    "existing, a list": ("network:\n  existing: [team]", 4, "network.existing: a list", "quotes"),
    "existing, and a range": (
        "network:\n  existing: team\n  cidr: 10.1.0.0/24",
        5,
        "network.cidr: an existing network has the range",
        "Remove",
    ),
    "existing, and a router": (
        "network:\n  existing: team\n  router: edge",
        5,
        "network.router: an existing network has the router",
        "Remove",
    ),
    "name servers, an address": ("network:\n  nameservers: 192.0.2.53", 4, "network.nameservers: ", "brackets"),
    "name servers, a name": ("network:\n  nameservers: [dns]", 4, "network.nameservers[0]: 'dns' is no", "192.0.2.53"),
    "name servers, a number": ("network:\n  nameservers: [8]", 4, "network.nameservers[0]: a number (8)", "quotes"),
    "name servers, IPv6": ("network:\n  nameservers: [fd00::53]", 4, "network.nameservers[0]: 'fd00::53'", "192.0.2"),
    "name servers, this machine": (
        "network:\n  nameservers: [192.0.2.53, 127.0.0.53]",
        4,
        "network.nameservers[1]: no name server can be at 127.0.0.53",
        "192.0.2.53",
    ),
    "name servers, twice": (
        "network:\n  nameservers:\n  - 192.0.2.53\n  - 192.0.2.53",
        6,
        "network.nameservers[1]: 192.0.2.53 is listed twice",
        "Keep one",
    ),
    "existing, and name servers": (
        "network:\n  existing: team\n  nameservers: [192.0.2.53]",
        5,
        "network.nameservers: an existing network has name servers already",
        "Remove",
    ),
    "router, empty": ("network:\n  router: ' '", 4, "network.router: it is empty", "Give a name"),
    "router, a map": ("network:\n  router: {name: edge}", 4, "network.router: a map where text belongs", "quotes"),
    "floating IP, a word": ("network:\n  floating_ip: mine", 4, "network.floating_ip: ", "address"),
    "floating IP, a number": ("network:\n  floating_ip: 1", 4, "network.floating_ip: a number (1)", "true, false"),
    "floating IP, no address": ("network:\n  floating_ip: 172.29.0.300", 4, "network.floating_ip: ", "address"),
    "floating IP, a range": ("network:\n  floating_ip: 172.29.0.0/24", 4, "network.floating_ip: ", "address"),
    "floating IP, IPv6": ("network:\n  floating_ip: fd00::1", 4, "network.floating_ip: ", ""),
    "zone, empty": ("master:\n  availability_zone: ''", 4, "master.availability_zone: it is empty", "Give a name"),
    "zone, true": ("workers:\n  availability_zone: true", 4, "workers.availability_zone: a true/false", "quotes"),
    "subnet of no network": ("network:\n  subnet: nodes", 4, "network.subnet: it is a subnet of an existing", "cidr"),
    "subnet, empty": ("network:\n  existing: team\n  subnet: ''", 5, "network.subnet: it is empty", "Give a name"),
    "subnet, a range": ("network:\n  existing: team\n  subnet: 10", 5, "network.subnet: a number (10)", "quotes"),
    "security groups, a name": ("network:\n  security_groups: web", 4, "network.security_groups: 'web' is", "brackets"),
    "security groups, a map": ("network:\n  security_groups: {web: 1}", 4, "network.security_groups: ", "brackets"),
    "security groups, a number": ("network:\n  security_groups: [1]", 4, "network.security_groups[0]: ", "quotes"),
    "security groups, empty": ("network:\n  security_groups: ['']", 4, "network.security_groups[0]: it is", "name"),
    "security groups, twice": (
        "network:\n  security_groups:\n  - web\n  - web",
        6,
        "network.security_groups[1]: 'web' is listed twice",
        "Keep",
    ),
    "spread, another word": ("workers:\n  spread: soft", 4, "workers.spread: 'soft' is not one of", "`prefer`"),
    "spread, yes": ("workers:\n  spread: yes", 4, "workers.spread: true is not one of its words", "`require`"),
    "spread, a list": ("workers:\n  spread: [prefer]", 4, 'workers.spread: ["prefer"] is not', "`off`"),
    "spread of the master": ("master:\n  spread: prefer", 4, "master.spread: there is no such field", "Fields here"),
    "spread, and a server group": (
        "workers:\n  server_group: racks\n  spread: prefer",
        5,
        "workers.spread: spread: prefer makes",
        "Keep one",
    ),
    "server group, empty": ("workers:\n  server_group: ''", 4, "workers.server_group: it is empty", "Give a name"),
    "server group, false": ("master:\n  server_group: off", 4, "master.server_group: a true/false", "quotes"),
    "key pair, empty": ("key_pair: ''", 3, "key_pair: it is empty", "Give a name"),
    "key pair, a list": ("key_pair: [laptop]", 3, 'key_pair: a list (["laptop"])', "quotes"),
    "key pair, misspelt": ("keypair: laptop", 3, "keypair: there is no such field", "Did you mean `key_pair`?"),
    # What only the cloud can say.
    "no such network": ("network:\n  existing: nope", 4, "network.existing: cloud 'fake' has no network", "team"),
    "no subnet": ("network:\n  existing: empty", 4, "network.existing: network 'empty' has no IPv4 subnet", "another"),
    "several subnets": (
        "network:\n  existing: wide",
        4,
        "network.existing: network 'wide' has 2 IPv4 subnets (a (10.1.0.0/24)",
        "subnet",
    ),
    "no such subnet": (
        "network:\n  existing: wide\n  subnet: c",
        5,
        "network.subnet: network 'wide' has no IPv4 subnet 'c'",
        "a (10.1",
    ),
    "no such router": (
        "network:\n  router: nope",
        4,
        "network.router: cloud 'fake' has no router 'nope'",
        "router list",
    ),
    "a router to another external network": (
        "network:\n  router: campus",
        4,
        "network.router: 'campus' does not lead to network.external, 'public'",
        "ext-campus",
    ),
    "a router without a gateway": (
        "network:\n  router: inside",
        4,
        "network.router: 'inside' has no gateway on an external network",
        "floating_ip: false",
    ),
    "no such floating IP": (
        "network:\n  floating_ip: 172.29.0.9",
        4,
        "network.floating_ip: this project of cloud 'fake' has no",
        "ip list",
    ),
    "a floating IP in use": (
        "network:\n  floating_ip: 172.29.0.78",
        4,
        "network.floating_ip: 172.29.0.78 leads to another port",
        "free",
    ),
    "no such zone": (
        "master: {}\nworkers:\n  availability_zone: hall-3",
        5,
        "workers.availability_zone: cloud 'fake' has no",
        "nova",
    ),
    "no such security group": (
        "network:\n  security_groups:\n  - web\n  - nope",
        6,
        "network.security_groups[1]: cloud 'fake' has no",
        "web",
    ),
    "a security group by two names": (
        "network:\n  security_groups: [twice]",
        4,
        "network.security_groups[0]: 2 security groups are called",
        "the id",
    ),
    "security groups without port security": (
        "network:\n  existing: open\n  security_groups: [web]",
        5,
        "network.security_groups: network 'open' has",
        "Remove",
    ),
    "no such server group": (
        "master:\n  server_group: nope",
        4,
        "master.server_group: cloud 'fake' has no server group 'nope'",
        "racks",
    ),
    "no such key pair": ("key_pair: nope", 3, "key_pair: this user of cloud 'fake' has no key pair 'nope'", "laptop"),
    "a key pair for Windows": ("key_pair: windows", 3, "key_pair: 'windows' is not a key for SSH", "type ssh"),
    "no such external network": ("network:\n  external: nope", 4, "network.external: cloud 'fake' has no", "public"),
    "a flavor without a disk": (
        "workers:\n  flavor: diskless",
        4,
        "workers.flavor: diskless has no disk of its own; nodes do not boot",
        "larger",
    ),
    # What the quotas leave.
    "no server group left": ("workers:\n  spread: prefer", 4, "workers.spread: the quota", "have the quota raised"),
    "too many for a server group": (
        "workers:\n  count: 6\n  server_group: racks",
        4,
        "workers.count: the quota of this project is",
        "what is there",
    ),
}


@pytest.fixture
def cloud(make_site, monkeypatch):
    """A cloud on which people have things."""
    cloud = make_site(name="a").cloud
    wide, bare = (cloud.add("network", name) for name in ("wide", "empty"))
    team, unsecured = cloud.add("network", "team"), cloud.add("network", "open", port_security=False)
    for network, name, cidr in (
        (team, "nodes", "172.30.0.0/24"),
        (unsecured, "open", "172.28.0.0/24"),
        (wide, "a", "10.1.0.0/24"),
        (wide, "b", "10.2.0.0/24"),
    ):
        cloud.add("subnet", name, network=network, cidr=cidr)
    for name in ("web", "twice", "twice"):
        cloud.add("group", name, rules=[])
    cloud.add("router", "campus", external="ext-campus")
    cloud.add("router", "inside")
    cloud.add("server group", "racks", policy="affinity", members={"vm-x"})
    cloud.add("floating IP", "", address="172.29.0.78", port=cloud.add_port(bare))
    cloud.keys |= {"laptop": "ssh-ed25519 AAAA", "windows": "-----BEGIN CERTIFICATE-----"}
    flavors = cloud.flavors() | {"diskless": Flavor("diskless", 2, 4096, 0)}
    monkeypatch.setattr(cloud, "flavors", lambda: flavors)
    cloud.limits = {"instances": 50, "server groups": 0, "servers in a server group": 5}
    monkeypatch.setattr("provision.adapters.openstack.cloud.connect", lambda name, source: cloud)
    return cloud


def refusal(tmp_path, fields):
    """Run `up` with a file of these fields; return the file and the error."""
    file = tmp_path / "cluster.yaml"
    file.write_text(f"name: a\ncloud: fake\n{fields}\n")
    result = CliRunner().invoke(cli, ["up", "--yes", "-f", str(file)])
    return file, result.exception


@pytest.mark.parametrize("case", BAD)
def test_a_bad_spec_is_refused_in_one_sentence(cloud, tmp_path, case):
    fields, line, message, hint = BAD[case]
    file, error = refusal(tmp_path, fields)
    assert isinstance(error, UsageError), error
    assert error.exit_code == 2
    assert error.message.startswith(f"{file}:{line}: {message}")
    assert "\n" not in error.message
    assert hint in error.hint
    assert cloud.writes == []


def test_a_cloud_that_marks_nothing_is_refused_before_anything_is_made(cloud, tmp_path):
    cloud.marks = False
    file, error = refusal(tmp_path, "workers: {count: 1}")
    assert isinstance(error, UsageError), error
    assert error.message.startswith(f"{file}:2: cloud: networks and ports of 'fake' have no descriptions")
    assert "standard-attr-description" in error.hint
    assert cloud.writes == []


def test_there_are_enough():
    assert len(BAD) >= 40
