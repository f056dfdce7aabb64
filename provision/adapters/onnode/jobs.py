"""Jobs on the master: programs of users, each a unit of systemd's among the notebooks. Root runs this.

A job's folder holds `job.json`, which says what it is, `files/` with what was submitted, `stdout` and `stderr`, and
`code`, which stays empty until the program has ended by itself. All but the folder and job.json are the user's: they
count for the user's disk, and nobody else reads them.

What goes out are frames: a letter, the length in four bytes, and the bytes. j: the job's description. o, e: what the
program wrote. x: its state, the last one.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SLICE = "notebooks.slice"
"""Where all users' programs are (templates/hub/jupyterhub_config.py.j2)."""
KEPT = 100
"""Ended jobs whose folders stay."""
CHUNK = 1 << 16
LOOK_SECONDS = 1
"""At 0.3 the looks took a seventh of an emulated processor from the job."""
SILENCE_SECONDS = 90
"""Without a sign of life for so long, whoever waits for the job's end counts as gone."""
# sh -l: what a user's terminal has. The code is written in one piece; a shell that is ended writes none.
_WRAPPER = 'code=$1; shift; "$@"; echo $? >"$code"'


def run(argv: Sequence[str]) -> str:
    """Run a program of the node's. Raises CalledProcessError."""
    return subprocess.run(list(argv), check=True, capture_output=True, text=True).stdout


class Jobs:
    """The jobs of a master; other folders and another `command` in tests only."""

    def __init__(
        self,
        root: str,
        cgroup: str = f"/sys/fs/cgroup/{SLICE}",
        command: Callable[[Sequence[str]], str] = run,
    ) -> None:
        self.root = Path(root)
        self.cgroup = Path(cgroup)
        self.command = command

    # --- start

    def start(self, order: dict[str, Any], source: IO[bytes]) -> dict[str, Any]:
        """Take in the files and start the job; return its description.

        `order`: `user`, `stem` (of the job's name), `files` (name and size, in the order of their bytes in `source`),
        `runner` (the program that gets `options` and the script), `script` and `py_files` (names among them),
        `arguments`, `limits` (properties of the unit), and `before` (what root runs first). Raises EOFError when the
        bytes break off, and ValueError for a user whom the master does not have; then nothing is left.
        """
        try:
            account = pwd.getpwnam(order["user"])
        except KeyError:
            raise ValueError(f"it has no user {order['user']}: `provision up` brings those of the spec") from None
        self._forget()
        folder = self._new_folder(order["stem"])
        try:
            self._receive(folder, order["files"], source)
            for name in ("stdout", "stderr", "code"):
                (folder / name).touch(0o600)
            if os.getuid() == 0:
                for path in (folder / "files", *(folder / "files").iterdir(), *map(folder.joinpath, _OWN)):
                    os.chown(path, account.pw_uid, account.pw_gid)
            job = {
                "job": folder.name,
                "user": order["user"],
                "script": order["script"],
                "arguments": order["arguments"],
                "started": time.time(),
            }
            # Whole at once: others look at all jobs at any time.
            new = folder / "job.json.new"
            new.write_text(json.dumps(job))
            new.rename(folder / "job.json")
            self.command(order["before"])
            self.command(self._unit(folder, order, account.pw_dir))
        except BaseException:
            shutil.rmtree(folder)
            raise
        return job

    def _new_folder(self, stem: str) -> Path:
        self.root.mkdir(mode=0o755, parents=True, exist_ok=True)
        numbers = [int(match[1]) for each in self.root.iterdir() if (match := re.fullmatch(r".*-(\d+)", each.name))]
        number = max(numbers, default=0)
        while True:
            number += 1
            folder = self.root / f"{stem}-{number}"
            with suppress(FileExistsError):
                folder.mkdir()
                return folder

    def _receive(self, folder: Path, files: list[dict[str, Any]], source: IO[bytes]) -> None:
        (folder / "files").mkdir(mode=0o700)
        for file in files:
            with (folder / "files" / os.path.basename(file["name"])).open("xb") as target:
                left = file["size"]
                while left:
                    part = source.read(min(left, CHUNK))
                    if not part:
                        raise EOFError(f"{file['name']} broke off")
                    target.write(part)
                    left -= len(part)

    def _unit(self, folder: Path, order: dict[str, Any], home: str) -> list[str]:
        files = folder / "files"
        py_files = ",".join(str(files / name) for name in order["py_files"])
        program = [
            *order["runner"],
            *order["options"],
            *(["--py-files", py_files] if py_files else []),
            str(files / order["script"]),
            *order["arguments"],
        ]
        properties = {
            "WorkingDirectory": home,
            "StandardInput": "null",
            "StandardOutput": f"append:{folder / 'stdout'}",
            "StandardError": f"append:{folder / 'stderr'}",
            "TimeoutStopSec": "20",
            "CollectMode": "inactive-or-failed",
            # A task that takes too much memory ends, and Spark says so.
            "OOMPolicy": "continue",
            **order["limits"],
        }
        return [
            "systemd-run",
            "--quiet",
            f"--unit={_unit_name(folder.name)}",
            f"--uid={order['user']}",
            f"--slice={SLICE}",
            *(f"--property={key}={value}" for key, value in properties.items()),
            "--",
            *("/bin/sh", "-lc", _WRAPPER.replace("$", "$$"), "job", str(folder / "code")),
            # systemd puts variables of the environment into arguments.
            *(word.replace("$", "$$") for word in program),
        ]

    def _forget(self) -> None:
        """Remove the folders of the oldest jobs that have ended."""
        ended = [job for job in self.jobs() if job["state"] != "running"]
        for job in ended[:-KEPT]:
            shutil.rmtree(self.root / job["job"], ignore_errors=True)

    # --- look

    def jobs(self) -> list[dict[str, Any]]:
        """Describe all jobs, the oldest first. One that cannot be read, or goes meanwhile, is left out."""
        found = []
        for path in self.root.glob("*/job.json"):
            with suppress(KeyError):
                found.append(self.describe(path.parent.name))
        return sorted(found, key=lambda job: job["started"])

    def describe(self, name: str) -> dict[str, Any]:
        """Describe a job: what it is, `state` (running, succeeded, failed, ended), `code`, and `seconds` that it took.

        `ended`, without a code, is one that was killed, by a user, for its memory, or by a restart of the master; or
        there was no room on the disk for its code. Raises KeyError when there is none of that name that can be read.
        """
        folder = self.root / os.path.basename(name)
        try:
            job: dict[str, Any] = json.loads((folder / "job.json").read_text())
            # Asked before the code: a job that ends in between has written it.
            running = self._runs(name)
            code = _code(folder / "code")
            last = max((folder / each).stat().st_mtime for each in _OWN)
        except (OSError, ValueError):
            raise KeyError(name) from None
        if code is None and running:
            return job | {"state": "running", "code": None, "seconds": time.time() - job["started"]}
        states = {None: "ended", 0: "succeeded"}
        return job | {"state": states.get(code, "failed"), "code": code, "seconds": max(last - job["started"], 0)}

    def _runs(self, name: str) -> bool:
        return (self.cgroup / f"{_unit_name(os.path.basename(name))}.service").exists()

    def follow(
        self, name: str, frame: Callable[[str, bytes], None], alive: Callable[[float], bool], *, to_the_end: bool
    ) -> dict[str, Any]:
        """Write what a job prints, from its beginning, and return its last description.

        `alive` waits for so many seconds and says whether anybody is still there; if not, the job is ended.
        """
        with (self.root / name / "stdout").open("rb") as out, (self.root / name / "stderr").open("rb") as errors:
            while True:
                # Asked before the files are read: what was written before the end is read then.
                job = self.describe(name)
                for letter, file in (("o", out), ("e", errors)):
                    while part := file.read(CHUNK):
                        frame(letter, part)
                if job["state"] != "running" or not to_the_end:
                    return job
                if not alive(LOOK_SECONDS):
                    self.kill(name)

    def kill(self, name: str) -> dict[str, Any]:
        """End a job, and return its description once it has ended."""
        self.describe(name)
        # Whatever its user has written for a code.
        if self._runs(name):
            with suppress(subprocess.CalledProcessError):  # it has ended meanwhile
                self.command(["systemctl", "stop", f"{_unit_name(name)}.service"])
        return self.describe(name)


_OWN = ("stdout", "stderr", "code")


def _code(path: Path) -> int | None:
    """Read a job's exit code; None if there is none. The file is its user's, who may have written anything."""
    with path.open("rb") as file:
        text = file.read(8).strip()
    return int(text) if text.isdigit() and int(text) < 256 else None


def _unit_name(job: str) -> str:
    return f"job-{job}"


def _frame(letter: str, data: bytes) -> None:
    sys.stdout.buffer.write(letter.encode() + len(data).to_bytes(4, "big") + data)
    sys.stdout.buffer.flush()


def _listener() -> Callable[[float], bool]:
    """Return a function that waits for a sign of life on stdin, and says whether the other side is still there."""
    heard = time.monotonic()

    def alive(seconds: float) -> bool:
        nonlocal heard
        if select.select([0], [], [], seconds)[0]:
            if not os.read(0, CHUNK):
                return False
            heard = time.monotonic()
        return time.monotonic() - heard < SILENCE_SECONDS

    return alive


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return True


def _tell(word: str, data: object) -> None:
    _frame(word, json.dumps(data).encode())


def main(order: dict[str, Any]) -> int:
    """Do what `order` says: `do` is start, follow, list or kill. Ends with 3 when there is no such job."""
    jobs = Jobs(order["root"])
    # The other side may go at any time: the job is ended first.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        return _do(jobs, order)
    except KeyError:
        return 3
    except (EOFError, ValueError, subprocess.CalledProcessError) as error:
        print(f"{error} {getattr(error, 'stderr', '') or ''}", file=sys.stderr)
        return 1


def _do(jobs: Jobs, order: dict[str, Any]) -> int:
    if order["do"] == "list":
        _tell("x", jobs.jobs())
        return 0
    if order["do"] == "kill":
        _tell("x", jobs.kill(order["job"]))
        return 0
    if order["do"] == "follow":
        jobs.describe(order["job"])
        _tell("x", jobs.follow(order["job"], _frame, _sleep, to_the_end=order["to_the_end"]))
        return 0
    # Unbuffered: what comes after the files are signs of life, and they are for select.
    with open(0, "rb", buffering=0, closefd=False) as source:
        job = jobs.start(order, source)
    try:
        _tell("j", job)
        if order["attached"]:
            _tell("x", jobs.follow(job["job"], _frame, _listener(), to_the_end=True))
    except BrokenPipeError:
        if order["attached"]:
            jobs.kill(job["job"])
        return 1
    return 0
