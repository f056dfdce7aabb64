"""cluster.yaml -> ClusterSpec, or one UsageError that lists everything that is wrong with the file."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from pydantic import BaseModel, ValidationError

from provision.base.errors import UsageError
from provision.base.model import ClusterSpec, Tls
from provision.clusterfile import checks, tls
from provision.clusterfile.document import BadDocument, Document, Problem, parse
from provision.clusterfile.models import ClusterModel, to_spec
from provision.clusterfile.units import Wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

FILE: Final = Path("cluster.yaml")
DEFAULT_NAME: Final = "analytics"
BYTES_AT_MOST: Final = 1 << 20
_MISSING: Final[dict[tuple[str | int, ...], str]] = {
    ("name",): "Add it: `name: analytics`.",
    ("hub", "tls", "cert"): "Give both of a certificate's files, `cert` and `key`, or remove `tls` to have one made.",
    ("hub", "tls", "key"): "Give both of a certificate's files, `cert` and `key`, or remove `tls` to have one made.",
}


def load(path: Path | None, *, files: bool = True) -> ClusterSpec:
    """Read a spec; None means ./cluster.yaml, or the default cluster where there is none.

    `files` False leaves the certificate's files unread: a cluster can be removed after they are gone.
    Raises UsageError.
    """
    if path is None:
        if not FILE.exists():
            return ClusterSpec(DEFAULT_NAME)
        path = FILE
    name = str(path)
    try:
        document = parse(_text(path))
        problems = list(document.problems)
        model, wrong = _validate(document)
        problems += wrong
        paths = None
        if model is not None:
            problems += checks.problems(model)
            paths = _tls(model, path)
            if paths and files:
                problems += tls.problems(paths)
    except BadDocument as bad:
        raise _error(name, None, list(bad.problems)) from None
    if problems or model is None:
        raise _error(name, document, problems)
    return to_spec(model, paths)


def with_line(message: str, path: Path) -> str:
    """Put the line into a message about a field: `cluster.yaml: workers.flavor: …` -> `cluster.yaml:4: workers.…`.

    What only a cloud can judge is judged when the spec is plain data, far from its file.
    """
    rest = message.removeprefix(f"{path}: ")
    field = rest.partition(": ")[0]
    if rest == message or not re.fullmatch(r"[\w.]+", field):
        return message
    try:
        lines = {Problem(where, "").field: line for where, line in parse(_text(path)).lines.items()}
    except BadDocument:
        return message
    # A field that is not in the file has its default: the section that it would be in is named, if that is there.
    while field not in lines and "." in field:
        field = field.rpartition(".")[0]
    return f"{path}:{lines[field]}: {rest}" if field in lines else message


def _text(path: Path) -> str:
    if path.is_dir():
        raise BadDocument(Problem((), "it is a folder", f"Give the file: {path / FILE.name}"))
    try:
        with path.open("rb") as file:
            raw = file.read(BYTES_AT_MOST + 1)
    except FileNotFoundError:
        raise BadDocument(Problem((), "there is no such file", "Write one with `provision init`.")) from None
    except OSError as error:
        fix = "Give a file that you may read."
        raise BadDocument(Problem((), f"it cannot be read: {error.strerror or error}", fix)) from None
    if len(raw) > BYTES_AT_MOST:
        raise BadDocument(Problem((), "it is larger than 1 MiB, which no spec is", "Is it the right file?"))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise BadDocument(Problem((), "it is not UTF-8 text", "Save it in UTF-8.", line)) from None


def _tls(model: ClusterModel, path: Path) -> Tls | None:
    if model.hub.tls is None:
        return None
    folder = path.resolve().parent
    return Tls(cert=folder / Path(model.hub.tls.cert).expanduser(), key=folder / Path(model.hub.tls.key).expanduser())


def _validate(document: Document) -> tuple[ClusterModel | None, list[Problem]]:
    if not isinstance(document.data, dict):
        fix = "Write fields, one a line: `name: analytics`."
        return None, [Problem((), f"it holds {_what(document.data)}, not a map of fields", fix, line=1)]
    try:
        return ClusterModel.model_validate(document.data), []
    except ValidationError as error:
        return None, [_problem(detail) for detail in error.errors()]


def _what(value: object) -> str:
    return "a list" if isinstance(value, list) else "plain text" if isinstance(value, str) else "one value"


def _problem(detail: ErrorDetails) -> Problem:
    # Pydantic names validators ("function-before[…]") among the path's parts: those are no fields.
    where = tuple(part for part in detail["loc"] if isinstance(part, int) or "[" not in part)
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, Wrong):
        return Problem(where, cause.wrong, cause.fix)
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return _unknown(where)
    if kind == "missing":
        return Problem(where, "it is missing", _MISSING.get(where, f"Add `{where[-1]}`: it has no default."))
    wanted = {
        "int_type": ("a whole number", "Write it without quotes and without a point."),
        "bool_type": ("true or false", "Write true or false, without quotes."),
        "list_type": ("a list", "Write it in brackets: [one, two]."),
        "dict_type": ("a map", "Write its fields below it, indented, as `field: value`."),
        "model_type": ("a map", "Write its fields below it, indented, as `field: value`."),
        "model_attributes_type": ("a map", "Write its fields below it, indented, as `field: value`."),
    }.get(kind)
    if wanted:
        return Problem(where, f"{value!r} is not {wanted[0]}", wanted[1])
    return Problem(where, f"{value!r}: {detail['msg']}", "Look at `provision init`.")


def _unknown(where: tuple[str | int, ...]) -> Problem:
    known = list(_fields(where[:-1]))
    near = difflib.get_close_matches(str(where[-1]), known, n=1, cutoff=0.5)
    fix = f"Did you mean `{near[0]}`?" if near else f"Known here: {', '.join(known)}."
    return Problem(where, "there is no such field", fix)


def _fields(where: tuple[str | int, ...]) -> Iterator[str]:
    model: type[BaseModel] = ClusterModel
    for part in where:
        if isinstance(part, int):
            continue
        model = _model_in(model.model_fields[part].annotation)
    yield from model.model_fields


def _model_in(annotation: object) -> type[BaseModel]:
    """Find the model inside `Model`, `Model | None` or `list[Annotated[Model, …]]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inside in get_args(annotation):
        try:
            return _model_in(inside)
        except LookupError:
            continue
    raise LookupError(annotation)


def _error(name: str, document: Document | None, problems: list[Problem]) -> UsageError:
    def line(problem: Problem) -> int | None:
        return problem.line or (document.line(problem.where) if document else None)

    def say(problem: Problem) -> str:
        number = line(problem)
        place = f"{name}:{number}" if number else name
        return f"{place}: {problem.field}: {problem.wrong}" if problem.where else f"{place}: {problem.wrong}"

    if len(problems) == 1:
        return UsageError(say(problems[0]), problems[0].fix)
    ordered = sorted(problems, key=lambda problem: line(problem) or 0)
    listed = [f"  {say(problem)}. {problem.fix}" for problem in ordered[:20]]
    if len(ordered) > 20:
        listed.append(f"  … and {len(ordered) - 20} more")
    return UsageError(
        "\n".join([f"{name} has {len(problems)} problems:", *listed]),
        "Correct the file: nothing was changed. `provision init` writes one with every field explained.",
    )
