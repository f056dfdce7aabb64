"""A live cluster found on a fake cloud: its nodes, its host keys, and how it is reached."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provision.adapters import ssh
from provision.adapters.openstack.cloud import TransientError
from provision.base.errors import ProvisionError, UsageError
from provision.base.model import HubSpec, ImageSpec, NetworkSpec, Tls
from provision.base.progress import Silent
from provision.clusterfile.loading import DEFAULT_SOURCE
from provision.operations.cluster.nodes import find_live_cluster, make_live_cluster
from provision.operations.cluster.resolve import resolve


def find(site, spec=None):
    return find_live_cluster(spec or site.spec, "cluster.yaml", site.cloud)


@pytest.fixture
def site(make_site):
    site = make_site()
    site.up()
    return site


def test_nodes_and_roles(site):
    cluster = find(site)
    assert [node.name for node in cluster.nodes] == ["analytics-master", "analytics-worker-1", "analytics-worker-2"]
    assert cluster.master == cluster.nodes[0]
    assert cluster.workers == cluster.nodes[1:] == cluster.with_role("worker")
    assert cluster.addresses.floating == "172.29.0.100"
    assert set(cluster.contexts) == {"master", "worker"}
    assert "secrets" not in cluster.contexts["master"]


def test_host_keys_are_read_from_the_console_once(site):
    (site.cluster_dir.folder / "known_hosts").unlink()
    reads = site.cloud.log.count("console")
    keys = {node.name: node.host_keys for node in find(site).nodes}
    assert all(keys.values())
    assert site.cloud.log.count("console") == reads + 3
    assert {node.name: node.host_keys for node in find(site).nodes} == keys
    assert site.cloud.log.count("console") == reads + 3


def test_a_node_whose_console_cannot_be_read_keeps_nobody_from_the_others(site, monkeypatch):
    (site.cluster_dir.folder / "known_hosts").unlink()
    read, lost = site.cloud.console, site.cloud.observe("analytics").nodes[1].id

    def console(server):
        if server == lost:
            raise TransientError("reading a console: the cloud failed")
        return read(server)

    monkeypatch.setattr(site.cloud, "console", console)
    assert [bool(node.host_keys) for node in find(site).nodes] == [True, False, True]
    lost = ""
    assert all(node.host_keys for node in find(site).nodes)


class Seen(Silent):
    """Keeps the phases."""

    def __init__(self):
        self.phases = []

    def phase(self, name):
        self.phases.append(name)
        return super().phase(name)


def test_many_consoles_are_read_at_the_same_time_and_what_was_read_is_kept_whatever_ends_it(make_site, monkeypatch):
    site = make_site(workers=40)
    site.up()
    (site.cluster_dir.folder / "known_hosts").unlink()
    read, left, seen = site.cloud.console, [30], Seen()

    def console(server):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return read(server)

    with monkeypatch.context() as patch:
        patch.setattr(site.cloud, "console", console)
        with pytest.raises(KeyboardInterrupt):
            find_live_cluster(site.spec, "cluster.yaml", site.cloud, seen)
    assert seen.phases == ["Read the host keys of 41 nodes"]
    assert len(ssh.known(site.cluster_dir.folder)) == 30
    reads = site.cloud.log.count("console")
    assert all(node.host_keys for node in find_live_cluster(site.spec, "cluster.yaml", site.cloud, seen).nodes)
    assert site.cloud.log.count("console") == reads + 11


def test_host_keys_of_an_earlier_server_do_not_count(site):
    nodes = find(site).nodes
    ssh.write_config(site.cluster_dir.folder, [replace(node, id=f"old-{node.id}") for node in nodes], "172.29.0.100")
    reads = site.cloud.log.count("console")
    find(site)
    assert site.cloud.log.count("console") == reads + 3


def test_host_keys_that_no_console_shows_any_more_are_kept(site):
    cluster = find(site)
    resolved = resolve(site.cloud, site.spec, site.cloud.observe("analytics"), "cluster.yaml")
    silent = [replace(node, host_keys=()) for node in cluster.nodes]
    again = make_live_cluster(resolved, site.cluster_dir, silent, cluster.addresses)
    assert [node.host_keys for node in again.nodes] == [node.host_keys for node in cluster.nodes]
    assert {name: kept.keys for name, kept in ssh.known(site.cluster_dir.folder).items()} == {
        node.name: node.host_keys for node in cluster.nodes
    }
    renewed = [replace(node, id=f"new-{node.id}") for node in silent]
    assert not any(
        node.host_keys for node in make_live_cluster(resolved, site.cluster_dir, renewed, cluster.addresses).nodes
    )


GONE = {
    "a flavor": ("m1.small", {}, "master.flavor: the cloud has retired flavor 'm1.small': analytics-master has it"),
    "the image": ("other", {"image": ImageSpec("other")}, "image: cloud 'local' has no image 'other'"),
    "the key pair": ("laptop", {"key_pair": "laptop"}, "key_pair: this user of cloud 'local' has no key pair 'laptop'"),
    "the external network": ("public", {}, "network.external: cloud 'local' has no external network 'public'"),
    "a zone": ("hall-2", {"zone": "hall-2"}, "master.availability_zone: cloud 'local' has no .* 'hall-2'"),
}


@pytest.mark.parametrize("case", GONE)
def test_a_live_cluster_is_reached_when_the_cloud_has_retired_what_it_was_made_of(make_site, case):
    name, changes, refusal = GONE[case]
    site = make_site()
    site.cloud.keys["laptop"] = "ssh-ed25519 AAAAlaptop"
    rest = {field: value for field, value in changes.items() if field != "zone"}
    site.spec = replace(site.spec, master=replace(site.spec.master, zone=changes.get("zone", "")), **rest)
    site.up()
    before = find(site)
    site.cloud.gone.add(name)
    site.cloud.keys.pop(name, None)
    after = find(site)
    assert after.nodes == before.nodes
    assert after.addresses == before.addresses
    if case != "the key pair":
        assert after.contexts == before.contexts
        assert after.inventory() == before.inventory()
    writes = len(site.cloud.writes)
    with pytest.raises(UsageError, match=refusal):
        site.up()
    assert len(site.cloud.writes) == writes


def test_a_key_pair_that_is_gone_is_not_taken_from_the_nodes(make_site):
    site = make_site()
    site.cloud.keys["laptop"] = "ssh-ed25519 AAAAlaptop"
    site.spec = replace(site.spec, key_pair="laptop")
    site.up()
    assert find(site).contexts["master"]["cluster"]["key"].startswith("ssh-ed25519 AAAAlaptop")
    del site.cloud.keys["laptop"]
    with pytest.raises(UsageError, match="has no key pair 'laptop' any more") as caught:
        find(site).inventory()
    assert "taken from the nodes" in caught.value.hint
    assert find(site).inventory(whole=False)


@pytest.mark.parametrize("subnet", ["", "rack"])
def test_a_network_that_was_renamed_is_still_that_of_its_nodes(make_site, subnet):
    site = make_site(network=NetworkSpec(existing="team", subnet=subnet, floating_ip=False))
    network = site.cloud.add("network", "team")
    site.cloud.add("subnet", "rack", network=network, cidr="10.77.0.0/24")
    site.up()
    contexts = find(site).contexts
    for thing in [*site.cloud.of("network"), *site.cloud.of("subnet")]:
        thing.name = {"team": "staff", "rack": "shelf"}.get(thing.name, thing.name)
    assert find(site).contexts == contexts
    assert contexts["master"]["cluster"]["cidr"] == "10.77.0.0/24"


def test_a_flavor_that_no_node_has_is_named(site):
    with pytest.raises(UsageError, match=r"workers\.flavor: the cloud has no flavor 'm9'"):
        find(site, replace(site.spec, workers=replace(site.spec.workers, flavor="m9")))


def test_no_cluster(make_site):
    with pytest.raises(ProvisionError, match="there is no cluster analytics on cloud 'local'") as caught:
        find(make_site())
    assert "`provision up`" in caught.value.hint


def test_no_key_on_this_machine(site):
    site.cluster_dir.private_key.unlink()
    with pytest.raises(ProvisionError, match="this machine has no key for cluster analytics"):
        find(site)


def test_the_inventory_names_files_of_secrets_and_holds_none(site, tmp_path):
    folder = site.cluster_dir.folder
    variables = find(site).inventory()["_meta"]["hostvars"]["analytics-master"]
    assert variables["provision_secrets"] == {
        "file": str(folder / "secrets.json"),
        "hub_cert": str(folder / "hub.pem"),
        "hub_key": str(folder / "hub.key"),
    }
    assert variables["ansible_ssh_args"] == f'-F "{folder / "ssh_config"}"'


def test_the_users_own_certificate_is_where_they_keep_it(site, tmp_path):
    tls = Tls(tmp_path / "c.pem", tmp_path / "c.key")
    for file in (tls.cert, tls.key):
        file.write_text("PEM")
    spec = replace(site.spec, hub=HubSpec(tls=tls))
    secrets = find(site, spec).inventory()["_meta"]["hostvars"]["analytics-master"]["provision_secrets"]
    assert (secrets["hub_cert"], secrets["hub_key"]) == (str(tls.cert), str(tls.key))


def test_the_default_spec_gives_no_inventory_of_a_cluster_that_has_a_file(site):
    cluster = find_live_cluster(site.spec, DEFAULT_SOURCE, site.cloud)
    assert cluster.nodes == find(site).nodes
    with pytest.raises(
        UsageError, match=r"analytics was made from cluster\.yaml, and this is the default cluster"
    ) as caught:
        cluster.inventory()
    assert "-f" in caught.value.hint
    site.up(source=DEFAULT_SOURCE)
    assert find(site).inventory()
