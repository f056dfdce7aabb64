"""`submit`, `jobs`, `logs` and `kill`: programs of spark-submit on the master, as a notebook user."""

from __future__ import annotations

import json
import re
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

from provision.adapters.onnode import jobs as onnode
from provision.base.constants import NODE, USER_UNIT
from provision.base.errors import ProvisionError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from provision.adapters.host.process import Piped
    from provision.adapters.remote import Remote

SIGN_OF_LIFE_SECONDS: Final = 10
"""How often the master hears that somebody waits; it gives up after onnode.SILENCE_SECONDS."""
_NO_JOB: Final = 3
"""Exit code of the program on the master for a job that is not there."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What is submitted, and as whom."""

    script: Path
    user: str
    arguments: tuple[str, ...] = ()
    py_files: tuple[Path, ...] = ()
    """Modules, zip archives and wheels that driver and executors import."""
    conf: tuple[str, ...] = ()
    """Spark's settings, as `key=value`."""
    runner: tuple[str, ...] = ("spark-submit",)
    """The program on the master that gets the script."""
    name: str = ""
    """What the job is called after, if not after its script."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the master describes it."""

    name: str
    user: str
    script: str
    arguments: tuple[str, ...]
    state: str
    """running, succeeded, failed, or ended: without a code, for somebody or something has ended it."""
    code: int | None
    started: float
    """Seconds since 1970, by the master's clock."""
    seconds: float


Output = tuple[IO[bytes], IO[bytes]]
"""Where a job's stdout and stderr go."""


def submit(
    remote: Remote, program: Submission, limits: Mapping[str, str], told: Callable[[str], None], output: Output | None
) -> Job | None:
    """Start a job on the master. With `output`, write what it prints there, and return the job when it has ended.

    `told` is called with the job's name once it runs. Whatever ends this program ends the job, unless `output` is None.
    Raises UsageError for files that will not do, and ProvisionError when the connection is lost.
    """
    files = check_files(program)
    order = {
        "do": "start",
        "root": NODE.jobs,
        "user": program.user,
        "stem": _stem(program.name or program.script.stem),
        "files": [{"name": path.name, "size": path.stat().st_size} for path in files],
        "runner": list(program.runner),
        "script": program.script.name,
        "py_files": [path.name for path in program.py_files],
        "options": [word for setting in program.conf for word in ("--conf", setting)],
        "arguments": list(program.arguments),
        "limits": dict(limits),
        # A user who has never had a notebook has none yet.
        "before": [NODE.user_token, program.user],
        "attached": output is not None,
    }
    name = ""

    def started(job: dict[str, Any]) -> None:
        nonlocal name
        name = job["job"]
        told(name)

    try:
        with remote.start(onnode, order) as piped:
            with suppress(BrokenPipeError):  # its result says why it has ended
                for path in files:
                    piped.feed.write(path.read_bytes())
                piped.feed.flush()
            done = threading.Event()
            waiting = threading.Thread(target=_show_life, args=(piped, done), daemon=True)
            waiting.start()
            try:
                last = _read(piped, output, started)
            finally:
                done.set()
            if last is None and not (name and output is None):
                raise _broken(remote, piped, name)
    except KeyboardInterrupt:
        # The master has seen it too; when this returns, nothing of the job is left.
        if name and output is not None:
            kill(remote, name)
        raise
    return _job(last) if last else None


def list_jobs(remote: Remote) -> list[Job]:
    """Return the master's jobs, the oldest first. Raises ProvisionError."""
    return [_job(each) for each in _ask(remote, "", do="list")]


def logs(remote: Remote, name: str, output: Output, *, to_the_end: bool) -> Job:
    """Write what a job has printed, `to_the_end` until it ends. Raises UsageError if there is no such job."""
    return _job(_ask(remote, name, output, do="follow", job=name, to_the_end=to_the_end))


def kill(remote: Remote, name: str) -> Job:
    """End a job, if it runs, and return it once it has ended. Raises UsageError if there is no such job."""
    return _job(_ask(remote, name, do="kill", job=name))


def check_files(program: Submission) -> list[Path]:
    """Return the files of a submission; asks nobody. Raises UsageError for files and settings that will not do."""
    files = [program.script, *program.py_files]
    names: set[str] = set()
    for path in files:
        if not path.is_file():
            raise UsageError(f"{path} is no file", "Name a Python file of this machine.")
        if path.name in names:
            raise UsageError(f"two of the files are called {path.name}", "Rename one: they go into one folder.")
        names.add(path.name)
    if program.script.suffix != ".py":
        raise UsageError(f"{program.script} is no Python program", "Its name has to end with .py.")
    for setting in program.conf:
        if not re.fullmatch(r"spark\.[^=\s]+=.*", setting, re.DOTALL):
            raise UsageError(f"--conf {setting}: that is no setting of Spark's", "Write it as spark.name=value.")
    return files


def _stem(name: str) -> str:
    """Return what a job is called after: letters that are safe in the name of a folder and of a unit."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "job"


def _show_life(piped: Piped, done: threading.Event) -> None:
    while not done.wait(SIGN_OF_LIFE_SECONDS):
        with suppress(OSError, ValueError):  # it has ended
            piped.feed.write(b".")
            piped.feed.flush()


def _read(piped: Piped, output: Output | None, started: Callable[[dict[str, Any]], None] | None = None) -> Any:  # noqa: ANN401 - JSON
    """Read the frames of adapters/onnode/jobs.py; return what the last one says, None if there is none."""
    while head := piped.output.read(5):
        data = piped.output.read(int.from_bytes(head[1:], "big"))
        match head[:1]:
            case b"x":
                return json.loads(data)
            case b"j" if started:
                started(json.loads(data))
            case b"o" | b"e" if output:
                target = output[head[:1] == b"e"]
                target.write(data)
                target.flush()
    return None


def _ask(remote: Remote, name: str, output: Output | None = None, **order: object) -> Any:  # noqa: ANN401 - JSON
    with remote.start(onnode, {"root": NODE.jobs, **order}) as piped:
        answer = _read(piped, output)
        if answer is None:
            raise _broken(remote, piped, name)
    return answer


def _broken(remote: Remote, piped: Piped, name: str) -> ProvisionError:
    result = piped.finish()
    if result.code == _NO_JOB:
        return UsageError(f"there is no job {name!r}", "See `provision jobs`.")
    what = f"the connection to {remote.name} was lost" if name else f"{remote.name} did not start the job"
    hint = "The job ends with it. `provision jobs` shows its state." if name else "`provision status` shows its state."
    return ProvisionError(what, hint, result.stderr)


def _job(data: dict[str, Any]) -> Job:
    return Job(
        name=data["job"],
        user=data["user"],
        script=data["script"],
        arguments=tuple(data["arguments"]),
        state=data["state"],
        code=data["code"],
        started=data["started"],
        seconds=data["seconds"],
    )


def unit_limits(context: Mapping[str, Any]) -> dict[str, str]:
    """Return the properties of a job's unit, from a master's template variables: what a user's notebooks have too."""
    limits = context["hub"]["limits"]
    properties = {"MemoryMax": f"{limits['memory']}M", "TasksMax": str(limits["tasks"]), **USER_UNIT}
    return properties | ({"CPUQuota": f"{round(limits['cores'] * 100)}%"} if limits.get("cores") else {})
