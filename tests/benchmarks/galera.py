"""MariaDB's three members under a writer that never pauses, killed with -9: how long until it can write again?

Each of three cases is done five times (or as many as are asked for): a member that nobody writes to, the writer's own
member, all three at once. Every number that the writer was told is committed must be in the table of every member.

Run: python tests/benchmarks/galera.py [TIMES]     ends with 1 when an acknowledged commit is lost
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from integration.members import DATABASES, Members, Writer, member
from integration.world import until


def victims(case, writer):
    """Choose whom to kill."""
    mine = writer.journal[-1][2]
    others = [name for name in DATABASES if member(name) != mine]
    return {
        "another member": others[len(writer.journal) % 2 :][:1],
        "the writer's member": [name for name in DATABASES if name not in others],
        "all": DATABASES,
    }[case]


def measure(members, writer, case):
    """Kill once; return the seconds without a commit, and until all members serve again."""
    until(writer.writes, 30, "the writer")
    time.sleep(2)
    chosen = victims(case, writer)
    before = time.time()
    members.crash(*chosen)
    members.await_databases()
    whole = time.time() - before
    until(writer.writes, 60, "a commit")
    return writer.gap(before), whole


def lost(members, journal):
    """Return what was acknowledged and is missing in any member's table."""
    acknowledged = {number for number, _, _ in journal}
    missing = set()
    for name in DATABASES:
        there = {int(line) for line in members.sql(name, "SELECT number FROM nova.journal")}
        print(json.dumps({"member": name, "acknowledged": len(acknowledged), "rows": len(there)}), flush=True)
        missing |= acknowledged - there
    return missing


def main():
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        members = Members(Path(folder))
        try:
            began = time.monotonic()
            members.up("haproxy", *DATABASES)
            members.await_databases()
            print(json.dumps({"from nothing to three members, s": round(time.monotonic() - began, 1)}), flush=True)
            writer = Writer(members)
            for case in ("another member", "the writer's member", "all"):
                results = [measure(members, writer, case) for _ in range(times)]
                for what, values in zip(
                    ("without a commit", "all serve again"), zip(*results, strict=True), strict=True
                ):
                    figures = {"min": min(values), "median": statistics.median(values), "max": max(values)}
                    figures = {key: round(value, 1) for key, value in figures.items()}
                    print(
                        json.dumps({f"{case} killed: {what}, s": figures, "each": [round(v, 1) for v in values]}),
                        flush=True,
                    )
            writer.stop()
            missing = lost(members, writer.journal)
            print(json.dumps({"commits": len(writer.journal), "lost": len(missing)}), flush=True)
            sys.exit(1 if missing else 0)
        finally:
            members.close()


if __name__ == "__main__":
    main()
