"""Check this machine before anything on it is changed. Uses the standard library only: `setup.sh` runs it first."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from provision.adapters.host import facts
from provision.base.constants import LOCALCLOUD_NETWORKS, LOCALCLOUD_PORTS
from provision.base.errors import UsageError
from provision.model.localcloud.preflight import PreflightCheck, judge, lines

if TYPE_CHECKING:
    from provision.base.progress import Progress


def look(engine: str = "") -> list[PreflightCheck]:
    """Check this machine; changes nothing. `engine`: its version, where the local cloud is known to run on it."""
    return judge(facts.read(LOCALCLOUD_PORTS.published(), engine), LOCALCLOUD_NETWORKS)


def require(progress: Progress, engine: str = "") -> None:
    """Raise UsageError when this machine cannot run the local cloud; show the warnings otherwise."""
    checks = look(engine)
    if any(check.level == "fail" for check in checks):
        raise UsageError(
            "this machine cannot run the `local` cloud; nothing was changed",
            "Fix what the lines marked ✗ say, or name another cloud in cluster.yaml.",
            "\n".join(lines([check for check in checks if check.level == "fail"])),
        )
    for text in lines([check for check in checks if check.level == "warn"]):
        progress.note(text)


def main() -> int:
    """Print all checks; return 2 if one fails, else 0."""
    checks = look()
    failed = any(check.level == "fail" for check in checks)
    sys.stderr.write("\n".join(["Checking this machine:", *lines(checks), ""]))
    if failed:
        sys.stderr.write("Nothing was changed. Fix what the lines marked ✗ say, then run the same command again.\n")
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
