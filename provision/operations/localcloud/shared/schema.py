"""Database schemas: which ones need a migration, and migrating them at once or in the two halves of an upgrade."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Literal

from provision.model.localcloud.settings import PROJECT, services_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from provision.adapters.docker.engine import Engine
    from provision.model.localcloud.settings import Settings
    from provision.operations.localcloud.shared.installation import Installation

    Step = Literal["migrate", "expand", "contract"]

_DATABASE: Final = "mariadb"
MIGRATED: Final = "SET wsrep_sync_wait=1; SELECT family, inputs FROM provision.migrated"
"""SQL that reads what each database was last migrated with. A member that lags behind catches up before it answers."""
_DOING: Final[dict[Step, str]] = {
    "migrate": "migrating",
    "expand": "expanding: running services can use both schemas",
    "contract": "contracting: no old service runs any more",
}


def pending(engine: Engine, installation: Installation, databases: Iterable[str] = ()) -> list[str] | None:
    """Return the families whose database does not have their image's schema; None if no MariaDB member answers.

    `databases` are the containers to ask, by default those of this machine's members.
    """
    return lacking(engine, installation.inputs, databases or databases_of(installation.settings))


def databases_of(settings: Settings) -> tuple[str, ...]:
    """Name the containers of this machine's MariaDB members."""
    return tuple(f"{PROJECT}-{service}-1" for service in services_of(settings, _DATABASE))


def lacking(engine: Engine, inputs: Mapping[str, str], databases: Iterable[str]) -> list[str] | None:
    """Return the families whose database was migrated with other `inputs`; None if none of `databases` answers."""
    for container in databases:
        code, text = engine.execute(container, ["mariadb", "-NBe", MIGRATED])
        if not code:
            migrated = dict(line.split("\t", 1) for line in text.splitlines() if "\t" in line)
            return [family for family, wanted in inputs.items() if migrated.get(family) != wanted]
    return None


def run(
    engine: Engine, installation: Installation, families: Iterable[str], step: Step, say: Callable[[str, str], None]
) -> None:
    """Run one step for the databases of some families: `migrate`, or `expand` before and `contract` after an upgrade.

    Only `migrate` and `contract` record that the database is migrated: an interrupted upgrade starts with `expand`
    again.
    """

    def migrate(family: str) -> None:
        started = time.monotonic()
        say(f"{family} database", _DOING[step])
        engine.wait_and_remove(f"{PROJECT}-{family}-migrate", 600)
        installation.control.run_once(f"{family}-migrate", step)
        say(f"{family} database", f"done in {time.monotonic() - started:.0f} s")

    # Two at a time: each is one busy Python process, and the smallest machine has two cores.
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(migrate, families))
