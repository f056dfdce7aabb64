"""`provision cloud` as a shell sees it, on a machine without a cloud."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from provision.base import paths
from provision.cli.cloud.lifecycle import cloud
from provision.operations.localcloud.swarm import hosts


def run(*arguments, cwd):
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(cwd),
        "OS_CLIENT_CONFIG_FILE": str(cwd / "clouds.yaml"),
        # This very package, whichever is installed.
        "PYTHONPATH": str(paths.PACKAGE.parent),
    }
    return subprocess.run(
        [sys.executable, "-m", "provision", "cloud", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scale", "nova-api"], "'nova-api' is not SERVICE=N"),
        (["scale", "nova-api=0"], "nova-api needs at least one replica"),
        (["scale", "nova-api=11"], "nova-api cannot have 11 replicas"),
        (["scale", "nova-api=2", "what=2"], "there is no service 'what'"),
        (["scale"], "Missing argument"),
        (["upgrade"], "there is no local cloud on this machine"),
        (["upgrade", "--timeout", "0"], "--timeout"),
        (["init"], "--advertise-addr"),
        (["join", "TOKEN"], "Missing argument 'ADDRESS'"),
        (["leave"], "this machine belongs to no Swarm of ours"),
        (["upgrade", "nosuch"], "there is no service 'nosuch'"),
        (["leave", "--yes"], "this machine belongs to no Swarm of ours"),
    ],
)
def test_bad_input_ends_with_2_and_changes_nothing(tmp_path, words, message):
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_the_choice_is_kept_before_there_is_a_cloud(tmp_path):
    done = run("scale", "nova-api=3", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert "`provision cloud up` will start it" in done.stderr
    assert (tmp_path / ".local/state/provision/local/choices.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("words", "message"), [(["upgrade", "--grace", "5", "keystone"], "leave out --grace"), (["leave"], "--yes")]
)
def test_what_several_hosts_want_otherwise(tmp_path, words, message):
    folder = tmp_path / ".local/state/provision/local"
    folder.mkdir(parents=True)
    (folder / "choices.json").write_text('{"swarm": true, "ha": true}')
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize(("more", "guests"), [([], True), (["--no-hypervisor"], False)])
@pytest.mark.parametrize("command", ["begin", "join"])
def test_a_host_carries_vms_unless_it_shall_not(monkeypatch, command, more, guests):
    asked = []
    monkeypatch.setattr(hosts, command, lambda *words, **options: asked.append(options) or "TOKEN")
    words = {"begin": ["init", "--advertise-addr", "192.0.2.1"], "join": ["join", "TOKEN", "192.0.2.1"]}[command]
    assert CliRunner().invoke(cloud, [*words, *more]).exit_code == 0
    assert asked == [{"guests": guests}]
