from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from provision.model.localcloud.preflight import GIB, DockerKind, HostFacts, judge, lines

WANTED = (IPv4Network("172.28.0.0/24"),)
BARE = HostFacts(
    system=("debian", "12"),
    machine="x86_64",
    cpus=2,
    memory=24 * GIB,
    disk_free=70 * GIB,
    disk_path="/var/lib",
    docker=None,
    docker_problem="",
    compose=None,
    apt=True,
    can_be_root=True,
    capabilities=(1 << 41) - 1,
    cpu_virtualisation=True,
    kvm_device=True,
    tun_device=True,
    openvswitch_module=True,
    ports_taken=(),
    networks={IPv4Network("192.0.2.0/24"): "eth0"},
)

PROBLEMS = [
    ("system", {"machine": "aarch64"}, "fail", "x86_64"),
    ("system", {"system": ("fedora", "44")}, "fail", "Install Docker"),
    ("system", {"system": ("fedora", "44"), "docker": "28.0", "compose": "2.30"}, "warn", "not tested"),
    ("processors", {"cpus": 1}, "fail", "second processor"),
    ("memory", {"memory": 8 * GIB}, "fail", "larger machine"),
    ("memory", {"memory": 12 * GIB}, "warn", "smaller flavors"),
    ("disk", {"disk_free": 19 * GIB}, "fail", "/var/lib"),
    ("disk", {"disk_free": 1 * GIB, "stack_present": True}, "fail", "docker image prune"),
    ("Docker", {"can_be_root": False}, "fail", "as root or with sudo"),
    ("Docker", {"docker_problem": "installed, but it does not answer", "can_be_root": False}, "fail", "Start it"),
    (
        "Docker",
        {"docker_problem": "an engine runs, but does not answer you", "can_be_root": False, "dockerd_runs": True},
        "fail",
        "added to the group docker",
    ),
    ("capabilities", {"capabilities": (1 << 41) - 1 - (1 << 12)}, "fail", "restricts containers"),
    ("capabilities", {"tun_device": False}, "fail", "modprobe tun"),
    ("ports", {"ports_taken": (5000, 9292)}, "fail", "5000, 9292"),
    ("ports", {"ports_taken": (5000,), "dockerd_runs": True}, "fail", "It may be the cloud itself"),
    ("networks", {"networks": {IPv4Network("172.28.0.0/25"): "tun0"}}, "fail", "Disconnect"),
    ("networks", {"networks": {IPv4Network("172.28.0.0/16"): "br-0123456789ab"}}, "fail", "docker network ls"),
    ("networks", {"networks": {IPv4Network("172.16.0.0/12"): "tun0"}}, "warn", "does not reach"),
    ("networks", {"networks": {WANTED[0]: "br-0123456789ab"}}, "fail", "ip link delete br-0123456789ab"),
    ("networks", {"networks": {WANTED[0]: "br-0123456789ab"}, "dockerd_runs": True}, "fail", "starts anew"),
    ("networks", {"networks": {WANTED[0]: "br-0"}, "docker": "28.0", "compose": "2"}, "fail", "starts anew"),
    ("virtualisation", {"kvm_device": False}, "warn", "modprobe kvm"),
    ("virtualisation", {"cpu_virtualisation": False}, "warn", "nested virtualisation"),
]


def test_a_fresh_machine_passes_every_check() -> None:
    assert {check.level for check in judge(BARE, WANTED)} == {"ok"}


ORDINARY = DockerKind(
    "unix:///var/run/docker.sock", "Debian GNU/Linux 13 (trixie)", "/var/lib/docker", ("name=seccomp,profile=builtin",)
)
KINDS = {
    "rootless": (replace(ORDINARY, security=("name=seccomp,profile=builtin", "name=rootless")), "context use default"),
    "userns-remap": (replace(ORDINARY, security=("name=userns",)), "daemon.json"),
    "snap": (replace(ORDINARY, root="/var/snap/docker/common/var-lib-docker"), "snap remove docker"),
    "Docker Desktop": (replace(ORDINARY, system="Docker Desktop"), "context use default"),
    "another machine": (replace(ORDINARY, endpoint="ssh://me@builder"), "DOCKER_HOST"),
}


@pytest.mark.parametrize("name", KINDS)
def test_an_engine_that_cannot_run_it_is_named(name) -> None:
    kind, remedy = KINDS[name]
    engine = {"docker": "28.0", "compose": "2.30", "docker_kind": kind}
    checks = {check.subject: check for check in judge(replace(BARE, **engine), WANTED)}
    assert (checks["Docker"].level, name in checks["Docker"].found) == ("fail", True)
    assert remedy in checks["Docker"].remedy
    # What runs proves that it can.
    assert {check.level for check in judge(replace(BARE, **engine, stack_running=True), WANTED)} == {"ok"}


@pytest.mark.parametrize("endpoint", [ORDINARY.endpoint, "", "tcp://127.0.0.1:2375"])
def test_an_ordinary_engine_passes(endpoint) -> None:
    kind = replace(ORDINARY, endpoint=endpoint)
    assert {check.level for check in judge(replace(BARE, docker="28.0", compose="2", docker_kind=kind), WANTED)} == {
        "ok"
    }


def test_a_vpn_for_everything_is_no_clash() -> None:
    halves = {IPv4Network("0.0.0.0/1"): "tun0", IPv4Network("128.0.0.0/1"): "tun0"}
    assert {check.level for check in judge(replace(BARE, networks=halves), WANTED)} == {"ok"}


@pytest.mark.parametrize(("subject", "change", "level", "remedy"), PROBLEMS)
def test_each_problem_has_its_line_and_its_remedy(subject, change, level, remedy) -> None:
    checks = {check.subject: check for check in judge(replace(BARE, **change), WANTED)}
    assert checks[subject].level == level
    assert remedy in checks[subject].remedy
    assert [check.subject for check in checks.values() if check.level == "fail"] == (
        [subject] if level == "fail" else []
    )
    assert any(remedy in line for line in lines(list(checks.values())))


@pytest.mark.parametrize("known", [{"stack_present": True, "docker": "28.0", "compose": "2"}, {"dockerd_runs": True}])
def test_a_cloud_that_is_down_has_taken_its_part_of_the_disk(known) -> None:
    checks = {check.subject: check for check in judge(replace(BARE, disk_free=3 * GIB, **known), WANTED)}
    assert (checks["disk"].level, checks["disk"].needed) == ("ok", "2 GiB")


@pytest.mark.parametrize("engine", [{}, {"dockerd_runs": True}, {"docker": "28.0", "compose": "2"}])
def test_nothing_is_advised_that_would_destroy_a_cloud_which_nobody_could_ask_for(engine) -> None:
    """What is down has no containers, so Docker counts its images and volumes as unused."""
    troubles = {"disk_free": GIB, "ports_taken": (5000,), "networks": {WANTED[0]: "br-provision"}}
    advice = " ".join(check.remedy for check in judge(replace(BARE, **troubles, **engine), WANTED))
    assert "system prune" not in advice
    assert ("ip link delete" in advice) == (not engine)
    assert ("Stop these programs" in advice) == ("dockerd_runs" not in engine)


def test_an_engine_that_refuses_this_user_is_not_started() -> None:
    said = {"docker_problem": "an engine runs, but does not answer you"}
    for runs, end in ((True, "answer you"), (False, "it will be started")):
        checks = {check.subject: check for check in judge(replace(BARE, **said, dockerd_runs=runs), WANTED)}
        assert (checks["Docker"].level, checks["Docker"].found.endswith(end)) == ("ok", True)


def test_our_own_running_stack_is_no_clash_with_itself() -> None:
    networks = dict.fromkeys(WANTED, "br-0")
    running = replace(BARE, docker="28.0", compose="2.30", ports_taken=(5000,), networks=networks, stack_running=True)
    assert {check.level for check in judge(running, WANTED)} == {"ok"}
