"""All of a local cloud on one host looked at."""

from __future__ import annotations

import ast
import threading

from provision.base import paths
from provision.model.localcloud.doctor.rules import diagnose
from provision.operations.localcloud.shared import images
from provision.operations.localcloud.single import doctor

from ..doctor_world import NAMES, make_inspector  # noqa: F401


def test_a_cloud_that_is_well(inspector):
    seen = doctor.observe()
    assert diagnose(seen) == []
    assert seen.unseen == {}
    assert seen.backends == dict.fromkeys(NAMES, 1)
    assert {clock.whose for clock in seen.clocks} == {
        "Docker's host",
        "Keystone's host",
        "Consul's host",
        "mariadb-1's host",
    }
    assert {disk.holds for disk in seen.disks} == {
        "the database",
        "Consul's data",
        "Docker's containers and images",
    }


def test_no_cloud_is_looked_at_no_further(inspector):
    inspector.running = []
    assert doctor.observe().units == ()
    assert inspector.asked == []


def test_without_the_files_of_a_cloud_nothing_is_looked_at(inspector):
    (paths.localcloud_dir() / "compose.env").unlink()
    assert doctor.observe().units == ()
    assert inspector.asked == []


def test_it_is_known_what_shall_run(inspector):
    assert doctor.observe().wanted[("provision", "mariadb")] == 1


def test_python_is_parsed_by_one_thread_alone(inspector, monkeypatch):
    threads, parse = [], ast.parse

    def noted(*arguments):
        threads.append(threading.current_thread())
        return parse(*arguments)

    monkeypatch.setattr("provision.model.localcloud.image_families.ast.parse", noted)
    images._program.cache_clear()
    doctor.observe()
    assert set(threads) == {threading.main_thread()}
