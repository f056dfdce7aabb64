"""Facts about this machine, read only. Standard library alone: this runs before anything is installed."""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision.adapters.host.process import run
from provision.base.constants import LOCALCLOUD_LABEL
from provision.model.localcloud.preflight import DockerKind, HostFacts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_OURS = f"label={LOCALCLOUD_LABEL}"
_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def read(ports: Iterable[int], engine: str = "") -> HostFacts:
    """Read the facts that the preflight judges, within a second; `ports` are those that should be free.

    `engine`: the version of one that runs the local cloud; then it has Compose, and the ports and networks are its own.
    """
    docker, problem = (engine, "") if engine else _docker()
    info = _info() if docker and not engine else {}
    running = bool(engine) or (bool(docker) and bool(_listed("ps", "--format", "{{.ID}}")))
    present = running or (bool(docker) and bool(_listed("volume", "ls", "-q")))
    disk = _existing(info.get("DockerRootDir") or "/var/lib/docker")
    return HostFacts(
        system=_system(),
        machine=platform.machine(),
        cpus=len(os.sched_getaffinity(0)),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        disk_free=shutil.disk_usage(disk).free,
        disk_path=str(disk),
        docker=docker,
        docker_problem=problem,
        docker_kind=_kind(info) if info else DockerKind(),
        compose="v2" if engine else _compose(),
        apt=shutil.which("apt-get") is not None,
        can_be_root=os.geteuid() == 0 or shutil.which("sudo") is not None,
        capabilities=capabilities(),
        cpu_virtualisation=_cpu_virtualisation(),
        kvm_device=Path("/dev/kvm").exists(),
        tun_device=Path("/dev/net/tun").exists(),
        openvswitch_module=_module("openvswitch"),
        ports_taken=() if engine else tuple(port for port in ports if _taken(port)),
        networks={} if engine else _networks(docker is not None),
        stack_running=running,
        stack_present=present,
        dockerd_runs=bool(engine) or _dockerd_runs(),
    )


def _system() -> tuple[str, str]:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return platform.system(), platform.release()
    return release.get("ID", "linux"), release.get("VERSION_ID", "")


def _docker() -> tuple[str | None, str]:
    if not shutil.which("docker"):
        return None, "an engine is installed but has no client" if _has_dockerd() else ""
    version = run(["docker", "version", "--format", "{{.Server.Version}}"], timeout=20)
    if version.ok and version.stdout.strip():
        return version.stdout.strip(), ""
    if _dockerd_runs():
        return None, "an engine runs, but does not answer you"
    return None, "installed, but it does not answer" if _has_dockerd() else ""


def _has_dockerd() -> bool:
    """Return whether an engine is installed. Debian has no sbin in the PATH of those who are not root."""
    return shutil.which("dockerd", path=os.pathsep.join([os.environ.get("PATH", ""), *_SBIN])) is not None


def _dockerd_runs() -> bool:
    for status in Path("/proc").glob("[0-9]*/comm"):
        try:
            if status.read_text().strip() == "dockerd":
                return True
        except OSError:
            # It has just ended.
            continue
    return False


def _info() -> dict[str, Any]:
    found = run(["docker", "info", "--format", "{{json .}}"], timeout=20)
    try:
        parsed = json.loads(found.stdout)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _kind(info: Mapping[str, Any]) -> DockerKind:
    # The endpoint of the context in use, or DOCKER_HOST.
    endpoint = run(["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"], timeout=20)
    return DockerKind(
        endpoint=endpoint.stdout.strip(),
        system=str(info.get("OperatingSystem") or ""),
        root=str(info.get("DockerRootDir") or ""),
        security=tuple(map(str, info.get("SecurityOptions") or ())),
    )


def _compose() -> str | None:
    if not shutil.which("docker"):
        return None
    result = run(["docker", "compose", "version", "--short"], timeout=20)
    version = result.stdout.strip().lstrip("v")
    return version if result.ok and version and int(version.split(".")[0]) >= 2 else None


def _listed(*words: str) -> list[str]:
    return run(["docker", *words, "--filter", _OURS], timeout=20).stdout.split()


def _networks(docker: bool) -> dict[IPv4Network, str]:
    """Return the networks that this machine routes to, with their interfaces, without those of our own cloud.

    An engine that was killed leaves its bridges, and takes them up again when it starts: until it answers, so that it
    can say which are ours, no bridge counts.
    """
    if docker:
        own = _own_networks()
        return {network: interface for network, interface in _routes().items() if network not in own}
    installed = _has_dockerd() or _dockerd_runs()
    return {
        network: interface
        for network, interface in _routes().items()
        if not (installed and Path("/sys/class/net", interface, "bridge").exists())
    }


def _own_networks() -> set[IPv4Network]:
    """Return the networks of our own cloud, running or not: they do not clash with it."""
    ids = _listed("network", "ls", "-q")
    if not ids:
        return set()
    subnets = run(["docker", "network", "inspect", "-f", "{{range .IPAM.Config}}{{.Subnet}} {{end}}", *ids], timeout=20)
    return {IPv4Network(text) for text in subnets.stdout.split()}


def _existing(folder: str) -> Path:
    """Return a folder, or the one above it that exists."""
    path = Path(folder)
    # Not its own exists(), which fails below a folder that others may not search.
    while not os.path.exists(path):  # noqa: PTH110
        path = path.parent
    return path


def capabilities() -> int:
    """Return the bounding set of process 1: the capabilities that a container on this machine can have at most."""
    for status in ("/proc/1/status", "/proc/self/status"):
        try:
            for line in Path(status).read_text().splitlines():
                if line.startswith("CapBnd:"):
                    return int(line.split()[1], 16)
        except OSError:
            continue
    return 0


def name_servers() -> tuple[str, ...]:
    """Return the IPv4 addresses of the name servers that this machine asks, if others can ask them too.

    systemd-resolved listens on the loopback, and names those that it asks in a file of its own.
    """
    for file in ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"):
        found = []
        try:
            lines = Path(file).read_text().splitlines()
        except OSError:
            continue
        for words in map(str.split, lines):
            try:
                if words[:1] == ["nameserver"] and not IPv4Address(words[1]).is_loopback:
                    found.append(words[1])
            except (AddressValueError, IndexError):
                continue
        if found:
            return tuple(dict.fromkeys(found))
    return ()


def interface_mtu(address: str) -> int:
    """Return the MTU of the interface that has an address; 0 if there is none."""
    found = run(["ip", "-json", "address", "show", "to", address], timeout=20)
    try:
        # Where others are filtered out, older versions print an empty object for each.
        return next((int(each["mtu"]) for each in json.loads(found.stdout) if each), 0)
    except ValueError:
        return 0


def _cpu_virtualisation() -> bool:
    try:
        flags = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):
        return False
    return bool({"vmx", "svm"} & set(flags.split()))


def _module(name: str) -> bool:
    """Return whether the kernel has a module: loaded, built in or on disk."""
    if Path("/sys/module", name).exists():
        return True
    folder = Path("/lib/modules", platform.release())
    return any(
        f"/{name}.ko" in line
        for index in ("modules.dep", "modules.builtin")
        if (folder / index).exists()
        for line in (folder / index).read_text().splitlines()
    )


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _routes() -> dict[IPv4Network, str]:
    """Return each network that this machine has a route to, and its interface (proc(5), /proc/net/route)."""
    try:
        rows = Path("/proc/net/route").read_text().splitlines()[1:]
    except OSError:
        return {}
    found = {}
    for row in rows:
        fields = row.split()
        address, mask = (int.from_bytes(bytes.fromhex(fields[i]), "little") for i in (1, 7))
        # Without a mask it is the default route.
        if mask:
            found[IPv4Network((address, mask.bit_count()))] = fields[0]
    return found
