"""The `local` cloud's own files: passwords made once, configuration rendered from them, and the Compose projects."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provision.adapters.consul.catalogue import Catalogue
from provision.adapters.docker.compose import Compose
from provision.adapters.docker.engine import is_here, leaves_out_lacking
from provision.adapters.host import facts, files
from provision.adapters.host.files import ensure_private
from provision.base import paths
from provision.base.errors import UsageError
from provision.model.localcloud import host as stack_host
from provision.model.localcloud import image_families, render
from provision.model.localcloud import settings as stack
from provision.model.localcloud.replicas import SCALABLE_SERVICES
from provision.model.localcloud.settings import GivenTls, Settings
from provision.operations.localcloud.shared import tls as stack_tls
from provision.operations.localcloud.shared.images import contexts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from provision.adapters.docker.engine import Engine
    from provision.base.progress import Progress

_PASSWORDS: Final = "passwords.json"
_CHOICES: Final = "choices.json"
_RESTORING: Final = "restoring"


@dataclass(frozen=True, slots=True)
class Installation:
    """The local cloud as it shall be: its settings, its passwords (never shown) and what Compose is told."""

    settings: Settings
    passwords: Mapping[str, str]
    inputs: Mapping[str, str]
    control: Compose
    hypervisors: tuple[Compose, ...]
    first: bool
    """Whether its passwords were made just now: nothing that runs already can log in with them."""
    configurations: frozenset[str] = frozenset()
    """The hashes of all families' rendered documents."""

    @property
    def copies(self) -> dict[str, int]:
        """How many copies each copied service shall have."""
        return {each.service: self.settings.replicas_of(each.service) for each in SCALABLE_SERVICES}

    def __repr__(self) -> str:
        return f"Installation({self.settings!r})"


def load_settings() -> Settings:
    """Read what the user has chosen of the local cloud so far."""
    try:
        known = json.loads((paths.localcloud_dir() / _CHOICES).read_text())
    except FileNotFoundError:
        known = {}
    given = known.get("tls")
    tls = given and GivenTls(
        given["host"], Path(given["cert"]), Path(given["key"]), given["authority"] and Path(given["authority"])
    )
    return Settings(
        # `copies` is what version 0.1 wrote.
        replicas=known.get("replicas", known.get("copies", {})),
        tls=tls, ha=known.get("ha", False), swarm=known.get("swarm", False), members=tuple(known.get("members", ())),
    )  # fmt: skip


def save_settings(settings: Settings) -> None:
    """Keep what the user has chosen, for every command that comes."""
    tls = settings.tls and asdict(settings.tls)
    known = {
        "replicas": dict(settings.replicas), "tls": tls, "ha": settings.ha, "swarm": settings.swarm,
        **({"members": settings.members} if settings.members else {}),
    }  # fmt: skip
    ensure_private(paths.localcloud_dir() / _CHOICES, json.dumps(known, indent=1, default=str) + "\n")


def choose_tls(given: GivenTls | None) -> None:
    """Keep the user's certificate as the one to show, or go back to the installation's own; raises UsageError."""
    save_settings(replace(load_settings(), tls=given and stack_tls.accept(given)))


def ensure_files(tags: Mapping[str, str]) -> Installation:
    """Write what is missing or has changed: passwords, rendered documents, Compose's values; all of mode 0600."""
    settings = load_settings()
    folder = paths.localcloud_dir()
    first = not read_passwords()
    passwords = _ensure_passwords(folder / _PASSWORDS)
    # For the operator: `consul`, curl and Consul's own page take it.
    ensure_private(folder / "consul-token", passwords["consul_management"])
    stack_tls.ensure_ovn(settings)
    rendered = rendered_documents(settings, passwords)
    for name, text in render.placed(rendered).items():
        ensure_private(folder / "etc" / name, text)
    stack_tls.ensure_tls(settings)
    inputs = render.migration_inputs(settings, tags, passwords)
    values = render.environment(settings, tags, rendered, inputs, folder / "etc")
    ensure_private(folder / "compose.env", render.env_file(values))
    lacking = [] if leaves_out_lacking() else stack_host.lacking_capabilities(facts.capabilities())
    override = stack_host.hypervisor_override(lacking, kvm=is_here("/dev/kvm"), modules=is_here("/lib/modules"))
    ensure_private(folder / "hypervisor.yaml", override)
    current = frozenset(render.configurations(rendered).values())
    return Installation(settings, passwords, inputs, control(), hypervisors(settings), first, current)


def drop_unused(engine: Engine, installation: Installation) -> None:
    """Remove rendered documents that no container was made from, and none would be now."""
    used = installation.configurations | {state.configuration for state in engine.states()}
    for folder in (paths.localcloud_dir() / "etc").glob("*/*/"):
        if folder.name not in used:
            shutil.rmtree(folder)


def is_installed() -> bool:
    """Whether there is a local cloud on this machine, running or not."""
    return (paths.localcloud_dir() / "compose.env").exists()


def exclusive_lock(progress: Progress) -> AbstractContextManager[None]:
    """Let one command at a time change the local cloud."""
    return files.exclusive_lock(
        paths.localcloud_dir() / "lock", lambda: progress.note("another `provision cloud` is at work: waiting")
    )


def this_checkout() -> dict[str, str]:
    """Work out what Compose would be told by this checkout; writes nothing."""
    settings, tags = load_settings(), image_families.image_tags(contexts())
    known = read_passwords()
    passwords = {name: known.get(name, "") for name in stack.PASSWORDS}
    inputs = render.migration_inputs(settings, tags, passwords)
    rendered = rendered_documents(settings, passwords)
    return render.environment(settings, tags, rendered, inputs, paths.localcloud_dir() / "etc")


def rendered_documents(settings: Settings, passwords: Mapping[str, str]) -> dict[str, str]:
    """Render every configuration file, certificates of this installation's own included."""
    return render.documents(settings, passwords, stack_tls.ovn_files(settings))


def control() -> Compose:
    """Return the control plane's Compose project."""
    folder = paths.localcloud_dir()
    files = ("stack.yaml", "ha.yaml") if load_settings().ha else ("stack.yaml",)
    return Compose(stack.PROJECT, tuple(paths.COMPOSE / name for name in files), folder / "compose.env", _unwritten())


def hypervisors(settings: Settings) -> tuple[Compose, ...]:
    """Return one Compose project per hypervisor of this machine."""
    folder = paths.localcloud_dir()
    files = (paths.COMPOSE / "compute.yaml", folder / "hypervisor.yaml")
    return tuple(
        Compose(f"{stack.PROJECT}-{name}", files, folder / "compose.env", {"HYPERVISOR": name})
        for name in settings.hypervisors
    )


def catalogue(settings: Settings) -> Catalogue:
    """Return this machine's Consul, with the operator's rights where it asks for them."""
    try:
        token = (paths.localcloud_dir() / "consul-token").read_text().strip()
    except FileNotFoundError:
        token = ""
    return Catalogue(settings.local_url(settings.ports.consul), token)


def _unwritten() -> dict[str, str]:
    """Return values that an older version did not write: Compose would refuse to stop, even, what that has started."""
    try:
        written = (paths.localcloud_dir() / "compose.env").read_text().splitlines()
    except FileNotFoundError:
        return {}
    known = {line.partition("=")[0] for line in written}
    return {key: value for key, value in this_checkout().items() if key not in known}


def read_passwords() -> dict[str, str]:
    """Read the installation's passwords; none where it has none yet."""
    try:
        known: dict[str, str] = json.loads((paths.localcloud_dir() / _PASSWORDS).read_text())
    except FileNotFoundError:
        return {}
    return known


def new_password(name: str) -> str:
    """Make a secret in the form that its user takes: UUIDs as Consul's tokens, and 32 bytes wherever it is a key."""
    if name == "consul_gossip":
        return base64.b64encode(secrets.token_bytes(32)).decode()
    if name in ("keystone_fernet", "keystone_credential"):
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return str(uuid.uuid4()) if name.startswith("consul_") else secrets.token_urlsafe(24)


def passwords_text() -> str:
    """Return the file of the installation's passwords as it is."""
    return (paths.localcloud_dir() / _PASSWORDS).read_text()


def passwords_document(passwords: Mapping[str, str]) -> str:
    """Write passwords as their file has them."""
    return json.dumps(passwords, indent=1) + "\n"


def write_passwords(text: str) -> None:
    """Put other passwords in the place of the installation's."""
    ensure_private(paths.localcloud_dir() / _PASSWORDS, text)


def begin_restoring(file: Path) -> None:
    """Note that the data is not whole until `end_restoring`."""
    ensure_private(paths.localcloud_dir() / _RESTORING, str(file))


def end_restoring() -> None:
    """Note that the data is whole."""
    (paths.localcloud_dir() / _RESTORING).unlink(missing_ok=True)


def require_whole_data() -> None:
    """Raise UsageError where a restore was broken off: what is there is half of the old and half of the new."""
    try:
        file = (paths.localcloud_dir() / _RESTORING).read_text()
    except FileNotFoundError:
        return
    raise UsageError(
        f"restoring {file} was broken off, and the cloud's data is not whole",
        f"run `provision cloud restore {file}` again; `provision cloud down --purge` begins anew",
    )


def _ensure_passwords(path: Path) -> dict[str, str]:
    """Read the installation's passwords and make those that are missing."""
    known = read_passwords()
    made = {name: known.get(name) or new_password(name) for name in stack.PASSWORDS}
    ensure_private(path, passwords_document(made))
    return made
