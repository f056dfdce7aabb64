"""The benchmarks' clusters whose servers run nothing: `up` makes them, and then `plan` and `status` find them whole."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from provision.adapters.openstack import cloud as adapter
from provision.adapters.openstack.cloud import Image
from provision.cli import cluster as commands
from provision.clusterfile import load
from provision.operations.cluster import nodes, preview, status, wait
from provision.operations.cluster.resolve import find_cluster_dir

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))
import asleep
import many


@pytest.fixture
def cloud(make_site, monkeypatch, tmp_path):
    monkeypatch.setattr(wait, "PAUSE", 0)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cluster.yaml").write_text(many.cluster_file(7))
    made = make_site().cloud
    made.name = many.CLOUD
    made.image = lambda name: Image("img-golden", 1, golden=True)
    made.zones = lambda: frozenset({many.NAME})
    for module in (adapter, preview, commands):
        monkeypatch.setattr(module, "connect", lambda *_, **__: made, raising=False)
    # What a command of the benchmark replaces in a process of its own.
    for place, name in ((nodes, "ask_master"), (status, "hub_problem"), (sys, "argv")):
        monkeypatch.setattr(place, name, getattr(place, name))
    return made


def test_many_are_made_and_found(cloud, capsys):
    many.up(8)
    assert cloud.log.count("create_servers") == 2
    consoles = cloud.log.count("console")
    for words, said in (("plan", "nothing to do"), ("status", "many-worker-7  ACTIVE")):
        with pytest.raises(SystemExit) as ended:
            many.command([words])
        assert ended.value.code == 0
        assert said in capsys.readouterr().out
    assert cloud.log.count("console") == consoles, "their host keys are known"


def test_a_server_that_is_active_is_ready(cloud):
    asleep.up(cloud, find_cluster_dir(cloud, many.CLUSTER), load(Path("cluster.yaml")), lambda plan: None)
    assert len([vm for vm in cloud.vms.values() if vm["status"] == "ACTIVE"]) == 9
