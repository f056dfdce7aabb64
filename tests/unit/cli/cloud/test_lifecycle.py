"""`provision cloud` as a shell sees it, on a machine without a cloud."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from provision.base import paths
from provision.base.errors import UsageError
from provision.cli.cloud import lifecycle
from provision.cli.cloud.lifecycle import cloud
from provision.model.localcloud.settings import Settings
from provision.operations.localcloud.shared.installation import save_settings
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
        (["scale", "nova-api=0"], "nova-api needs at least one"),
        (["scale", "nova-api=11"], "cannot have 11 replicas"),
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
    ("words", "message"),
    [
        (["upgrade", "--grace", "5", "keystone"], "Leave out --grace."),
        (["up", "--no-ha"], "Leave out --no-ha."),
        (["leave"], "--yes"),
    ],
)
def test_what_several_hosts_want_otherwise(tmp_path, words, message):
    folder = tmp_path / ".local/state/provision/local"
    folder.mkdir(parents=True)
    (folder / "choices.json").write_text('{"swarm": true, "ha": true}')
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize(("more", "vms"), [([], True), (["--no-hypervisor"], False)])
@pytest.mark.parametrize("command", ["init", "join"])
def test_a_host_runs_vms_unless_it_shall_not(monkeypatch, command, more, vms):
    asked = []
    monkeypatch.setattr(hosts, command, lambda *words, **options: asked.append(options) or "TOKEN")
    words = {"init": ["init", "--advertise-addr", "192.0.2.1"], "join": ["join", "TOKEN", "192.0.2.1"]}[command]
    assert CliRunner().invoke(cloud, [*words, *more]).exit_code == 0
    assert asked == [{"vms": vms}]


class FakeCloud:
    """Keeps what it was asked to do."""

    def __init__(self):
        self.asked = []

    def status(self):
        return SimpleNamespace(up=False, document=lambda: {"up": False}, text=lambda: "glance is exited")

    def __getattr__(self, name):
        return lambda progress, *words, **options: self.asked.append((name, *words, options))


@pytest.fixture
def fake(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    fake = FakeCloud()
    monkeypatch.setattr(lifecycle, "local_cloud", lambda: fake)
    return fake


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["up"], ("up", {"ha": None})),
        (["up", "--no-ha"], ("up", {"ha": False})),
        (["scale", "nova-api=2"], ("scale", ("nova-api=2",), {"ready_timeout": 300, "drain_timeout": None})),
        (
            ["upgrade", "--timeout", "9", "--grace", "5", "glance"],
            ("upgrade", ("glance",), {"ready_timeout": 9, "drain_timeout": 5}),
        ),
        (["down"], ("down", {"purge": False})),
        (["down", "--purge", "--yes"], ("down", {"purge": True})),
    ],
)
def test_a_command_asks_whichever_cloud_there_is(fake, words, expected):
    done = CliRunner().invoke(cloud, words)
    assert done.exit_code == 0, done.output
    assert fake.asked == [expected]


@pytest.mark.parametrize(
    "words",
    [["up", "--tls-cert", "c"], ["up", "--tls-key", "k"], ["up", "--own-tls", "--tls-cert", "c", "--tls-key", "k"]],
)
def test_a_certificate_and_its_key_belong_together(fake, words):
    with pytest.raises(UsageError, match="belong together"):
        CliRunner().invoke(cloud, words, catch_exceptions=False)
    assert fake.asked == []


@pytest.mark.parametrize("words", [["up", "--tls-cert", "c", "--tls-key", "k"], ["up", "--own-tls"]])
def test_several_hosts_have_the_cloud_s_own_certificate(fake, words):
    save_settings(Settings(ha=True, swarm=True))
    with pytest.raises(UsageError, match="the certificate that the cloud makes itself"):
        CliRunner().invoke(cloud, words, catch_exceptions=False)
    assert fake.asked == []


def test_a_purge_has_to_be_confirmed(fake):
    with pytest.raises(UsageError, match="--purge removes every VM"):
        CliRunner().invoke(cloud, ["down", "--purge"], catch_exceptions=False)
    assert fake.asked == []


def test_yes_is_short_as_with_clusters(fake):
    assert CliRunner().invoke(cloud, ["down", "--purge", "-y"], catch_exceptions=False).exit_code == 0
    assert len(fake.asked) == 1


@pytest.mark.parametrize(("options", "output"), [([], "glance is exited\n"), (["--json"], '{\n  "up": false\n}\n')])
def test_a_status_that_is_not_up_ends_with_1(fake, options, output):
    done = CliRunner().invoke(cloud, ["status", *options])
    assert (done.exit_code, done.stdout) == (1, output)
