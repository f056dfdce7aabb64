"""`provision logs`: the journals of a cluster's nodes as one, in the order of time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Final

from provision.adapters.onnode import journal
from provision.base.errors import ProvisionError
from provision.base.threads import NODES_AT_ONCE, Turns, each
from provision.model.cluster.journal import JournalReader
from provision.model.logs import merged
from provision.operations.logs.following import Following

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from provision.adapters.host.process import Piped, Result
    from provision.adapters.remote import Remote
    from provision.model.logs import Line

_RETRY: Final = 5.0
"""Seconds between two tries to reach a node that was lost."""
_IN_MEMORY: Final = 1 << 20
"""Bytes of a log that is fetched whole that are kept in memory; more go to a file."""


@dataclass(frozen=True, slots=True)
class JournalQuery:
    """Which entries to read."""

    units: tuple[str, ...]
    """Names of units, and patterns."""
    since: float | None = None
    """Only entries after this time, in seconds since 1970."""
    lines: int | None = None
    """At most so many of each node."""
    follow: bool = False
    """Whether to go on as new ones come."""


def read_journals(
    nodes: Sequence[Remote], query: JournalQuery, secrets: Iterable[str], told: Callable[[str], None]
) -> Iterator[Line]:
    """Yield the lines of these nodes, the master among them first, in the order of time; `secrets` are masked.

    With `follow` it never ends; `told` is called with what happens to connections. Raises ProvisionError at the end
    when nodes could not be reached.
    """
    return _Journals(nodes, query, secrets, told).lines()


class _Journals:
    def __init__(
        self, nodes: Sequence[Remote], query: JournalQuery, secrets: Iterable[str], told: Callable[[str], None]
    ) -> None:
        self._nodes = nodes
        self._query = query
        self._told = told
        values = tuple(secrets)
        self._readers = {node.name: JournalReader(node.name, values) for node in nodes}
        self._lost: dict[str, str] = {}
        """Nodes that were not reached, or no longer are, and why."""
        self._following = Following()
        self._turns = Turns(NODES_AT_ONCE)

    def lines(self) -> Iterator[Line]:
        # To put logs in order takes all of them at once; those of many nodes are fetched before.
        yield from merged(self._streams() if len(self._nodes) <= NODES_AT_ONCE else self._fetched())
        if self._query.follow:
            for name, why in self._lost.items():
                self._told(f"{name} cannot be reached, and is tried again: {why}")
            yield from self._following.lines(self._refresh, every=_RETRY)
        if self._lost:
            names = ", ".join(self._lost)
            raise ProvisionError(
                f"the log of {names} could not be read",
                "`provision status` shows its state. What other nodes have told is above.",
                "\n".join(f"{name}: {why}" for name, why in self._lost.items()),
            )

    def _streams(self) -> list[Iterator[Line]]:
        streams: list[Iterator[Line]] = []
        for node in self._nodes:
            stream = self._kept(node, self._start(node, after=""))
            # All connections go through that of the node with the Hub: it has to be there when the others begin.
            first = next(stream, None) if not streams else None
            streams.append(_with_first(first, stream))
        return streams

    def _fetched(self) -> list[Iterator[Line]]:
        first, *others = self._nodes
        files = [self._fetch(first), *each(self._fetch, others, at_once=NODES_AT_ONCE)]
        return [
            self._readers[node.name].lines(file, lambda: None) for node, file in zip(self._nodes, files, strict=True)
        ]

    def _fetch(self, node: Remote) -> SpooledTemporaryFile[bytes]:
        file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - it is read later
        with self._start(node, after="") as piped:
            for line in piped.output:
                file.write(line)
            result = piped.finish()
        if not result.ok:
            self._lost[node.name] = _reason(result)
        file.seek(0)
        return file

    def _start(self, node: Remote, after: str) -> Piped:
        query = self._query
        order = {"units": query.units, "since": query.since, "lines": query.lines, "after": after}
        return node.start(journal, order)

    def _kept(self, node: Remote, piped: Piped) -> Iterator[Line]:
        with piped:
            yield from self._readers[node.name].lines(piped.output, lambda: None)
            result = piped.finish()
        if not result.ok:
            self._lost[node.name] = _reason(result)

    def _refresh(self) -> None:
        for node in self._nodes:
            self._following.read(node.name, partial(self._coming, node))

    def _coming(self, node: Remote) -> Iterator[Line]:
        reader = self._readers[node.name]
        self._turns.wait()
        try:
            with self._start(node, reader.cursor) as piped:
                yield from reader.lines(piped.output, partial(self._reached, node.name))
                result = piped.finish()
            why = "" if result.ok else _reason(result)
        except OSError as error:  # so many connections that this machine has no files or processes left
            why = error.strerror or str(error)
        if why and node.name not in self._lost:
            self._lost[node.name] = why
            self._told(f"the connection to {node.name} was lost, and is tried again: {why}")

    def _reached(self, name: str) -> None:
        if self._lost.pop(name, None):
            self._told(f"{name} is there again.")


def _with_first(first: Line | None, rest: Iterator[Line]) -> Iterator[Line]:
    if first is not None:
        yield first
    yield from rest


def _reason(result: Result) -> str:
    lines = result.stderr.strip().splitlines()
    return lines[-1] if lines else f"it ended with {result.code}"
