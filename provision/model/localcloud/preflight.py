"""The preflight: checks, from facts about a machine, whether it can run the `local` cloud.

Standard library only: `setup.sh` runs this before anything is installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Network

GIB = 1024**3

# Measured: control plane 2.2 GiB, a compute node 0.7, up to three guests with 2 GiB each, and room for the page cache.
MEMORY_NEEDED = 11 * GIB
MEMORY_COMFORTABLE = 15 * GIB
# Measured: images 6 GiB, golden image and its cache 4, guests' disks and databases 6.
DISK_NEEDED = 20 * GIB
# What a cloud that is there already has taken its part of. Below this, doctor reports a disk, however large it is.
LEAST_FREE = 2 * GIB
# Capabilities that nova-compute, libvirt and Open vSwitch use. A container cannot have one that its host lacks.
CAPABILITIES = {"NET_ADMIN": 12, "NET_RAW": 13, "SYS_ADMIN": 21, "MKNOD": 27}
SYSTEMS = {("debian", "12"), ("debian", "13"), ("ubuntu", "24.04")}

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class DockerKind:
    """What kind of engine answers; empty where that is not known."""

    endpoint: str = ""
    """Its URL."""
    system: str = ""
    """Name of the system that it runs on."""
    root: str = ""
    """Folder of its data."""
    security: tuple[str, ...] = ()
    """As `docker info` lists them: `name=rootless`, `name=seccomp,profile=default`."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Facts about the machine: sizes in bytes, capabilities as the kernel's bit mask."""

    system: tuple[str, str]
    """ID and VERSION_ID of /etc/os-release."""
    machine: str
    cpus: int
    memory: int
    disk_free: int
    disk_path: str
    docker: str | None
    """Version of the engine; None if no engine answers."""
    docker_problem: str
    """Why an installed engine does not answer."""
    compose: str | None
    apt: bool
    can_be_root: bool
    capabilities: int
    cpu_virtualisation: bool
    kvm_device: bool
    tun_device: bool
    openvswitch_module: bool
    ports_taken: tuple[int, ...]
    networks: Mapping[IPv4Network, str]
    """Networks that this machine already routes to, without the local cloud's own, with their interfaces."""
    stack_running: bool = False
    stack_present: bool = False
    """Whether the local cloud has data here, running or not."""
    dockerd_runs: bool = False
    """Whether an engine runs, also one that does not answer this user."""
    docker_kind: DockerKind = DockerKind()

    @property
    def docker_refuses(self) -> bool:
        """Whether an engine runs that does not answer: what it runs is not known then, and may be this cloud."""
        return self.dockerd_runs and not self.docker


@dataclass(frozen=True, slots=True)
class PreflightCheck:
    """The result of one check."""

    level: Level
    subject: str
    found: str
    needed: str
    remedy: str = ""


def judge(facts: HostFacts, wanted_networks: tuple[IPv4Network, ...]) -> list[PreflightCheck]:
    """Check a machine, one result per subject. With any `fail` nothing may be started."""
    return [
        _system(facts),
        PreflightCheck("ok", "processors", f"{facts.cpus}", "2")
        if facts.cpus >= 2
        else PreflightCheck("fail", "processors", f"{facts.cpus}", "2", "Give this machine a second processor."),
        _memory(facts),
        _disk(facts),
        _docker(facts),
        _capabilities(facts),
        _ports(facts),
        _networks(facts, wanted_networks),
        _virtualisation(facts),
        PreflightCheck("ok", "virtual networks", "the kernel's Open vSwitch", "Open vSwitch")
        if facts.openvswitch_module
        else PreflightCheck(
            "ok", "virtual networks", "no kernel module: Open vSwitch runs in user space", "Open vSwitch"
        ),
    ]


def _system(facts: HostFacts) -> PreflightCheck:
    name = " ".join(facts.system)
    needed = "Debian 12 or 13 or Ubuntu 24.04 on x86_64"
    if facts.machine != "x86_64":
        return PreflightCheck("fail", "system", f"{name} on {facts.machine}", needed, "Use an x86_64 machine.")
    if facts.system in SYSTEMS:
        return PreflightCheck("ok", "system", name, needed)
    if facts.docker and facts.compose:
        return PreflightCheck(
            "warn", "system", name, needed, "This system is not tested. Docker and Compose are there, so it may work."
        )
    return PreflightCheck(
        "fail", "system", name, needed, "Install Docker and its compose plugin yourself, then run this again."
    )


def _memory(facts: HostFacts) -> PreflightCheck:
    found = f"{facts.memory / GIB:.0f} GiB"
    needed = f"{MEMORY_NEEDED // GIB} GiB ({MEMORY_COMFORTABLE // GIB} for comfort)"
    if facts.memory >= MEMORY_COMFORTABLE or facts.stack_running:
        return PreflightCheck("ok", "memory", found, needed)
    if facts.memory >= MEMORY_NEEDED:
        return PreflightCheck("warn", "memory", found, needed, "Choose smaller flavors in cluster.yaml if it swaps.")
    return PreflightCheck("fail", "memory", found, needed, "Use a larger machine, or another cloud than `local`.")


def _disk(facts: HostFacts) -> PreflightCheck:
    found = f"{facts.disk_free / GIB:.0f} GiB free below {facts.disk_path}"
    # An engine that refuses cannot say whether it is there.
    least = LEAST_FREE if facts.stack_present or facts.docker_refuses else DISK_NEEDED
    needed = f"{least // GIB} GiB"
    if facts.disk_free >= least or facts.stack_running:
        return PreflightCheck("ok", "disk", found, needed)
    return PreflightCheck(
        "fail",
        "disk",
        found,
        needed,
        # Not `docker system prune`: a cloud that is down has no containers, so its images count as unused, and its
        # volumes with all data do so for Docker 20.10 (https://github.com/moby/moby/issues/40693).
        f"Free some space below {facts.disk_path}: `docker system df` shows what Docker holds, and "
        "`docker image prune` removes images without a name.",
    )


def _docker(facts: HostFacts) -> PreflightCheck:
    needed = "an engine, with Compose v2"
    if facts.docker and not facts.stack_running and (unfit := _unfit(facts.docker_kind)):
        return PreflightCheck("fail", "Docker", unfit[0], needed, unfit[1])
    if facts.docker:
        compose = f", Compose {facts.compose}" if facts.compose else ", Compose v2 will be installed"
        return PreflightCheck("ok", "Docker", f"engine {facts.docker}{compose}", needed)
    if facts.docker_problem:
        if facts.can_be_root:
            then = "" if facts.docker_refuses else "; it will be started"
            return PreflightCheck("ok", "Docker", f"{facts.docker_problem}{then}", needed)
        remedy = "Start it, or run this as root or with sudo."
        if facts.docker_refuses:
            # Not as root: its local cloud would take the place of the one that runs.
            remedy = "Have your account added to the group docker, and log out and in again."
        return PreflightCheck("fail", "Docker", facts.docker_problem, needed, remedy)
    if facts.apt and facts.can_be_root:
        return PreflightCheck("ok", "Docker", "none; it will be installed from the system's packages", needed)
    return PreflightCheck(
        "fail",
        "Docker",
        "none",
        needed,
        "Install a Docker engine, or run this as root or with sudo to have it installed.",
    )


def _unfit(kind: DockerKind) -> tuple[str, str] | None:
    """Return why the local cloud cannot run on this kind of engine, and what to do; None where it can."""
    other = "Install the system's own engine, and choose it: `docker context use default`, without DOCKER_HOST."
    if "Docker Desktop" in kind.system:
        return "Docker Desktop, whose containers run in a VM of its own", other
    parts = urlsplit(kind.endpoint)
    if parts.scheme not in {"", "unix"} and parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
        return f"an engine on another machine ({kind.endpoint})", other
    names = {each.partition(",")[0] for each in kind.security}
    if "name=rootless" in names:
        return "a rootless engine, which cannot give containers networks and devices", other
    if "name=userns" in names:
        return "an engine that gives containers other users' numbers (userns-remap)", (
            "Take `userns-remap` out of /etc/docker/daemon.json, and start the engine again."
        )
    if kind.root.startswith("/var/snap/"):
        return "the snap of Docker, which may not read the hidden folders that the cloud's files are in", (
            "Remove it (`sudo snap remove docker`), then run this again: the system's own package is installed."
        )
    return None


def _capabilities(facts: HostFacts) -> PreflightCheck:
    lacking = [name for name, bit in CAPABILITIES.items() if not facts.capabilities >> bit & 1]
    needed = ", ".join(CAPABILITIES)
    if lacking:
        return PreflightCheck(
            "fail",
            "capabilities",
            f"without {', '.join(lacking)}",
            needed,
            "This host restricts containers too much: use a VM.",
        )
    if not facts.tun_device:
        return PreflightCheck(
            "fail", "capabilities", "no /dev/net/tun", "/dev/net/tun", "Load the tun module: `modprobe tun`."
        )
    return PreflightCheck("ok", "capabilities", "all that is needed", needed)


def _ports(facts: HostFacts) -> PreflightCheck:
    if not facts.ports_taken or facts.stack_running:
        return PreflightCheck("ok", "ports", "free", "the cloud's API ports on 127.0.0.1")
    taken = ", ".join(map(str, facts.ports_taken))
    remedy = f"`ss -ltnp` shows which programs use {taken}. Stop these programs."
    if facts.docker_refuses:
        remedy = (
            "It may be the cloud itself: a Docker engine runs here that does not answer you. Log out and in again if "
            "you have just joined the group docker; if it is another user's cloud, run this as that user."
        )
    return PreflightCheck("fail", "ports", f"in use on 127.0.0.1: {taken}", "the cloud's API ports", remedy)


def _networks(facts: HostFacts, wanted: tuple[IPv4Network, ...]) -> PreflightCheck:
    overlapping = {other: name for own in wanted for other, name in facts.networks.items() if own.overlaps(other)}
    # A VPN for everything routes two halves of all addresses, as a default route would be.
    overlapping = {other: name for other, name in overlapping.items() if other.prefixlen > 1}
    # Ours go before a wider route; only Docker does not make a network within another one of its own.
    clashes = {
        other: name
        for other, name in overlapping.items()
        if name.startswith(("br-", "docker")) or not any(own != other and own.subnet_of(other) for own in wanted)
    }
    needed = "free: " + ", ".join(map(str, wanted))
    if clashes and not facts.stack_running:
        remedy = "Disconnect that network (a VPN, another container network), then run this again."
        # Docker names its bridges so. While an engine runs, one that it does not list may be another engine's.
        if left := sorted({name for name in clashes.values() if name.startswith("br-")}):
            deleted = ", ".join(f"`sudo ip link delete {name}`" for name in left)
            remedy = "If `docker network ls` shows whose network it is, remove that; if not, an engine " + (
                "that runs (rootless, a snap, another context) may have made it, and one that is gone may have left "
                "it: that one's goes when this machine starts anew. Then run this again."
                if facts.docker or facts.dockerd_runs
                else f"that is gone has left it: {deleted}. Then run this again."
            )
        found = ", ".join(f"{other} ({name})" for other, name in clashes.items())
        return PreflightCheck("fail", "networks", f"already routed here: {found}", needed, remedy)
    if overlapping and not facts.stack_running:
        found = ", ".join(f"{other} ({name})" for other, name in overlapping.items())
        return PreflightCheck(
            "warn",
            "networks",
            f"parts of wider ones: {found}",
            needed,
            "While the cloud runs, this machine does not reach what has these addresses there.",
        )
    return PreflightCheck("ok", "networks", "free", needed)


def _virtualisation(facts: HostFacts) -> PreflightCheck:
    needed = "KVM for speed; emulation works without"
    if facts.stack_running:
        return PreflightCheck("ok", "virtualisation", "decided when the cloud was started", needed)
    if facts.cpu_virtualisation and facts.kvm_device:
        return PreflightCheck("ok", "virtualisation", "KVM is offered; a trial boot decides", needed)
    if facts.cpu_virtualisation:
        return PreflightCheck(
            "warn",
            "virtualisation",
            "the processor can, but there is no /dev/kvm",
            needed,
            "Run `modprobe kvm_intel` or `modprobe kvm_amd`.",
        )
    return PreflightCheck(
        "warn",
        "virtualisation",
        "none: VMs will be emulated (about ten times slower)",
        needed,
        "If this is a VM, turn on nested virtualisation on its host; otherwise VMs stay slow.",
    )


def lines(checks: list[PreflightCheck]) -> list[str]:
    """Write the checks as aligned plain text, each remedy below its check."""
    marks = {"ok": "✓", "warn": "!", "fail": "✗"}
    out = []
    for check in checks:
        out.append(f"  {marks[check.level]} {check.subject:16} {check.found}  (needed: {check.needed})")
        if check.remedy:
            out.append(f"      what to do: {check.remedy}")
    return out
