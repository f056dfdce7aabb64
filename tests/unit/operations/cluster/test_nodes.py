"""A live cluster found on a fake cloud: its nodes, its host keys, and how it is reached."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provision.adapters import ssh
from provision.base.errors import ProvisionError, UsageError
from provision.base.model import HubSpec, Tls
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
