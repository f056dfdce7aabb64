"""A VM's serial console -> what the node says of itself: how far it is, why it failed, its SSH host keys.

Consoles carry escape codes, carriage returns and kernel messages in the middle of lines; a report that cannot be read
is left out, never guessed at, unless it is a report of failure.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Final

from provision.base.constants import CONSOLE_MARK

TAIL: Final = 10

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_]|[()][0-9A-B])")
# Nova takes the escape character out of consoles and leaves the rest of the sequence.
_ORPHANS = re.compile(r"\[(?:(?:\d+(?:;\d+)*)?m|\?\d+[hl]|!p|\d*[JK])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_PRINTK = re.compile(r"\[ *\d+\.\d{6}\] ")
_REPORT = re.compile(rf"{CONSOLE_MARK} (\{{.*)")
_STAGE = re.compile(r"Cloud-init v\. \S+ running '([\w:-]+)'")
_FINISHED = re.compile(r"Cloud-init v\. \S+ finished at")
_KEYS = re.compile(r"-----BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS-----", re.DOTALL)
_KEY = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-[a-z0-9-]+) (AAAA[0-9A-Za-z+/]+={0,2})")
_PANIC = re.compile(r"Kernel panic - not syncing: ?(.*)")
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
    """Why a boot failed, and the last lines of what it said."""

    reason: str
    log: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ConsoleReport:
    """What a console tells: `phase` is for people (`booting`, `cloud-init config`, `started spark-worker`)."""

    phase: str = ""
    started: tuple[str, ...] = ()
    finished: bool = False
    """Whether cloud-init is done."""
    failure: Failure | None = None
    host_keys: tuple[str, ...] = ()


def clean(text: str) -> str:
    """Take escape codes, carriage returns and control characters out of console text."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _ORPHANS.sub("", _CONTROL.sub("", text))


def read(text: str) -> ConsoleReport:
    """Read a console's text; what counts is the last boot in it, and the host keys of the first."""
    text = clean(text)
    keys = host_keys(text)
    # Some hypervisors append one boot's console to the last one's: what an earlier boot said is over.
    text = text[max(text.rfind("Linux version "), 0) :]
    lines = text.splitlines()
    phase = "booting" if text.strip() else ""
    started: list[str] = []
    finished = False
    failure: Failure | None = None
    for place, line in enumerate(lines):
        if found := _STAGE.search(line):
            phase = f"cloud-init {found[1].removeprefix('modules:')}"
        elif _FINISHED.search(line):
            finished, phase = True, "cloud-init done"
        elif found := _REPORT.search(line):
            said = _parse(found[1])
            if said is None:
                # A broken report of failure is still a failure; anything else broken is passed over.
                failure = failure or _broken(found[1], lines[: place + 1])
                continue
            failure = failure or _failed(said, lines[: place + 1])
            unit = said.get("unit")
            if said.get("phase") == "started" and isinstance(unit, str):
                started.append(unit)
                if failure and failure.reason == f"{unit} failed":
                    failure = None  # it came up in the end
            phase = _phase(said) or phase
        else:
            failure = failure or _fatal(line, lines[: place + 1])
    return ConsoleReport(phase, tuple(dict.fromkeys(started)), finished, failure, keys)


def host_keys(text: str) -> tuple[str, ...]:
    """Read the SSH host keys that cloud-init prints: the first whole block, in known_hosts' form without the host.

    The first and not the last: nobody has an account on the node before it is printed.
    """
    for block in _KEYS.finditer(clean(text)):
        keys = [f"{kind} {data}" for kind, data in _KEY.findall(block[1]) if _whole(kind, data)]
        if keys:
            return tuple(dict.fromkeys(keys))
    return ()


def tail(text: str, lines: int = TAIL) -> tuple[str, ...]:
    """Give the last lines that say something."""
    return tuple(line.rstrip() for line in clean(text).splitlines() if line.strip())[-lines:]


def _whole(kind: str, data: str) -> bool:
    """Whether a key survived the serial line: it decodes, and names its own kind inside."""
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
            said, _ = json.JSONDecoder().raw_decode(candidate)
        except ValueError:
            continue
        if isinstance(said, dict):
            return said
    return None


def _phase(said: dict[str, object]) -> str:
    if said.get("phase") == "cloud-init":
        return f"cloud-init {said.get('stage', '')}".strip()
    if said.get("phase") == "started":
        return f"started {said.get('unit', '')}".strip()
    return str(said.get("phase") or "")


def _failed(said: dict[str, object], before: list[str]) -> Failure | None:
    if said.get("phase") != "failed":
        return None
    log = said.get("log")
    lines = tuple(str(line) for line in log) if isinstance(log, list) else ()
    unit = str(said.get("unit") or "a unit").removesuffix(".service")
    reason = f"{said.get('reason')}" if said.get("reason") else f"{unit} failed"
    return Failure(reason, lines[-TAIL:] or tuple(before[-TAIL:]))


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
