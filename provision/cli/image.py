"""`provision image`: bake and list golden images."""

from __future__ import annotations

from dataclasses import asdict

import click

from provision.cli.terminal import TerminalProgress, print_json

# Both commands import provision.operations.image.bake themselves: with the Docker SDK in it that takes 0.4 s.


@click.group()
def image() -> None:
    """Bake and list golden images.

    A golden image is a disk with all of a node's software that boots by itself.
    """


@image.command()
def bake() -> None:
    """Bake the golden image, if it is not in the cache; print the path of its qcow2."""
    from provision.operations.image.bake import bake as bake_image

    progress = TerminalProgress()
    with progress.phase("Golden image"):
        path = bake_image(progress)
    click.echo(str(path))


@image.command(name="list")
@click.option("--cloud", metavar="NAME", help="Also list the images on this cloud of clouds.yaml.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def list_images(cloud: str | None, as_json: bool) -> None:
    """List golden images: in this machine's cache, and with --cloud those on a cloud."""
    from provision.operations.image.bake import images_in_cache, images_on_cloud

    images = images_in_cache() + (images_on_cloud(cloud) if cloud else [])
    if as_json:
        print_json([asdict(one) for one in images])
        return
    for one in images:
        current = "current" if one.current else "old"
        click.echo(
            f"{one.where:<12} {one.inputs[:12]:<12} {one.size / 1e6:6.0f} MB  {one.status:<8} {current:<8} {one.name}"
        )
