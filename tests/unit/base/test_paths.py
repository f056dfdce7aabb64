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


def test_what_python_has_compiled_is_none_of_the_data(tmp_path):
    for name in ("b.py", "a/c.txt", "__pycache__/b.cpython-311.pyc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert paths.files_below(tmp_path) == [tmp_path / "a/c.txt", tmp_path / "b.py"]


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
