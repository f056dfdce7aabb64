from __future__ import annotations

import itertools
from dataclasses import replace

import many
import pytest
import yaml
from counted import Took

from provision.clusterfile import load
from provision.model.cluster.resources import Server
from provision.operations.cluster import wait as wait_module

TOOK = Took(seconds=100, cpu=3, memory=120, requests=60, polls=20)
FOUND = {
    size: {
        "up": replace(TOOK, seconds=size + 2, polls=20 + size, requests=60 + size),
        "raw": replace(TOOK, seconds=size),
        "spread": replace(TOOK, seconds=size * 1.1),
        "pool": replace(TOOK, seconds=size * 2),
        "plan": replace(TOOK, seconds=1.5),
        "status": replace(TOOK, seconds=2.5),
    }
    for size in (100, 1000)
} | {20: dict.fromkeys([*many.CONTENDERS, *many.COMMANDS], TOOK)}


def changed(size, name, **figures):
    return FOUND | {size: FOUND[size] | {name: replace(FOUND[size][name], **figures)}}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (FOUND, ""),
        (changed(100, "up", requests=161), "40, 41, 40"),
        (changed(1000, "up", seconds=1051), "1.05 times"),
        (changed(100, "up", seconds=500), ""),
        (changed(1000, "up", memory=201), "201 MB"),
        (changed(1000, "plan", seconds=3.1), "`plan` takes 3.1 s"),
        (changed(100, "status", seconds=3.1), ""),
    ],
)
def test_what_is_missed_is_said(found, words):
    found = dict(sorted(found.items()))
    said = many.misses(found)
    assert len(said) == bool(words)
    assert words in "".join(said)


def test_tables_and_charts_have_what_was_run():
    made, asked = many.tables(FOUND)
    assert [row[0] for row in made.rows] == ["100"] * 4 + ["1,000"] * 4 + ["20"] * 5
    assert made.rows[4] == ["1,000", "`provision up`", "1002 s", "1.00", "40", "1,020", "3.0 s", "120 MB"]
    assert asked.rows[2] == ["1,000", "`plan`", "1.5 s", "60", "3.0 s", "120 MB"]
    seconds, _ = many.charts(FOUND)
    assert seconds.series["a loop of Ansible's"] == {"20 workers": 100}
    assert seconds.series["one multi-create, by the SDK"] == {
        "100 workers": 100,
        "1,000 workers": 1000,
        "20 workers": 100,
    }
    assert many.result(FOUND, {}, many.DEFAULTS).command.endswith("many.py 100 1000 20")
    options = {**many.DEFAULTS, "times": 3, "pool": 20}
    assert many.result(FOUND, {}, options).command.endswith("100 1000 20 --times 3 --pool 20")


@pytest.mark.parametrize("collection", [True, False])
def test_the_playbook_makes_one_after_the_other(collection):
    (play,) = yaml.safe_load(many.playbook(7, collection=collection))
    (task,) = play["tasks"]
    assert task.pop("loop") == "{{ range(1, 7 + 1) | list }}"
    ((module, options),) = task.items()
    assert module.startswith("openstack.cloud") == collection
    assert "{{ item }}" in (options["name"] if collection else options["argv"][-1])


def test_the_clusters_file_is_one(tmp_path):
    (tmp_path / "cluster.yaml").write_text(many.cluster_file(1000))
    spec = load(tmp_path / "cluster.yaml")
    assert (spec.workers.count, spec.workers.zone, spec.master.zone) == (1000, many.NAME, many.NAME)
    assert spec.network.cidr.num_addresses > 1100


def test_an_active_node_works_and_its_host_key_is_known(monkeypatch, tmp_path):
    monkeypatch.setattr(wait_module, "PAUSE", 0)
    (tmp_path / "cluster.yaml").write_text(many.cluster_file(2))
    statuses = itertools.chain(["BUILD", "ACTIVE"], itertools.repeat("ACTIVE"))

    class Cloud:
        def servers(self, name):
            status = next(statuses)
            return tuple(
                Server(each, each, "master" if "master" in each else "worker", status, address=f"10.0.0.{number}")
                for number, each in enumerate(["many-master", "many-worker-1", "many-worker-2"])
            )

        def building(self):
            return frozenset()

        def console(self, server):
            return "FAKE CONSOLE OUTPUT"

    nodes = many.wait(Cloud(), load(tmp_path / "cluster.yaml"))
    assert [node.status for node in nodes] == ["ACTIVE"] * 3
    assert {node.host_keys for node in nodes} == {(many.HOST_KEY,)}
