"""One look at the local cloud: its containers, networks and images in four requests, however many there are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from provision.adapters.docker.client import connect, engine_errors
from provision.base.threads import together
from provision.model.localcloud.host import ServiceState
from provision.model.localcloud.replicas import REPLICA_LABEL
from provision.model.localcloud.settings import LABEL
from provision.model.registrator.container import COMPOSE_ONEOFF, COMPOSE_PROJECT, COMPOSE_SERVICE

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Outline:
    """What Docker lists of the local cloud."""

    engine: str
    """The engine's version."""
    containers: tuple[ServiceState, ...]
    """Without what only an inspection of each tells: exit code, restarts, start, configuration."""
    connections: Mapping[str, tuple[str, ...]]
    """Ids of the networks that each container is in: container id -> network ids."""
    networks: Mapping[str, str]
    """The local cloud's networks: name -> id."""
    images: frozenset[str]
    """Names, with tags, of all images on this machine."""

    @property
    def runs(self) -> bool:
        """Whether there are containers, and all of them run."""
        return bool(self.containers) and all(each.state == "running" for each in self.containers)


def read_outline() -> Outline:
    """Look at the local cloud. Raises ProvisionError where no engine answers, or it breaks off."""
    api = connect(60).api
    ours = {"label": [LABEL]}
    with engine_errors():
        version, listed, networks, images = together(
            api.version,
            partial(api.containers, all=True, filters={"label": [LABEL, COMPOSE_PROJECT]}),
            partial(api.networks, filters=ours),
            api.images,
        )
    permanent = [each for each in listed if each["Labels"].get(COMPOSE_ONEOFF) != "True"]
    return Outline(
        engine=str(version["Version"]),
        containers=tuple(sorted((_state(each) for each in permanent), key=lambda state: state.id)),
        connections={
            each["Id"]: tuple(sorted(network["NetworkID"] for network in _networks(each).values()))
            for each in permanent
        },
        networks={network["Name"]: network["Id"] for network in networks},
        images=frozenset(tag for image in images for tag in image.get("RepoTags") or ()),
    )


def _state(listed: Mapping[str, Any]) -> ServiceState:
    labels: dict[str, str] = listed["Labels"]
    name = next(iter(listed["Names"]), "").removeprefix("/")
    return ServiceState(
        service=labels.get(COMPOSE_SERVICE, name),
        container=name,
        state=listed["State"],
        image=listed["Image"],
        id=listed["Id"],
        project=labels[COMPOSE_PROJECT],
        number=int(labels.get(REPLICA_LABEL) or labels.get("com.docker.compose.container-number") or 1),
        created=str(listed["Created"]),
        digest=listed["ImageID"],
        definition=labels.get("com.docker.compose.config-hash", ""),
        registers=any(key.startswith("SERVICE_") and key.endswith("_NAME") for key in labels),
    )


def _networks(listed: Mapping[str, Any]) -> Mapping[str, Any]:
    return (listed.get("NetworkSettings") or {}).get("Networks") or {}
