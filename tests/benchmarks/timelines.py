"""The boots of clusters side by side, from what `up` printed as it waited: one of a golden image, one of a stock image.

Run:  provision up --yes --file FILE 2>&1 | tee golden.log     and the same for the other, as stock.log; then
      python tests/benchmarks/timelines.py golden.log stock.log
A log's name is its column's. Both clusters ought to be of one shape, and each alone on the cloud.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from results import Chart, Result, Table, surroundings, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LINE = re.compile(r"(?P<clock>\d\d:\d\d:\d\d) (?P<what>[^:]+): (?P<words>.+)")
ASKED = re.compile(r"server (\S+)-master$")
NODES = ("master", "worker-1")
"""One of a kind: the workers go the same way."""
NOT_A_STEP = re.compile(r", \d+ min$|: .*")
"""How long it takes already, and what is in its way."""
JOB_ENDS = re.compile(r"computed by \d+ worker")
DAY = 24 * 3600


def timeline(lines: Iterable[str]) -> dict[str, int]:
    """Return when each node said what first, in seconds since the cloud was asked for the first server.

    Raises ValueError where nothing was made.
    """
    name, zero, found = "", 0, dict[str, int]()
    for line in lines:
        if not (match := LINE.search(line)):
            continue
        hours, minutes, seconds = map(int, match["clock"].split(":"))
        now = hours * 3600 + minutes * 60 + seconds
        if not name:
            if asked := ASKED.match(match["what"]):
                name, zero = asked[1], now
            continue
        node = match["what"].removeprefix(f"{name}-")
        if match["what"].startswith(f"{name}-") and node in NODES:
            words = "the first job is done" if JOB_ENDS.search(match["words"]) else match["words"]
            found.setdefault(f"{node}: {NOT_A_STEP.sub('', words)}", (now - zero) % DAY)
    if not found:
        raise ValueError("it has no lines of nodes that were made and booted")
    return found


def clock(seconds: int | None) -> str:
    """Return a time as minutes and seconds."""
    return "" if seconds is None else f"{seconds // 60}:{seconds % 60:02d}"


def rows(columns: Mapping[str, Mapping[str, int]]) -> list[list[str]]:
    """Return what the nodes said with the time in each column, the master first; in the longest boot's order."""
    last = max(columns.values(), key=lambda column: max(column.values()))
    steps = {step: None for column in (last, *columns.values()) for step in column}
    by_node = sorted(steps, key=lambda step: NODES.index(step.partition(":")[0]))
    return [[step, *(clock(column.get(step)) for column in columns.values())] for step in by_node]


def main() -> int:
    """Print the table and keep it."""
    logs = [Path(word) for word in sys.argv[1:]]
    if not logs:
        raise SystemExit(__doc__)
    columns = {log.stem: timeline(log.read_text().splitlines()) for log in logs}
    # Now is not when the clusters were made; the machine is the same.
    taken = {key: value for key, value in surroundings().items() if key != "load"}
    table = rows(columns)
    print(*("  ".join(row) for row in table), sep="\n")
    ends = {name: round(max(column.values()) / 60, 1) for name, column in columns.items()}
    written = write(
        Result(
            name="timelines",
            title="Golden and stock images",
            order=15,
            text="When a node of each image had come to what, as `up` shows it, in minutes and seconds since the cloud "
            "was asked for the servers.",
            command=f"python tests/benchmarks/timelines.py {' '.join(log.name for log in logs)}",
            tables=(Table(["What the node says", *columns], table),),
            charts=(Chart("ends", "From the request to the end of the first job", "minutes", {"": ends}),),
            taken=taken,
        )
    )
    print(f"written: {written}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
