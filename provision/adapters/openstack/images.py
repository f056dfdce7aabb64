"""Golden images in a cloud's image service (Glance): list ours, upload one, delete one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import openstack.exceptions

from provision.base.errors import ProvisionError
from provision.model.image.recipe import GLANCE_PROPERTIES, HASH_PROPERTY, IMAGE_NAME, UPLOADER_PROPERTY

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


def golden_images(cloud: Session) -> list[CloudImage]:
    """List this project's golden images, the newest first; raises ProvisionError when the service does not answer."""
    connection = cloud.connection
    try:
        project = connection.current_project_id
        found = [
            CloudImage(
                id=str(image.id),
                status=str(image.status),
                inputs=str(image.properties.get(HASH_PROPERTY, "") if image.properties else ""),
                size=int(image.size or 0),
                created=str(image.created_at or ""),
                uploader=str(image.properties.get(UPLOADER_PROPERTY, "") if image.properties else ""),
            )
            # Others may share images of that name with us: only our own project's are ours to use and to delete.
            for image in connection.image.images(name=IMAGE_NAME, owner=project)
            if image.owner_id == project
        ]
    except openstack.exceptions.SDKException as error:
        raise _failed("list the images", error) from error
    return sorted(found, key=lambda image: image.created, reverse=True)


def upload(cloud: Session, path: Path, inputs: str, uploader: str) -> str:
    """Upload a qcow2 made from `inputs` for this project alone; return its id once it is active.

    `uploader` is the id of this machine.
    """
    properties: dict[str, Any] = {**GLANCE_PROPERTIES, HASH_PROPERTY: inputs, UPLOADER_PROPERTY: uploader}
    glance = cloud.connection.image
    try:
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
        image = glance.get_image(image.id)
    except openstack.exceptions.SDKException as error:
        raise _failed("upload the golden image", error) from error
    if image.status != "active":
        raise ProvisionError(f"the golden image is `{image.status}` after its upload", "Run the same command again.")
    return str(image.id)


def delete(cloud: Session, image_id: str) -> None:
    """Delete an image; one that is gone already is no error."""
    try:
        cloud.connection.image.delete_image(image_id, ignore_missing=True)
    except openstack.exceptions.SDKException as error:
        raise _failed(f"delete the image {image_id}", error) from error


def _failed(action: str, error: Exception) -> ProvisionError:
    return ProvisionError(
        f"the cloud's image service could not {action}",
        "Check that your account may manage images of its project.",
        str(error),
    )
