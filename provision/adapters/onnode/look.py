"""What a node sees of itself and of the others, for `provision doctor`. Root runs this; it changes nothing.

It prints `ready`, waits for a line, prints its clock, and last all facts as one line of JSON. What takes longer than
its time is left out, and `missing` says why. No secret is in it: of Spark's only a hash that nobody else can compare.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import pwd
import re
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from glob import glob
from typing import TYPE_CHECKING, Any

from provision.adapters.onnode.contact import name_servers, reach, resolves, why
from provision.adapters.onnode.daemons import hub, metadata, spark
from provision.adapters.onnode.journal import text_of

if TYPE_CHECKING:
    from collections.abc import Callable

LINE_AT_MOST = 300
"""Letters of a line of a log that go out."""
_SHOWN = (
    "Id,LoadState,ActiveState,SubState,UnitFileState,Result,ExecMainStatus,NRestarts,ConditionResult,"
    "ActiveEnterTimestamp,InactiveEnterTimestamp"
)
_ENDED = re.compile(
    r"Executor (app-[\w-]+)/(\d+) finished with state (\w+)(?: message (.*?))?(?: exitStatus (-?\d+))?$"
)
_KILLED = re.compile(r"oom-kill:.*?oom_memcg=(?P<limit>[^,]*).*?task_memcg=(?P<unit>[^,]*),task=(?P<program>[^,]*)")
_WARNED = re.compile(r"^\d\d/\d\d/\d\d \S+ (?:WARN|ERROR) |^Caused by")
_HUB_SAYS = re.compile(
    r"^\[[EC] |server failed to start|never showed up|Unhandled error starting|\w+(Error|Exception): |"
    r"took [\d.]+ seconds to start"
)
_KERNEL_SAYS = re.compile(
    r"restarting kernel|Restarting kernel failed|died, removing|ModuleNotFoundError|No module named|MemoryError|"
    r"NoSuchKernel|Failed to start the kernel|FileNotFoundError|Out of memory"
)


def run(argv: list[str], seconds: float = 90) -> str:
    """Return what a program prints, whatever its exit code. Raises OSError when it does not end in time."""
    try:
        done = subprocess.run(argv, capture_output=True, timeout=seconds, check=False, env=os.environ | {"LC_ALL": "C"})
    except subprocess.TimeoutExpired:
        raise OSError(f"{argv[0]}: no end after {seconds:.0f} s") from None
    return done.stdout.decode(errors="replace")


def read(path: str, at_most: int = 1 << 20) -> str:
    """Return a file's text; empty if there is none. A user may have put a pipe there: to open one waits for ever."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(number, encoding="utf-8", errors="replace") as file:
            return file.read(at_most) if stat.S_ISREG(os.fstat(number).st_mode) else ""
    except OSError:
        return ""


# --- units and their logs


def units(names: list[str]) -> dict[str, dict[str, Any]]:
    """Return the state of units, by name without `.service`; `since` is when the state was entered (seconds)."""
    text = run(["systemctl", "show", "--timestamp=unix", f"--property={_SHOWN}", *names])
    found = {}
    for block in text.strip().split("\n\n"):
        shown = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        since = shown.get(
            "ActiveEnterTimestamp" if shown.get("ActiveState") == "active" else "InactiveEnterTimestamp", ""
        )
        found[shown.get("Id", "").removesuffix(".service")] = {
            "load": shown.get("LoadState", ""),
            "active": shown.get("ActiveState", ""),
            "sub": shown.get("SubState", ""),
            "file": shown.get("UnitFileState", ""),
            "result": shown.get("Result", ""),
            "code": int(shown.get("ExecMainStatus") or 0),
            "restarts": int(shown.get("NRestarts") or 0),
            "condition": shown.get("ConditionResult", "yes") != "no",
            "since": float(since.removeprefix("@") or 0) if re.fullmatch(r"@?[\d.]*", since) else 0.0,
        }
    return found


def failed_units() -> list[str]:
    """Name the units that have failed."""
    text = run(["systemctl", "list-units", "--failed", "--plain", "--no-legend", "--no-pager"])
    return [line.split()[0] for line in text.splitlines() if line.split()]


def journal(*wanted: str) -> list[tuple[float, str, str]]:
    """Return entries of this boot's journal: time, unit and message, each line for itself."""
    fields = "--output-fields=MESSAGE,_SYSTEMD_UNIT,UNIT"
    entries = []
    for line in run(["journalctl", "--boot", "--output=json", fields, "--no-pager", *wanted]).splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        unit = str(entry.get("UNIT") or entry.get("_SYSTEMD_UNIT") or "").removesuffix(".service")
        at = int(entry.get("__REALTIME_TIMESTAMP", 0)) / 1e6
        entries += [
            (at, unit, each[:LINE_AT_MOST]) for each in text_of(entry.get("MESSAGE")).splitlines() if each.strip()
        ]
    return entries


def last_lines(unit: str, count: int) -> list[str]:
    """Return the last lines of a unit's log."""
    return [text for _, _, text in journal("--lines", str(count), "--unit", unit)][-count:]


def log(recent: int, work: str, *, hub: bool, worker: bool) -> dict[str, Any]:
    """Return what the journal says of the last seconds: one call, for each costs seconds on an emulated node."""
    own = ["jupyterhub"] * hub + ["spark-worker"] * worker
    matches = ["_TRANSPORT=kernel", *(f"+ _SYSTEMD_UNIT={unit}.service" for unit in own)]
    matches += ["+ _SYSTEMD_SLICE=notebooks.slice"] if hub else []
    entries = journal(f"--since=-{recent}s", "--lines=4000", *" ".join(matches).split())
    found: dict[str, Any] = {"killed": killed(entries)}
    if hub:
        found["hub_log"] = _of([each for each in entries if each[1] == "jupyterhub"], _HUB_SAYS)
        found["servers"] = _of([each for each in entries if each[1].startswith("notebook-")], _KERNEL_SAYS)
    if worker:
        daemon = [each for each in entries if each[1] == "spark-worker"]
        found["executors"] = ended_executors(daemon, work)
        found["worker_log"] = [text for _, _, text in daemon if _WARNED.search(text)][-10:]
    return found


def unwell(found: dict[str, dict[str, Any]]) -> list[str]:
    """Name the units that are not as they should be."""
    return [name for name, unit in found.items() if unit["active"] not in ("active", "reloading") or unit["restarts"]]


def killed(entries: list[tuple[float, str, str]]) -> list[dict[str, Any]]:
    """Find what the kernel has ended for want of memory: when, which program, of which unit, and whose limit it was."""
    return [
        {"at": at, "limit": found["limit"], "unit": found["unit"].rpartition("/")[2], "program": found["program"]}
        for at, _, text in entries
        if (found := _KILLED.search(text))
    ]


def ended_executors(entries: list[tuple[float, str, str]], folder: str) -> list[dict[str, Any]]:
    """Find the executors that ended by themselves with a failure, the last lines of the newest one's stderr with it."""
    found = []
    for at, _, text in entries:
        ended = _ENDED.search(text)
        if ended and ended[3] in ("EXITED", "FAILED") and ended[5] != "0":
            found.append({"at": at, "app": ended[1], "id": ended[2], "why": ended[4] or "", "code": ended[5] or ""})
    newest = {str(each["app"]): each for each in found}
    for each in newest.values():
        text = _end(f"{folder}/{each['app']}/{each['id']}/stderr", 4 << 20)
        told = [line for line in text.splitlines() if line.strip() and not line.startswith(("\tat ", "\t... "))]
        each["stderr"] = [line[:LINE_AT_MOST] for line in told[-15:]]
    return found


def _end(path: str, at_most: int) -> str:
    """Return the end of what an executor has printed: the worker begins a new file when one is full."""
    text = b""
    for each in (path, *sorted(glob(f"{path}--*"), reverse=True)[:1]):
        try:
            with open(each, "rb") as file:
                file.seek(max(os.fstat(file.fileno()).st_size - at_most, 0))
                text = file.read(at_most) + text
        except OSError:
            continue
    return text.decode(errors="replace")


# --- disks, mounts, accounts


def disks(paths: list[str]) -> list[dict[str, Any]]:
    """Return how full the file systems are that hold these paths, on its own disk or in its memory."""
    found = []
    for path in paths:
        each = os.statvfs(path)
        size, free = each.f_frsize * each.f_blocks, each.f_frsize * each.f_bavail
        found.append({"path": path, "size": size, "free": free, "files": each.f_files, "free_files": each.f_ffree})
    return found


def mounts(paths: list[str]) -> dict[str, str]:
    """Return the kind of file system at each path, once it was looked at; `unreadable: …` if that fails."""
    # Looking mounts it. The first mount loads a kernel module, and systemd gives up after 90 s.
    tries = {
        path: subprocess.Popen(["stat", f"{path}/."], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for path in paths
    }
    found, end = {}, time.monotonic() + 80
    for path, tried in tries.items():
        try:
            _, said = tried.communicate(timeout=max(end - time.monotonic(), 0.1))
            problem = said.strip().rpartition(": ")[2] if tried.returncode else ""
        except subprocess.TimeoutExpired:
            tried.kill()
            problem = "no answer after 80 s"
        lines = [line.split() for line in read("/proc/self/mountinfo").splitlines()]
        kinds = [words[words.index("-") + 1] for words in lines if "-" in words and words[4] == path]
        found[path] = f"unreadable: {problem}" if problem else (kinds[-1] if kinds else "")
    return found


def accounts(group: str, named: list[str]) -> dict[str, str]:
    """Return the state of the group's accounts and the named ones: well, missing, locked, expired. No hash goes out.

    An account that a login server has made (templates/image/files, hub/logins.py) has no password, and is well.
    """
    members = [
        line.split(":")[3].split(",") for line in read("/etc/group").splitlines() if line.startswith(f"{group}:")
    ]
    shadow = {line.split(":")[0]: line.split(":") for line in read("/etc/shadow").splitlines() if line.count(":") >= 8}
    today = time.time() // 86400
    found = {}
    for name in dict.fromkeys([*named, *(name for names in members for name in names if name)]):
        row = shadow.get(name)
        try:
            made = pwd.getpwnam(name).pw_gecos.startswith("Notebook user by login")
        except KeyError:
            row = None
        if row is None:
            found[name] = "missing"
        elif row[7] and int(row[7]) <= today:
            found[name] = "expired"
        elif not (made and row[1] == "*") and (row[1].startswith(("!", "*")) or not row[1]):
            found[name] = "locked"
        else:
            found[name] = "well"
    return found


# --- software


def python(venv: str) -> str:
    """Return the version of the notebooks' and executors' Python."""
    return run([f"{venv}/bin/python", "-ISc", "import sys; print(sys.version.split()[0])"]).strip()


def packages(venv: str) -> dict[str, str]:
    """Return the versions of the installed Python packages."""
    names = [
        os.path.basename(path)[: -len(".dist-info")] for path in glob(f"{venv}/lib/python3*/site-packages/*.dist-info")
    ]
    return {name.lower().replace("_", "-"): version for name, _, version in (each.rpartition("-") for each in names)}


def own_packages(link: str) -> str:
    """Return the digest of the spec's own packages that were brought here; empty if there are none."""
    return os.path.basename(os.readlink(link)) if os.path.islink(link) else ""


def java() -> dict[str, str]:
    """Return where the Java of the daemons is, and its version as its own `release` file has it; no JVM is started."""
    path = os.path.realpath("/usr/bin/java")
    home = os.path.dirname(os.path.dirname(path))
    version = re.search(r'^JAVA_VERSION="([^"]+)"', read(f"{home}/release"), re.MULTILINE)
    return {"path": path if os.access(path, os.X_OK) else "", "version": version[1] if version else ""}


def kernel_specs(folders: list[str]) -> list[dict[str, str]]:
    """Find kernel.json files that no kernel can be started from, and say why."""
    found = []
    for path in sorted(path for folder in folders for path in glob(f"{folder}/*/kernel.json")):
        try:
            argv = json.loads(read(path))["argv"]
            program = argv[0]
            # A bare name is the server's own Python, or looked for on its PATH.
            problem = f"{program} is no program" if "/" in program and not os.access(program, os.X_OK) else ""
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            problem = f"it is no kernel.json: {type(error).__name__}: {error}"
        if problem:
            found.append({"path": path, "problem": problem})
    return found


def secret(path: str, salt: str) -> dict[str, Any]:
    """Return a hash of Spark's secret with this run's salt, and when the file was changed."""
    found = re.search(r"^spark\.authenticate\.secret[ =]+(\S+)", read(path), re.MULTILINE)
    digest = hmac.new(bytes.fromhex(salt), found[1].encode(), hashlib.sha256).hexdigest() if found else ""
    return {"hash": digest, "changed": os.stat(path).st_mtime}


def shares(folder: str) -> dict[str, Any]:
    """Return what the notebooks' kernels have published (shares.py), by application."""
    found = {}
    for path in glob(f"{folder}/app-*")[:200]:
        if os.path.islink(path) or not os.path.isfile(path):
            continue
        try:
            found[os.path.basename(path)] = json.loads(read(path, 4096))
        except (ValueError, RecursionError):
            continue
    return found


def facts(order: dict[str, Any]) -> dict[str, Any]:
    """Gather what `order` asks for; `missing` says what could not be had and why, `seconds` how long each took."""
    paths, own = order["paths"], {"hub": order["hub"], "worker": order["worker"]}
    parts: dict[str, Callable[[], Any]] = {
        "units": lambda: units(order["units"]),
        "failed": failed_units,
        "disks": lambda: disks(order["disks"]),
        "log": lambda: log(order["recent"], paths["spark_work"], **own),
        "python": lambda: python(paths["venv"]),
        "packages": lambda: packages(paths["venv"]),
        "own_packages": lambda: own_packages(f"{paths['packages']}/current"),
        "java": java,
        "secret": lambda: secret(paths["spark_defaults"], order["salt"]),
        "metadata": lambda: metadata(order["metadata"]),
        "datasource": lambda: (
            json.loads(read("/run/cloud-init/result.json") or "{}").get("v1", {}).get("datasource", "")
        ),
        "name_servers": lambda: name_servers(order["resolv"], 5),
        "names": lambda: resolves(order["names"]),
        "firewall": lambda: json.loads(run(["nft", "--json", "list", "ruleset"]) or "{}").get("nftables", []),
        "reach": lambda: reach([(host, port) for host, port in order["reach"]], order["patience"]),
        "synchronised": lambda: os.path.exists("/run/systemd/timesync/synchronized"),
    }
    if own["hub"]:
        parts |= {
            "spark": lambda: spark(order["spark"], [(host, port) for host, port in order["drivers"]]),
            "shares": lambda: shares(paths["shares"]),
            "hub": lambda: hub(
                order["hub_api"], read(f"{paths['hub_state']}/operator.token").strip(), order["hub_port"]
            ),
            "certificate": lambda: read(paths["hub_cert"]),
            "accounts": lambda: accounts(order["group"], order["users"]),
            "kernel_specs": lambda: kernel_specs(order["kernels"] + glob(order["own_kernels"])),
        }
    if own["worker"]:
        parts["mounts"] = lambda: mounts(order["mounts"])
    found: dict[str, Any] = {"missing": {}, "seconds": {}}
    # Not all at once: under emulation each program's start takes a second of the processor's, and they have time-outs.
    with ThreadPoolExecutor(6) as pool:
        for name, (answer, problem, seconds) in zip(parts, pool.map(_try, parts.values()), strict=True):
            found["seconds"][name] = round(seconds, 1)
            if problem:
                found["missing"][name] = problem
            else:
                found[name] = answer
    found |= found.pop("log", {})
    names = [*unwell(found.get("units", {})), *found.get("failed", [])]
    found["logs"] = {}
    for name in dict.fromkeys(each.removesuffix(".service") for each in names):
        lines, problem, _ = _try(partial(last_lines, name, 12))
        if problem:
            found["missing"][f"log of {name}"] = problem
        else:
            found["logs"][name] = lines
    return found


def _try(part: Callable[[], Any]) -> tuple[Any, str, float]:
    began = time.monotonic()
    try:
        answer, problem = part(), ""
    except Exception as error:  # one part that fails, on what a user has put there, must not hide all others
        answer, problem = None, f"{type(error).__name__}: {why(error)}"
    return answer, problem, time.monotonic() - began


def _of(entries: list[tuple[float, str, str]], pattern: re.Pattern[str]) -> list[list[Any]]:
    """Keep the entries with lines that say something, the newest hundred: time, unit, text."""
    return [[at, unit, text] for at, unit, text in entries if pattern.search(text)][-100:]


def main(order: dict[str, Any]) -> int:
    """Print `ready`, the clock once a line has come in, and the facts."""
    print("ready", flush=True)
    if not os.read(0, 1):
        return 1
    print(json.dumps({"now": time.time()}), flush=True)
    sys.stdout.write(json.dumps(facts(order)) + "\n")
    sys.stdout.flush()
    return 0
