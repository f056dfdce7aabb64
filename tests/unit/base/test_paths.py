"""Where files are: the XDG folders, and the data folders of a checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.base import paths


@pytest.fixture(autouse=True)
def _home(monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    for variable in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "OS_CLIENT_CONFIG_FILE"):
        monkeypatch.delenv(variable, raising=False)


def test_defaults():
    assert paths.cluster_dir("a") == Path("/home/me/.local/state/provision/clusters/a")
    assert paths.localcloud_dir() == Path("/home/me/.local/state/provision/local")
    assert paths.cache_dir() == Path("/home/me/.cache/provision")
    assert paths.clouds_yaml() == Path("/home/me/.config/openstack/clouds.yaml")


def test_the_environment_wins(monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "/s")
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/x")
    assert paths.state_dir() == Path("/s/provision")
    assert paths.cache_dir() == Path("/c/provision")
    assert paths.clouds_yaml() == Path("/x/openstack/clouds.yaml")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", "/o/clouds.yaml")
    assert paths.clouds_yaml() == Path("/o/clouds.yaml")


def test_the_data_folders_are_there():
    for folder in (paths.TEMPLATES, paths.PLAYBOOKS, paths.COMPOSE, paths.INVENTORIES, paths.LIVE_TESTS):
        assert folder.is_dir()
