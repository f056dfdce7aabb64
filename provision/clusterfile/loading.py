"""Load cluster.yaml as a ClusterSpec, or raise one UsageError that lists everything that is wrong with the file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from provision.base.errors import UsageError
from provision.base.model import ClusterSpec, Tls
from provision.clusterfile import checks, logins, tls, unknown
from provision.clusterfile.document import BadDocument, Document, Problem, parse
from provision.clusterfile.fields import written
from provision.clusterfile.models import ClusterModel, to_spec
from provision.clusterfile.units import Wrong

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from provision.base.model import PackagesSpec

FILE: Final = Path("cluster.yaml")
DEFAULT_SOURCE: Final = "the default cluster (there is no cluster.yaml here)"
"""What stands for the file of the default spec, in errors too."""
DEFAULT_NAME: Final = "analytics"
BYTES_AT_MOST: Final = 1 << 20
_REGISTERED: Final = "Write what the login server gave you when the Hub was registered there."
_MISSING: Final[dict[tuple[str | int, ...], str]] = {
    ("name",): "Add it: `name: analytics`.",
    ("image", "name"): "Name it: `image: {name: debian-13, stock: true}`.",
    ("hub", "login", "oidc", "issuer"): "Write the server's address, as https://login.example.org/realms/ours.",
    ("hub", "login", "oidc", "client_id"): _REGISTERED,
    ("hub", "login", "ldap", "server"): "Write the directory's host, as ldap.example.org.",
    ("hub", "tls", "cert"): "Name both files, `cert` and `key`, or remove `tls`: then a certificate is made.",
    ("hub", "tls", "key"): "Name both files, `cert` and `key`, or remove `tls`: then a certificate is made.",
}


def load(path: Path | None, *, files: bool = True) -> ClusterSpec:
    """Read a spec; None means ./cluster.yaml, or the default cluster if there is none.

    With `files=False` no file that it names is read (certificate, wheels, jars): a cluster can be removed after they
    are gone.
    Raises UsageError.
    """
    if path is None:
        if not FILE.exists():
            return ClusterSpec(DEFAULT_NAME)
        path = FILE
    try:
        text = _text(path)
    except BadDocument as bad:
        raise _error(str(path), None, list(bad.problems)) from None
    return check(text, path, files=files)


def check(text: str, path: Path, *, files: bool = True) -> ClusterSpec:
    """Read the text of a spec that is, or is going to be, the file `path`; as `load`. Raises UsageError."""
    name = str(path)
    try:
        document = parse(text)
        problems = list(document.problems)
        model, wrong = _validate(document)
        problems += [each for each in wrong if not any(each.where[: len(at)] == at for at in document.unread)]
        paths, packages, login = None, None, None
        if model is not None:
            problems += checks.problems(model)
            paths = _tls(model, path)
            if paths and files:
                problems += tls.problems(paths)
            if model.hub.login and not problems:
                login, wrong = logins.read(model.hub.login, path.resolve().parent, files=files)
                problems += wrong
            if model.packages or model.spark.packages:
                packages, wrong = _packages(model, path, files=files)
                problems += wrong
    except BadDocument as bad:
        raise _error(name, None, list(bad.problems)) from None
    if problems or model is None:
        raise _error(name, document, problems)
    return to_spec(model, paths, packages, login)


def with_line(message: str, path: Path) -> str:
    """Add the line to a message about a field: `cluster.yaml: workers.flavor: …` -> `cluster.yaml:4: workers.…`.

    Checks that need the cloud come after loading, when the lines are no longer known.
    """
    rest = message.removeprefix(f"{path}: ")
    field = rest.partition(": ")[0]
    if rest == message or not re.fullmatch(r"[\w.\[\]]+", field):
        return message
    try:
        lines = {Problem(where, "").field: line for where, line in parse(_text(path)).lines.items()}
    except BadDocument:
        return message
    # A field that is not in the file has its default: then the line of its section is given, if that is there.
    while field not in lines and "." in field:
        field = field.rpartition(".")[0]
    return f"{path}:{lines[field]}: {rest}" if field in lines else message


def _text(path: Path) -> str:
    if path.is_dir():
        raise BadDocument(Problem((), "it is a folder", f"Name the file: {path / FILE.name}"))
    try:
        with path.open("rb") as file:
            raw = file.read(BYTES_AT_MOST + 1)
    except FileNotFoundError:
        raise BadDocument(Problem((), "there is no such file", "Write one with `provision init`.")) from None
    except OSError as error:
        fix = "Name a file that you may read."
        raise BadDocument(Problem((), f"it cannot be read: {error.strerror or error}", fix)) from None
    if len(raw) > BYTES_AT_MOST:
        raise BadDocument(Problem((), "it is larger than 1 MiB, which no spec is", "Check that it is the right file."))
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


def _packages(model: ClusterModel, path: Path, *, files: bool) -> tuple[PackagesSpec, list[Problem]]:
    from provision.clusterfile import packages  # the library `packaging` takes 0.05 s, and few specs need it

    return packages.read(model.packages, model.spark.packages, path.resolve().parent, files=files)


def _validate(document: Document) -> tuple[ClusterModel | None, list[Problem]]:
    if not isinstance(document.data, dict):
        fix = "Write fields, one a line: `name: analytics`."
        return None, [Problem((), f"it contains {_describe(document.data)}, not a map of fields", fix, line=1)]
    try:
        return ClusterModel.model_validate(document.data), []
    except ValidationError as error:
        return None, [_problem(detail) for detail in error.errors()]


def _describe(value: object) -> str:
    return "a list" if isinstance(value, list) else "plain text" if isinstance(value, str) else "one value"


def _problem(detail: ErrorDetails) -> Problem:
    *above, last = detail["loc"]
    # Pydantic puts validators ("function-before[…]") into the path: those are not fields. An unknown field is one,
    # whatever it is called.
    parts = [part for part in above if not str(part).startswith("function-")]
    if detail["type"] == "extra_forbidden" or not str(last).startswith("function-"):
        parts.append(last)
    where = tuple(parts)
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, Wrong):
        return Problem(where, cause.wrong, cause.fix)
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return unknown.problem(where)
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
    if kind == "literal_error":
        choices = str(detail["ctx"]["expected"]).replace("'", "`")
        wanted = ("one of its words", f"Write {choices}.")
    if wanted and value is None:
        return Problem(where, "it has no value", f"{wanted[1]} Or remove the line for the default.")
    if wanted:
        return Problem(where, f"{written(value)} is not {wanted[0]}", wanted[1])
    return Problem(where, f"{written(value)}: {detail['msg']}", "Compare it with what `provision init` writes.")


def _error(name: str, document: Document | None, problems: list[Problem]) -> UsageError:
    def line(problem: Problem) -> int | None:
        return problem.line or (document.line(problem.where) if document else None)

    def describe(problem: Problem) -> str:
        number = line(problem)
        file = f"{name}:{number}" if number else name
        return f"{file}: {problem.field}: {problem.wrong}" if problem.where else f"{file}: {problem.wrong}"

    if len(problems) == 1:
        return UsageError(describe(problems[0]), problems[0].fix)
    ordered = sorted(problems, key=lambda problem: line(problem) or 0)
    listed = [f"  {describe(problem)}. {problem.fix}" for problem in ordered[:20]]
    if len(ordered) > 20:
        listed.append(f"  … and {len(ordered) - 20} more")
    return UsageError(
        "\n".join([f"{name} has {len(problems)} problems:", *listed]),
        "Correct the file; nothing was changed. `provision init` writes one in which every field is explained.",
    )
