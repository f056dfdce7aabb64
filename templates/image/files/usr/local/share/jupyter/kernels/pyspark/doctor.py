"""`%spark_doctor`: why a notebook waits or its executors end, as far as its user can see.

It asks what every user may ask: the Spark master and the workers on their pages, the notebook's own SparkContext, the
memory and the disk of the user's server, and its log. The operator's `provision doctor` sees the nodes from inside.
"""

import json
import os
import re
import subprocess
import threading
import urllib.request
from contextlib import suppress

NO_RESOURCES = 'Spark\'s own words for this are "Initial job has not accepted any resources".'
OPERATOR = "Ask the cluster's operator: `provision doctor` names the cause."
PATIENCE = 60
"""Seconds for the small job that compares versions."""
PACKAGES = ("pandas", "numpy", "pyarrow")
_DIED = re.compile(r"restarting kernel|Kernel \S+ died|No module named|MemoryError")
_OUT_OF_HEAP = (3, 52)
"""Exit statuses of a JVM whose heap is full: Java's own, and Spark's."""
# Why executors ended, by what they printed last.
_ENDS = (
    (r"finishConnect|Failed to connect to|Connection refused|timed out", "they could not connect back to this notebook"),
    (r"OutOfMemoryError|insufficient memory", "they ran out of memory"),
    (r"No space left|quota exceeded", "they found no room on the worker's disk"),
    (r"Unrecognized VM option|Could not create the Java|UnsupportedClassVersion", "Java did not start"),
    (r"The executor could not be started: ([^\n]*)", "the worker did not start them"),
)


def magic(_line):
    """Say what is wrong with Spark for this notebook, and what to do."""
    print("Looking at Spark, its workers and this server…", flush=True)
    seen = look()
    found = diagnose(seen)
    for number, sentence in enumerate(found, 1):
        print(f"{number}. {sentence}")
    if not found:
        print(f"No problem found: {summary(seen)}.")


def diagnose(seen):
    """Return what is wrong, in sentences, causes first; `seen` is what `look` returns."""
    rules = (_of_jvm, _of_spark, _of_waiting, _of_executors, _of_versions, _of_memory, _of_disk, _of_account, _of_log)
    return [sentence for rule in rules for sentence in rule(seen)]


def summary(seen):
    """Say in a few words what was looked at."""
    cores = sum(worker["cores"] for worker in alive(seen))
    own = seen["context"]
    mine = f"this notebook has {len(own['executors'])} executors" if own else "this notebook has no SparkContext"
    versions = f", all with Python {seen['python']}" if seen["versions"] else ""
    return f"{len(alive(seen))} workers with {cores} cores, {mine}{versions}"


def alive(seen):
    """Return the workers that the master counts with."""
    return [each for each in (seen["state"] or {}).get("workers", ()) if each["state"] == "ALIVE"]


# --- the rules: each yields sentences


def _of_jvm(seen):
    ended, most = seen["ended"], seen["memory"].get("most")
    if ended is None:
        return
    if ended in _OUT_OF_HEAP:
        cause = "its own memory ran out: give it more (spark.driver.memory), and bring fewer rows to the notebook"
    elif seen["memory"].get("killed"):
        cause = f"most likely for memory, of which your notebooks together may take {most} MiB: bring fewer rows to the notebook"
    else:
        cause = f"by signal {-ended}" if ended < 0 else f"with exit status {ended}"
    yield (
        f"The driver's JVM has ended ({cause}), and with it the session and its DataFrames: start Spark anew with "
        "`%spark_config` in a cell of its own, or restart the kernel."
    )


def _of_spark(seen):
    if seen["state"] is None:
        # Where it is on a node of its own, nobody here knows of its unit.
        unit = seen["units"].get("spark-master")
        state = f"; its unit is {unit}" if unit else ""
        yield f"The Spark master does not answer ({seen['problem']}{state}). {OPERATOR}"
    elif not alive(seen):
        yield f"No worker is registered with the Spark master, so no job can run. {NO_RESOURCES} {OPERATOR}"
    elif not seen["context"] and seen["connect"] is None and seen["ended"] is None:
        yield (
            "This notebook has no SparkContext that uses the cluster: make one with "
            "`spark = SparkSession.builder.getOrCreate()`, or restart the kernel."
        )


def _of_waiting(seen):
    own, workers = seen["context"], alive(seen)
    if not own or not workers:
        return
    cores, memory = max(each["cores"] for each in workers), max(each["memory"] for each in workers)
    if own["unit"] > cores:
        yield (
            f"This notebook asks for executors of {own['unit']} cores, and the largest worker has {cores}: it never gets one. "
            f"Ask for less: `spark.executor.cores {cores}` in a cell that begins with %%spark_config. {NO_RESOURCES}"
        )
    elif own["memory"] > memory:
        yield (
            f"This notebook asks for executors of {own['memory']} MiB, and the largest worker has {memory}: it never gets one. "
            f"Ask for less: `spark.executor.memory {memory}m` in a cell that begins with %%spark_config. {NO_RESOURCES}"
        )
    elif own["needed"] and not own["executors"] and not own["granted"]:
        yield f"{own['why']} {NO_RESOURCES}"


def _of_executors(seen):
    own = seen["context"]
    if not own or seen["state"] is None:
        return
    gone = [each for each in own["removed"] if re.search(r"exited with code|[Mm]emory|heartbeat|lost", each)]
    if not own["executors"] and own["finished"] and not own["ever"]:
        yield (
            f"Executors of this notebook start, and end before they have reached it ({own['finished']} so far): "
            f"{_why_they_end(own['said'])}.{_last_words(own['said'])} {NO_RESOURCES} {OPERATOR}"
        )
    elif own["granted"] and not own["executors"] and own["seconds"] > own["patience"]:
        yield (
            f"This notebook has been given {own['granted']} cores and no executor has reached it: they may not be able to "
            "connect back to it (this node's firewall, or the cloud's security group), or they are slow to start. "
            f"{NO_RESOURCES} {OPERATOR}"
        )
    elif own["granted"] and not own["executors"] and own["needed"]:
        yield (
            f"This notebook has been given {own['granted']} cores, and its executors are starting: each is a JVM, which takes a "
            f"minute on a slow machine. Look again then. {NO_RESOURCES}"
        )
    elif gone:
        yield (
            f"{len(gone)} executors of this notebook were lost; the last one: {gone[-1]}. Give them more memory "
            "(`spark.executor.memory`, `spark.executor.memoryOverhead`), or less to do at once: more, smaller partitions."
        )


def _why_they_end(said):
    text = "\n".join(said)
    for pattern, words in _ENDS:
        if found := re.search(pattern, text):
            return f"{words} ({found[1]})" if found.groups() else words
    return "see their last words" if said else "what they said cannot be read from here"


def _last_words(said):
    return "".join(f"\n   | {line}" for line in said[-5:]) + ("\n  " if said else "")


def _of_versions(seen):
    if seen["mismatch"]:
        yield f"The workers' Python is not this notebook's: {seen['mismatch']}. {OPERATOR}"
    here = {"Python": seen["python"]} | seen["packages"]
    for host, there in sorted(seen["versions"].items()):
        other = [
            f"{name} {there['versions'].get(name)} (here {version})"
            for name, version in here.items()
            if there["versions"].get(name) != version
        ]
        if other:
            yield f"{host} has other versions than this notebook: {', '.join(other)}. {OPERATOR}"
        if not there["shared"]:
            yield f"{host} does not have /shared mounted: files that executors write there are not yours to see. {OPERATOR}"


def _of_memory(seen):
    memory = seen["memory"]
    if memory.get("killed"):
        yield (
            f"A program of yours was ended {memory['killed']} times, for your notebooks together may take {memory['most']} MiB. "
            "Shut down kernels that you do not need, and bring fewer rows to the notebook (limit, aggregate, write to /shared)."
        )
    elif memory.get("most") and memory["now"] > 0.92 * memory["most"]:
        yield (
            f"Your notebooks take {memory['now']} of {memory['most']} MiB: the next large result may end a kernel. Shut down "
            "kernels that you do not need."
        )


def _of_disk(seen):
    for path, disk in seen["disks"].items():
        if disk["problem"]:
            yield f"{path} cannot be read: {disk['problem']}. {OPERATOR}"
        elif not disk["free"]:
            yield f"{path} is full: not even {disk['least']} MiB are left. Remove what you do not need."
        elif not disk["files"]:
            yield f"{path} has no inodes left: no new file can be made. Remove small files that you do not need."
    quota = seen["quota"]
    if quota and quota["used"] >= 0.95 * quota["limit"]:
        yield (
            f"Your files take {quota['used']} of the {quota['limit']} MiB that you may have on this node (homes, /shared, "
            "Spark's scratch): writing ends with `Disk quota exceeded`. Remove what you do not need."
        )


def _of_account(seen):
    if seen["account"]:
        yield f"Your account {seen['account']}. {OPERATOR}"


def _of_log(seen):
    if seen["log"]:
        lines = "".join(f"\n   | {line}" for line in seen["log"][-4:])
        yield f"A kernel of yours has died lately. What the server says:{lines}"


# --- looking


def look():
    """Return everything that the rules ask about; what cannot be had is empty."""
    from importlib.metadata import PackageNotFoundError, version
    from platform import python_version

    from provision_kernel import launch, session, shares

    ended = launch.ended()
    context = _context() if ended is None else None
    url = context.getConf().get("spark.provision.masterUi") if context is not None else _master_of_settings()
    state, problem = _ask(f"{url}/json/")
    packages = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            packages[name] = version(name)
    seen = {
        "state": state,
        "problem": problem,
        "ended": ended,
        "connect": shares._Given.context if session.CONNECT and ended is None else None,
        "units": {
            unit: _run("systemctl", "is-active", unit).strip()
            for unit in ("spark-master", "jupyterhub")
            if unit != "spark-master" or os.path.exists("/etc/spark/role/master")
        },
        "context": _own(context, state) if context is not None and state is not None else None,
        "python": python_version(),
        "packages": packages,
        "versions": {},
        "mismatch": "",
        "memory": memory(),
        "disks": {path: disk(path) for path in (os.path.expanduser("~"), "/shared", "/tmp")},
        "quota": quota(_run("quota", "-w", "-v")),
        "account": account(_run("chage", "-l", os.environ.get("USER", ""))),
        "log": _log(),
    }
    if seen["context"] and seen["context"]["executors"] and not seen["context"]["busy"] and not session.CONNECT:
        seen["versions"], seen["mismatch"] = _compare(context, len(seen["context"]["executors"]), tuple(packages))
    return seen


def _context():
    """Return the SparkContext of this notebook: one that speaks to a cluster, or None."""
    from pyspark import SparkContext

    from provision_kernel import shares

    context = SparkContext._active_spark_context or shares._Given.context
    there = context is not None and getattr(context, "_jsc", None) is not None
    return context if there and context.master.startswith("spark://") else None


def _master_of_settings():
    path = os.path.join(os.environ.get("SPARK_CONF_DIR", "/etc/spark"), "spark-defaults.conf")
    with suppress(OSError), open(path) as file:
        for line in file:
            words = line.split(None, 1)
            if len(words) == 2 and words[0] == "spark.provision.masterUi":
                return words[1].strip()
    return "http://localhost:8080"


def _own(context, state):
    """Return what the master and the notebook's own SparkContext say of the notebook."""
    from provision_kernel import shares

    mine = shares.Allocation(context)
    _, apps = shares.applications(state, mine.folder.read)
    cores = sum(each["cores"] for each in state["workers"] if each["state"] == "ALIVE")
    me = next((app for app in apps if app.id == mine.app_id), None)
    entry = next((each for each in state["activeapps"] if each["id"] == mine.app_id), {})
    staying, leaving = mine.executors()
    known = [each for each in shares._each(mine.spark.statusStore().executorList(False)) if each.id() != "driver"]
    removed = [each.removeReason().get() for each in known if each.removeReason().isDefined()]
    needed = mine.needed()
    own = {
        "id": mine.app_id,
        "unit": mine.unit,
        "memory": int(entry.get("memoryperexecutor", 0)),
        "granted": int(entry.get("cores", 0)),
        "executors": sorted(staying | leaving),
        "ever": len(known),
        "removed": removed,
        "needed": needed,
        "busy": mine._is_busy(),
        "seconds": entry.get("duration", 0) / 1000,
        "patience": 4 * shares.SLOW_START,
        "why": shares.waiting(me, apps, cores, mine.user_cores(cores), state, mine) if me and cores else "",
        "finished": 0,
        "said": [],
    }
    if own["granted"] and not own["executors"]:
        own["finished"], own["said"] = _ended(state, mine.app_id)
    return own


def _ended(state, app):
    """Return how many of an application's executors the workers have seen ending, and the last words of one."""
    count, newest = 0, None
    for worker in state["workers"]:
        page, _ = _ask(f"{worker['webuiaddress']}/json/") if worker["state"] == "ALIVE" else (None, "")
        ended = [each["id"] for each in (page or {}).get("finishedexecutors", ()) if each["appid"] == app]
        count += len(ended)
        if ended:
            newest = (worker["webuiaddress"], max(ended))
    if newest is None:
        return count, []
    where = f"{newest[0]}/log/?appId={app}&executorId={newest[1]}&logType=stderr&byteLength=20000"
    text, _ = _ask(where, text=True)
    lines = [line for line in (text or "").splitlines() if line.strip() and not line.startswith(("\t", "===="))]
    return count, [line[:300] for line in lines[-15:]]


def _ask(url, text=False):
    """Return a page's JSON or text, and why there is none."""
    # No proxy of the environment: the nodes are near.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=60) as answer:
            found = answer.read().decode(errors="replace")
        return (found if text else json.loads(found)), ""
    except (OSError, ValueError) as error:
        return None, str(getattr(error, "reason", error))


def _run(*argv):
    """Return what a program prints; nothing if it is not there or takes too long."""
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=30, check=False, env=os.environ | {"LC_ALL": "C"}
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def memory(root="/sys/fs/cgroup", own="/proc/self/cgroup"):
    """Return what the user's server takes and may take of the memory (MiB), and how often something was ended for it."""
    try:
        with open(own) as file:
            path = root + file.read().strip().rpartition("::")[2]
        words = {}
        for name in ("memory.max", "memory.current", "memory.events"):
            with open(f"{path}/{name}") as file:
                words[name] = file.read().split()
    except OSError:
        return {}
    most = words["memory.max"][0]
    events = dict(zip(words["memory.events"][::2], words["memory.events"][1::2]))
    return {
        "most": int(most) >> 20 if most.isdigit() else 0,
        "now": int(words["memory.current"][0]) >> 20,
        "killed": int(events.get("oom_kill", 0)),
    }


def disk(path, least=64):
    """Return whether a folder can be read, and whether there is room for a file of `least` MiB, and for a file at all."""
    try:
        found = os.statvfs(path)
        os.listdir(path)
    except OSError as error:
        return {"problem": error.strerror or str(error), "free": True, "files": True, "least": least}
    room = found.f_frsize * found.f_bavail >= least << 20
    return {"problem": "", "free": room, "files": not found.f_files or found.f_favail > 16, "least": least}


def quota(text):
    """Read `quota -w -v`: MiB that the user's files take, and may take; None without a limit."""
    for line in text.splitlines():
        words = line.split()
        if len(words) > 3 and words[0].startswith("/") and words[3].isdigit() and int(words[3]):
            return {"used": int(words[1].rstrip("*")) >> 10, "limit": int(words[3]) >> 10}
    return None


def account(text):
    """Read `chage -l`: what is wrong with the account, as a predicate; empty if nothing is."""
    from datetime import datetime

    for line in text.splitlines():
        name, _, value = line.partition(":")
        if "password must be changed" in value:
            return "needs a new password: the next login asks for it"
        if name.strip() == "Account expires" and value.strip() != "never":
            with suppress(ValueError):
                if datetime.strptime(value.strip(), "%b %d, %Y") <= datetime.now():
                    return f"has expired on {value.strip()}: the next login is refused"
    return ""


def _log():
    """Return the lines about dying kernels in the own server's log of the last half hour."""
    text = _run("journalctl", "--since=-30min", "--lines=2000", "--output=cat", "--no-pager", f"_UID={os.getuid()}")
    lines = [line[:300] for line in text.splitlines() if _DIED.search(line)]
    return lines if any("restarting kernel" in line or " died" in line for line in lines) else []


def _compare(context, count, packages):
    """Run a small job on each executor; return versions and mounts by host, and the sentence of a refusal."""

    def facts(_):
        # Here, not above: what runs on an executor must not need this module there.
        import os
        import platform
        import socket
        from importlib.metadata import PackageNotFoundError, version

        versions = {"Python": platform.python_version()}
        for name in packages:
            try:
                versions[name] = version(name)
            except PackageNotFoundError:
                versions[name] = None
        return [(socket.gethostname(), {"versions": versions, "shared": os.path.ismount("/shared")})]

    timer = threading.Timer(PATIENCE, lambda: context.cancelJobsWithTag("spark-doctor"))
    context.addJobTag("spark-doctor")
    timer.start()
    try:
        return dict(context.parallelize(range(4 * count), 4 * count).mapPartitions(facts).collect()), ""
    except Exception as error:
        refusal = re.search(r"PYTHON_VERSION_MISMATCH\]?\s*([^\n]*)", str(error))
        return {}, refusal[1].rstrip(".") if refusal else ""
    finally:
        timer.cancel()
        context.removeJobTag("spark-doctor")
