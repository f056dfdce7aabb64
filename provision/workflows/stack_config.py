"""The `local` cloud's own files: passwords made once, configuration rendered from them, and the Compose projects."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from provision.base import paths
from provision.doors import host
from provision.doors.compose import Compose
from provision.doors.docker import is_here
from provision.doors.files import ensure_private
from provision.pure import stack, stack_host
from provision.pure.stack import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PASSWORDS: Final = "passwords.json"
_CHOICES: Final = "choices.json"


@dataclass(frozen=True, slots=True)
class Installation:
    """The local cloud as it shall be: its settings, its passwords (never shown) and what Compose is told."""

    settings: Settings
    passwords: Mapping[str, str]
    inputs: Mapping[str, str]
    control: Compose
    hypervisors: tuple[Compose, ...]

    def __repr__(self) -> str:
        return f"Installation({self.settings!r})"


def chosen() -> Settings:
    """Read what the user has chosen of the local cloud so far."""
    try:
        known = json.loads((paths.stack_dir() / _CHOICES).read_text())
    except FileNotFoundError:
        known = {}
    return Settings(ha=known.get("ha", False), copies=known.get("copies", {}))


def choose(settings: Settings) -> None:
    """Keep what the user has chosen, for every command that comes."""
    known = {"ha": settings.ha, "copies": dict(settings.copies)}
    ensure_private(paths.stack_dir() / _CHOICES, json.dumps(known, indent=1) + "\n")


def ensure_files(tags: Mapping[str, str]) -> Installation:
    """Write what is missing or has changed: passwords, rendered documents, Compose's values; all of mode 0600."""
    settings = chosen()
    folder = paths.stack_dir()
    passwords = _ensure_passwords(folder / _PASSWORDS)
    rendered = stack.documents(settings, passwords)
    for name, text in rendered.items():
        ensure_private(folder / "etc" / name, text)
    inputs = stack.migration_inputs(settings, tags, passwords)
    values = stack.environment(settings, tags, rendered, inputs, folder / "etc")
    ensure_private(folder / "compose.env", stack.env_file(values))
    lacking = stack_host.lacking_capabilities(host.capabilities())
    override = stack_host.hypervisor_override(lacking, kvm=is_here("/dev/kvm"), modules=is_here("/lib/modules"))
    ensure_private(folder / "hypervisor.yaml", override)
    return Installation(settings, passwords, inputs, control(), hypervisors(settings))


def control() -> Compose:
    """Return the control plane's Compose project."""
    folder = paths.stack_dir()
    files = ("stack.yaml", "ha.yaml") if chosen().ha else ("stack.yaml",)
    return Compose(stack.PROJECT, tuple(paths.COMPOSE / name for name in files), folder / "compose.env", {})


def hypervisors(settings: Settings) -> tuple[Compose, ...]:
    """Return one Compose project per hypervisor of this machine."""
    folder = paths.stack_dir()
    files = (paths.COMPOSE / "compute.yaml", folder / "hypervisor.yaml")
    return tuple(
        Compose(f"{stack.PROJECT}-{name}", files, folder / "compose.env", {"HYPERVISOR": name})
        for name in settings.hypervisors
    )


def read_passwords() -> dict[str, str]:
    """Read the installation's passwords; none where it has none yet."""
    try:
        known: dict[str, str] = json.loads((paths.stack_dir() / _PASSWORDS).read_text())
    except FileNotFoundError:
        return {}
    return known


def _ensure_passwords(path: Path) -> dict[str, str]:
    """Read the installation's passwords and make those that are missing."""
    known = read_passwords()
    made = {name: known.get(name) or secrets.token_urlsafe(24) for name in stack.PASSWORDS}
    ensure_private(path, json.dumps(made, indent=1) + "\n")
    return made
