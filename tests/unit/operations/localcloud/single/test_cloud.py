"""The local cloud on one host: every command goes to the module of its name."""

from __future__ import annotations

import fcntl

import pytest

from provision.base import paths
from provision.base.progress import Silent
from provision.operations.localcloud.single import cloud
from provision.operations.localcloud.single.cloud import SingleHost

PROGRESS = Silent()


@pytest.mark.parametrize(
    ("name", "words", "options"),
    [
        ("up", (PROGRESS,), {"ha": False, "checked": str}),
        ("status", (), {}),
        ("scale", (PROGRESS, ["nova-api=2"]), {"ready_timeout": 9, "drain_timeout": 5}),
        ("upgrade", (PROGRESS, ["nova-api"]), {"ready_timeout": 9, "drain_timeout": None}),
        ("down", (PROGRESS,), {"purge": True}),
        ("backup", (PROGRESS, "file"), {"images": True}),
        ("restore", (PROGRESS, "file", str), {}),
    ],
)
def test_a_command_is_passed_on(monkeypatch, name, words, options):
    asked = []
    monkeypatch.setattr(cloud, name, lambda *words, **options: asked.append((words, options)) or "done")
    found = getattr(SingleHost(), name)(*words, **options)
    assert asked == [(words, options)]
    assert found == ("done" if name in ("status", "backup") else None)


@pytest.mark.parametrize(
    ("method", "words", "options", "name"),
    [
        ("enable_monitoring", (PROGRESS,), {}, "enable"),
        ("disable_monitoring", (PROGRESS,), {"purge": True}, "disable"),
        ("metrics", (), {}, "metrics"),
        ("write_grafana", ("folder",), {}, "write_grafana"),
    ],
)
def test_monitoring_has_a_module_of_its_own(monkeypatch, method, words, options, name):
    asked = []
    monkeypatch.setattr(cloud.monitoring, name, lambda *words, **options: asked.append((words, options)))
    getattr(SingleHost(), method)(*words, **options)
    assert asked == [(words, options)]


def test_what_is_observed_is_judged(monkeypatch):
    monkeypatch.setattr(cloud, "observe", lambda: "seen")
    monkeypatch.setattr(cloud, "diagnose", lambda seen: [f"wrong: {seen}"])
    assert SingleHost().diagnose() == ["wrong: seen"]


def test_a_cloud_is_stopped_when_no_other_command_is_at_it(monkeypatch):
    seen = []
    monkeypatch.setattr(cloud, "down", lambda *_, purge: seen.append(is_locked()))
    SingleHost().down(PROGRESS, purge=False)
    assert seen == [True]
    assert not is_locked()


def is_locked():
    with (paths.localcloud_dir() / "lock").open() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
