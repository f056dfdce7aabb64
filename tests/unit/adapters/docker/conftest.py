"""The Docker library without an engine, and a `docker` program without Docker."""

from __future__ import annotations

import os
from types import SimpleNamespace
from unittest.mock import MagicMock

import docker
import pytest


@pytest.fixture
def client(monkeypatch):
    """Stand for docker.from_env(): what a test does not define is a mock."""
    made = MagicMock()
    monkeypatch.setattr(docker, "from_env", lambda timeout: made)
    return made


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Put a `docker` first in the PATH that runs a script; `calls` are its arguments and `values` what it saw."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def write(script):
        (folder / "docker").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n{script}\n')
        (folder / "docker").chmod(0o755)

    write("exit 0")
    return SimpleNamespace(write=write, calls=lambda: (tmp_path / "calls").read_text().splitlines())


def container(name, *, labels=(), state="running", **attributes):
    """Make a container as the library's high-level API has them."""
    labels = dict(labels)
    config = {"Image": f"provision/{name}:1", "Labels": labels, "Env": ["CONFIGURATION=c1", "OTHER=x"]}
    document = {
        "Id": f"id-of-{name}",
        "Name": f"/{name}",
        "State": {"Status": state, "Running": state == "running"},
        "Config": config,
        "NetworkSettings": {},
        **attributes,
    }
    return SimpleNamespace(name=name, id=f"id-of-{name}", labels=labels, attrs=document)


@pytest.fixture(name="container")
def _container():
    return container
