"""The Docker engine of this machine: images are built, containers and networks managed, everything of ours removed."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from docker.errors import APIError, ImageNotFound, NotFound
from docker.types import IPAMConfig, IPAMPool

from provision.adapters.docker.client import (
    FAILURES,
    OWN_LABELS,
    connect,
    engine_errors,
    host_name,
    ignore_missing,
    long_running,
    remove_network,
)
from provision.adapters.docker.programs import run_program
from provision.adapters.host.process import run
from provision.base.errors import ProvisionError
from provision.model.localcloud.host import ServiceState
from provision.model.localcloud.image_families import BASE_IMAGE, FAMILY_LABEL, INPUTS_LABEL, SUITE
from provision.model.localcloud.replicas import REPLICA_LABEL
from provision.model.localcloud.settings import LABEL
from provision.model.registrator.container import COMPOSE_PROJECT, COMPOSE_SERVICE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from docker.models.containers import Container

    from provision.model.localcloud.settings import Bridge

_TAIL = 30
"""Lines of output that are shown of what failed."""


class Engine:
    """The Docker engine of this machine."""

    def __init__(self) -> None:
        self._client = connect(600)

    def images(self) -> set[str]:
        """Return the names, with tags, of all images on this machine."""
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
        """Build an image from files in memory; those called `entrypoint` are made executable.

        `line` is called with each line of output. Raises ProvisionError with the last ones when a step fails.
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
                        "The lines above are the build's own. If a download failed, run the same command again.",
                        "\n".join([*lines[-_TAIL:], str(event["error"])]),
                    )
                for text in str(event.get("stream", "")).splitlines():
                    if text.strip():
                        lines.append(text)
                        line(text)

    def drop_superseded(self, current: Mapping[str, str]) -> None:
        """Remove images of these families (keys) with other tags than these, unless a container still uses them.

        What a build that goes on has made so far has its parent's labels, and no tag: it goes by the parent's. One that
        Docker fails to remove fails nothing: only room is at stake, and the next command tries it again.
        """
        with engine_errors():
            for image in self._client.api.images(filters={"label": FAMILY_LABEL}):
                labels = image["Labels"]
                family = labels[FAMILY_LABEL]
                if family in current and labels.get(INPUTS_LABEL) != current[family]:
                    with suppress(APIError):
                        self._remove_image(image["Id"])

    def ensure_base_image(
        self, line: Callable[[str], None], mirror: str | None = None, proxies: Mapping[str, str] | None = None
    ) -> None:
        """Pull the base image, or where no registry answers make it with mmdebstrap (from `mirror`, by `proxies`)."""
        if BASE_IMAGE in self.images():
            return
        line(f"pulling {BASE_IMAGE}")
        repository, _, tag = BASE_IMAGE.partition(":")
        try:
            self._client.api.pull(repository, tag=tag)
        except FAILURES as error:
            problem = str(error)
        else:
            return
        line(f"making {BASE_IMAGE} with mmdebstrap")
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder, "base.tar")
            argv = ["mmdebstrap", "--variant=minbase", SUITE, str(archive), *([mirror] if mirror else [])]
            # Not as options of apt, which mmdebstrap would leave in the image.
            made = run(argv, timeout=900, env={**os.environ, **(proxies or {})})
            if not made.ok:
                raise ProvisionError(
                    f"{BASE_IMAGE} can neither be pulled nor made here",
                    "Install the package mmdebstrap, or let Docker reach an image registry.",
                    f"{problem}\n{made.stderr}",
                )
            with engine_errors():
                self._client.api.import_image_from_file(
                    str(archive), repository, tag, changes=[f"LABEL {FAMILY_LABEL}=debian", 'CMD ["bash"]']
                )

    def ensure_bridge(self, bridge: Bridge) -> bool:
        """Make a network unless it exists; return whether it was made.

        Raises ProvisionError when its addresses are in use.
        """
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
                labels=OWN_LABELS,
                options={"com.docker.network.bridge.name": bridge.device} if bridge.device else {},
            )
        return True

    def remove_bridge(self, bridge: Bridge) -> None:
        """Remove a network; one that is gone already is no error."""
        with engine_errors():
            for network in self._client.networks.list(names=[f"^{bridge.name}$"]):
                # One that stays is there for the next `ensure_bridge`; `purge` names it.
                remove_network(network)

    def host(self) -> str:
        """Return the host's name as the engine knows it."""
        return host_name(self._client)

    def states(self, project: str = "") -> list[ServiceState]:
        """Return the state of the local cloud's containers, or of one Compose project's, without one-shot runs."""
        # Compose's alone: the container of a bake has our label too.
        labels = [f"{COMPOSE_PROJECT}={project}"] if project else [LABEL, COMPOSE_PROJECT]
        return [_state(container) for container in long_running(self._client, labels)]

    def state(self, container: str) -> ServiceState | None:
        """Return the state of one container, by id or name; None when it does not exist."""
        with engine_errors():
            try:
                return _state(self._client.containers.get(container))
            except NotFound:
                return None

    def rename(self, container: str, name: str) -> None:
        """Give a container another name."""
        with engine_errors():
            self._client.api.rename(container, name)

    def stop_and_remove(self, container: str, timeout: int = 10) -> None:
        """Stop a container, by force after `timeout` seconds, and remove it; one that is gone already is no error."""
        with engine_errors():
            try:
                found = self._client.containers.get(container)
            except NotFound:
                return
            ignore_missing(partial(found.stop, timeout=timeout))
            ignore_missing(partial(found.remove, force=True, v=True))

    def container_id(self, name: str) -> str:
        """Return a container's id; empty when it does not exist."""
        with engine_errors():
            try:
                return self._client.containers.get(name).id or ""
            except NotFound:
                return ""

    def remove_volumes(self, names: Iterable[str]) -> None:
        """Remove volumes and their data; one that is gone already is no error."""
        with engine_errors():
            for name in names:
                ignore_missing(partial(self._client.api.remove_volume, name))

    def last_lines(self, container: str, count: int = _TAIL) -> str:
        """Return the end of a container's log."""
        with engine_errors():
            text: bytes = self._client.api.logs(container, tail=count)
            return text.decode(errors="replace")

    def execute(self, container: str, argv: list[str]) -> tuple[int, str]:
        """Run a program in a container; return its exit code (1 when the container is not running) and its output."""
        try:
            done = run_program(self._client.api, container, argv)
        except APIError as error:
            return 1, str(error)
        return done.code, (done.out + done.err).decode(errors="replace")

    def wait_and_remove(self, container: str, timeout: float) -> None:
        """Wait until a one-shot container that an interrupted command left behind has ended, then remove it.

        Raises ProvisionError after `timeout` seconds: it is not killed, because that could leave half a schema.
        """
        try:
            left = self._client.containers.get(container)
            left.wait(timeout=timeout)
            left.remove(force=True)
        except NotFound:
            return
        except (APIError, requests.RequestException) as error:
            # Docker itself is removing it.
            if isinstance(error, APIError) and error.status_code == 409:
                return
            raise ProvisionError(
                f"the container {container} of an earlier run does not end",
                f"See `docker logs {container}`; `docker rm -f {container}` kills it.",
                str(error),
            ) from error

    def purge(self, line: Callable[[str], None]) -> None:
        """Remove every container, volume, network and image with our label; `line` is told what stays."""
        with engine_errors():
            for container in self._client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True):
                ignore_missing(partial(container.remove, force=True, v=True))
            for network in self._client.networks.list(filters={"label": LABEL}):
                # A Swarm's own are for adapters/docker/swarm.py: other hosts may have containers in them.
                if network.attrs.get("Scope") != "swarm" and not remove_network(network):
                    line(f"the network {network.name} stays until Docker restarts: it counts containers that are gone")
            for volume in self._client.volumes.list(filters={"label": LABEL}):
                ignore_missing(partial(volume.remove, force=True))
            images = self._client.images.list(all=True, filters={"label": FAMILY_LABEL})
            line(f"{len(images)} images")
            # Newest first: an image may be built on an older one.
            for image in sorted(images, key=lambda image: str(image.attrs["Created"]), reverse=True):
                if not self._remove_image(str(image.id)) and image.tags:
                    line(f"{', '.join(image.tags)} stays: something that is not ours still uses it")

    def _remove_image(self, image: str) -> bool:
        """Remove an image by id; return False when a container, or an image that is built on it, still uses it."""
        try:
            self._client.api.remove_image(image, force=True)
        except ImageNotFound:
            return True
        except APIError as error:
            if error.status_code != 409:
                raise
            return False
        return True


def path_exists(path: str) -> bool:
    """Return whether this machine has a file or folder that is to be mounted into containers."""
    return Path(path).exists()


def limits_capabilities() -> bool:
    """Return whether the engine gives a container that asks for all capabilities only those that its host has.

    Docker 23 and later do, and refuse to drop any other; older ones fail unless the others are dropped.
    """
    major = run(["docker", "version", "--format", "{{.Server.Version}}"], timeout=20).stdout.partition(".")[0]
    return major.isdecimal() and int(major) >= 23


def _tar(files: Mapping[str, bytes]) -> bytes:
    """Pack files so that the same files always give the same bytes: Docker's cache then recognises them."""
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
    environment = dict(variable.partition("=")[::2] for variable in attributes["Config"].get("Env") or ())
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
