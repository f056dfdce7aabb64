"""Run one member of the MariaDB cluster: decide whether to join or to bootstrap, then serve, and report to Consul.

A lock alone does not prevent two bootstraps at once: its holder may have been paused or cut off. So a bootstrap is one
transaction in Consul that fails if the lock is lost, or if anything has changed that the decision was based on. It
leaves a record: the member that wrote it has to report before the next bootstrap.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from provision.adapters.consul.http import ConsulRefusedError, ConsulUnavailableError
from provision.adapters.consul.kv import KeyEntry, drop_key, held, set_key, unchanged
from provision.adapters.net import accepts_connections
from provision.base.errors import ProvisionError
from provision.model.galera.bootstrap import (
    BootstrapDecision,
    MemberReport,
    Start,
    decide,
    read_member_report,
    read_start,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from provision.adapters.consul.kv import Operation
    from provision.model.galera.bootstrap import Position, View
    from provision.model.galera.status import MemberState

_KEYS: Final = "galera/"
_LOCK: Final = f"{_KEYS}lock"
_START: Final = f"{_KEYS}start"
_REPORTS: Final = f"{_KEYS}reports/"
_SERVICE: Final = "mariadb"
_PORT: Final = 4567
_SESSION: Final = 15
"""Time to live of a session in seconds: a member that dies while it starts blocks the others no longer than that."""
_APART: Final = 5
"""Seconds out of the Primary component after which a member starts over: the others may have ended."""
_PAUSE: Final = 0.5


class DatabaseServer(Protocol):
    """This container's MariaDB server (adapters/mariadb.py)."""

    def position(self) -> Position | None: ...  # noqa: D102
    def view(self) -> View: ...  # noqa: D102
    def install(self) -> None: ...  # noqa: D102
    def argv(self, member: str, bootstrap_id: str, position: Position | None, peers: Sequence[str]) -> list[str]: ...  # noqa: D102
    def allow_start(self) -> None: ...  # noqa: D102
    def start(self, argv: Sequence[str]) -> None: ...  # noqa: D102
    def ended(self, seconds: float) -> int | None: ...  # noqa: D102
    def stop(self) -> None: ...  # noqa: D102
    def state(self) -> MemberState | None: ...  # noqa: D102
    def ensure_accounts(self, statements: str) -> bool: ...  # noqa: D102


class KeyStore(Protocol):
    """Consul's keys and sessions (adapters/consul/kv.py)."""

    def begin_session(self, name: str, seconds: int) -> str: ...  # noqa: D102
    def renew(self, session: str) -> bool: ...  # noqa: D102
    def end_session(self, session: str) -> None: ...  # noqa: D102
    def hold(self, key: str, value: str, session: str) -> bool: ...  # noqa: D102
    def read(self, prefix: str) -> dict[str, KeyEntry]: ...  # noqa: D102
    def commit(self, operations: Sequence[Operation]) -> bool: ...  # noqa: D102


class HealthCatalogue(Protocol):
    """The health of services in Consul (adapters/consul/catalogue.py)."""

    def passing(self, service: str) -> dict[str, str]: ...  # noqa: D102
    def heartbeat(self, service_id: str, status: str, output: str) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class JoinPlan:
    """How this member enters the cluster: through these members' addresses, or as the first one if there are none."""

    bootstrap_id: str
    position: Position | None
    peers: tuple[str, ...] = ()


class GaleraMember:
    """One member; `run` returns the exit code. The member's name is also its service id in Consul."""

    def __init__(
        self,
        name: str,
        members: Sequence[str],
        server: DatabaseServer,
        keys: KeyStore,
        catalogue: HealthCatalogue,
        *,
        accounts: str,
        say: Callable[[str], None],
        answers: Callable[[str], bool] | None = None,
    ) -> None:
        self._name = name
        self._members = tuple(members)
        self._accounts = accounts
        self._server = server
        self._keys = keys
        self._catalogue = catalogue
        self._say = say
        self._answers = answers or (lambda address: accepts_connections(address, _PORT))
        self._stopping = threading.Event()
        self._session = ""
        self._last_note = ""

    def run(self) -> int:
        """Run the member until `stop`, or until the server ends by itself."""
        # Consul may not have noticed yet that an earlier run of this member has ended.
        self._report_health("critical", "starting")
        while not self._stopping.is_set():
            plan = self.wait_for_plan()
            if plan is None:
                break
            code = self._serve(plan)
            if code is not None:
                return code
        return 0

    def stop(self) -> None:
        """Leave the cluster in an orderly way and let `run` return."""
        self._stopping.set()

    # --- joining or bootstrapping ---

    def wait_for_plan(self) -> JoinPlan | None:
        """Wait until there is a cluster to join, or this member has to start one; None if stopped meanwhile."""
        report = MemberReport(self._name, self._server.position(), self._server.view())
        where = f"data up to {report.position}" if report.position else "no data"
        self._say(f"{where}; last seen: {', '.join(report.view.members) or 'nobody'}")
        while not self._stopping.is_set():
            try:
                plan = self.plan(report)
            except ConsulUnavailableError as away:
                self._note(away.message)
            except ConsulRefusedError as refused:
                # The session has ended, for whatever reason: the next round begins another.
                self._session = ""
                self._note(refused.message)
            else:
                if plan:
                    return plan
            self._stopping.wait(_PAUSE)
        self._end_session()
        return None

    def plan(self, report: MemberReport) -> JoinPlan | None:
        """Return how to enter the cluster; None if that is not decided yet."""
        peers = self._peers()
        entries = self._keys.read(_KEYS)
        if peers:
            return self._join(report, read_start(entries[_START].value) if _START in entries else None, peers)
        self._publish(report, entries)
        entries = self._keys.read(_KEYS)
        decision, basis = self._decide(entries)
        if decision.starter != self._name:
            self._note(decision.reason or f"{decision.starter} starts the cluster")
            self._report_health("critical", decision.reason or f"waits for {decision.starter}")
            return None
        if not self._keys.hold(_LOCK, self._name, self._session):
            self._note("another member holds the lock")
            return None
        return self._bootstrap(report, basis)

    def _peers(self) -> dict[str, str]:
        """Find the members that serve and answer. Consul's list may be some seconds old, so each is connected to."""
        found = self._catalogue.passing(_SERVICE)
        return {id_: at for id_, at in found.items() if id_ != self._name and self._answers(at)}

    def _join(self, report: MemberReport, last: Start | None, peers: Mapping[str, str]) -> JoinPlan:
        cluster = last.cluster if last else ""
        if report.position and cluster and report.position.cluster != cluster:
            raise ProvisionError(
                f"the data here is of the cluster {report.position.cluster}, but {cluster} is running",
                "Joining would discard this data. Remove this member's volume if that is what you want.",
            )
        self._end_session()
        self._note(f"joining {', '.join(sorted(peers))}")
        return JoinPlan(last.bootstrap_id if last else "", report.position, tuple(sorted(peers.values())))

    def _publish(self, report: MemberReport, entries: Mapping[str, KeyEntry]) -> None:
        """Publish this member's report, and keep its session alive: the report disappears with the session."""
        key = _REPORTS + self._name
        published, lock = entries.get(key), entries.get(_LOCK)
        if not self._session or not self._keys.renew(self._session):
            # Sessions of an earlier run of this member would block it.
            for entry in (published, lock if lock and lock.value == self._name else None):
                if entry and entry.session:
                    self._keys.end_session(entry.session)
            self._session = self._keys.begin_session(f"galera {self._name}", _SESSION)
        elif published and published.session == self._session:
            return
        if not self._keys.hold(key, report.text(), self._session):
            raise ConsulRefusedError(f"another container claims to be {self._name}")

    def _decide(self, entries: Mapping[str, KeyEntry]) -> tuple[BootstrapDecision, list[Operation]]:
        """Decide which member starts the cluster; also return the conditions under which the decision holds."""
        published = {key: entry for key, entry in entries.items() if key.startswith(_REPORTS) and entry.session}
        reports = {key.removeprefix(_REPORTS): read_member_report(entry.value) for key, entry in published.items()}
        start = entries.get(_START)
        basis = [unchanged(key, entry) for key, entry in published.items()] + [unchanged(_START, start)]
        return decide(reports, self._members, read_start(start.value) if start else None), basis

    def _bootstrap(self, report: MemberReport, basis: Sequence[Operation]) -> JoinPlan | None:
        """Start the cluster, if the conditions of the decision still hold."""
        if self._peers():
            return None
        start = Start(secrets.token_hex(4), self._name, report.position.cluster if report.position else "")
        committed = self._keys.commit(
            [*basis, held(_LOCK, self._session), drop_key(_REPORTS + self._name), set_key(_START, start.text())]
        )
        if not committed:
            return None
        self._note("starting the cluster")
        if report.position is None:
            self._server.install()
        self._server.allow_start()
        return JoinPlan(start.bootstrap_id, report.position)

    # --- serving ---

    def _serve(self, plan: JoinPlan) -> int | None:
        """Run the server until it ends; None if it was stopped because it had lost the cluster."""
        self._server.start(self._server.argv(self._name, plan.bootstrap_id, plan.position, plan.peers))
        settled, apart_since, leaving = False, 0.0, False
        while (code := self._server.ended(_PAUSE)) is None:
            if leaving:
                continue
            if self._stopping.is_set():
                self._report_health("critical", "leaving")
                self._server.stop()
                leaving = True
                continue
            state = self._server.state()
            if state is None:
                self._report_health("critical", "the server does not answer (yet)")
                continue
            if state.serves and not settled:
                settled = self._settle(plan, state)
            self._report_health("passing" if state.serves and settled else "critical", str(state))
            apart_since = 0.0 if state.primary else apart_since or time.monotonic()
            if apart_since and time.monotonic() - apart_since > _APART:
                self._note(f"cut off from the cluster for {_APART} s: starting over")
                leaving = True
                self._server.stop()
        self._end_session()
        if leaving and not self._stopping.is_set():
            return None
        return 128 - code if code < 0 else code

    def _settle(self, plan: JoinPlan, state: MemberState) -> bool:
        """Finish after this member has entered the cluster: make the accounts, and record a new cluster's id."""
        if not self._server.ensure_accounts(self._accounts):
            return False
        if not plan.peers:
            with _tolerant():
                entry = self._keys.read(_START).get(_START)
                start = read_start(entry.value) if entry else None
                if entry and start and start.bootstrap_id == plan.bootstrap_id and start.cluster != state.cluster:
                    self._keys.commit(
                        [unchanged(_START, entry), set_key(_START, replace(start, cluster=state.cluster).text())]
                    )
        self._note(f"serving: {state}")
        return True

    def _report_health(self, status: str, text: str) -> None:
        """Report to Consul. The lock is kept until the others see that this member serves."""
        with _tolerant():
            if self._session:
                self._keys.renew(self._session)
            self._catalogue.heartbeat(self._name, status, text)
            if status == "passing":
                self._end_session()

    def _end_session(self) -> None:
        session, self._session = self._session, ""
        if session:
            with _tolerant():
                self._keys.end_session(session)

    def _note(self, text: str) -> None:
        """Write a line into the log, unless it is the same as the last one."""
        if text != self._last_note:
            self._last_note = text
            self._say(text)


def _tolerant() -> contextlib.AbstractContextManager[None]:
    """Ignore that Consul is away or refuses: the next round reports again."""
    return contextlib.suppress(ConsulUnavailableError, ConsulRefusedError)
