"""Golden images in a cloud's image service (Glance): list ours, upload one, make one of a server, delete one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provision.adapters.openstack.session import repeat
from provision.base.ahead import askable
from provision.base.errors import ProvisionError
from provision.model.image.recipe import (
    BASE_PROPERTY,
    GLANCE_PROPERTIES,
    HASH_PROPERTY,
    IMAGE_NAME,
    SERVER_PROPERTY,
    UPLOADER_PROPERTY,
)

if TYPE_CHECKING:
    from pathlib import Path

    from provision.adapters.openstack.session import Session


@dataclass(frozen=True, slots=True)
class CloudImage:
    """A golden image on a cloud; `size` in bytes, `inputs` the hash that it was made from."""

    id: str
    status: str
    inputs: str
    size: int
    created: str
    uploader: str = ""
    """The machine that has uploaded it (UPLOADER_PROPERTY)."""
    server: str = ""
    """The server that it is a snapshot of (SERVER_PROPERTY)."""
    min_disk: int = 0
    """GiB that a flavor's disk has to have."""
    min_ram: int = 0
    """MiB of memory that a flavor has to have."""


@askable
def golden_images(cloud: Session) -> list[CloudImage]:
    """List this project's golden images, the newest first; raises ProvisionError when the service does not answer."""
    connection = cloud.connection

    def ask() -> list[CloudImage]:
        with cloud.asking("listing images"):
            project = connection.current_project_id
            # Others may share images of that name with us: only our own project's are ours to use and to delete.
            found = connection.image.images(name=IMAGE_NAME, owner=project)
            return [_image(image) for image in found if image.owner_id == project]

    return sorted(repeat(ask), key=lambda image: image.created, reverse=True)


def _image(image: Any) -> CloudImage:  # noqa: ANN401
    properties = image.properties or {}
    return CloudImage(
        id=str(image.id),
        status=str(image.status),
        inputs=str(properties.get(HASH_PROPERTY, "")),
        size=int(image.size or 0),
        created=str(image.created_at or ""),
        uploader=str(properties.get(UPLOADER_PROPERTY, "")),
        server=str(properties.get(SERVER_PROPERTY, "")),
        min_disk=int(image.min_disk or 0),
        min_ram=int(image.min_ram or 0),
    )


def upload(cloud: Session, path: Path, inputs: str, uploader: str) -> str:
    """Upload a qcow2 made from `inputs` for this project alone; return its id once it is active.

    `uploader` is the id of this machine.
    """
    properties: dict[str, Any] = {**GLANCE_PROPERTIES, HASH_PROPERTY: inputs, UPLOADER_PROPERTY: uploader}
    glance = cloud.connection.image
    with cloud.asking("uploading the golden image"):
        # The SDK deletes the incomplete image itself when the upload fails.
        image = glance.create_image(
            IMAGE_NAME,
            filename=str(path),
            disk_format="qcow2",
            container_format="bare",
            visibility="private",
            # The inputs' hash identifies the image: reading 800 MB for checksums first would add nothing.
            validate_checksum=False,
            allow_duplicates=True,
            **properties,
        )
    image = repeat(lambda: _get(cloud, image.id))
    if image.status != "active":
        raise ProvisionError(f"the golden image is `{image.status}` after its upload", "Run the same command again.")
    return str(image.id)


def snapshot(cloud: Session, server: str, inputs: str, base: str) -> str:
    """Have the cloud make an image of a server that is off, with the properties of a golden one; return its id.

    The image is not active yet. `base` names the stock image that the server was made of. What that one says of the
    hardware, Nova itself writes on the snapshot.
    """
    software = {name: value for name, value in GLANCE_PROPERTIES.items() if not name.startswith("hw_")}
    metadata = {**software, HASH_PROPERTY: inputs, SERVER_PROPERTY: server, BASE_PROPERTY: base}
    from openstack.compute.v2.server import Server

    with cloud.asking("making a snapshot of the server"):
        # Not the proxy's create_server_image: it looks for the new image in a list of all that there are.
        return str(Server.new(id=server).create_image(cloud.connection.compute, IMAGE_NAME, metadata))


def delete(cloud: Session, image_id: str) -> None:
    """Delete an image; one that is gone already is no error."""

    def ask() -> None:
        with cloud.asking(f"deleting image {image_id}"):
            cloud.connection.image.delete_image(image_id, ignore_missing=True)

    repeat(ask)


def _get(cloud: Session, image_id: str) -> Any:  # noqa: ANN401
    with cloud.asking("looking at the uploaded image"):
        return cloud.connection.image.get_image(image_id)
