"""A node's journal, for whoever reads many of them as one. Root runs this.

What goes out is a line of JSON for each entry: `at` (microseconds since 1970), `unit`, `text`, and `cursor`, after
which another run goes on. The first line has a cursor alone: the journal's end, or where this one goes on. It ends when
the other side is gone.
"""

from __future__ import annotations

import fnmatch
import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

FIELDS = ("MESSAGE", "_PID", "_UID", "_SYSTEMD_UNIT", "UNIT", "OBJECT_SYSTEMD_UNIT", "COREDUMP_UNIT")
# --all: without it, a message of more than 4096 bytes is left out.
COMMAND = ("journalctl", "--output=json", f"--output-fields={','.join(FIELDS)}", "--all", "--quiet", "--no-pager")
SLICES = ("notebooks.slice", r"system-provision\x2dexecutor.slice")
"""Where the units are that come and go: journalctl knows its patterns' units as they are when it begins."""
SYSTEMD = "_PID=1"
"""The entries of systemd itself: what starts, fails, and is killed for its memory."""


def text_of(message: Any) -> str:  # noqa: ANN401 - JSON
    """Return a MESSAGE as text. A list of numbers is one that is not printable, a list of texts several at once."""
    if isinstance(message, list):
        if all(isinstance(each, int) for each in message):
            return bytes(message).decode(errors="replace")
        return "\n".join(text_of(each) for each in message)
    return message if isinstance(message, str) else ""


def unit_of(entry: dict[str, Any]) -> str:
    """Return the unit that an entry is about, which is another than its writer's where systemd wrote it."""
    about = None
    # Anybody may write these fields; those that begin with _ are journald's own.
    if entry.get("_PID") == "1":
        about = entry.get("UNIT")
    elif entry.get("_UID") == "0":
        about = entry.get("OBJECT_SYSTEMD_UNIT") or entry.get("COREDUMP_UNIT")
    return str(about or entry.get("_SYSTEMD_UNIT"))


def entries(lines: Iterable[bytes], units: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Read journalctl's output: the entries of units that fit one of the patterns `units`."""
    for line in lines:
        try:
            entry = json.loads(line)
            told = {"at": int(entry["__REALTIME_TIMESTAMP"]), "cursor": entry["__CURSOR"], "unit": unit_of(entry)}
        except (ValueError, KeyError):
            continue  # a journal that was cut off
        if any(fnmatch.fnmatchcase(told["unit"], each) for each in units):
            yield told | {"text": text_of(entry.get("MESSAGE"))}


def matches(units: Sequence[str]) -> list[str]:
    """Return journalctl's arguments for all entries that may be of `units`, those to come among them."""
    fields = [f"_SYSTEMD_UNIT={unit}" for unit in units if "*" not in unit]
    fields += [*(f"_SYSTEMD_SLICE={each}" for each in SLICES), SYSTEMD]
    return " + ".join(fields).split()


def read(order: dict[str, Any], tell: Callable[[dict[str, Any]], None], command: Sequence[str] = COMMAND) -> None:
    """Tell the entries of `units` (patterns): those kept, or those that come after `after` (a cursor), for ever.

    Of those kept, the last `lines`, and those since `since` (seconds since 1970); either may be None.
    """
    units = order["units"]
    if order["after"]:
        tell({"cursor": order["after"]})
        options = ["--follow", "--no-tail", f"--after-cursor={order['after']}", *matches(units)]
    else:
        with _output([*command, "--lines=1"]) as lines:
            tell({"cursor": next((json.loads(line)["__CURSOR"] for line in lines), "")})
        options = [f"--unit={unit}" for unit in units]
        options += [f"--since=@{order['since']:.6f}"] if order["since"] is not None else []
        options += [f"--lines={order['lines']}"] if order["lines"] is not None else []
    with _output([*command, *options]) as lines:
        for entry in entries(lines, units):
            tell(entry)


@contextmanager
def _output(argv: list[str]) -> Iterator[IO[bytes]]:
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101 - PIPE was asked for
        try:
            yield process.stdout
        finally:
            process.terminate()


def _end_with(source: int) -> None:
    """End this program and what it has started once nobody holds the other end of stdin."""
    while os.read(source, 4096):
        pass
    os.killpg(0, 15)


def main(order: dict[str, Any]) -> int:
    """Do what `order` says (`read`)."""
    with suppress(PermissionError):  # it leads its group already
        # A group of its own: no more is ended with it than what it has started.
        os.setpgid(0, 0)
    threading.Thread(target=_end_with, args=(0,), daemon=True).start()

    def tell(entry: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(entry) + "\n")
        sys.stdout.flush()

    try:
        read(order, tell)
    except BrokenPipeError:
        os.killpg(0, 15)
    return 0
