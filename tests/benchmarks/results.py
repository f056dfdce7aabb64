"""A benchmark's figures as a small file in results/, with when, where and with what they were taken.

docs/reference/measurements.md and its charts are made from these files (page.py).
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOLDER = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Table:
    """Columns' heads, and rows; cells are Markdown."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    text: str = ""
    """What stands above it."""


@dataclass(frozen=True)
class Chart:
    """Bars: a row for each label, in it a bar for each series that has a value there."""

    name: str
    """Of its file, after the benchmark's name."""
    title: str
    unit: str
    series: Mapping[str, Mapping[str, float]]
    """Series -> label -> value."""
    logarithmic: bool = False


@dataclass(frozen=True)
class Result:
    """What one benchmark has found."""

    name: str
    """Of its file."""
    title: str
    order: int
    """Its place on the page: from few to many."""
    text: str = ""
    command: str = ""
    tables: Sequence[Table] = ()
    charts: Sequence[Chart] = ()
    taken: Mapping[str, Any] = field(default_factory=dict)
    """When, where and with what; what was not noted is not there."""
    after: str = ""
    """What stands below the tables."""


def surroundings() -> dict[str, Any]:
    """Say when and where this is, before anything is measured."""
    release = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    known = {each: importlib.metadata.version(each) for each in ("openstacksdk", "ansible-core")}
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": {
            "cores": os.cpu_count(),
            "memory_gib": round(memory),
            # The device may be there where the processor cannot.
            "kvm": os.access("/dev/kvm", os.R_OK | os.W_OK) and bool(re.search(r"\b(vmx|svm)\b", _processor())),
            "system": release,
        },
        "load": round(os.getloadavg()[0], 2),
        "versions": {"provision": _own_version(), "Python": platform.python_version(), **known},
    }


def _processor() -> str:
    return Path("/proc/cpuinfo").read_text(encoding="utf-8")


def _own_version() -> str:
    from provision import __version__

    commit = subprocess.run(
        ["git", "-C", str(FOLDER), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return f"{__version__} ({commit.stdout.strip()})" if commit.returncode == 0 else __version__


def write(result: Result) -> Path:
    """Write a result's file; the page is made anew by `python tests/benchmarks/page.py`."""
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / f"{result.name}.json"
    known = {key: value for key, value in asdict(result).items() if key != "name" and value not in ("", (), [], {})}
    file.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n")
    return file


def read(file: Path) -> Result:
    """Read a result's file."""
    known = json.loads(file.read_text())
    known["tables"] = tuple(Table(**each) for each in known.get("tables", ()))
    known["charts"] = tuple(Chart(**each) for each in known.get("charts", ()))
    return Result(name=file.stem, **known)


def read_all(folder: Path = FOLDER) -> list[Result]:
    """Read all results, in the order of the page."""
    return sorted(map(read, folder.glob("*.json")), key=lambda result: (result.order, result.name))
