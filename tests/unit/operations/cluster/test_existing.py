"""What was there before a cluster, on a fake cloud: found, used through every interruption, and left as it was."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from provision.adapters.openstack.cloud import TransientError
from provision.base.errors import ProvisionError, UsageError
from provision.base.model import MasterSpec, NetworkSpec, WorkersSpec
from provision.operations.cluster.resolve import resolve

KEY = "ssh-ed25519 AAAATHEIRS"


def furnish(cloud):
    """Put there what people have on their clouds; return what all of it is."""
    team = cloud.add("network", "team")
    cloud.add("subnet", "nodes", network=team, cidr="172.30.0.0/24")
    cloud.add("subnet", "others", network=team, cidr="172.31.0.0/24")
    cloud.add_port(team, device=cloud.add("router", "edge", external="ext"), owner="network:router_interface")
    bare = cloud.add("network", "open", port_security=False)
    cloud.add("subnet", "open", network=bare, cidr="172.28.0.0/24")
    cloud.add("group", "web", rules=[])
    cloud.add("group", "campus", rules=[], shared=True)
    cloud.add("group", "twice", rules=[])
    cloud.add("group", "twice", rules=[])
    cloud.add("server group", "racks", policy="soft-anti-affinity", members={"vm-x"})
    cloud.keys |= {"laptop": f"{KEY} me@laptop", "windows": "-----BEGIN CERTIFICATE-----"}
    return picture(cloud)


def picture(cloud):
    """All that is there, but for who is in a server group: Nova itself forgets servers that are gone."""
    for group in cloud.of("server group"):
        group.data["members"] &= set(cloud.vms)
    return [*map(repr, cloud.things.values()), sorted(cloud.keys.items()), sorted(cloud.vms)]


SPECS = {
    "security groups": {"network": NetworkSpec(security_groups=("web", "default"))},
    "a shared security group": {"network": NetworkSpec(security_groups=("campus",))},
    "one of several subnets": {
        "network": NetworkSpec(existing="team", subnet="nodes", floating_ip=False, security_groups=("web",))
    },
    "no port security": {"network": NetworkSpec(existing="open", floating_ip=False)},
    "spread": {"workers": WorkersSpec(count=2, spread="require")},
    "a server group, and a key pair": {
        "workers": WorkersSpec(count=2, server_group="racks"),
        "master": MasterSpec(server_group="racks"),
        "key_pair": "laptop",
    },
}


def site_of(make_site, case):
    site = make_site()
    site.spec = replace(site.spec, **SPECS[case])
    return site, furnish(site.cloud)


@pytest.mark.parametrize("case", SPECS)
def test_it_is_used_and_stays_as_it_was(make_site, case):
    site, before = site_of(make_site, case)
    site.up()
    seen = site.cloud.observe("analytics")
    assert len(seen.nodes) == 3
    assert not any(thing.tags for thing in site.cloud.things.values() if repr(thing) in before)
    site.assert_nothing_to_do()
    site.down()
    assert picture(site.cloud) == before


@pytest.mark.parametrize("case", ["one of several subnets", "a shared security group", "spread"])
def test_killed_anywhere_it_goes_on_and_leaves_nothing(make_site, case):
    for number in itertools.count(1):
        site, before = site_of(make_site, case)
        with site.killed_at(number, late=number % 2):
            site.up()
        sent = site.cloud.calls
        site.up()
        assert len(site.cloud.observe("analytics").nodes) == 3
        with site.killed_at(number, late=number % 2):
            site.down()
        site.down()
        assert picture(site.cloud) == before
        if sent < number:
            break


def ports_of_nodes(site):
    seen = site.cloud.observe("analytics")
    ids = {server.id: server.name for server in seen.nodes}
    return {ids[port.device]: port for port in seen.ports if port.device in ids}


def test_every_node_is_in_the_security_groups_and_a_change_comes_to_live_ones(make_site):
    site, _ = site_of(make_site, "security groups")
    site.up()
    own = site.cloud.observe("analytics").groups[0].id
    web, default = (next(one.id for one in site.cloud.of("group") if one.name == name) for name in ("web", "default"))
    assert {port.groups for port in ports_of_nodes(site).values()} == {(own, web, default)}
    site.spec = replace(site.spec, network=NetworkSpec(security_groups=("web",)), workers=WorkersSpec(count=3))
    site.up()
    assert len(ports_of_nodes(site)) == 4
    assert {port.groups for port in ports_of_nodes(site).values()} == {(own, web)}
    assert not site.configured, "nodes have no settings of these"
    site.assert_nothing_to_do()


def test_workers_are_on_the_subnet_by_ports_that_go_with_them(make_site):
    site, _ = site_of(make_site, "one of several subnets")
    site.up()
    assert [name for name, port in ports_of_nodes(site).items() if port.worker] == [
        "analytics-worker-1",
        "analytics-worker-2",
    ]
    assert site.cloud.writes.count("create_worker_ports") == 1
    site.spec = replace(site.spec, workers=WorkersSpec(count=1))
    site.up(remove=True)
    assert [port.name for port in site.cloud.observe("analytics").worker_ports] == ["analytics-worker-1"]
    site.cloud.vanish(site.cloud.observe("analytics").nodes[1].id)
    site.up()
    assert site.cloud.writes.count("create_worker_ports") == 1, "it got the port of the one that was lost"


def test_hundreds_of_ports_are_made_some_in_each_request(make_site):
    site, _ = site_of(make_site, "one of several subnets")
    site.spec = replace(site.spec, workers=WorkersSpec(count=120))
    site.up()
    assert len(site.cloud.observe("analytics").worker_ports) == 120
    assert site.cloud.writes.count("create_worker_ports") == 3


def test_workers_are_in_a_group_that_another_project_shares_by_ports_of_their_own(make_site):
    site, _ = site_of(make_site, "a shared security group")
    site.up()
    (campus,) = [one.id for one in site.cloud.of("group") if one.name == "campus"]
    own = site.cloud.observe("analytics").groups[0].id
    assert {port.groups for port in ports_of_nodes(site).values()} == {(own, campus)}
    assert [step.why for step in site.plans[0].steps if step.kind == "port"][1:] == [
        "in a security group that another project shares"
    ]
    # Those that Nova has made before stay when such a group is named later.
    site.spec = replace(site.spec, network=NetworkSpec())
    site.up()
    assert len(site.cloud.observe("analytics").worker_ports) == 2
    site.spec = replace(site.spec, workers=WorkersSpec(count=3))
    site.up()
    site.spec = replace(site.spec, network=NetworkSpec(security_groups=("campus",)))
    site.up()
    assert {port.groups for port in ports_of_nodes(site).values()} == {(own, campus)}
    site.assert_nothing_to_do()


def test_a_live_cluster_stays_on_its_subnet(make_site):
    site = make_site(network=NetworkSpec(existing="open", floating_ip=False))
    furnish(site.cloud)
    site.up()
    bare = next(one for one in site.cloud.of("network") if one.name == "open")
    site.cloud.add("subnet", "new", network=bare.id, cidr="172.27.0.0/24")
    site.assert_nothing_to_do()
    site.spec = replace(site.spec, network=NetworkSpec(existing="open", subnet="new", floating_ip=False))
    with pytest.raises(UsageError, match=r"network\.subnet: the master is at 172\.28\.0\..*cannot move to 172\.27"):
        site.up()


@pytest.mark.parametrize("late", [False, True])
def test_a_request_that_fails_once_does_not_confuse_the_server_groups(make_site, late):
    """`up` looks and plans again then: servers that are there by now are in the groups, and stay."""
    for case in ("spread", "a server group, and a key pair"):
        usual, _ = site_of(make_site, case)
        usual.up()
        changes = [place for place, call in enumerate(usual.cloud.log, start=1) if call in usual.cloud.writes]
        for number in changes[:-1]:
            site, _ = site_of(make_site, case)
            site.cloud.death = TransientError("the cloud failed")
            site.cloud.die_at, site.cloud.die_late = number, late
            site.up()
            assert len(site.cloud.observe("analytics").nodes) == 3
            site.assert_nothing_to_do()


def test_without_port_security_there_are_no_groups_and_the_plan_says_so(make_site):
    site, _ = site_of(make_site, "no port security")
    site.up()
    assert site.cloud.observe("analytics").groups == ()
    assert "port security off" in site.plans[0].notes[0]
    assert {port.groups for port in ports_of_nodes(site).values()} == {()}


def test_with_require_too_few_hypervisors_are_said_in_words(make_site):
    site, _ = site_of(make_site, "spread")
    site.cloud.hypervisors = 1
    with pytest.raises(ProvisionError, match=r"worker-. went into ERROR: No valid host") as caught:
        site.up()
    assert "workers.spread: require" in caught.value.hint
    assert "spread: prefer" in caught.value.hint
    # Nodes that never ran are made again without further consent.
    site.spec = replace(site.spec, workers=WorkersSpec(count=2, spread="prefer"))
    site.up()
    (group,) = site.cloud.observe("analytics").server_groups
    assert group.policy == "soft-anti-affinity"
    site.assert_nothing_to_do()


def test_new_workers_join_the_server_group_and_a_change_replaces_them_only_when_asked(make_site):
    site, _ = site_of(make_site, "spread")
    site.up()
    site.spec = replace(site.spec, workers=WorkersSpec(count=3, spread="require"))
    site.up()
    seen = site.cloud.observe("analytics")
    assert seen.server_groups[0].members == {server.id for server in seen.nodes[1:]}
    assert ("server group", "provision-analytics") in seen.listed()
    site.spec = replace(site.spec, workers=WorkersSpec(count=3, spread="prefer"))
    with pytest.raises(UsageError, match=r"not in the server group of workers\.spread"):
        site.up()
    site.up(replace=True)
    site.assert_nothing_to_do()
    site.spec = replace(site.spec, workers=WorkersSpec(count=3))
    site.up()
    assert site.cloud.observe("analytics").server_groups == ()
    site.assert_nothing_to_do()


def test_a_key_pair_is_read_and_configured_on_live_nodes(make_site):
    site = make_site()
    furnish(site.cloud)
    site.up()
    site.spec = replace(site.spec, key_pair="laptop")
    assert resolve(site.cloud, site.spec, site.cloud.observe("analytics"), "c.yaml").spec.public_key == KEY
    site.up()
    assert site.configured[0].spec.public_key == KEY
    assert site.configured[0].contexts["worker"]["cluster"]["key"] == f"{KEY} provision-key-pair"
    site.assert_nothing_to_do()


REFUSED = {
    "no security group": ({"network": NetworkSpec(security_groups=("web", "no"))}, "security_groups[1]: ", "web"),
    "two security groups": ({"network": NetworkSpec(security_groups=("twice",))}, "2 security groups", "Give the id"),
    "security groups that do nothing": (
        {"network": NetworkSpec(existing="open", security_groups=("web",))},
        "has port security off",
        "Remove the line",
    ),
    "no server group": ({"workers": WorkersSpec(server_group="no")}, "workers.server_group: ", "It has: racks."),
    "no server group for the master": ({"master": MasterSpec(server_group="no")}, "master.server_group: ", "racks"),
    "no key pair": ({"key_pair": "no"}, "key_pair: this user of cloud", "laptop, provision-other, windows"),
    "a certificate": ({"key_pair": "windows"}, "key_pair: 'windows' is not a key for SSH", "type ssh"),
    "no zone": ({"master": MasterSpec(zone="no")}, "master.availability_zone: ", "hall-2, nova"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_there_is_refused_before_anything_is_made(make_site, case):
    changes, message, hint = REFUSED[case]
    site = make_site()
    furnish(site.cloud)
    with pytest.raises(UsageError) as caught:
        site.up(spec=replace(site.spec, **changes))
    assert caught.value.message.startswith("cluster.yaml: ")
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert site.cloud.writes == []


def test_the_clusters_own_groups_cannot_be_named(make_site):
    site = make_site()
    site.spec = replace(site.spec, workers=WorkersSpec(count=2, spread="prefer"))
    site.up()
    with pytest.raises(UsageError, match="is the cluster's own security group"):
        site.up(spec=replace(site.spec, network=NetworkSpec(security_groups=("analytics",))))
    with pytest.raises(UsageError, match="which `down` deletes"):
        site.up(spec=replace(site.spec, workers=WorkersSpec(count=2, server_group="provision-analytics")))
