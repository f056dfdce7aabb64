"""Wait for the `local` cloud with one eye on its containers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from provision.base.errors import ProvisionError
from provision.model.localcloud.host import failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from provision.adapters.docker.engine import Engine
    from provision.base.progress import Progress
    from provision.model.localcloud.host import ServiceState

_LIMIT: Final = 420
"""Seconds that all waiting may take in the end; a container that fails is reported long before."""


class Watch:
    """Waits with one eye on the containers: one that does not stay up ends the wait, with its last lines."""

    def __init__(self, engine: Engine, progress: Progress) -> None:
        self._engine = engine
        self._progress = progress
        states = engine.states()
        self._restarts = {state.container: state.restarts for state in states}
        self._seen = {state.container: (state.state, state.started) for state in states}
        self._deadline = time.monotonic() + _LIMIT

    def until(self, done: Callable[[], str], every: float = 1) -> None:
        """Call `done` every second, or every so many, until it returns an empty text: what is missing, in words."""
        while True:
            missing = done()
            if not missing:
                return
            self.look()
            if time.monotonic() > self._deadline:
                raise ProvisionError(
                    f"after {_LIMIT // 60} min the local cloud still lacks: {missing}",
                    "see `provision cloud status` and `provision cloud logs`; running this again goes on from here",
                )
            time.sleep(every)

    def stopped(self) -> str:
        """Name the services that do not run at this moment."""
        return ", ".join(state.service for state in self._engine.states() if state.state != "running")

    def look(self) -> None:
        """Show every container's state; raise ProvisionError for one that does not stay up."""
        states = self._engine.states()
        for state in states:
            now = (state.state, state.started)
            if self._seen.get(state.container) != now:
                self._seen[state.container] = now
                self._progress.update(state.service, state.state)
        bad = failed(states, self._restarts)
        if bad:
            raise _dead(self._engine, bad)

    def say(self, item: str, state: str) -> None:
        """Set one line."""
        self._progress.update(item, state)


def _dead(engine: Engine, state: ServiceState) -> ProvisionError:
    return ProvisionError(
        f"the service {state.service} does not stay up: it ended with code {state.exit_code}",
        f"`provision cloud logs {state.service}` shows more; after mending the cause, run the same command again",
        engine.last_lines(state.container),
    )
