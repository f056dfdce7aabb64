"""What `cloud up` left when it ended, and whether all of it still is so: then there is nothing to do on this host.

The record replaces what is worked out from files alone: rendering, certificates, Compose's plan. What may have changed
by itself is asked for each time, all at once: containers, networks and images, schemas, Consul's rights and health,
HAProxy's certificate, APIs, accounts, flavors, networks, hypervisors and agents. A difference, or a question without an
answer, leads to the whole of `cloud up`.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from provision.adapters.docker.engine import Engine, path_exists
from provision.adapters.docker.outline import read_outline
from provision.adapters.host import facts
from provision.adapters.host.files import ensure_private
from provision.adapters.openstack import config
from provision.adapters.openstack.admin import Admin, service_errors
from provision.adapters.openstack.bootstrap import ensure_accounts, ensure_resources
from provision.base import paths
from provision.base.errors import ProvisionError
from provision.base.threads import together
from provision.model.localcloud.health import healthy, instances
from provision.model.localcloud.image_families import families, image_name
from provision.model.localcloud.settings import apis
from provision.operations.localcloud.shared import login, preflight, schema, tls
from provision.operations.localcloud.shared.consul_acl import ensure_access
from provision.operations.localcloud.shared.installation import (
    catalogue,
    exclusive_lock,
    load_settings,
    read_passwords,
)
from provision.operations.localcloud.shared.members import missing_members

if TYPE_CHECKING:
    from collections.abc import Mapping

    from provision.adapters.docker.outline import Outline
    from provision.base.progress import Progress
    from provision.model.localcloud.settings import Settings
    from provision.operations.localcloud.shared.installation import Installation

_RECORD: Final = "settled.json"
_UNSETTLED: Final = (_RECORD, "lock")
"""Files in the local cloud's folder that say nothing about what runs."""
_PLUGINS: Final = ("/usr/libexec/docker", "/usr/lib/docker", "/usr/local/libexec/docker", "/usr/local/lib/docker")
"""Folders in which Docker looks for its `cli-plugins`, besides the user's own."""


def is_settled(progress: Progress, *, ha: bool | None = None) -> bool:
    """Whether `cloud up` with this choice would find nothing to do; it is left to `cloud up` to say what is wrong."""
    if not _record().exists():
        return False
    with exclusive_lock(progress):
        settings, kept = load_settings(), _read()
        if ha not in (None, settings.ha) or kept.get("inputs") != inputs_digest():
            return False
        try:
            return _holds(kept, settings, progress)
        except ProvisionError:
            return False


def record(installation: Installation, tags: Mapping[str, str]) -> None:
    """Note what is there at the end of `cloud up`; to be called with the lock held, when all files are written."""
    outline = read_outline()
    wanted = [image_name(family.name, tags) for family in families(installation.settings.families)]
    kept = {
        "inputs": inputs_digest(),
        "docker": _docker(outline),
        "images": wanted,
        "migrated": dict(installation.inputs),
    }
    ensure_private(_record(), json.dumps(kept, indent=1) + "\n")


def inputs_digest() -> str:
    """Hash everything on this host that decides what `cloud up` makes, and everything that it has written.

    The program and its data, the local cloud's folder, clouds.yaml, and what Compose, hypervisors and VMs get of the
    host.
    """
    digest = hashlib.sha256()

    def add(*parts: object) -> None:
        for part in parts:
            text = part if isinstance(part, bytes) else str(part).encode()
            # With the lengths in front, no two sets of parts give the same bytes.
            digest.update(f"{len(text)}:".encode() + text)

    for folder in (paths.PACKAGE, paths.COMPOSE, paths.TEMPLATES):
        for file in paths.files_below(folder):
            add(file.relative_to(folder), file.read_bytes())
    mine = paths.localcloud_dir()
    given = load_settings().tls
    named = [given.cert, given.key, *([given.authority] if given.authority else [])] if given else []
    written = [each for each in paths.files_below(mine) if each.name not in _UNSETTLED]
    for file in (*written, *(each for each in (config.own_file(), *named) if each.exists())):
        add(file, file.stat().st_mode, file.read_bytes())
    add(facts.capabilities(), path_exists("/dev/kvm"), path_exists("/lib/modules"), *facts.name_servers())
    for name, value in sorted(os.environ.items()):
        if name.startswith("DOCKER_"):
            add(name, value)
    for place in (os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker", *_PLUGINS):
        plugin = Path(place) / "cli-plugins" / "docker-compose"
        if plugin.exists():
            status = plugin.stat()
            add(plugin, status.st_size, status.st_mtime_ns)
    return digest.hexdigest()


def _record() -> Path:
    return paths.localcloud_dir() / _RECORD


def _read() -> dict[str, Any]:
    """Read the record; nothing where there is none that can be read."""
    try:
        kept = json.loads(_record().read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _docker(outline: Outline) -> dict[str, Any]:
    """Return what Docker has of the local cloud in the form of the record; which images others have says nothing."""
    return {
        "engine": outline.engine,
        "containers": [asdict(each) for each in outline.containers],
        "connections": {container: list(networks) for container, networks in outline.connections.items()},
        "networks": dict(outline.networks),
    }


def _holds(kept: Mapping[str, Any], settings: Settings, progress: Progress) -> bool:
    outline = read_outline()
    if not outline.runs or _docker(outline) != kept["docker"] or not outline.images.issuperset(kept["images"]):
        return False
    preflight.require(progress, engine=outline.engine)
    # The certificate is renewed before it ends; of a user's own, the host name has to lead here.
    tls.ensure_tls(settings)
    engine, passwords = Engine(), read_passwords()
    admin = Admin(login.admin_login(settings, passwords["admin"]))
    consul = settings.local_url(settings.ports.consul)
    answers = together(
        lambda: schema.lacking(engine, kept["migrated"], schema.databases_of(settings)) == [],
        lambda: ensure_access(consul, passwords) is None,
        lambda: tls.hand_over(engine, settings) is None,
        lambda: _all_healthy(settings, outline),
        lambda: _openstack_is_whole(admin, settings, passwords),
        *(partial(_answers, admin, settings.public_url(api.port, api.health)) for api in apis(settings) if api.awaited),
    )
    return all(answers)


def _answers(admin: Admin, url: str) -> bool:
    return not admin.api_problem(url)


def _all_healthy(settings: Settings, outline: Outline) -> bool:
    """Whether everything that Consul shall know passes its checks, and each clustered service has all its members."""
    consul = catalogue(settings)
    known = instances(consul.services(), consul.checks())
    well = all(healthy(state, known) for state in outline.containers if state.registers)
    return well and not (settings.ha and missing_members(consul, settings))


def _openstack_is_whole(admin: Admin, settings: Settings, passwords: Mapping[str, str]) -> bool:
    """Whether OpenStack has all that `cloud up` makes in it, and all of its services report that they are up.

    What it lacks is made as `cloud up` would; but then all the rest has to be looked at again.
    """
    made: list[str] = []
    with service_errors("OpenStack"), admin.kept_login():
        _, _, missing = together(
            lambda: ensure_accounts(admin, settings, passwords, made.append),
            lambda: ensure_resources(admin, settings, made.append),
            lambda: admin.missing_services(settings.hypervisors, settings.replicas),
        )
        admin.forget_services(settings.replicas)
    return not made and not missing
