"""Configuring the nodes of a live cluster: the playbooks get its inventory, with secrets that exist."""

from __future__ import annotations

from provision.adapters.host import process
from provision.base.progress import Silent
from provision.operations.cluster.configure import configure
from provision.operations.cluster.nodes import find_live_cluster


def test_the_playbooks_run_on_the_clusters_nodes(make_site, monkeypatch):
    site = make_site()
    site.up()
    cluster = find_live_cluster(site.spec, "cluster.yaml", site.cloud)
    certificate = site.cluster_dir.folder / "hub.pem"
    certificate.unlink()
    runs = []

    def stream(argv, line, *, cwd, env):
        runs.append((cwd / "inventory.json").read_text())
        line("a-master : ok=5 changed=1")
        return 0

    monkeypatch.setattr(process, "stream", stream)
    assert configure(cluster, Silent()) == 2
    assert all("analytics-worker-2" in inventory for inventory in runs)
    assert certificate.exists()
