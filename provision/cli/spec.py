"""`provision init` and `provision render`, which work offline, and what every command with `--file` shares."""

from __future__ import annotations

from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click

from provision.base.constants import LOCAL_CLOUD
from provision.base.errors import ProvisionError, UsageError
from provision.base.model import ClusterSpec
from provision.cli.completion.names import complete, documents, note_documents
from provision.cli.terminal import TerminalProgress

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from provision.adapters.remote import Remote
    from provision.operations.cluster.nodes import LiveCluster

_P = ParamSpec("_P")
_Result = TypeVar("_Result")


class SpecPath(click.Path):
    """The path of a spec; an empty one, as of a variable that is not set, is none."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
        """Return the path. Raises click.BadParameter."""
        if value == "":
            self.fail("it is empty; name the spec's file, or leave the option out.", param, ctx)
        return super().convert(value, param, ctx)


def file_option(command: Callable[_P, _Result]) -> Callable[_P, _Result]:
    """Give a command the option `--file`, and its errors the line numbers of that file."""

    @wraps(command)
    def command_with_lines(*arguments: _P.args, **options: _P.kwargs) -> _Result:
        try:
            return command(*arguments, **options)
        except ProvisionError as error:
            from provision.clusterfile.loading import FILE, with_line

            file = options["file"]
            error.message = with_line(error.message, file if isinstance(file, Path) else FILE)
            raise

    return click.option(
        "-f",
        "--file",
        "file",
        type=SpecPath(),
        default=None,
        metavar="FILE",
        help="The spec.  [default: cluster.yaml, or the default cluster if there is none]",
    )(command_with_lines)


def load_spec(file: Path | None, *, files: bool = True) -> ClusterSpec:
    """Read the spec as clusterfile.load does, which is imported here: pydantic and cryptography take 0.25 s."""
    from provision.clusterfile import load

    return load(file, files=files)


def live_cluster(spec: ClusterSpec, file: Path | None) -> LiveCluster:
    """Find the nodes of the cluster that `file` describes, as find_live_cluster does."""
    # Not at the top: it imports Jinja, YAML and cryptography, 0.15 s that `--help` need not wait for.
    from provision.operations.cluster.nodes import find_live_cluster

    return find_live_cluster(spec, source_of(file), progress=TerminalProgress())


def live_hub(spec: ClusterSpec, file: Path | None) -> Remote:
    """Return a way to run programs on the node with the Hub of the cluster that `file` describes."""
    return hub_of(live_cluster(spec, file))


def hub_of(cluster: LiveCluster) -> Remote:
    """Return a way to run programs on the node with the Hub, where people's files and drivers are."""
    from provision.adapters.remote import over_ssh

    return over_ssh(cluster.ssh_config, cluster.hub.name)


def source_of(file: Path | None) -> str:
    """Return what errors call the spec: its file, or the default cluster."""
    from provision.clusterfile.loading import DEFAULT_SOURCE, FILE

    if file is not None:
        return str(file)
    return str(FILE) if FILE.exists() else DEFAULT_SOURCE


@click.command()
@click.argument("name", default="analytics")
@click.option(
    "-f",
    "--file",
    "file",
    type=SpecPath(),
    default=Path("cluster.yaml"),
    metavar="FILE",
    show_default=True,
    help="The file to write.",
)
@click.option(
    "--cloud",
    metavar="CLOUD",
    default=LOCAL_CLOUD,
    show_default=True,
    help="An entry of clouds.yaml, which is asked for its flavors, images and networks; `local` is not asked.",
)
def init(name: str, file: Path, cloud: str) -> None:
    """Write a cluster.yaml with every field and its default.

    With --cloud, flavors and the external network are what that cloud has, and comments say what else there is.
    """
    from provision.clusterfile.units import Wrong, cluster_name
    from provision.model.cluster.offer import OfferedSpec, fitting, scalar
    from provision.model.templating import render as render_template

    try:
        cluster_name(name)
    except Wrong as error:
        raise UsageError(error.wrong, error.fix) from None
    _refuse_existing(file)
    offered = OfferedSpec(ClusterSpec(name), "", "", "")
    if cloud != LOCAL_CLOUD:
        from provision.operations.offer import ask_offer

        try:
            offered = fitting(name, ask_offer(cloud))
        except UsageError:
            raise
        except ProvisionError as error:
            click.echo(
                f"Cloud {cloud!r} could not be asked ({error.message}): check flavors, image and network in {file}.",
                err=True,
            )
            offered = OfferedSpec(replace(ClusterSpec(name), cloud=cloud), "", "", "")
    text = render_template("spec/cluster.yaml.j2", spec=offered.spec, offered=offered, scalar=scalar)
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        _refuse_existing(file)
    except OSError as error:
        raise UsageError(
            f"{file} cannot be written: {error.strerror}", "Name a file in a folder that you may write to."
        ) from None
    click.echo(f"Wrote {file}. Next: `provision plan`, `provision up`.", err=True)


def _refuse_existing(file: Path) -> None:
    if file.exists() or file.is_symlink():
        raise UsageError(
            f"{file} is there already, and was left as it is", "Remove it first, or name another file with -f."
        )


def list_documents(file: Path | None) -> dict[str, str]:
    """Render all documents of a spec, offline, by their names; the shell completes the names from then on."""
    from provision.model.cluster.example import documents as render_documents
    from provision.model.localcloud.settings import FLAVORS

    spec = load_spec(file)
    rendered = render_documents(spec, source_of(file), FLAVORS)
    note_documents(file, spec.name, rendered)
    return rendered


@click.command()
@click.argument("document", required=False, shell_complete=complete(documents))
@file_option
def render(document: str | None, file: Path | None) -> None:
    """Print a document that the cluster would get, offline.

    Without DOCUMENT, lists them. What only a cloud can tell is filled in by example: the flavors' sizes by those of
    the `local` cloud, addresses from the spec's range, and placeholders for secrets.
    """
    rendered = list_documents(file)
    if document is None:
        for name in rendered:
            click.echo(name)
        return
    if document not in rendered:
        raise UsageError(f"there is no document {document!r}", f"There are: {', '.join(rendered)}.")
    click.echo(rendered[document], nl=False)
