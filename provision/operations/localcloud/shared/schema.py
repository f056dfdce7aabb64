"""The databases' schemas: what each was last migrated with, and its two halves around a rolling upgrade."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Literal

from provision.model.localcloud.settings import PROJECT, services_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from provision.adapters.docker.engine import Engine
    from provision.operations.localcloud.shared.installation import Installation

    Step = Literal["migrate", "expand", "contract"]

_DATABASE: Final = "mariadb"
MIGRATED: Final = "SET wsrep_sync_wait=1; SELECT family, inputs FROM provision.migrated"
"""Asks what each was last migrated with: a member that has fallen behind answers when it has caught up."""
_DOING: Final[dict[Step, str]] = {
    "migrate": "migrating",
    "expand": "expanding: what runs goes on with it",
    "contract": "contracting: nothing old runs any more",
}


def pending(engine: Engine, installation: Installation, databases: Iterable[str] = ()) -> list[str] | None:
    """Name the families whose database is not at their image's schema; None where no member of the database serves.

    `databases` are the containers that are asked; by default those of this machine's own members.
    """
    members = (f"{PROJECT}-{service}-1" for service in services_of(installation.settings, _DATABASE))
    for container in databases or members:
        code, text = engine.execute(container, ["mariadb", "-NBe", MIGRATED])
        if not code:
            found = dict(line.split("\t", 1) for line in text.splitlines() if "\t" in line)
            return [family for family, inputs in installation.inputs.items() if found.get(family) != inputs]
    return None


def run(
    engine: Engine, installation: Installation, families: Iterable[str], step: Step, say: Callable[[str, str], None]
) -> None:
    """Take one step with some families' databases: `migrate` whole, or `expand` before and `contract` after an upgrade.

    Only `migrate` and `contract` write down that it is done: an upgrade that breaks off begins with `expand` again.
    """

    def one(family: str) -> None:
        began = time.monotonic()
        say(f"{family} database", _DOING[step])
        engine.wait_and_remove(f"{PROJECT}-{family}-migrate", 600)
        installation.control.run_once(f"{family}-migrate", step)
        say(f"{family} database", f"done in {time.monotonic() - began:.0f} s")

    # Two at a time: each is one busy Python process, and the smallest machine has two cores.
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, families))
