"""A local cloud on one host stops: what stays, and what a purge removes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from provision.base import paths
from provision.base.progress import Silent
from provision.model.localcloud.host import ServiceState
from provision.operations.localcloud.single import down


class FakeProject:
    def __init__(self, project, log):
        self.project, self._log = project, log

    def down(self, *, volumes):
        self._log.append(("down", self.project, volumes))


@pytest.fixture
def host(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    log = []
    host = SimpleNamespace(log=log, running=[ServiceState("mariadb", "provision-mariadb-1", "running")])
    engine = SimpleNamespace(
        states=lambda: host.running,
        remove_bridge=lambda bridge: log.append(("bridge",)),
        purge=lambda line: log.append(("purge",)),
    )
    monkeypatch.setattr(down, "Engine", lambda: engine)
    monkeypatch.setattr(down.compose, "require", lambda: None)
    monkeypatch.setattr(down, "control", lambda: FakeProject("provision", log))
    monkeypatch.setattr(down, "hypervisors", lambda settings: (FakeProject("provision-compute-1", log),))
    paths.localcloud_dir().mkdir(parents=True)
    (paths.localcloud_dir() / "compose.env").write_text("")
    token = paths.state_dir() / "tokens" / "one.json"
    token.parent.mkdir()
    token.write_text("{}")
    return host


@pytest.mark.parametrize("purge", [False, True])
def test_vms_stop_before_what_they_depend_on(host, purge):
    down.down(Silent(), purge=purge)
    assert host.log[:2] == [("down", "provision-compute-1", purge), ("down", "provision", purge)]
    assert (("purge",) in host.log) == purge
    for folder in (paths.localcloud_dir(), paths.state_dir() / "tokens"):
        assert folder.exists() != purge


@pytest.mark.parametrize("lacking", ["containers", "files"])
def test_where_nothing_runs_nothing_is_stopped(host, lacking):
    if lacking == "containers":
        host.running = []
    else:
        (paths.localcloud_dir() / "compose.env").unlink()
    down.down(Silent(), purge=False)
    assert host.log == []


def test_a_purge_finds_by_label_what_lost_files_have_left(host):
    (paths.localcloud_dir() / "compose.env").unlink()
    down.down(Silent(), purge=True)
    assert host.log == [("purge",)]


def test_clusters_keep_their_folders_and_only_locks_without_one_go(host):
    kept = paths.cluster_dir("kept")
    kept.mkdir(parents=True)
    locks = [paths.cluster_dir(f".{name}.lock") for name in ("kept", "removed")]
    for lock in locks:
        lock.write_text("")
    paths.clouds_yaml().write_text("clouds:\n  local: {auth: {username: provision}}\n  other: {}\n")
    down.down(Silent(), purge=True)
    assert kept.exists()
    assert [lock.exists() for lock in locks] == [True, False]
    assert "other" in paths.clouds_yaml().read_text()
    assert "local" not in paths.clouds_yaml().read_text()
