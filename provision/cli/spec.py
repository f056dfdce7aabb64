"""`provision init` and `provision render`: the spec and what becomes of it, offline."""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click

from provision.base.errors import ProvisionError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

_P = ParamSpec("_P")
_Result = TypeVar("_Result")


def file_option(command: Callable[_P, _Result]) -> Callable[_P, _Result]:
    """Give a command the option `--file`, and its errors the lines of that file."""

    @wraps(command)
    def located(*arguments: _P.args, **options: _P.kwargs) -> _Result:
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
        type=click.Path(path_type=Path),
        default=None,
        metavar="FILE",
        help="The spec.  [default: cluster.yaml, or the default cluster where there is none]",
    )(located)


def source_of(file: Path | None) -> str:
    """Name the spec's origin as messages do."""
    from provision.clusterfile.loading import FILE

    if file is not None:
        return str(file)
    return str(FILE) if FILE.exists() else "the default cluster (there is no cluster.yaml here)"


@click.command()
@click.argument("name", default="analytics")
@click.option(
    "-f",
    "--file",
    "file",
    type=click.Path(path_type=Path),
    default=Path("cluster.yaml"),
    metavar="FILE",
    show_default=True,
    help="The file to write.",
)
def init(name: str, file: Path) -> None:
    """Write a cluster.yaml with every field and its default."""
    from provision.base.model import ClusterSpec
    from provision.clusterfile.units import Wrong, cluster_name
    from provision.model.templating import render as fill

    try:
        cluster_name(name)
    except Wrong as error:
        raise UsageError(error.wrong, error.fix) from None
    text = fill("spec/cluster.yaml.j2", name=name, spec=ClusterSpec(name))
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise UsageError(f"{file} is there already, and was left as it is", "Remove it first, or give -f.") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}", "Give a place that you may write to.") from None
    click.echo(f"Wrote {file}. Next: `provision plan`, `provision up`.", err=True)


@click.command()
@click.argument("document", required=False)
@file_option
def render(document: str | None, file: Path | None) -> None:
    """Print a document that the cluster would get, offline.

    Without DOCUMENT, lists them. What only a cloud can tell is filled in by example: the flavors' sizes by those of
    the `local` cloud, addresses from the spec's range, and placeholders for secrets.
    """
    from provision.clusterfile import load
    from provision.model.cluster.example import documents
    from provision.operations.localcloud.shared.bootstrap import FLAVORS

    rendered = documents(load(file), source_of(file), FLAVORS)
    if document is None:
        for name in rendered:
            click.echo(name)
        return
    if document not in rendered:
        raise UsageError(f"there is no document {document!r}", f"There are: {', '.join(rendered)}.")
    click.echo(rendered[document], nl=False)
