"""The page of measured figures and its charts, made from the files in results/ alone.

Run: python tests/benchmarks/page.py     after a benchmark has written its file; `make bench` does both.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results import FOLDER, Chart, Result, Table, read_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "reference/measurements.md"
CHARTS = DOCS / "assets/measurements"
WIDTH = 128
HEAD = """\
# Measured figures

<!-- Made by tests/benchmarks/page.py from tests/benchmarks/results: `make bench` measures anew and renews it. -->
"""
INTRO = (
    "Most were taken on a small machine **without KVM**, where every VM is emulated. With KVM the VMs, and what runs "
    "in them, take a fraction; that was not measured yet. Below each table stands what is known of when and where it "
    "was taken. The commands are in `tests/benchmarks`; `make bench` runs those that harm nothing, where what they "
    "need is there."
)
COLOURS = ("#3b6ea5", "#d98032", "#5b9a4c", "#9467a8")


def page(results: Iterable[Result]) -> str:
    """Return the page's text."""
    return "\n".join([HEAD, f"{wrap(INTRO)}\n", *(f"{section(each)}\n" for each in results)]).rstrip() + "\n"


def section(result: Result) -> str:
    """Return one result's part of the page."""
    parts = [f"## {result.title}", wrap(result.text)]
    for table in result.tables:
        parts += [wrap(table.text), rows(table)]
    parts += [f"![{chart.title}](../assets/measurements/{file_name(result, chart)})" for chart in result.charts]
    parts += [wrap(result.after), wrap(provenance(result))]
    return "\n\n".join(filter(None, parts))


def wrap(text: str) -> str:
    """Wrap paragraphs as the other pages are."""
    return "\n\n".join(
        textwrap.fill(part, WIDTH, break_long_words=False, break_on_hyphens=False) for part in text.split("\n\n")
    )


def rows(table: Table) -> str:
    """Return a table in Markdown."""
    lines = [table.columns, ["---"] * len(table.columns), *table.rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def provenance(result: Result) -> str:
    """Say when, where and with what a result was taken, and what was not noted; nothing of one that sums up others."""
    taken: Mapping[str, Any] = result.taken
    if not taken and not result.command:
        return ""
    by = f" by `{result.command}`" if result.command else ""
    known, unknown = [], []
    if machine := taken.get("machine"):
        kvm = "with" if machine["kvm"] else "without"
        known.append(f"{machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}, {kvm} KVM")
    else:
        unknown.append("machine")
    if "load" in taken:
        known.append(f"load before it {taken['load']:g}")
    else:
        unknown.append("load")
    if versions := taken.get("versions"):
        known.append(", ".join(f"{name} {version}" for name, version in versions.items()))
    else:
        unknown.append("versions")
    if "date" not in taken:
        unknown.insert(0, "date")
    when = f" on {taken['date']}" if "date" in taken else ""
    said = f"*Taken{when}{by}*" + (f": {'; '.join(known)}." if known else ".")
    return said + (f" Not noted: {', '.join(unknown)}." if unknown else "")


def file_name(result: Result, chart: Chart) -> str:
    """Name a chart's file."""
    return f"{result.name}-{chart.name}.svg"


def digest(chart: Chart) -> str:
    """Identify what a chart shows; it stands in the drawn file."""
    return hashlib.sha256(json.dumps(asdict(chart), sort_keys=True).encode()).hexdigest()[:12]


def labels(chart: Chart) -> list[str]:
    """Return the rows of a chart, in the order in which they first come."""
    return list(dict.fromkeys(label for values in chart.series.values() for label in values))


def bars(chart: Chart) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Yield each series with its bars: place from the top, and value. Rows are 1 apart, and share 0.8 of that."""
    places = {label: number for number, label in enumerate(labels(chart))}
    height = 0.8 / len(chart.series)
    for number, (name, values) in enumerate(chart.series.items()):
        shift = (number - (len(chart.series) - 1) / 2) * height
        yield name, [(places[label] + shift, value) for label, value in values.items()]


def draw(chart: Chart, file: Path) -> None:
    """Draw a chart. The same figures give the same file."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib.figure import Figure

    mpl.rcParams.update({"svg.hashsalt": "provision", "font.size": 9})
    figure = Figure(figsize=(7, 0.9 + 0.24 * sum(map(len, chart.series.values()))), layout="constrained")
    axes = figure.add_subplot()
    for (name, found), colour in zip(bars(chart), COLOURS, strict=False):
        places, values = zip(*found, strict=True)
        drawn = axes.barh(places, values, height=0.8 / len(chart.series), color=colour, label=name)
        axes.bar_label(drawn, labels=[f"{value:,.6g}" for value in values], padding=3, fontsize=8)
    axes.set_yticks(range(len(labels(chart))), labels(chart))
    axes.invert_yaxis()
    axes.margins(x=0.12)
    if chart.logarithmic:
        axes.set_xscale("log")
    axes.set_title(f"{chart.title}, {chart.unit}" if chart.unit else chart.title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    if len(chart.series) > 1:
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Date": None, "Creator": None, "Description": f"figures {digest(chart)}"})
    # Lines that end in blanks would be a change in themselves.
    file.write_text(re.sub(r"[ \t]+\n", "\n", file.read_text()))


def drawn(file: Path, chart: Chart) -> bool:
    """Whether a file shows these figures."""
    return file.exists() and f"figures {digest(chart)}" in file.read_text()


def renew(results: Sequence[Result], charts: Path = CHARTS) -> list[Path]:
    """Draw the charts that are missing or show other figures, and remove those of none; return what was drawn."""
    wanted = {charts / file_name(result, chart): chart for result in results for chart in result.charts}
    for file in {*charts.glob("*.svg")} - {*wanted}:
        file.unlink()
    missing = {file: chart for file, chart in wanted.items() if not drawn(file, chart)}
    for file, chart in missing.items():
        draw(chart, file)
    return list(missing)


def main() -> int:
    """Write the page and the charts."""
    results = read_all(FOLDER)
    PAGE.write_text(page(results))
    print(f"written: {PAGE.name}, {len(renew(results))} charts")
    return 0


if __name__ == "__main__":
    sys.exit(main())
