"""The door to the Docker engine: images built, containers looked at, everything of ours removed."""

from __future__ import annotations

import io
import tarfile
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import IPAMConfig, IPAMPool

from provision.adapters.docker.client import connect, engine_errors
from provision.adapters.host.process import run
from provision.base.errors import ProvisionError
from provision.model.localcloud.host import ServiceState
from provision.model.localcloud.image_families import BASE_IMAGE, FAMILY_LABEL, SUITE
from provision.model.localcloud.replicas import REPLICA_LABEL
from provision.model.localcloud.settings import LABEL
from provision.model.registrator.container import COMPOSE_ONEOFF, COMPOSE_PROJECT, COMPOSE_SERVICE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from docker.models.containers import Container
    from docker.models.images import Image

    from provision.model.localcloud.settings import Bridge

_FAILED_TAIL = 30


class Engine:
    """The Docker engine of this machine."""

    def __init__(self) -> None:
        self._client = connect(600)

    def images(self) -> set[str]:
        """Return the names with tags of all images here."""
        with engine_errors():
            return {tag for image in self._client.api.images() for tag in image.get("RepoTags") or ()}

    def build(
        self,
        name: str,
        context: Mapping[str, bytes],
        *,
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
        line: Callable[[str], None],
    ) -> None:
        """Build an image from files in memory, handing over each line of output; `entrypoint` is made executable.

        Raises ProvisionError with the last lines when a step fails.
        """
        lines: list[str] = []
        with engine_errors():
            for event in self._client.api.build(
                fileobj=io.BytesIO(_tar(context)),
                custom_context=True,
                tag=name,
                buildargs=dict(arguments),
                labels=dict(labels),
                network_mode="host",
                rm=True,
                forcerm=True,
                decode=True,
            ):
                if "error" in event:
                    raise ProvisionError(
                        f"the image {name} could not be built",
                        "the lines above are the build's own; if a download failed, run the same command again",
                        "\n".join([*lines[-_FAILED_TAIL:], str(event["error"])]),
                    )
                for text in str(event.get("stream", "")).splitlines():
                    if text.strip():
                        lines.append(text)
                        line(text)

    def drop_superseded(self, families: Collection[str], current: Collection[str]) -> None:
        """Remove images of these families that are not in `current`, those that containers still use left out."""
        with engine_errors():
            for image in self._client.images.list(filters={"label": FAMILY_LABEL}):
                if image.labels.get(FAMILY_LABEL) not in families or set(image.tags) & set(current):
                    continue
                self._remove_image(image)

    def ensure_base_image(self, line: Callable[[str], None], mirror: str | None = None) -> None:
        """Have the base image here: pulled, or made with mmdebstrap (from `mirror`) where no registry answers."""
        if BASE_IMAGE in self.images():
            return
        line(f"pulling {BASE_IMAGE}")
        repository, _, tag = BASE_IMAGE.partition(":")
        try:
            self._client.api.pull(repository, tag=tag)
        except (DockerException, requests.RequestException) as error:
            problem = str(error)
        else:
            return
        line(f"making {BASE_IMAGE} with mmdebstrap")
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder, "base.tar")
            made = run(
                ["mmdebstrap", "--variant=minbase", SUITE, str(archive), *([mirror] if mirror else [])], timeout=900
            )
            if not made.ok:
                raise ProvisionError(
                    f"{BASE_IMAGE} can neither be pulled nor made here",
                    "install the package mmdebstrap, or let Docker reach an image registry",
                    f"{problem}\n{made.stderr}",
                )
            with engine_errors():
                self._client.api.import_image_from_file(
                    str(archive), repository, tag, changes=[f"LABEL {FAMILY_LABEL}=debian", 'CMD ["bash"]']
                )

    def ensure_bridge(self, bridge: Bridge) -> bool:
        """Have a network here; return whether it was made. Raises ProvisionError when its addresses are in use."""
        with engine_errors():
            if self._client.networks.list(names=[f"^{bridge.name}$"]):
                return False
            pool = IPAMPool(
                subnet=str(bridge.subnet),
                iprange=str(bridge.range) if bridge.range else None,
                gateway=str(bridge.gateway) if bridge.gateway else None,
            )
            self._client.networks.create(
                bridge.name,
                driver="bridge",
                ipam=IPAMConfig(pool_configs=[pool]),
                internal=bridge.internal,
                labels=dict([LABEL.split("=")]),
                options={"com.docker.network.bridge.name": bridge.device} if bridge.device else {},
            )
        return True

    def remove_bridge(self, bridge: Bridge) -> None:
        """Remove a network, if it is there."""
        with engine_errors():
            for network in self._client.networks.list(names=[f"^{bridge.name}$"]):
                _gone(network.remove)

    def host(self) -> str:
        """Return this machine's name as Docker knows it."""
        with engine_errors():
            return str(self._client.info()["Name"])

    def states(self, project: str = "") -> list[ServiceState]:
        """Look at every container of the stack, or of one Compose project, one-shots left out."""
        # Those of Compose: a bake carries our label too, and comes to an end as it should.
        of_project = f"{COMPOSE_PROJECT}={project}"
        filters: dict[str, Any] = {"label": [of_project] if project else [LABEL, COMPOSE_PROJECT]}
        with engine_errors():
            found = self._client.containers.list(all=True, filters=filters, ignore_removed=True)
            return [_state(each) for each in found if each.labels.get(COMPOSE_ONEOFF) != "True"]

    def state(self, container: str) -> ServiceState | None:
        """Look at one container, by id or name; None when there is no such container."""
        with engine_errors():
            try:
                return _state(self._client.containers.get(container))
            except NotFound:
                return None

    def rename(self, container: str, name: str) -> None:
        """Give a container another name."""
        with engine_errors():
            self._client.api.rename(container, name)

    def end(self, container: str, patience: int = 10) -> None:
        """Stop a container, by force after `patience` seconds, and remove it; one that is gone is no problem."""
        with engine_errors():
            try:
                found = self._client.containers.get(container)
            except NotFound:
                return
            _gone(partial(found.stop, timeout=patience))
            _gone(partial(found.remove, force=True, v=True))

    def container_id(self, name: str) -> str:
        """Return a container's id, or an empty text where there is no such container."""
        with engine_errors():
            try:
                return self._client.containers.get(name).id or ""
            except NotFound:
                return ""

    def remove_volumes(self, names: Iterable[str]) -> None:
        """Remove volumes with all that they hold; one that is not there is no problem."""
        with engine_errors():
            for name in names:
                _gone(partial(self._client.api.remove_volume, name))

    def last_lines(self, container: str, count: int = _FAILED_TAIL) -> str:
        """Return the end of a container's log."""
        with engine_errors():
            text: bytes = self._client.api.logs(container, tail=count)
            return text.decode(errors="replace")

    def execute(self, container: str, argv: list[str]) -> tuple[int, str]:
        """Run a program in a container; return its code and output (1 when the container is not running)."""
        try:
            code, output = self._client.containers.get(container).exec_run(argv)
        except (APIError, NotFound) as error:
            return 1, str(error)
        return code or 0, cast("bytes", output).decode(errors="replace")

    def settle(self, container: str, limit: float) -> None:
        """Let a container that an interrupted run of ours left behind come to its end, then remove it.

        Raises ProvisionError when it is not done within `limit` seconds: breaking it off could leave half a schema.
        """
        try:
            left = self._client.containers.get(container)
            left.wait(timeout=limit)
            left.remove(force=True)
        except NotFound:
            return
        except (APIError, requests.RequestException) as error:
            # Docker is removing it by itself just now.
            if isinstance(error, APIError) and error.status_code == 409:
                return
            raise ProvisionError(
                f"the container {container} of an earlier run does not end",
                f"see `docker logs {container}`; `docker rm -f {container}` breaks it off",
                str(error),
            ) from error

    def purge(self, line: Callable[[str], None]) -> None:
        """Remove every container, volume, network and image with our label; what is gone already is no problem."""
        with engine_errors():
            for container in self._client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True):
                _gone(partial(container.remove, force=True, v=True))
            for network in self._client.networks.list(filters={"label": LABEL}):
                # A Swarm's own are for adapters/docker/swarm.py: other hosts may have containers in them.
                if network.attrs.get("Scope") != "swarm":
                    _gone(network.remove)
            for volume in self._client.volumes.list(filters={"label": LABEL}):
                _gone(partial(volume.remove, force=True))
            images = self._client.images.list(all=True, filters={"label": FAMILY_LABEL})
            line(f"{len(images)} images")
            # Children first: what was built later may stand on what was built earlier.
            for image in sorted(images, key=lambda one: str(one.attrs["Created"]), reverse=True):
                if not self._remove_image(image) and image.tags:
                    line(f"{', '.join(image.tags)} stays: something that is not ours still needs it")

    def _remove_image(self, image: Image) -> bool:
        """Remove an image; return False where a container, or an image built on it, still needs it."""
        try:
            self._client.api.remove_image(str(image.id), force=True)
        except ImageNotFound:
            return True
        except APIError as error:
            if error.status_code != 409:
                raise
            return False
        return True


def is_here(path: str) -> bool:
    """Whether this machine has a file or folder that containers are to be given."""
    return Path(path).exists()


def leaves_out_lacking() -> bool:
    """Whether the engine gives a container that asks for all capabilities those alone that its host has.

    Docker 23 and later do, and refuse to be told to drop another; older ones fail unless they are told.
    """
    major = run(["docker", "version", "--format", "{{.Server.Version}}"], timeout=20).stdout.partition(".")[0]
    return major.isdecimal() and int(major) >= 23


def _gone(remove: Callable[[], object]) -> None:
    try:
        remove()
    except (NotFound, ImageNotFound):
        return


def _tar(files: Mapping[str, bytes]) -> bytes:
    """Pack files so that the same files always give the same bytes: Docker's cache then knows them again."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755 if name.rsplit("/", 1)[-1] == "entrypoint" else 0o644
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def _state(container: Container) -> ServiceState:
    attributes: dict[str, Any] = container.attrs
    state = attributes["State"]
    labels: dict[str, str] = container.labels
    environment = dict(each.partition("=")[::2] for each in attributes["Config"].get("Env") or ())
    return ServiceState(
        service=labels.get(COMPOSE_SERVICE, container.name or ""),
        container=container.name or "",
        state=state["Status"],
        exit_code=int(state.get("ExitCode", 0)),
        restarts=int(attributes.get("RestartCount", 0)),
        image=attributes["Config"]["Image"],
        started=state.get("StartedAt", ""),
        id=container.id or "",
        project=labels.get(COMPOSE_PROJECT, ""),
        number=int(labels.get(REPLICA_LABEL) or labels.get("com.docker.compose.container-number") or 1),
        created=attributes.get("Created", ""),
        digest=attributes.get("Image", ""),
        definition=labels.get("com.docker.compose.config-hash", ""),
        configuration=environment.get("CONFIGURATION", ""),
        registers=any(key.startswith("SERVICE_") and key.endswith("_NAME") for key in labels),
    )
