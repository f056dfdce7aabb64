"""A host's part of the `local` cloud: capabilities that it lacks, and the state of its containers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def hypervisor_override(lacking: Sequence[str], *, kvm: bool, modules: bool) -> str:
    """Write this host's override of compute.yaml: capabilities that it lacks, KVM's device, kernel modules."""
    powerful = ("switch", "libvirt", "nova-compute", "metadata-agent")
    services: dict[str, dict[str, list[str]]] = {}
    for service in powerful:
        services[service] = {"cap_drop": list(lacking)} if lacking else {}
        if kvm and service in ("libvirt", "nova-compute"):
            services[service]["devices"] = ["/dev/kvm"]
    if modules:
        services["switch"]["volumes"] = ["/lib/modules:/lib/modules:ro"]
    return json.dumps({"services": services}, indent=1) + "\n"


# linux/capability.h, in its order: bit 0 is CHOWN.
_CAPABILITIES: Final = (  # noqa: SIM905 - a table of forty words reads best as words
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
    "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE "
    "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()


def lacking_capabilities(bounding: int) -> list[str]:
    """Name the capabilities that are missing in a bounding set: no container can have them."""
    return [name for bit, name in enumerate(_CAPABILITIES) if not bounding >> bit & 1]


@dataclass(frozen=True, slots=True)
class ServiceState:
    """A container of the local cloud, as Docker and Compose see it."""

    service: str
    container: str
    """The container's name."""
    state: str
    """Docker's state: created, running, restarting, exited, dead."""
    exit_code: int = 0
    restarts: int = 0
    image: str = ""
    started: str = ""
    id: str = ""
    project: str = ""
    number: int = 1
    """The replica's number."""
    created: str = ""
    digest: str = ""
    """Id of the image that the container was made from; the image's name may mean another one by now."""
    definition: str = ""
    """Compose's hash of the service definition that the container was made from."""
    configuration: str = ""
    """Hash of its family's rendered files when it was made."""
    registers: bool = False
    """Whether the Registrator registers it in Consul."""


def failed(states: Iterable[ServiceState], restarts_before: Mapping[str, int]) -> ServiceState | None:
    """Return a container that has exited or was restarted three times since `restarts_before`, if there is one."""
    for state in states:
        if state.state in ("exited", "dead"):
            return state
        if state.restarts - restarts_before.get(state.container, 0) >= 3:
            return state
    return None
