"""What only views and `init` ask a cloud for: when servers were made, and what images are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.adapters.openstack.session import repeat
from provision.model.cluster.resources import META_CLUSTER

if TYPE_CHECKING:
    from provision.adapters.openstack.session import Session


@dataclass(frozen=True, slots=True)
class ServerTimes:
    """When a server was asked for, and when it first ran: ISO 8601, UTC; empty if the cloud does not say."""

    created: str
    launched: str


def server_times(cloud: Session, cluster: str) -> dict[str, ServerTimes]:
    """Return the times of a cluster's servers, by their ids."""

    def ask() -> dict[str, ServerTimes]:
        with cloud.asking("listing servers"):
            found = cloud.connection.compute.servers(details=True)
            return {
                str(each.id): ServerTimes(str(each.created_at or ""), str(each.launched_at or ""))
                for each in found
                if (each.metadata or {}).get(META_CLUSTER) == cluster
            }

    return repeat(ask)


def image_name(cloud: Session, image: str) -> str:
    """Return an image's name; empty if it is there no longer, or was taken from this project."""
    from openstack import exceptions as sdk

    def ask() -> str:
        with cloud.asking("looking for the image"):
            try:
                return str(cloud.connection.image.get_image(image).name or "")
            except (sdk.NotFoundException, sdk.ForbiddenException, sdk.BadRequestException):
                return ""

    return repeat(ask) if image else ""


def image_names(cloud: Session) -> tuple[str, ...]:
    """Return the names of the images that servers can be made of, in order."""

    def ask() -> tuple[str, ...]:
        with cloud.asking("listing images"):
            found = cloud.connection.image.images(status="active")
            return tuple(sorted({str(each.name) for each in found if each.name}))

    return repeat(ask)
