"""The local cloud's own files: passwords, settings, rendered configuration, and the Compose projects that use them."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import uuid
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provision.adapters.consul.catalogue import Catalogue
from provision.adapters.docker.compose import Compose
from provision.adapters.docker.engine import limits_capabilities, path_exists
from provision.adapters.host import facts, files
from provision.adapters.host.files import ensure_private, read_json
from provision.base import paths
from provision.base.errors import ProvisionError, UsageError
from provision.model.localcloud.host import hypervisor_override, lacking_capabilities
from provision.model.localcloud.image_families import image_tags
from provision.model.localcloud.render import (
    configurations,
    documents,
    env_file,
    environment,
    migration_inputs,
    placed,
)
from provision.model.localcloud.replicas import SCALABLE_SERVICES
from provision.model.localcloud.settings import OVERLAY_MTU, PASSWORDS, PROJECT, GivenTls, Settings
from provision.operations.localcloud.shared import tls
from provision.operations.localcloud.shared.images import contexts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from provision.adapters.docker.engine import Engine
    from provision.base.progress import Progress

_PASSWORDS: Final = "passwords.json"
_CHOICES: Final = "choices.json"
_RESTORING: Final = "restoring"
_CHOICES_FIX: Final = (
    "Restore it from a backup, or remove it and name the options of `provision cloud up` again: without it all "
    "settings are the defaults."
)
_PASSWORDS_FIX: Final = (
    "Restore it from a backup: a file of `provision cloud backup` has it too. Or remove it, and start over with "
    "`provision cloud down --purge`."
)


@dataclass(frozen=True, slots=True)
class Installation:
    """The local cloud as it shall be: its settings, its passwords (never shown) and its Compose projects."""

    settings: Settings
    passwords: Mapping[str, str]
    inputs: Mapping[str, str]
    """What each database is migrated with when nothing is left to do: image family -> inputs of its migration."""
    control: Compose
    """Compose project of the control plane."""
    hypervisors: tuple[Compose, ...]
    """Compose projects of this host's hypervisors."""
    has_new_passwords: bool
    """Whether the passwords were made just now: nothing that runs already can log in with them."""
    configurations: frozenset[str] = frozenset()
    """Hashes of all image families' rendered documents."""

    @property
    def replicas(self) -> dict[str, int]:
        """Number of replicas that each scalable service shall have."""
        return {each.service: self.settings.replicas_of(each.service) for each in SCALABLE_SERVICES}

    def __repr__(self) -> str:
        return f"Installation({self.settings!r})"


def load_settings() -> Settings:
    """Read the settings that the user has chosen."""
    file = paths.localcloud_dir() / _CHOICES
    known = read_json(file, _CHOICES_FIX)
    # `copies` is what version 0.1 wrote.
    replicas = known.get("replicas", known.get("copies", {}))
    stored, members = known.get("tls"), known.get("members", ())
    overlay_mtu = known.get("overlay_mtu", OVERLAY_MTU)
    switches = {name: known.get(name, False) for name in ("ha", "swarm", "monitoring")}
    whole = {
        "replicas": isinstance(replicas, dict) and all(type(number) is int for number in replicas.values()),
        "tls": stored is None or _is_given(stored),
        "members": isinstance(members, list | tuple) and all(isinstance(member, str) for member in members),
        "overlay_mtu": type(overlay_mtu) is int,
        **{name: isinstance(value, bool) for name, value in switches.items()},
    }
    if broken := [name for name, is_whole in whole.items() if not is_whole]:
        raise ProvisionError(f"{file}: {broken[0]} is not what was written there", _CHOICES_FIX)
    given = stored and GivenTls(
        stored["host"],
        Path(stored["cert"]),
        Path(stored["key"]),
        Path(stored["authority"]) if stored.get("authority") else None,
    )
    return Settings(replicas=replicas, tls=given, members=tuple(members), overlay_mtu=overlay_mtu, **switches)


def _is_given(stored: object) -> bool:
    """Whether this is a certificate as `save_settings` writes one."""
    if not isinstance(stored, dict):
        return False
    texts = [stored.get(name) for name in ("host", "cert", "key")]
    return all(isinstance(text, str) for text in texts) and isinstance(stored.get("authority"), str | None)


def save_settings(settings: Settings) -> None:
    """Write the settings that the user has chosen, for all commands that follow."""
    given = settings.tls and asdict(settings.tls)
    known = {
        "replicas": dict(settings.replicas), "tls": given, "ha": settings.ha, "swarm": settings.swarm,
        "monitoring": settings.monitoring,
        **({"members": settings.members} if settings.members else {}),
        **({"overlay_mtu": settings.overlay_mtu} if settings.overlay_mtu != OVERLAY_MTU else {}),
    }  # fmt: skip
    ensure_private(paths.localcloud_dir() / _CHOICES, json.dumps(known, indent=1, default=str) + "\n")


def choose_tls(progress: Progress, given: GivenTls | None) -> None:
    """Use the user's certificate, or go back to the local cloud's own (None); raises UsageError for a bad one."""
    accepted = given and tls.accept(given)
    with single_host_lock(progress):
        save_settings(replace(load_settings(), tls=accepted))


def ensure_files(tags: Mapping[str, str]) -> Installation:
    """Write the files that are missing or have changed: passwords, documents, Compose's values; all of mode 0600."""
    settings = load_settings()
    folder = paths.localcloud_dir()
    has_new_passwords = not read_passwords()
    passwords = _ensure_passwords(folder / _PASSWORDS)
    # For the operator, to use with `consul`, curl and Consul's web page.
    ensure_private(folder / "consul-token", passwords["consul_management"])
    tls.ensure_ovn(settings)
    rendered = rendered_documents(settings, passwords)
    for name, text in placed(rendered).items():
        ensure_private(folder / "etc" / name, text)
    tls.ensure_tls(settings)
    inputs = migration_inputs(settings, tags, passwords)
    values = environment(settings, tags, rendered, inputs, folder / "etc")
    ensure_private(folder / "compose.env", env_file(values))
    lacking = [] if limits_capabilities() else lacking_capabilities(facts.capabilities())
    override = hypervisor_override(lacking, kvm=path_exists("/dev/kvm"), modules=path_exists("/lib/modules"))
    ensure_private(folder / "hypervisor.yaml", override)
    hashes = frozenset(configurations(rendered).values())
    return Installation(settings, passwords, inputs, control(), hypervisors(settings), has_new_passwords, hashes)


def drop_unused(engine: Engine, installation: Installation) -> None:
    """Remove rendered documents that no container uses, and no new one would use."""
    used = installation.configurations | {state.configuration for state in engine.states()}
    for folder in (paths.localcloud_dir() / "etc").glob("*/*/"):
        if folder.name not in used:
            shutil.rmtree(folder)


def is_installed() -> bool:
    """Whether this machine has a local cloud, running or not."""
    return (paths.localcloud_dir() / "compose.env").exists()


def exclusive_lock(progress: Progress) -> AbstractContextManager[None]:
    """Return the lock that lets one command at a time change the local cloud."""
    return files.exclusive_lock(
        paths.localcloud_dir() / "lock",
        lambda: progress.note("Another `provision cloud` command is running: waiting for it."),
    )


@contextmanager
def single_host_lock(progress: Progress) -> Iterator[None]:
    """Hold the exclusive lock for a command of one host's cloud.

    Raises UsageError where this machine has become one of several hosts while the command waited.
    """
    with exclusive_lock(progress):
        if load_settings().swarm:
            raise UsageError("this machine has become one of several hosts meanwhile", "Run the same command again.")
        yield


def this_checkout() -> dict[str, str]:
    """Return the values that this checkout would give Compose; writes nothing."""
    settings, tags = load_settings(), image_tags(contexts())
    known = read_passwords()
    passwords = {name: known.get(name, "") for name in PASSWORDS}
    inputs = migration_inputs(settings, tags, passwords)
    rendered = rendered_documents(settings, passwords)
    return environment(settings, tags, rendered, inputs, paths.localcloud_dir() / "etc")


def rendered_documents(settings: Settings, passwords: Mapping[str, str]) -> dict[str, str]:
    """Render all configuration files, including the certificates that the local cloud makes itself."""
    # Several hosts may ask different servers, and have to render the same.
    name_servers = () if settings.swarm else facts.name_servers()
    return documents(settings, passwords, tls.ovn_files(settings), name_servers)


def control() -> Compose:
    """Return the Compose project of the control plane."""
    folder = paths.localcloud_dir()
    settings = load_settings()
    names = ["stack.yaml", *(["ha.yaml"] if settings.ha else []), *(["monitoring.yaml"] if settings.monitoring else [])]
    return Compose(PROJECT, tuple(paths.COMPOSE / name for name in names), folder / "compose.env", _unwritten())


def hypervisors(settings: Settings) -> tuple[Compose, ...]:
    """Return the Compose projects of this machine's hypervisors."""
    folder = paths.localcloud_dir()
    compose_files = (paths.COMPOSE / "compute.yaml", folder / "hypervisor.yaml")
    return tuple(
        Compose(f"{PROJECT}-{name}", compose_files, folder / "compose.env", {"HYPERVISOR": name})
        for name in settings.hypervisors
    )


def catalogue(settings: Settings) -> Catalogue:
    """Return the catalogue of this machine's Consul, with the operator's token where there is one."""
    try:
        token = (paths.localcloud_dir() / "consul-token").read_text().strip()
    except FileNotFoundError:
        token = ""
    return Catalogue(settings.local_url(settings.ports.consul), token)


def _unwritten() -> dict[str, str]:
    """Return the values that an older version did not write: without them Compose cannot even stop it."""
    try:
        written = (paths.localcloud_dir() / "compose.env").read_text().splitlines()
    except FileNotFoundError:
        return {}
    known = {line.partition("=")[0] for line in written}
    return {key: value for key, value in this_checkout().items() if key not in known}


def read_passwords() -> dict[str, str]:
    """Read the local cloud's passwords; nothing where it has none yet."""
    file = paths.localcloud_dir() / _PASSWORDS
    known = read_json(file, _PASSWORDS_FIX)
    for name, password in known.items():
        if not isinstance(password, str):
            raise ProvisionError(f"{file}: {name} is not a text", _PASSWORDS_FIX)
    return known


def new_password(name: str) -> str:
    """Make a secret in the form that its service accepts: a UUID for Consul's tokens, 32 bytes for a key."""
    if name == "consul_gossip":
        return base64.b64encode(secrets.token_bytes(32)).decode()
    if name in ("keystone_fernet", "keystone_credential"):
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return str(uuid.uuid4()) if name.startswith("consul_") else secrets.token_urlsafe(24)


def passwords_text() -> str:
    """Return the text of the file with the local cloud's passwords."""
    return (paths.localcloud_dir() / _PASSWORDS).read_text()


def passwords_document(passwords: Mapping[str, str]) -> str:
    """Return passwords in the format of their file."""
    return json.dumps(passwords, indent=1) + "\n"


def write_passwords(text: str) -> None:
    """Replace the local cloud's passwords; `text` is in the format of their file."""
    ensure_private(paths.localcloud_dir() / _PASSWORDS, text)


def begin_restoring(file: Path) -> None:
    """Record that the data is incomplete until `end_restoring` is called."""
    ensure_private(paths.localcloud_dir() / _RESTORING, str(file))


def end_restoring() -> None:
    """Record that the data is complete again."""
    (paths.localcloud_dir() / _RESTORING).unlink(missing_ok=True)


def require_complete_data() -> None:
    """Raise UsageError after an interrupted restore: the data is half of the old and half of the new."""
    try:
        file = (paths.localcloud_dir() / _RESTORING).read_text()
    except FileNotFoundError:
        return
    raise UsageError(
        f"restoring {file} was interrupted, and the cloud's data is incomplete",
        f"Run `provision cloud restore {file}` again, or start over with `provision cloud down --purge`.",
    )


def _ensure_passwords(path: Path) -> dict[str, str]:
    """Read the local cloud's passwords, and make those that are missing."""
    known = read_passwords()
    passwords = {name: known.get(name) or new_password(name) for name in PASSWORDS}
    ensure_private(path, passwords_document(passwords))
    return passwords
