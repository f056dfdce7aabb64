"""How often a small and a large cluster are looked at, and what that takes."""

from __future__ import annotations

import pytest
import yaml

from provision.base.model import Addresses, ClusterSpec, Flavor, WorkersSpec
from provision.base.paths import TEMPLATES
from provision.model.cluster.example import sizing
from provision.model.cluster.plan import spec_hash
from provision.model.cluster.render import public_context
from provision.model.monitoring.cluster.gathering import gathering
from provision.model.templating import render_mapping

UNIT = TEMPLATES / "image/files/etc/systemd/system/provision-metrics.service"


def sized(workers, ram=8192):
    spec = ClusterSpec("a", workers=WorkersSpec(count=workers), monitoring=True)
    return spec, sizing(spec, "cluster.yaml", (Flavor("m1.small", 2, ram, 20),))


@pytest.mark.parametrize(
    ("workers", "every", "caches", "room"),
    [(3, "10s", "64MiB", "128MiB"), (100, "10s", "64MiB", "128MiB"), (1000, "60s", "640MiB", "10240MiB")],
)
def test_what_the_store_is_told(workers, every, caches, room):
    spec, sizes = sized(workers)
    context = public_context(spec, sizes, Addresses("10.20.0.10", "192.0.2.10"), "master")
    scrape = yaml.safe_load(render_mapping("monitoring/scrape.yaml.j2", context))
    assert scrape["global"]["scrape_interval"] == every
    lines = render_mapping("monitoring/node.env.j2", context).splitlines()
    told = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert (told["METRICS_CACHES"], told["METRICS_ROOM"]) == (caches, room)
    flags = UNIT.read_text()
    assert "-memory.allowedBytes=${METRICS_CACHES} -storage.minFreeDiskSpaceBytes=${METRICS_ROOM}" in flags
    assert f'"every": {every[:-1]}}}' in render_mapping("hub/jupyterhub_config.py.j2", context)


def test_notebooks_leave_it_the_memory_that_it_takes():
    taken = [sized(3, 65536)[1].users_memory - sized(workers, 65536)[1].users_memory for workers in (100, 101, 200)]
    assert taken == [0, 128, 128]
    assert gathering(1000).memory == 160 + 9 * 128


def test_it_is_looked_at_more_seldom_the_more_there_are():
    found = [gathering(workers).every for workers in (0, 1, 100, 101, 200, 500, 1000, 10000)]
    assert found == [10, 10, 10, 12, 12, 30, 60, 60]


def test_the_settings_of_nodes_change_with_hundreds_of_workers_alone():
    hashes = [spec_hash(*sized(workers)) for workers in (2, 100, 101, 200, 201)]
    assert hashes[0] == hashes[1] != hashes[2] == hashes[3] != hashes[4]
