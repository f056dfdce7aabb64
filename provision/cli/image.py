"""`provision image`: bake and list golden images."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Literal

import click

from provision.base.errors import UsageError
from provision.cli.asking import ask, require_consent
from provision.cli.spec import file_option, load_spec, source_of
from provision.cli.terminal import STDERR, TerminalProgress, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from provision.base.model import ClusterSpec
    from provision.model.cluster.resources import ObservedCluster
    from provision.model.cluster.steps import Plan

# The commands import the operations themselves: with the SDKs in them that takes 0.4 s and more.


@click.group()
def image() -> None:
    """Bake and list golden images.

    A golden image is a disk with all of a node's software that boots by itself.
    """


@image.command()
@click.option("--base", metavar="IMAGE", help="Bake on a cloud, of this stock image there: a name or an id.")
@file_option
@click.option("--cloud", metavar="NAME", help="With --base: this cloud of clouds.yaml, and the default network there.")
@click.option("--flavor", metavar="NAME", help="With --base: the server's flavor.  [default: the smallest that does]")
@click.option(
    "--sources",
    type=click.Choice(["image", "host"]),
    help="With --base: where the server takes packages from.  [default: as the spec says, else image]",
)
@click.option("-y", "--yes", is_flag=True, help="With --base: do not ask for confirmation.")
@click.option("--remove", is_flag=True, help="Remove what an interrupted bake has left on the cloud.")
def bake(
    base: str | None,
    file: Path | None,
    *,
    cloud: str | None,
    flavor: str | None,
    sources: Literal["image", "host"] | None,
    yes: bool,
    remove: bool,
) -> None:
    """Bake the golden image, if it is not in the cache; print the path of its qcow2.

    With --base on a cloud instead, which needs neither Docker nor an upload: it boots a server of a stock image on the
    spec's cloud and network, installs everything, has the cloud make an image of it, removes all the rest, and prints
    the image's id. After an interruption, the same command goes on.
    """
    if base or remove:
        if base and remove:
            raise UsageError("--remove removes what is there, and --base bakes", "Give one of the two.")
        spec, source = _spec_on_cloud(file, cloud)
        if base:
            _bake_on_cloud(spec, source, base, flavor=flavor or "", sources=sources or "", yes=yes)
        else:
            _remove_on_cloud(spec, source, yes=yes)
        return
    given = {"--file": file, "--cloud": cloud, "--flavor": flavor, "--sources": sources, "--yes": yes}
    if without := [name for name, value in given.items() if value]:
        raise UsageError(
            f"{', '.join(without)}: the bake on this machine has no such option",
            "Name a stock image on the cloud with --base to bake there.",
        )
    from provision.operations.image.bake import bake as bake_image

    progress = TerminalProgress()
    with progress.phase("Golden image"):
        path = bake_image(progress)
    click.echo(str(path))


def _spec_on_cloud(file: Path | None, cloud: str | None) -> tuple[ClusterSpec, str]:
    """Return the spec that says how servers are made on a cloud, and what errors call it."""
    from provision.base.model import ClusterSpec
    from provision.clusterfile.loading import DEFAULT_NAME, DEFAULT_SOURCE

    if cloud and file is None:
        # A cluster.yaml that happens to be here may be for another cloud.
        return ClusterSpec(DEFAULT_NAME, cloud=cloud), DEFAULT_SOURCE
    spec = load_spec(file, files=False)
    return (replace(spec, cloud=cloud) if cloud else spec), source_of(file)


def _bake_on_cloud(
    spec: ClusterSpec, source: str, base: str, *, flavor: str, sources: Literal["image", "host", ""], yes: bool
) -> None:
    from provision.adapters.openstack.cloud import connect
    from provision.cli.cluster import lines
    from provision.operations.image.snapshot import SnapshotBake, server_spec

    require_consent("this makes a server on the cloud, and there is no terminal to ask on", yes=yes)

    def confirm(made: Plan) -> None:
        for line in lines(made):
            STDERR.print(line, markup=False, soft_wrap=True)
        if not yes:
            ask("Do this?", default=True)

    progress = TerminalProgress()
    cloud = connect(spec.cloud, source)
    server = server_spec(cloud, spec, base, flavor=flavor, sources=sources)
    click.echo(SnapshotBake(cloud, progress).run(server, source, confirm))


def _remove_on_cloud(spec: ClusterSpec, source: str, *, yes: bool) -> None:
    from provision.adapters.openstack.cloud import connect
    from provision.operations.image.snapshot import SnapshotBake

    def confirm(observed: ObservedCluster) -> None:
        for kind, name in observed.listed():
            STDERR.print(f"- {kind} {name}", markup=False)
        if not yes:
            require_consent("this removes a bake that was begun", yes=yes)
            ask("Remove this?")

    removed = SnapshotBake(connect(spec.cloud, source), TerminalProgress()).remove(confirm)
    click.echo("Removed what the bake had made." if removed else "Nothing to remove: no bake was begun there.")


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
