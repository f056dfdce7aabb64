"""Software that differs between nodes, or is not what Spark runs on: Java, Python, and Python's packages."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from provision.base.constants import NODE
from provision.model.doctor.cause import NO_EXECUTORS, SPARK, Cause, not_well, unregistered
from provision.model.finding import Finding, listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.model.doctor.observed import ObservedSparkCluster

_JAVA: Final = (17, 21)
"""The versions of Java that Spark 4 runs on."""


def other_java(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """A node has no Java, or not one that Spark runs on."""
    versions = {node.name: (node, node.fact("java")) for node in seen.answering if node.fact("java")}
    reference = _reference({name: java["version"] for name, (_, java) in versions.items()})
    for name, (node, java) in versions.items():
        major = int(java["version"].partition(".")[0] or 0)
        if not java["path"] or not major:
            wrong = "has no Java that can be started, and Spark is written in it"
        elif major not in _JAVA:
            wrong = f"has Java {java['version']}; Spark 4 runs on {' and '.join(map(str, _JAVA))}"
        elif java["version"] != reference:
            wrong = f"has Java {java['version']}, and the other nodes have {reference}"
        else:
            continue
        finding = Finding(
            "java",
            name,
            wrong,
            "The image has the right one: `update-alternatives --config java` there chooses it, `provision up "
            "--replace` makes a worker anew.",
            (f"{name}: /usr/bin/java is {java['path'] or 'no program'}, version {java['version'] or 'unknown'}",),
        )
        units = {not_well(name, unit) for unit in node.fact("units", {}) if unit.startswith("spark-")}
        follows = (
            {SPARK, *(unregistered(w.name) for w in seen.workers)} if node.role == "master" else {unregistered(name)}
        )
        yield Cause(finding, explains=frozenset(units | follows | {NO_EXECUTORS}))


def other_python(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """Nodes differ in their Python."""
    versions = {node.name: node.fact("python") for node in seen.answering if "python" in node.facts}
    reference = _reference(versions)
    for name, version in versions.items():
        if version != reference:
            has = f"has Python {version}" if version else f"has no Python that can be started in {NODE.venv}"
            yield Cause(
                Finding(
                    "python",
                    name,
                    f"{has}, and the other nodes have {reference}: executors there refuse a notebook's functions "
                    "(PYTHON_VERSION_MISMATCH)",
                    f"`provision up --replace` makes the node anew from the image; {NODE.venv}/bin/python is its link.",
                    tuple(
                        f"{each}: {NODE.venv}/bin/python is {other or 'not there'}" for each, other in versions.items()
                    ),
                ),
                explains=frozenset({NO_EXECUTORS}),
            )


def other_packages(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """A node has other Python packages than the rest."""
    nodes = [node for node in seen.answering if node.fact("packages")]
    names = sorted({name for node in nodes for name in node.fact("packages")})
    usual = {name: _reference({node.name: node.fact("packages").get(name, "") for node in nodes}) for name in names}
    own = _reference({node.name: node.fact("own_packages", "") for node in nodes})
    for node in nodes:
        have = node.fact("packages")
        other = {name: have.get(name, "") for name in names if have.get(name, "") != usual[name]}
        if other:
            words = [
                f"{name} {version or 'missing'} (elsewhere {usual[name] or 'missing'})"
                for name, version in other.items()
            ]
            yield Cause(
                Finding(
                    "packages",
                    node.name,
                    f"has other Python packages than the other nodes: {listed(words, 3)}",
                    "Packages come with the image and with `packages` in the spec: remove what was installed by hand, "
                    "or `provision up --replace` makes the node anew.",
                    tuple(words),
                )
            )
        elif node.fact("own_packages", "") != own:
            yield Cause(
                Finding(
                    "packages",
                    node.name,
                    "does not have the packages of the spec that the other nodes have",
                    "`provision up` brings them.",
                    (f"{node.name}: {node.fact('own_packages') or 'none'}, elsewhere {own or 'none'}",),
                )
            )


def _reference(values: dict[str, str]) -> str:
    """Return the value that most nodes have; of equally many, the first node's (the master's)."""
    counts = Counter(values.values())
    most = max(counts.values(), default=0)
    return next((value for value in values.values() if counts[value] == most), "")
