"""setup.sh with programs of the test's own: a new member of group docker, whose session began before it joined."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from provision.base.constants import LOCALCLOUD_PORTS

ROOT = Path(__file__).parents[2]
PROGRAMS = {
    # As the engine's socket: it refuses who is not in its group.
    "docker": """
[ "$*" = "compose version --short" ] && { echo 2.26.1; exit; }
[ "$*" = "compose version" ] && { echo "Docker Compose version v2.26.1"; exit; }
[ -n "${IN_GROUP:-}" ] || { echo "permission denied while trying to connect" >&2; exit 1; }
case "$1 $2" in
"version --format") echo 26.1.5 ;;
"ps --format") echo 0123 ;;
"info --format") echo '{"DockerRootDir": "/"}' ;;
esac
""",
    "sg": '[ "$1 $2" = "docker -c" ] && IN_GROUP=1 exec sh -c "$3"',
    "sudo": 'IN_GROUP=1 exec "$@"',
    "id": """
case "$*" in
-u) echo 1000 ;;
-un) echo tester ;;
"-nG tester") echo "tester $GROUPS_OF_TESTER" ;;
*) exit 1 ;;
esac
""",
    "python3": f'exec {sys.executable} "$@"',
    **dict.fromkeys(("dockerd", "mmdebstrap", "ssh", "chromium", "apt-get", "usermod"), ":"),
}


@pytest.fixture(name="checkout")
def _checkout(tmp_path, monkeypatch):
    """Make a checkout whose Python environment is up to date, and the programs of a machine that has what it needs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    folder = tmp_path / "checkout"
    (folder / ".venv").mkdir(parents=True)
    for name in ("provision", "pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "setup.sh", folder)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    stamp = 'printf %s "$(python3 -V) $(cksum <requirements.lock)" >.venv/.lock; cksum <pyproject.toml >.venv/.package'
    subprocess.run(["bash", "-c", stamp], cwd=folder, check=True)
    return folder


def run(checkout, *words, groups):
    env = {**os.environ, "GROUPS_OF_TESTER": groups}
    return subprocess.run([checkout / "setup.sh", *words], env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def _apis():
    """Have the ports of the cloud's APIs taken, by the test unless a cloud runs here."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            server.bind(("127.0.0.1", LOCALCLOUD_PORTS.keystone))
            server.listen()
        yield


@pytest.mark.usefixtures("_apis")
def test_a_cloud_that_runs_is_not_in_its_own_way_for_who_has_just_joined_the_group(checkout):
    done = run(checkout, "install", "run", groups="docker")
    assert "Checking this machine" in done.stderr
    assert f"✓ {'ports':16} free" in done.stderr
    assert "Stop these programs" not in done.stderr
    assert "ip link delete" not in done.stderr
    # What else the machine that tests lacks is not the test's matter.
    if "✗" not in done.stderr:
        assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("_apis")
def test_who_is_in_no_such_group_is_asked_for_no_password(checkout):
    done = run(checkout, "install", "run", groups="docker-users")
    assert "Checking this machine" in done.stderr
    assert f"in use on 127.0.0.1: {LOCALCLOUD_PORTS.keystone}" in done.stderr
    assert done.returncode == 2


@pytest.mark.parametrize(("groups", "said"), [("docker", "a b|c\n"), ("docker-users", "")])
def test_a_command_gets_access_to_the_engine_where_the_account_has_it(checkout, groups, said):
    done = run(checkout, "with-docker", "sh", "-c", 'docker ps >/dev/null && echo "$0|$1"', "a b", "c", groups=groups)
    assert done.stdout == said


@pytest.mark.parametrize(
    ("settings", "options"),
    [(None, "--log-level=warn\n"), ('{"mtu": 1400}', "--log-level=warn\n"), ('{"log-level": "info"}', "")],
)
def test_the_engine_gets_no_level_that_its_own_settings_have(checkout, tmp_path, settings, options):
    if settings:
        (tmp_path / "daemon.json").write_text(settings)
    lines = (checkout / "setup.sh").read_text().splitlines()
    functions = "\n".join(line for line in lines if line.startswith(("root()", "log_level()")))
    script = f"set -euo pipefail\n{functions}\nlog_level {tmp_path}/daemon.json"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == options
