"""What the hosts of a Swarm share: the installation's own files, and the stack file that follows from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from provision.adapters.docker.compose import Compose
from provision.adapters.docker.swarm import Swarm
from provision.adapters.host.files import ensure_private
from provision.base import paths
from provision.base.errors import UsageError
from provision.model.localcloud import image_families, render
from provision.model.localcloud import settings as stack
from provision.model.localcloud.swarm import NUMBER, registry_host, stack_file
from provision.operations.localcloud.shared import installation as stack_config
from provision.operations.localcloud.shared.images import contexts, ensure_images

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from provision.adapters.docker.engine import Engine
    from provision.base.progress import Progress
    from provision.model.localcloud.settings import Settings
    from provision.operations.localcloud.shared.installation import Installation

_FOUNDATIONS: Final = {"base", "os"}
"""What others are built on goes with them, layer by layer."""
_SHARED: Final = "installation/state.json"
"""A document of its own: the files below, for a host that joins and for every command of one that has."""
_FILES: Final = (
    "passwords.json", "choices.json",
    "tls/ca.pem", "tls/ca.key", "tls/api.pem", "tls/api.key", "tls/ovn.pem", "tls/ovn.key",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stack:
    """The control plane as it shall be: what Compose reads, its documents, its images' names in the registry."""

    installation: Installation
    compose: Mapping[str, Any]
    documents: Mapping[str, str]
    places: Mapping[str, str]
    """Where a document lies in the folder of all, where it is not by its own name."""
    images: Mapping[str, str]

    @property
    def etc(self) -> str:
        """The folder of the rendered documents."""
        return str(paths.localcloud_dir() / "etc")

    def file(self) -> dict[str, Any]:
        """Write the stack file."""
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


def door(settings: Settings) -> Swarm:
    """Return this machine's Swarm, with the registry's password where there is one."""
    return Swarm(registry_host(settings), stack_config.read_passwords().get("registry", ""))


def require_swarm() -> Settings:
    """Return the settings of a host that belongs to a Swarm; raises UsageError on any other machine."""
    settings = stack_config.load_settings()
    if not settings.swarm:
        raise UsageError(
            "this machine belongs to no Swarm of ours",
            "`provision cloud init` begins one, `provision cloud join` takes this machine into one",
        )
    return settings


def read_shared(engine: Engine, swarm: Swarm) -> bool:
    """Take the installation's files from the Swarm, where it has them already; return whether it had."""
    container = swarm.container("mirror")
    code, text = engine.execute(container, ["cat", "/config/state.json"]) if container else (1, "")
    if code:
        return False
    for name, content in json.loads(text).items():
        if name in _FILES:
            ensure_private(paths.localcloud_dir() / name, content)
    return True


def ensure_built(
    engine: Engine, swarm: Swarm, progress: Progress, families: Collection[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Have images in the registry, this checkout's own; return every family's tag, and their names there."""
    tags = image_families.image_tags(contexts())
    present = engine.images()
    wanted = sorted(set(families) - _FOUNDATIONS)
    missing = []
    for family_name in wanted:
        name = image_families.image_name(family_name, tags)
        # What another host has built and all run is what shall run here too.
        if name in present:
            continue
        if swarm.pull(name):
            progress.update(f"image {family_name}", "from the registry")
        else:
            missing.append(family_name)
    ensure_images(engine, progress, missing)
    images = {}
    for family_name in wanted:
        name = image_families.image_name(family_name, tags)
        images[name] = swarm.push(name)
        if family_name == "registry":
            # Each host has made its own before it could fetch any: a tag is what they have in common.
            images[name] = images[name].partition("@")[0]
        progress.update(f"image {family_name}", "in the registry")
    return tags, images


def ensure_stack_files(tags: Mapping[str, str], images: Mapping[str, str]) -> Stack:
    """Write this host's files, and work out the stack file's parts."""
    installation = stack_config.ensure_files(tags)
    folder = paths.localcloud_dir()
    documents = stack_config.rendered_documents(installation.settings, installation.passwords)
    places = dict(zip(documents, render.placed(documents), strict=True))
    documents["haproxy/tls.pem"] = (folder / "etc/haproxy/tls.pem").read_text()
    shared = {name: (folder / name).read_text() for name in _FILES if (folder / name).exists()}
    documents[_SHARED] = json.dumps(shared, sort_keys=True)
    ensure_private(folder / "etc" / _SHARED, documents[_SHARED])
    files = tuple(paths.COMPOSE / name for name in ("stack.yaml", "ha.yaml", "swarm.yaml"))
    project = Compose(stack.PROJECT, files, folder / "compose.env", {"REPLICA": NUMBER})
    return Stack(installation, project.document(), documents, places, images)
