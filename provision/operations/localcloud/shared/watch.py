"""Wait for the local cloud and look at its containers meanwhile."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

from provision.base import poll
from provision.base.errors import ProvisionError
from provision.base.poll import Pending
from provision.model.localcloud.host import failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from provision.adapters.docker.engine import Engine
    from provision.base.progress import Progress
    from provision.model.localcloud.host import ServiceState

_Answer = TypeVar("_Answer")

_TIMEOUT: Final = 420
"""Seconds that all waits of one Watch may take together; a container that fails is reported long before."""


class Watch:
    """Waits, and looks at the containers on each round: one that does not stay up ends the wait with its last lines."""

    def __init__(self, engine: Engine, progress: Progress) -> None:
        self._engine = engine
        self._progress = progress
        states = engine.states()
        self._restarts = {state.container: state.restarts for state in states}
        self._seen = {state.container: (state.state, state.started) for state in states}
        self._deadline = time.monotonic() + _TIMEOUT

    def until(self, ask: Callable[[], _Answer | Pending], every: float = 1) -> _Answer:
        """Call `ask` every so many seconds until it returns something other than Pending, and return that.

        Raises ProvisionError when a container does not stay up, or when there is no time left.
        """

        def ask_and_look() -> _Answer | Pending:
            answer = ask()
            if isinstance(answer, Pending):
                self.look()
            return answer

        return poll.until(ask_and_look, timeout=self._deadline - time.monotonic(), too_late=_too_late, every=every)

    def all_run(self) -> Pending | None:
        """Return Pending with the services that do not run at this moment."""
        stopped = ", ".join(state.service for state in self._engine.states() if state.state != "running")
        return Pending(stopped) if stopped else None

    def look(self) -> None:
        """Show the state of every container that has changed; raise ProvisionError for one that does not stay up."""
        states = self._engine.states()
        for state in states:
            now = (state.state, state.started)
            if self._seen.get(state.container) != now:
                self._seen[state.container] = now
                self._progress.update(state.service, state.state)
        broken = failed(states, self._restarts)
        if broken:
            raise _does_not_stay_up(self._engine, broken)

    def update(self, item: str, state: str) -> None:
        """Set the progress line of one item."""
        self._progress.update(item, state)


def _too_late(missing: str) -> ProvisionError:
    return ProvisionError(
        f"after {_TIMEOUT // 60} min the local cloud still lacks: {missing}",
        "See `provision cloud status` and `provision cloud logs`. Running the same command again continues from here.",
    )


def _does_not_stay_up(engine: Engine, state: ServiceState) -> ProvisionError:
    return ProvisionError(
        f"the service {state.service} does not stay up: it ended with code {state.exit_code}",
        f"`provision cloud logs {state.service}` shows more. Fix the cause, then run the same command again.",
        engine.last_lines(state.container),
    )
