"""Who may start a Galera cluster of which no member runs: read from what each member knows, and touching nothing.

The rule: the member with the highest sequence number starts it, once every member that may know more has been heard.
A commit is acknowledged when the member that took it has it on its own disk and the others have received it, which is
not yet applied it: so a majority is not enough. Who may know more are the members of the last Primary component, as
each heard member remembers it (`seen`). Nobody waits for a member that had left by then. A member that comes back with
an empty disk counts as heard. There is no time limit: a wait costs minutes, a wrong start costs commits.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NEVER: Final = "00000000-0000-0000-0000-000000000000"
"""The cluster of data that has never been in one."""
_UNKNOWN: Final = -1
_WIRE_ID: Final = "era"
"""The key of `bootstrap_id` in what members write: in an upgrade, members of version 0.1 read it and are read."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a member's data goes: which cluster's, and its last transaction there."""

    cluster: str
    seqno: int = _UNKNOWN

    @property
    def known(self) -> bool:
        """Whether the data says so itself: after a crash it has to be recovered first."""
        return self.seqno != _UNKNOWN and self.cluster != NEVER

    def __str__(self) -> str:
        return f"{self.cluster}:{self.seqno}"


@dataclass(frozen=True, slots=True)
class View:
    """The last Primary component that a member was in, and the start that this was part of."""

    bootstrap_id: str = ""
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MemberReport:
    """What a member that does not run tells the others; no position: it has no data."""

    member: str
    position: Position | None
    view: View = View()

    def text(self) -> str:
        """Write it for Consul."""
        view = {_WIRE_ID: self.view.bootstrap_id, "members": self.view.members}
        return json.dumps(asdict(self) | {"view": view})


def read_member_report(text: str) -> MemberReport:
    """Read what another member has written."""
    known = json.loads(text)
    position, view = known["position"], known["view"]
    return MemberReport(
        known["member"], Position(**position) if position else None, View(view[_WIRE_ID], tuple(view["members"]))
    )


@dataclass(frozen=True, slots=True)
class Start:
    """The last start of the cluster: its `bootstrap_id` is a new one each time."""

    bootstrap_id: str
    by: str
    cluster: str = ""
    """The cluster's own id, once it is known."""

    def text(self) -> str:
        """Write it for Consul."""
        return json.dumps({_WIRE_ID: self.bootstrap_id, "by": self.by, "cluster": self.cluster})


def read_start(text: str) -> Start:
    """Read what the last starter has written."""
    known = json.loads(text)
    return Start(known[_WIRE_ID], known["by"], known["cluster"])


@dataclass(frozen=True, slots=True)
class BootstrapDecision:
    """Who starts the cluster; nobody yet, for the reason that is given."""

    starter: str = ""
    reason: str = ""


def decide(reports: Mapping[str, MemberReport], members: Sequence[str], last: Start | None) -> BootstrapDecision:
    """Say who starts the cluster, of the members heard so far (by name)."""
    holding = [report for report in reports.values() if report.position]
    if not holding:
        missing = [name for name in members if name not in reports]
        # A member that is slow to come may be the one that has the data.
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
        # Nobody here took part in the last start: who did it must be heard.
        needed.add(last.by)
    missing = sorted(needed - set(reports))
    if missing:
        return BootstrapDecision(reason=f"{', '.join(missing)} may know of later commits")
    return BootstrapDecision(min(report.member for report in leading))


def _may_know_more(
    known: Sequence[MemberReport], reports: Mapping[str, MemberReport], members: Sequence[str]
) -> set[str]:
    """Name all that these members last saw, all that those saw, and so on."""
    needed: set[str] = set()
    todo = [report.member for report in known]
    while todo:
        name = todo.pop()
        if name in needed:
            continue
        needed.add(name)
        report = reports.get(name)
        if report:
            # Data without a memory of any cluster: whoever there is may know more.
            todo += report.view.members or (members if report.position else ())
    return needed


def read_state(text: str) -> Position:
    """Read Galera's own grastate.dat."""
    found = dict(re.findall(r"^(\w+):\s*(\S+)$", text, re.MULTILINE))
    return Position(found.get("uuid", NEVER), int(found.get("seqno", _UNKNOWN)))


def allow_start(text: str) -> str:
    """Write in grastate.dat that this member may start the cluster: decide() has found so."""
    return re.sub(r"^safe_to_bootstrap:.*$", "safe_to_bootstrap: 1", text, flags=re.MULTILINE)


def read_recovered(log: str) -> Position | None:
    """Find the position in the log of `mariadbd --wsrep-recover`."""
    found = re.search(r"WSREP: Recovered position:\s*([0-9a-f-]{36}):(-?\d+)", log)
    return Position(found[1], int(found[2])) if found else None


def read_view(text: str) -> View:
    """Read what compose/mariadb/note-view has noted."""
    lines = dict(line.partition(" ")[::2] for line in text.splitlines())
    return View(lines.get(_WIRE_ID, ""), tuple(lines.get("members", "").split()))


@dataclass(frozen=True, slots=True)
class State:
    """A running member, as its own status variables have it."""

    primary: bool = False
    ready: bool = False
    stage: str = ""
    size: int = 0
    cluster: str = ""

    @property
    def serves(self) -> bool:
        """Whether clients may be sent here.

        A donor may serve: mariadb-backup copies the data of a running server, and the first member is donor while the
        others come, when nobody else can serve.
        """
        return self.primary and self.ready and self.stage in ("Synced", "Donor/Desynced")

    def __str__(self) -> str:
        return f"{self.stage or 'starting'}, {'Primary' if self.primary else 'not Primary'}, {self.size} members"


def read_status(variables: Mapping[str, str]) -> State:
    """Read SHOW STATUS."""
    return State(
        primary=variables.get("wsrep_cluster_status") == "Primary",
        ready=variables.get("wsrep_ready") == "ON",
        stage=variables.get("wsrep_local_state_comment", ""),
        size=int(variables.get("wsrep_cluster_size", 0)),
        cluster=variables.get("wsrep_cluster_state_uuid", ""),
    )
