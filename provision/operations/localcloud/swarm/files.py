"""Files that the hosts of a Swarm share: the local cloud's own files, and the Docker stack file made from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from provision.adapters.docker.compose import Compose
from provision.adapters.docker.registry import Registry
from provision.adapters.docker.swarm import Swarm
from provision.adapters.host.files import ensure_private
from provision.base import paths
from provision.base.errors import UsageError
from provision.model.localcloud.image_families import image_name, image_tags
from provision.model.localcloud.render import placed
from provision.model.localcloud.settings import PROJECT
from provision.model.localcloud.swarm import NUMBER, registry_host, stack_file
from provision.operations.localcloud.shared.images import contexts, ensure_images
from provision.operations.localcloud.shared.installation import (
    drop_unused,
    ensure_files,
    load_settings,
    read_passwords,
    rendered_documents,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from provision.adapters.docker.engine import Engine
    from provision.base.progress import Progress
    from provision.model.localcloud.settings import Settings
    from provision.operations.localcloud.shared.installation import Installation

_BASE_FAMILIES: Final = {"base", "os"}
"""Image families that others are built on: their layers are part of the others' images."""
_SHARED_DOCUMENT: Final = "installation/state.json"
"""Document with the files below, for a host that joins, and for the commands on all hosts."""
SHARED_FILES: Final = (
    "passwords.json", "choices.json",
    "tls/ca.pem", "tls/ca.key", "tls/api.pem", "tls/api.key", "tls/ovn.pem", "tls/ovn.key",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stack:
    """The control plane as it shall be, as a Docker stack."""

    installation: Installation
    compose: Mapping[str, Any]
    """The Compose document that the stack file is made from."""
    documents: Mapping[str, str]
    """Rendered documents by name, such as `nova/nova.conf`."""
    places: Mapping[str, str]
    """Path of a document below `etc`, if it is not its name."""
    images: Mapping[str, str]
    """Names of the images in the registry, by their names here."""
    tags: Mapping[str, str]
    """Tags of the images of all families."""

    @property
    def etc(self) -> str:
        """Folder of the rendered documents."""
        return str(paths.localcloud_dir() / "etc")

    def file(self) -> dict[str, Any]:
        """Return the stack file."""
        ports = self.installation.settings.ports
        return stack_file(
            self.compose,
            self.documents,
            self.images,
            etc=self.etc,
            places=self.places,
            local_ports={ports.consul, ports.haproxy_stats},
        )

    def __repr__(self) -> str:
        return f"Stack({self.installation!r})"


def swarm_adapter(settings: Settings) -> Swarm:
    """Return the adapter to the Swarm of this host, with the registry's password where there is one."""
    return Swarm(registry_host(settings), read_passwords().get("registry", ""))


def registry_adapter(settings: Settings) -> Registry:
    """Return the adapter to the Swarm's registry."""
    return Registry(registry_host(settings), read_passwords().get("registry", ""))


def require_swarm() -> Settings:
    """Return the settings of a host that belongs to a Swarm; raises UsageError on any other machine."""
    settings = load_settings()
    if not settings.swarm:
        raise UsageError(
            "this machine belongs to no Swarm of ours",
            "`provision cloud init` creates one, `provision cloud join` adds this machine to one.",
        )
    return settings


def read_shared(engine: Engine, swarm: Swarm) -> bool:
    """Take the local cloud's files from the Swarm, if it has them already; return whether it had them."""
    container = swarm.container("mirror")
    code, text = engine.execute(container, ["cat", "/config/state.json"]) if container else (1, "")
    if code:
        return False
    for name, content in json.loads(text).items():
        if name in SHARED_FILES:
            ensure_private(paths.localcloud_dir() / name, content)
    return True


def current_settings(engine: Engine) -> Settings:
    """Return the settings as the Swarm has them now: another host's command may have changed them."""
    settings = require_swarm()
    return load_settings() if read_shared(engine, swarm_adapter(settings)) else settings


def ensure_built(
    engine: Engine, swarm: Swarm, progress: Progress, families: Collection[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Put this checkout's images into the registry; return the tag of every family, and the images' names there."""
    tags = image_tags(contexts())
    present = engine.images()
    wanted = sorted(set(families) - _BASE_FAMILIES)
    missing = []
    for family_name in wanted:
        name = image_name(family_name, tags)
        # An image that another host has built is fetched, so that all hosts run the same one.
        if name in present:
            continue
        if swarm.pull(name):
            progress.update(f"image {family_name}", "from the registry")
        else:
            missing.append(family_name)
    ensure_images(engine, progress, missing)
    images = {}
    for family_name in wanted:
        name = image_name(family_name, tags)
        images[name] = swarm.push(name)
        if family_name == "registry":
            # Each host builds its own before it can fetch any: only the tag is the same everywhere.
            images[name] = images[name].partition("@")[0]
        progress.update(f"image {family_name}", "in the registry")
    return tags, images


def ensure_stack_files(tags: Mapping[str, str], images: Mapping[str, str]) -> Stack:
    """Write this host's files; return the stack."""
    installation = ensure_files(tags)
    folder = paths.localcloud_dir()
    documents = rendered_documents(installation.settings, installation.passwords)
    places = dict(zip(documents, placed(documents), strict=True))
    documents["haproxy/tls.pem"] = (folder / "etc/haproxy/tls.pem").read_text()
    shared = {name: (folder / name).read_text() for name in SHARED_FILES if (folder / name).exists()}
    documents[_SHARED_DOCUMENT] = json.dumps(shared, sort_keys=True)
    ensure_private(folder / "etc" / _SHARED_DOCUMENT, documents[_SHARED_DOCUMENT])
    files = tuple(paths.COMPOSE / name for name in ("stack.yaml", "ha.yaml", "swarm.yaml"))
    project = Compose(PROJECT, files, folder / "compose.env", {"REPLICA": NUMBER})
    return Stack(installation, project.document(), documents, places, images, tags)


def drop_leftovers(engine: Engine, stack: Stack) -> None:
    """Remove what only earlier versions used on this host: images, and rendered documents.

    To be called when the whole stack runs: what another host has built is fetched here, and no build removes it.
    """
    drop_unused(engine, stack.installation)
    engine.drop_superseded(stack.tags)
