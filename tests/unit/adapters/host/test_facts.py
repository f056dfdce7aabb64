"""Facts about this machine: read for real, with a `docker` program of the test's own."""

from __future__ import annotations

import os
import socket
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from provision.adapters.host import facts
from provision.model.localcloud.preflight import DockerKind

DOCKER = """#!/bin/sh
case "$1 $2" in
"version --format") echo 26.1.5 ;;
"compose version") echo v2.26.1 ;;
"ps --format") echo 0123 ;;
"volume ls") ;;
"network ls") echo n1 ;;
"network inspect") echo "172.28.0.0/24 " ;;
"info --format") echo '{"DockerRootDir": "/root/no", "OperatingSystem": "X", "SecurityOptions": ["name=userns"]}' ;;
"context inspect") echo "ssh://builder" ;;
esac
"""


@pytest.fixture(autouse=True)
def run_engine(tmp_path, monkeypatch):
    """Return a function that says whether an engine runs; what this machine has counts for nothing."""
    monkeypatch.setattr(facts, "_SBIN", (str(tmp_path / "sbin"),))
    runs = []
    monkeypatch.setattr(facts, "_dockerd_runs", lambda: bool(runs))
    return lambda: runs.append(1)


@pytest.fixture(name="docker")
def _docker(tmp_path, monkeypatch):
    """Return a function that makes a script the only program in the PATH that is called `docker`."""

    def write(script):
        (tmp_path / "docker").write_text(script)
        (tmp_path / "docker").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/bin")

    return write


@pytest.mark.parametrize(
    ("output", "mtu"),
    [('[{"ifname": "eth0", "mtu": 1450}]', 1450), ('[{}, {"mtu": 9000}]', 9000), ("[]", 0), ("no ip here", 0)],
)
def test_the_mtu_of_the_interface_with_an_address(tmp_path, monkeypatch, output, mtu):
    (tmp_path / "ip").write_text(f"#!/bin/sh\n[ \"$5\" = 192.0.2.1 ] && echo '{output}'\n")
    (tmp_path / "ip").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert facts.interface_mtu("192.0.2.1") == mtu


def test_this_machine(docker):
    docker(DOCKER)
    found = facts.read([])
    assert found.cpus == len(os.sched_getaffinity(0))
    assert found.memory > 64 << 20
    assert found.disk_free > 0
    assert (found.docker, found.docker_problem, found.compose, found.stack_running) == ("26.1.5", "", "2.26.1", True)
    assert IPv4Network("172.28.0.0/24") not in found.networks
    assert found.ports_taken == ()
    assert found.disk_path == "/root"
    assert found.docker_kind == DockerKind("ssh://builder", "X", "/root/no", ("name=userns",))


def test_of_an_engine_that_runs_the_cloud_nothing_is_asked(docker, tmp_path):
    docker(f"#!/bin/sh\ntouch {tmp_path}/asked\n")
    found = facts.read([1], "26.1.5")
    assert (found.docker, found.docker_problem, bool(found.compose), found.stack_running) == ("26.1.5", "", True, True)
    assert (found.ports_taken, found.networks) == ((), {})
    assert not (tmp_path / "asked").exists()


def test_an_engine_without_compose_that_does_not_answer(docker):
    docker("#!/bin/sh\nexit 1\n")
    found = facts.read([])
    assert (found.docker, found.compose, found.stack_running) == (None, None, False)
    assert (found.docker_problem, found.docker_refuses) == ("", False)


def test_an_engine_that_is_not_this_user_s_to_ask_is_no_absent_one(docker, tmp_path, run_engine):
    docker("#!/bin/sh\nexit 1\n")
    # Debian has it where the PATH of those who are not root does not lead.
    (tmp_path / "sbin").mkdir()
    (tmp_path / "sbin/dockerd").touch(mode=0o755)
    assert facts.read([]).docker_problem == "installed, but it does not answer"
    run_engine()
    found = facts.read([])
    assert (found.docker, found.docker_problem, found.docker_refuses) == (
        None, "an engine runs, but does not answer you", True,
    )  # fmt: skip


def test_a_process_of_that_name_is_an_engine(tmp_path, monkeypatch):
    monkeypatch.undo()
    processes = tmp_path / "proc"
    for number, name in ((7, "containerd"), (8, None), (9, "dockerd")):
        (processes / str(number)).mkdir(parents=True)
        if name:
            (processes / str(number) / "comm").write_text(f"{name}\n")
    monkeypatch.setattr(facts, "Path", lambda *parts: processes if parts == ("/proc",) else Path(*parts))
    assert facts._dockerd_runs()
    (processes / "9/comm").write_text("dockerd-rootless\n")
    assert not facts._dockerd_runs()


@pytest.mark.parametrize(("volumes", "present"), [("provision_mariadb", True), ("", False)])
def test_a_cloud_that_is_down_is_there_by_its_data(docker, volumes, present):
    docker(DOCKER.replace("echo 0123", "true").replace('"volume ls")', f'"volume ls") echo {volumes}'))
    found = facts.read([])
    assert (found.stack_running, found.stack_present) == (False, present)


@pytest.mark.parametrize(("engine", "counts"), [("killed", False), ("gone", True), ("answers", True)])
def test_bridges_of_an_engine_that_was_killed_are_no_clash_until_it_can_say_whose_they_are(
    docker, tmp_path, monkeypatch, engine, counts
):
    docker(DOCKER.replace("172.28", "172.27") if engine == "answers" else "#!/bin/sh\nexit 1\n")
    if engine != "gone":
        (tmp_path / "dockerd").touch(mode=0o755)
    (tmp_path / "br-0/bridge").mkdir(parents=True)
    monkeypatch.setattr(
        facts, "Path", lambda *parts: tmp_path.joinpath(*parts[1:]) if parts[0] == "/sys/class/net" else Path(*parts)
    )
    monkeypatch.setattr(facts, "_routes", lambda: {IPv4Network("172.28.0.0/24"): "br-0"})
    assert (IPv4Network("172.28.0.0/24") in facts.read([]).networks) is counts


def test_no_docker(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = facts.read([])
    assert (found.docker, found.docker_problem, found.compose) == (None, "", None)
    assert found.apt is False


def test_an_engine_without_a_client(tmp_path, monkeypatch):
    (tmp_path / "dockerd").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert facts.read([]).docker_problem == "an engine is installed but has no client"


def test_a_port_that_is_taken(docker):
    docker(DOCKER)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert facts.read([port]).ports_taken == (port,)
    assert facts.read([port]).ports_taken == ()


def test_capabilities_are_a_set_of_bits():
    assert facts.capabilities() >= 0


@pytest.mark.parametrize(
    ("files", "servers"),
    [
        (
            {"/etc/resolv.conf": "# a\nnameserver 192.0.2.53\nnameserver 192.0.2.53\n"},
            ("192.0.2.53",),
        ),
        ({"/etc/resolv.conf": "nameserver 192.0.2.53\nnameserver 198.51.100.53"}, ("192.0.2.53", "198.51.100.53")),
        ({"/etc/resolv.conf": "nameserver fd00::53\nnameserver\nnameserver x\nsearch a\n"}, ()),
        (
            {
                "/etc/resolv.conf": "nameserver 127.0.0.53\n",
                "/run/systemd/resolve/resolv.conf": "nameserver 192.0.2.53\nnameserver fd00::53\n",
            },
            ("192.0.2.53",),
        ),
        ({"/etc/resolv.conf": "nameserver 127.0.0.1\n"}, ()),
        ({}, ()),
    ],
)
def test_name_servers_are_those_that_others_can_ask(monkeypatch, files, servers):
    def read(path):
        if str(path) in files:
            return files[str(path)]
        raise FileNotFoundError(str(path))

    monkeypatch.setattr(Path, "read_text", read)
    assert facts.name_servers() == servers
