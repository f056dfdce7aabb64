"""Names that the shell completes: of nodes, users, jobs, units and documents, as far as this machine knows them.

Somebody waits at the keyboard: nothing is asked, neither a cloud nor a node, and whatever goes wrong has no names.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from provision import __version__
from provision.base import paths
from provision.base.model import ClusterSpec
from provision.model.cluster.resources import hub_name, master_name, worker_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import click

    Complete = Callable[[click.Context, click.Parameter, str], list[str]]

_UNITS: Final = ("spark-master", "spark-worker", "spark-history", "jupyterhub", "nfs-server", "nftables", "cloud-*")
"""Units that people look at."""


def complete(names: Callable[[Path | None], Iterable[str]]) -> Complete:
    """Make a parameter's completion of a function that lists names for the cluster of a spec's file."""

    @wraps(names)
    def completed(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
        with suppress(Exception):
            return [name for name in names(_expanded(context.params.get("file"))) if name.startswith(incomplete)]
        return []

    return completed


def _expanded(file: Path | None) -> Path | None:
    """Return the path that the shell would make of a word: it hands over what was typed, `~` and `$HOME` included."""
    return None if file is None else Path(os.path.expandvars(file)).expanduser()


def note(kind: str, cluster: str, names: Sequence[str]) -> None:
    """Keep names of one kind, which only a node or a long computation knows, for the next completion."""
    with suppress(OSError):
        file = _noted(kind, cluster)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(list(names)))


def noted(kind: str, cluster: str) -> list[str] | None:
    """Return the names that were kept last; None if there are none."""
    try:
        found = json.loads(_noted(kind, cluster).read_text())
    except (OSError, ValueError):
        return None
    return [str(name) for name in found] if isinstance(found, list) else None


def nodes(file: Path | None) -> list[str]:
    """Return the nodes' names, short ones first."""
    spec = _spec(file)
    name = _cluster(spec)
    found: list[str] = []
    for config in sorted(paths.cluster_dir(name).parent.glob(f"{name}*/ssh_config")):
        if config.parent.name.partition("@")[0] == name:
            hosts = (line.split()[1] for line in config.read_text().splitlines() if line.startswith("Host "))
            found += [host for host in hosts if host != "*"]
    if not found:
        count = (spec.get("workers") or {}).get("count", ClusterSpec(name).workers.count)
        hub = spec.get("hub") or {}
        # YAML itself reads a field called `on` as true.
        own = [hub_name(name)] if hub.get("on", hub.get(True)) == "node" else []
        found = [master_name(name), *own, *worker_names(name, int(count))]
    found = list(dict.fromkeys(found))
    return [*(node.removeprefix(f"{name}-") for node in found), *found]


def users(file: Path | None) -> list[str]:
    """Return the notebook users of the spec."""
    spec = _spec(file)
    listed = (spec.get("hub") or {}).get("users")
    if listed is None and (spec.get("hub") or {}).get("login"):
        return []
    if listed is None:
        return [user.name for user in ClusterSpec("x").hub.users]
    return [str(each["name"] if isinstance(each, dict) else each) for each in listed]


def jobs(file: Path | None) -> list[str]:
    """Return the jobs that `provision jobs` has listed last, and those that were submitted since."""
    return noted("jobs", _cluster(_spec(file))) or []


def what(file: Path | None) -> list[str]:
    """Return what `provision logs` shows: nodes, units and jobs."""
    return [*nodes(file), *_UNITS, *(f"notebook-{user}" for user in users(file)), *jobs(file)]


def documents(file: Path | None) -> list[str]:
    """Return the documents of `provision render`. They are worked out once for a spec, in a second, and kept."""
    mark, *kept = noted("documents", _cluster(_spec(file))) or [""]
    if mark == _mark(file):
        return kept
    from provision.cli.spec import list_documents

    return list(list_documents(file))


def note_documents(file: Path | None, cluster: str, names: Iterable[str]) -> None:
    """Keep the documents of a spec: another one, of a cluster with the same name, may have others."""
    with suppress(OSError):
        note("documents", cluster, [_mark(file), *names])


def _mark(file: Path | None) -> str:
    """Return what tells the documents of one spec from those of another, and of another release."""
    return hashlib.sha256(f"{__version__}\n{_text(file)}".encode()).hexdigest()


def _text(file: Path | None) -> str:
    """Read a spec; empty where none is named, and there is none. Raises OSError for a named one that is not there."""
    path = file or Path("cluster.yaml")
    return path.read_text(encoding="utf-8") if file or path.exists() else ""


def _spec(file: Path | None) -> dict[str, Any]:
    """Read a spec as YAML alone: its rules take a quarter of a second to load."""
    text = _text(file)
    if not text:
        return {}
    import yaml

    found = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return found if isinstance(found, dict) else {}


def _cluster(spec: dict[str, Any]) -> str:
    return str(spec.get("name") or "analytics")


def _noted(kind: str, cluster: str) -> Path:
    return paths.cache_dir() / "names" / f"{cluster}.{kind}.json"
