"""The page of cluster.yaml: its fields from the pydantic models, their meaning from the file that `init` writes.

What is refused is tried: each example is given to the loader, and the page shows its answer.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import yaml
from pydantic import BaseModel

from provision.base import paths
from provision.base.errors import UsageError
from provision.cli.reference.markdown import NOTICE, code, table
from provision.cli.reference.notes import NOTES
from provision.clusterfile import load
from provision.clusterfile.checks import SPECIAL
from provision.clusterfile.models import ClusterModel
from provision.clusterfile.pinned import OWN_FIELDS, PINNED, PREFIXES
from provision.clusterfile.units import reserved_users, taken_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

_INTRODUCTION: Final = """\
# cluster.yaml

The cluster file, or spec, describes one cluster. `provision init` writes one with every field and its default. All
fields but `name` may be left out. Paths are relative to the file's folder.

A file with mistakes is refused as a whole, before anything is changed: one message names the file, the line, the field,
what is wrong and what to do, and the exit code is 2. What only a cloud can tell (flavors, images, networks, quotas) is
checked when a command has asked the cloud, and before it changes anything: see [Sizing](sizing.md).

```yaml
name: analytics
cloud: local
image: golden
network:
  cidr: 10.20.0.0/24
  external: public
  floating_ip: true
  access: [192.0.2.0/24]
master: {flavor: m1.small}
workers: {count: 2, flavor: m1.small}
spark:
  user_cores: 8
  app_cores: 4
  executor_memory: 2g
  defaults: {spark.sql.shuffle.partitions: "64"}
hub:
  port: 443
  idle_timeout: 1h
  limits: {memory: 1g, cores: 2}
  tls: {cert: hub.pem, key: hub.key}
  users: [alice, {name: bob, admin: true}]
packages: [polars==1.35.1]
monitoring: true
```
"""


def cluster_file_page() -> str:
    """Write the page of all fields of cluster.yaml."""
    lines = [NOTICE.format(source="provision/cli/reference/notes.py or templates/spec/cluster.yaml.j2"), ""]
    lines += [_INTRODUCTION]
    comments = comments_of((paths.TEMPLATES / "spec" / "cluster.yaml.j2").read_text(encoding="utf-8"))
    found = dict(fields())
    lines += ["## Fields", ""]
    lines += table(("Field", "Type", "Default"), (_row(path, field) for path, field in found.items()))
    for path in found:
        lines += _section(path, comments.get(path, ""))
    return "\n".join([*lines, *_limits()]).rstrip() + "\n"


def fields(model: type[BaseModel] = ClusterModel, above: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield every field of the cluster file by its path (`hub.users[].name`), those of a section after each other."""
    for name, field in model.model_fields.items():
        path, inner = above + name, _model_in(field.annotation)
        if inner is None or path in NOTES:
            yield path, field
        if inner is not None:
            yield from fields(inner, path + ("[]." if "list" in str(field.annotation) else "."))


def comments_of(template: str) -> dict[str, str]:
    """Read the comments above each field of the file that `init` writes; fields that follow at once share one."""
    known = {path for path, _ in fields()}
    found: dict[str, str] = {}
    section, comment, fresh = "", [], True  # type: str, list[str], bool
    for line in template.splitlines():
        text = line.strip()
        if text.startswith(("{%", "# {{")):
            continue  # what a cloud has, where it was asked
        if match := re.fullmatch(r"(#? ?)(\w+):(.*)", text):
            if not line.startswith(" "):
                section = match[2] + "." if not match[3] else ""
            path = section + match[2]
            if path in known:
                found.setdefault(path, " ".join(comment))
                fresh = True
                continue
        if re.match(r"# {2,}\w+:", text):
            # A field below one that is commented out: an example, and no sentence about what follows.
            comment, fresh = [], True
        elif text.startswith("#"):
            comment = [*([] if fresh else comment), text.lstrip("# ")]
            fresh = False
        else:
            comment, fresh = [], True
    return found


def refusal(path: str, value: Any) -> tuple[str, str]:  # noqa: ANN401 - YAML holds anything
    """Give the loader a file with this one wrong value: the line of YAML, and what it answers."""
    document: dict[str, Any] = {"name": "analytics"}
    place, *inner = path.replace("[]", "").split(".")
    wrong = value
    for key in reversed(inner):
        wrong = {key: wrong}
    if path.startswith("hub.users[]"):
        wrong = {"users": [{"name": "alice", **wrong["users"]}]}
    if path.startswith("image."):
        wrong = {"name": "debian-13", "stock": True, **wrong}
    document[place] = wrong
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cluster.yaml"
        file.write_text(yaml.safe_dump(document), encoding="utf-8")
        try:
            load(file, files=False)
        except UsageError as error:
            said = re.sub(rf"^{re.escape(str(file))}(:\d+)?: ", "", error.message).removeprefix(f"{path}: ")
            return yaml.safe_dump({place: wrong}, default_flow_style=True, width=200).strip()[1:-1], (
                f"{said}. {error.hint}"
            )
    raise AssertionError(f"{path}: {value!r} is not refused")


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((inner for each in get_args(annotation) if (inner := _model_in(each))), None)


def _default(path: str, field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if NOTES[path].left_out:
        return NOTES[path].left_out
    if path == "hub.idle_timeout":
        return code(f"{value // 3600}h")
    if path == "hub.users":
        return code(f"[{', '.join(user.name for user in value)}]")
    return code(str(value).lower() if isinstance(value, bool) else str(value))


def _row(path: str, field: FieldInfo) -> tuple[str, str, str]:
    return f"[{code(path)}](#{_anchor(path)})", NOTES[path].kind, _default(path, field)


def _anchor(path: str) -> str:
    return re.sub(r"[^\w]", "", path)


def _section(path: str, comment: str) -> list[str]:
    note = NOTES[path]
    meaning = " ".join(sentence for sentence in (_sentence(comment), note.more) if sentence)
    lines = [f"### `{path}`", "", meaning, ""]
    if note.refused:
        rows = (refusal(path, value) for value in note.refused)
        lines += table(("Refused", "Answer"), ((code(written), answer) for written, answer in rows))
    return lines


def _sentence(text: str) -> str:
    if re.match(r"\w\w", text):
        text = text[0].upper() + text[1:]
    return text if not text or text.endswith(".") else text + "."


def _limits() -> list[str]:
    rules = [(code(key), why) for key, why in PINNED.items()]
    rules += [(code(prefix + ("…" if prefix.endswith(".") else "*")), why) for prefix, why in PREFIXES.items()]
    rules += [(code(key), f"it has a field of its own: set {code(field)}") for key, field in OWN_FIELDS.items()]
    ports = [(str(first) if first == last else f"{first}-{last}", use) for first, last, use in taken_ports()]
    return [
        "## Settings that are pinned",
        "",
        "`spark.defaults` does not take these, because the cluster's own wiring depends on them:",
        "",
        *table(("Setting", "Why"), rules),
        "## Ports that the Hub cannot have",
        "",
        *table(("Port", "Belongs to"), ports),
        "## Ranges that no cluster can have",
        "",
        *table(("Range", "Use"), ((code(text), use) for text, use in SPECIAL.items())),
        "A range needs six addresses beside one for each node.",
        "",
        "## Names that no user can have",
        "",
        "Accounts and groups of the node's own system, and every name that begins with `systemd-`: "
        + ", ".join(code(name) for name in sorted(reserved_users()))
        + ".",
        "",
    ]
