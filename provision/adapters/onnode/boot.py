"""What a node is, and how its boot went: told once, as one JSON document. Root runs this."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

# systemd's ids of the messages "Starting…" and "Started…" (sd-messages.h).
STARTING = "7d4958e842da4a758f6c1cdc7b36dcc5"
STARTED = "39f53479d3a045ac8e11786248231fbf"
PHASES = ("InitRD", "Userspace", "Finish")
MIB = 1 << 20


def output(argv: Sequence[str]) -> str:
    """Run a program of the node's, and return what it prints, however it ends."""
    done = subprocess.run(list(argv), capture_output=True, text=True, errors="replace", check=False)
    return done.stdout


def entries(text: str) -> Iterable[dict[str, Any]]:
    """Yield journalctl's entries that are whole."""
    for line in text.splitlines():
        with suppress(ValueError):
            yield json.loads(line)


class Boot:
    """This boot of a node; another `command` and root in tests only."""

    def __init__(self, command: Callable[[Sequence[str]], str] = output, root: str = "/") -> None:
        self.command = command
        self.root = Path(root)

    def journal(self, *words: str) -> Iterable[dict[str, Any]]:
        """Yield entries of this boot."""
        fields = "--output-fields=UNIT,MESSAGE_ID"
        return entries(self.command(["journalctl", "--boot", "--output=json", "--quiet", "--no-pager", fields, *words]))

    def phases(self) -> dict[str, float]:
        """Return when each phase of the boot began, in seconds from the kernel's start; of those that were."""
        properties = [f"--property={name}TimestampMonotonic" for name in PHASES]
        found = re.findall(r"(\w+)TimestampMonotonic=(\d+)", self.command(["systemctl", "show", *properties]))
        return {name.lower(): int(number) / 1e6 for name, number in found if int(number)}

    def units(self) -> list[dict[str, Any]]:
        """Return each unit's first start in this boot: `begin` (None if nothing was said of it) and `end`."""
        begun: dict[str, float] = {}
        ended: dict[str, float] = {}
        for entry in self.journal("_PID=1", f"MESSAGE_ID={STARTING}", f"MESSAGE_ID={STARTED}"):
            with suppress(KeyError, ValueError):
                times = begun if entry["MESSAGE_ID"] == STARTING else ended
                times.setdefault(str(entry["UNIT"]), int(entry["__MONOTONIC_TIMESTAMP"]) / 1e6)
        return [{"unit": unit, "begin": begun.get(unit), "end": end} for unit, end in ended.items()]

    def event(self, unit: str, words: str) -> float | None:
        """Return when a unit first said these words in this boot, in seconds since the kernel's start."""
        for entry in self.journal(f"--unit={unit}", f"--grep={re.escape(words)}", "--case-sensitive=true"):
            with suppress(KeyError, ValueError):
                return int(entry["__MONOTONIC_TIMESTAMP"]) / 1e6
        return None

    def versions(self, packages: Sequence[str], venv: str) -> dict[str, str]:
        """Return the versions of what runs here."""
        found = {"Linux": platform.release()}
        release = self._pairs("etc/os-release")
        found["System"] = release.get("PRETTY_NAME", "")
        for path in sorted((self.root / "usr/lib/jvm").glob("*/release")):
            found["Java"] = self._pairs(str(path.relative_to(self.root))).get("JAVA_VERSION", "")
        place = self.root / venv.lstrip("/")
        found["Python"] = self._pairs(str((place / "pyvenv.cfg").relative_to(self.root))).get("version", "")
        for name in packages:
            for path in place.glob(f"lib/python3*/site-packages/{name.replace('-', '_')}-*.dist-info"):
                found[name] = path.name.removesuffix(".dist-info").rpartition("-")[2]
        return {name: version for name, version in found.items() if version}

    def _pairs(self, name: str) -> dict[str, str]:
        """Read a file of `NAME="value"` and `name = value`."""
        try:
            lines = (self.root / name).read_text().splitlines()
        except OSError:
            return {}
        pairs = (line.partition("=") for line in lines)
        return {key.strip(): value.strip().strip('"') for key, _, value in pairs}

    def machine(self) -> dict[str, Any]:
        """Return processors, memory and disk (MiB), and what the machine is emulated or run by."""
        disk = os.statvfs(self.root)
        return {
            "processors": os.cpu_count(),
            "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB,
            "disk": disk.f_blocks * disk.f_frsize // MIB,
            "disk_free": disk.f_bavail * disk.f_frsize // MIB,
            "virtualisation": self.command(["systemd-detect-virt"]).strip(),
        }


def main(order: dict[str, Any], boot: Boot | None = None) -> int:
    """Print all of it. `events`: for each name a unit and the words that it says; `packages`: of the folder `venv`."""
    boot = boot or Boot()
    events = {name: boot.event(unit, words) for name, (unit, words) in order["events"].items()}
    found = {
        # By the clock as it is now: at the time of the boot it may have been wrong.
        "kernel": time.time() - time.monotonic(),
        "phases": boot.phases(),
        "units": boot.units(),
        "events": {name: at for name, at in events.items() if at is not None},
        "versions": boot.versions(order["packages"], order["venv"]),
        "machine": boot.machine(),
    }
    print(json.dumps(found))
    return 0
