"""The local cloud on several hosts: every command goes to the module of its name, and some words are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.base.errors import UsageError
from provision.base.progress import Silent
from provision.operations.localcloud.swarm import cloud
from provision.operations.localcloud.swarm.cloud import SwarmCloud

PROGRESS = Silent()


@pytest.fixture
def asked(monkeypatch):
    """Keep what the modules are asked to do."""
    asked = []
    for name in ("up", "status", "scale", "upgrade", "down", "backup", "restore"):
        monkeypatch.setattr(cloud, name, lambda *words, _n=name, **options: asked.append((_n, *words, options)))
    return asked


@pytest.mark.parametrize(
    ("name", "words", "options", "expected"),
    [
        ("up", (PROGRESS,), {"ha": None}, ("up", PROGRESS, {})),
        ("up", (PROGRESS,), {"ha": True}, ("up", PROGRESS, {})),
        ("status", (), {}, ("status", {})),
        # Swarm has its own times: they are not asked for.
        ("scale", (PROGRESS, ["a=2"]), {"ready_timeout": 9, "drain_timeout": 5}, ("scale", PROGRESS, ["a=2"], {})),
        ("upgrade", (PROGRESS, ["a"]), {"ready_timeout": 9}, ("upgrade", PROGRESS, ["a"], {})),
        ("down", (PROGRESS,), {"purge": True}, ("down", PROGRESS, {"purge": True})),
        ("backup", (PROGRESS, "file"), {"images": True}, ("backup", PROGRESS, "file", {"images": True})),
        ("restore", (PROGRESS, "file", str), {}, ("restore", PROGRESS, "file", str, {})),
    ],
)
def test_a_command_is_passed_on(asked, name, words, options, expected):
    getattr(SwarmCloud(), name)(*words, **options)
    assert asked == [expected]


@pytest.mark.parametrize(
    ("name", "words", "options", "hint"),
    [
        ("up", (PROGRESS,), {"ha": False}, "Leave out --no-ha."),
        ("upgrade", (PROGRESS, []), {"ready_timeout": 9, "drain_timeout": 5}, "Leave out --grace."),
        ("upgrade", (PROGRESS, []), {"ready_timeout": 9, "drain_timeout": 0}, "Leave out --grace."),
    ],
)
def test_what_several_hosts_do_not_have_is_refused(asked, name, words, options, hint):
    with pytest.raises(UsageError, match="on several hosts") as caught:
        getattr(SwarmCloud(), name)(*words, **options)
    assert caught.value.hint == hint
    assert asked == []


def test_what_may_go_on_beside_is_begun_first(asked):
    SwarmCloud().up(PROGRESS, checked=lambda: asked.append("checked"))
    assert asked == ["checked", ("up", PROGRESS, {})]


@pytest.mark.parametrize(
    ("name", "words", "options"),
    [
        ("enable_monitoring", (PROGRESS,), {}),
        ("disable_monitoring", (PROGRESS,), {"purge": False}),
        ("metrics", (), {}),
        ("write_grafana", (Path("grafana"),), {}),
    ],
)
def test_there_is_no_monitoring_of_several_hosts(name, words, options):
    with pytest.raises(UsageError, match="on several hosts yet"):
        getattr(SwarmCloud(), name)(*words, **options)


def test_what_is_observed_is_judged(monkeypatch):
    monkeypatch.setattr(cloud, "observe", lambda: "seen")
    monkeypatch.setattr(cloud, "diagnose_swarm", lambda seen: [f"wrong: {seen}"])
    assert SwarmCloud().diagnose() == ["wrong: seen"]
