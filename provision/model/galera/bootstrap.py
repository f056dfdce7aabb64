"""Bootstrap of a Galera cluster of which no member runs: which member starts it, decided from all members' reports.

The rule: the member with the highest sequence number starts the cluster, once every member that may have a later commit
has reported. A commit is acknowledged when the member that executed it has it on its disk and the others have received
it, but not yet applied it; so the reports of a majority are not enough. The members that may have a later commit are
those of the last Primary component, as each report remembers it (`view`). A member that had left by then is not waited
for. A member that comes back with an empty disk counts as reported. There is no time limit: waiting costs minutes, a
wrong start costs commits.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NEVER: Final = "00000000-0000-0000-0000-000000000000"
"""Cluster id of data that has never been in a cluster."""
_UNKNOWN: Final = -1
_WIRE_ID: Final = "era"
"""The key of `bootstrap_id` in what members write: members of version 0.1 use it too, and take part in an upgrade."""


@dataclass(frozen=True, slots=True)
class Position:
    """A member's position in the replication: its cluster's id, and the number of its last transaction there."""

    cluster: str
    seqno: int = _UNKNOWN

    @property
    def known(self) -> bool:
        """Whether the position is complete. After a crash it has to be recovered first."""
        return self.seqno != _UNKNOWN and self.cluster != NEVER

    def __str__(self) -> str:
        return f"{self.cluster}:{self.seqno}"


@dataclass(frozen=True, slots=True)
class View:
    """The last Primary component that a member was in, and the bootstrap that it came from."""

    bootstrap_id: str = ""
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MemberReport:
    """What a member that does not run reports to the others. Without a position, it has no data."""

    member: str
    position: Position | None
    view: View = View()

    def text(self) -> str:
        """Write it as JSON for Consul."""
        view = {_WIRE_ID: self.view.bootstrap_id, "members": self.view.members}
        return json.dumps(asdict(self) | {"view": view})


def read_member_report(text: str) -> MemberReport:
    """Read another member's report."""
    known = json.loads(text)
    position, view = known["position"], known["view"]
    return MemberReport(
        known["member"], Position(**position) if position else None, View(view[_WIRE_ID], tuple(view["members"]))
    )


@dataclass(frozen=True, slots=True)
class Start:
    """The record of the last bootstrap of the cluster; `bootstrap_id` is new each time."""

    bootstrap_id: str
    by: str
    """Name of the member that started the cluster."""
    cluster: str = ""
    """The cluster's id; empty until it is known."""

    def text(self) -> str:
        """Write it as JSON for Consul."""
        return json.dumps({_WIRE_ID: self.bootstrap_id, "by": self.by, "cluster": self.cluster})


def read_start(text: str) -> Start:
    """Read the record of the last bootstrap."""
    known = json.loads(text)
    return Start(known[_WIRE_ID], known["by"], known["cluster"])


@dataclass(frozen=True, slots=True)
class BootstrapDecision:
    """Name of the member that starts the cluster, or the reason why none may yet."""

    starter: str = ""
    reason: str = ""


def decide(reports: Mapping[str, MemberReport], members: Sequence[str], last: Start | None) -> BootstrapDecision:
    """Decide which member starts the cluster, from the reports so far (by member's name)."""
    holding = [report for report in reports.values() if report.position]
    if not holding:
        missing = [name for name in members if name not in reports]
        # A member that has not reported yet may have the data.
        return (
            BootstrapDecision(reason=f"a new cluster waits for {', '.join(missing)}")
            if missing
            else BootstrapDecision(min(members))
        )
    clusters = {report.position.cluster for report in holding if report.position}
    if len(clusters) > 1:
        whose = ", ".join(f"{each.member} of {each.position.cluster}" for each in holding if each.position)
        return BootstrapDecision(
            reason=f"there is data of different clusters: {whose}. Remove the volume of the wrong one"
        )
    highest = max(report.position.seqno for report in holding if report.position)
    leading = [report for report in holding if report.position and report.position.seqno == highest]
    latest = [report for report in reports.values() if last and report.view.bootstrap_id == last.bootstrap_id]
    needed = _may_know_more([*leading, *latest], reports, members)
    if last and not latest:
        # No report is from the last bootstrap: the member that started it has to report.
        needed.add(last.by)
    missing = sorted(needed - set(reports))
    if missing:
        return BootstrapDecision(reason=f"{', '.join(missing)} may know of later commits")
    return BootstrapDecision(min(report.member for report in leading))


def _may_know_more(
    known: Sequence[MemberReport], reports: Mapping[str, MemberReport], members: Sequence[str]
) -> set[str]:
    """Name all members in these members' last views, all in the views of those, and so on."""
    needed: set[str] = set()
    todo = [report.member for report in known]
    while todo:
        name = todo.pop()
        if name in needed:
            continue
        needed.add(name)
        report = reports.get(name)
        if report:
            # It has data, but no view: any member may have a later commit.
            todo += report.view.members or (members if report.position else ())
    return needed


def read_state(text: str) -> Position:
    """Read Galera's grastate.dat."""
    found = dict(re.findall(r"^(\w+):\s*(\S+)$", text, re.MULTILINE))
    return Position(found.get("uuid", NEVER), int(found.get("seqno", _UNKNOWN)))


def allow_start(text: str) -> str:
    """Return grastate.dat with the mark that this member may start the cluster, after decide() has said so."""
    return re.sub(r"^safe_to_bootstrap:.*$", "safe_to_bootstrap: 1", text, flags=re.MULTILINE)


def read_recovered(log: str) -> Position | None:
    """Find the position in the log of `mariadbd --wsrep-recover`; None if there is none."""
    found = re.search(r"WSREP: Recovered position:\s*([0-9a-f-]{36}):(-?\d+)", log)
    return Position(found[1], int(found[2])) if found else None


def read_view(text: str) -> View:
    """Read the file that compose/mariadb/note-view writes."""
    lines = dict(line.partition(" ")[::2] for line in text.splitlines())
    return View(lines.get(_WIRE_ID, ""), tuple(lines.get("members", "").split()))
