"""Read a VM's serial console: how far its boot is, why it failed, and the SSH host keys that it prints.

Consoles contain escape codes, carriage returns and kernel messages in the middle of lines. A report that cannot be read
is ignored, unless it reports a failure.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Final

from provision.base.constants import CONSOLE_MARK, INSTALL_UNIT

BOOTING: Final = "booting"
"""The phase of a node that has not reported anything yet."""
BAKED: Final = "baked"
"""The phase of a node that has removed what makes it this very machine, and is about to switch itself off."""
TAIL: Final = 10
"""Lines of a console that are shown."""
COMES_BACK: Final = 120
"""Seconds in which a node whose package source is back has noticed it, and says so: it looks every 15."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_]|[()][0-9A-B])")
# Nova removes the escape character from consoles and leaves the rest of the sequence.
_ORPHANS = re.compile(r"\[(?:(?:\d+(?:;\d+)*)?m|\?\d+[hl]|!p|\d*[JK])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_PRINTK = re.compile(r"\[ *\d+\.\d{6}\] ")
_REPORT = re.compile(rf"{CONSOLE_MARK} (\{{.*)")
_STAGE = re.compile(r"Cloud-init v\. \S+ running '([\w:-]+)'")
_FINISHED = re.compile(r"Cloud-init v\. \S+ finished at")
_KEYS = re.compile(r"-----BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS-----", re.DOTALL)
_KEY = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-[a-z0-9-]+) (AAAA[0-9A-Za-z+/]+={0,2})")
_PANIC = re.compile(r"Kernel panic - not syncing: ?(.*)")
# A processor of the VM gets no timer interrupts any more, and nothing on it goes on: seen of an emulated one. A VM that
# its host leaves no time for says it too, once and not again.
_TIMER = re.compile(r"rcu_\w+ kthread timer wakeup didn't happen for \d+ jiffies")
_TIMER_TWICE: Final = 2
# The first program waits for a device that does not answer: seen of an emulated one, whose error handling waited too.
_HUNG = re.compile(r"INFO: task \S+:1 blocked for more than \d+ seconds")
_UNIT_FAILED = re.compile(r"\[ *FAILED *\] Failed to start (\S+?)(?:\.service)?(?: - |\.{3}|\.?$)")
# Failures of other units (a console font, say) do not stop a cluster.
_OURS = re.compile(r"spark-|jupyterhub|provision-|cloud-(?:init|config|final)|nftables|ssh(?:d)?\b")
_FATAL = (
    (re.compile(r"You are in emergency mode"), "it dropped into emergency mode"),
    (re.compile(r"No bootable device|Boot failed: not a bootable disk"), "its disk does not boot"),
    (re.compile(r"^(?:error: .*\n?)?grub rescue>|Entering rescue mode", re.MULTILINE), "GRUB found no system"),
    (re.compile(r"ALERT! .* does not exist"), "it found no root file system"),
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a boot failed, and the last lines before that."""

    reason: str
    log: tuple[str, ...] = ()
    unit: str = ""
    """The unit that reported it, if one did."""
    goes_on: bool = False
    """Whether the node tries on by itself."""

    def ends(self, waited: float) -> bool:
        """Whether it ends a wait of so many seconds; one that was there before may be about to be over."""
        return not self.goes_on or waited > COMES_BACK


@dataclass(frozen=True, slots=True)
class ConsoleReport:
    """The state of a node, as its console shows it."""

    phase: str = ""
    """The last step of the boot, for people: `booting`, `cloud-init config`, `started spark-worker`."""
    started: tuple[str, ...] = ()
    """Units that have started."""
    finished: bool = False
    """Whether cloud-init is done."""
    waiting: bool = False
    """Whether a stock image's node waits for its software."""
    baked: bool = False
    """Whether an image can be made of it, once it is off."""
    stalled: bool = False
    """Whether the kernel says that it does not go on, and nothing else has started."""
    failure: Failure | None = None
    host_keys: tuple[str, ...] = ()


def clean(text: str) -> str:
    """Remove escape codes, carriage returns and control characters from console text."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _ORPHANS.sub("", _CONTROL.sub("", text))


def read(text: str) -> ConsoleReport:
    """Read a console's text: the state of the last boot in it, and the host keys of the first."""
    text = clean(text)
    keys = host_keys(text)
    # Some hypervisors append the console of a boot to that of the one before, which no longer counts.
    text = text[max(text.rfind("Linux version "), 0) :]
    lines = text.splitlines()
    phase = BOOTING if text.strip() else ""
    started: list[str] = []
    finished = False
    failure: Failure | None = None
    waiting = False
    for index, line in enumerate(lines):
        if found := _STAGE.search(line):
            phase = f"cloud-init {found[1].removeprefix('modules:')}"
        elif _FINISHED.search(line):
            finished, phase = True, "cloud-init done"
        elif found := _REPORT.search(line):
            report = _parse(found[1])
            if report is None:
                # A report of failure counts even if it is broken; other broken reports are ignored.
                failure = failure or _broken(found[1], lines[: index + 1])
                continue
            failure = failure or _failed(report, lines[: index + 1])
            unit = report.get("unit")
            if report.get("phase") == "started" and isinstance(unit, str):
                started.append(unit)
                if failure and failure.reason == f"{unit} failed":
                    failure = None  # it started later
            if failure and failure.unit == INSTALL_UNIT and report.get("phase") in ("waiting", "install"):
                failure = None  # a package source that was away has come back
            waiting = report.get("phase") == "waiting"
            phase = _phase(report) or phase
        else:
            failure = failure or _fatal(line, lines[: index + 1])
    started_once = tuple(dict.fromkeys(started))
    hung = len(_TIMER.findall(text)) >= _TIMER_TWICE or _HUNG.search(text) is not None
    stalled = phase == BOOTING and hung
    return ConsoleReport(phase, started_once, finished, waiting, phase == BAKED, stalled, failure, keys)


def host_keys(text: str) -> tuple[str, ...]:
    """Return the SSH host keys that cloud-init prints, as known_hosts has them, but without the host.

    Only the first complete block counts: nobody has an account on the node before it is printed.
    """
    for block in _KEYS.finditer(clean(text)):
        keys = [f"{kind} {data}" for kind, data in _KEY.findall(block[1]) if _is_complete(kind, data)]
        if keys:
            return tuple(dict.fromkeys(keys))
    return ()


def tail(text: str, lines: int = TAIL) -> tuple[str, ...]:
    """Return the last lines that are not empty."""
    return tuple(line.rstrip() for line in clean(text).splitlines() if line.strip())[-lines:]


def _is_complete(kind: str, data: str) -> bool:
    """Whether a key came through the serial line unharmed: it can be decoded, and its data names the same kind."""
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return False
    length = int.from_bytes(raw[:4], "big")
    complete = kind != "ssh-ed25519" or len(raw) == 51
    return raw[4 : 4 + length] == kind.encode() and complete


def _parse(text: str) -> dict[str, object] | None:
    for candidate in (text, _PRINTK.split(text)[0] if _PRINTK.search(text) else text):
        try:
            report, _ = json.JSONDecoder().raw_decode(candidate)
        except ValueError:
            continue
        if isinstance(report, dict):
            return report
    return None


def _phase(report: dict[str, object]) -> str:
    if report.get("phase") == "cloud-init":
        return f"cloud-init {report.get('stage', '')}".strip()
    if report.get("phase") == "started":
        return f"started {report.get('unit', '')}".strip()
    if report.get("phase") == "failed" and report.get("goes_on") is True:
        return f"installing {report.get('reason')}"
    if report.get("phase") in ("waiting", "install"):
        return f"{'waiting' if report['phase'] == 'waiting' else 'installing'} {report.get('text', '')}".strip()
    return str(report.get("phase") or "")


def _failed(report: dict[str, object], before: list[str]) -> Failure | None:
    if report.get("phase") != "failed":
        return None
    log = report.get("log")
    lines = tuple(str(line) for line in log) if isinstance(log, list) else ()
    unit = str(report.get("unit") or "a unit").removesuffix(".service")
    reason = f"{report.get('reason')}" if report.get("reason") else f"{unit} failed"
    return Failure(reason, lines[-TAIL:] or tuple(before[-TAIL:]), unit, report.get("goes_on") is True)


def _broken(text: str, before: list[str]) -> Failure | None:
    if not re.search(r'"phase": ?"failed"', text):
        return None
    unit = re.search(r'"unit": ?"([\w@.-]+)"', text)
    return Failure(f"{unit[1].removesuffix('.service') if unit else 'a unit'} failed", tuple(before[-TAIL:]))


def _fatal(line: str, before: list[str]) -> Failure | None:
    log = tuple(text for text in before if text.strip())[-TAIL:]
    if found := _PANIC.search(line):
        return Failure(f"kernel panic: {found[1].strip() or 'no reason given'}", log)
    if (found := _UNIT_FAILED.search(line)) and _OURS.match(found[1]):
        return Failure(f"{found[1]} failed to start", log)
    for pattern, reason in _FATAL:
        if pattern.search(line):
            return Failure(reason, log)
    return None
