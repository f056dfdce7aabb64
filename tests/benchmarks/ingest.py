"""Memory of an answer's way to disk: all of it at once, against streaming it and ten times as much.

A server in another process makes the answer while it sends it. Each way has a process of its own, writes gzip into a
temporary folder, and the file is removed afterwards.

Run: python tests/benchmarks/ingest.py [GB]     (default: 1). All at once takes three to five times that of memory.
Writes results/ingest.json.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from results import Chart, Result, Table, surroundings, write

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from provision_data.bulk import RECORD, serving
from provision_data.ingest import measure


def main(gigabytes: float = 1) -> int:
    """Measure; 1 if the memory is not flat, or not a twentieth."""
    taken, peaks, rows = surroundings(), [], []
    with serving() as url, tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "answer.json.gz")
        for way, times in (("as_it_comes", 1), ("as_it_comes", 10), ("at_once", 1)):
            size = times * gigabytes * 1e9
            measured = measure(way, f"{url}/tweets?records={int(size / RECORD)}", path)
            print(
                f"{way:12} {size / 1e9:5g} GB: peak {measured.peak / 1e6:8.1f} MB, {measured.idle / 1e6:.1f} MB of it "
                f"before; {measured.seconds:.0f} s, {size / measured.seconds / 1e6:.0f} MB/s, "
                f"{path.stat().st_size / 1e6:.0f} MB on disk",
                flush=True,
            )
            path.unlink()
            peaks.append(measured.peak)
            what = f"{size / 1e9:g} GB, {'all at once' if way == 'at_once' else 'streamed'}"
            rows.append([what, f"{measured.peak / 1e6:,.1f} MB", f"{measured.idle / 1e6:.1f} MB"])
    few, many, naive = peaks
    print(f"at once against streaming: {naive / few:.0f} times; ten times as much streamed: {many / few:.3f} times")
    found = Result(
        name="ingest",
        title="An answer to disk",
        order=50,
        text=(
            "The helper of the example [`stream-to-disk`](../how-to/examples.md) against taking the answer into memory "
            "and decoding it; both look for the next page and write gzip. The server is another process."
        ),
        command=f"python tests/benchmarks/ingest.py {gigabytes:g}",
        tables=(Table(["What", "Peak memory of the process", "Of it before it asks"], rows),),
        charts=(
            Chart(
                "memory",
                "Peak memory",
                "MB",
                {"": {row[0]: round(peak / 1e6, 1) for row, peak in zip(rows, peaks, strict=True)}},
                logarithmic=True,
            ),
        ),
        taken=taken,
        after=(
            f"All at once takes {naive / few:.0f} times as much as streaming; ten times the answer, streamed, "
            f"{many / few:.3f} times as much."
        ),
    )
    print(f"written: {write(found)}")
    return int(naive < 20 * few or many > 1.1 * few)


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:])))
