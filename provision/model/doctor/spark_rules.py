"""What Spark says: the secret, workers that are not registered, applications that wait, executors that end at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from provision.model.doctor.cause import NO_EXECUTORS, SPARK, WAITING, Cause, not_well, unregistered
from provision.model.doctor.observed import NO_RESOURCES
from provision.model.doctor.words import (
    RECENT,
    RESTART_SPARK,
    SILENT_SPARK,
    STARTING,
    THE_SPARK_MASTER,
    UNREGISTERED,
    register_again,
)
from provision.model.finding import Finding, clock, listed, span

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from provision.model.doctor.observed import ObservedNode, ObservedSparkCluster

_PATIENCE: Final = 30
"""Seconds that an application may wait for its first executor before that is reported."""
_AGAIN: Final = 2
"""Ends of an application's executors that count as again and again."""
_SITE: Final = "playbooks/site.yml writes the cluster's secret to every node again, and restarts what reads it."
# Why an executor ended, by what its stderr says: a pattern, what is wrong, and what to do.
_ENDS: Final = (
    (
        r"(?:Failed to connect to|finishConnect|Connection refused|connection timed out|Cannot find endpoint).*?"
        r"(?P<what>/?[\d.]+:\d+)",
        "cannot connect back to the driver at {what}",
        "Something between the worker and the driver is closed, or the driver has ended: see the firewall of the "
        "driver's node, the security group, and the driver's own log.",
    ),
    (
        r"(?P<what>UnsupportedClassVersionError|Unrecognized VM option \S+|Could not create the Java Virtual Machine)",
        "do not start: Java says {what}",
        "Remove the option of Java's that is meant, or see which Java the node has.",
    ),
    (
        r"(?P<what>OutOfMemoryError[^\n]*|There is insufficient memory for the Java Runtime)",
        "run out of memory: {what}",
        "Give executors more memory (spark.executor.memory), or less to do at once.",
    ),
    (
        r"(?P<what>No space left on device|Disk quota exceeded)",
        "find no room: {what}",
        "Make room on the worker's disk.",
    ),
    (
        r"The executor could not be started: (?P<what>[^\n]*)",
        "are not started: {what}",
        "Do what the sentence says; playbooks/site.yml restores the nodes' executor key.",
    ),
    (
        r"(?P<what>ClassNotFoundException[^\n]*|NoClassDefFoundError[^\n]*)",
        "lack a class: {what}",
        "Give the jar with spark.jars or `packages` in the spec.",
    ),
)
_ENDED_WITH_DRIVER: Final = re.compile(
    r"Driver \S+ disassociated|Driver commanded a shutdown|driver disconnected", re.IGNORECASE
)


def other_secret(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """A node has another Spark secret than the master, or a daemon still has an older one."""
    master = seen.master
    theirs = master.fact("secret", {}).get("hash", "") if master and master.answers else ""
    wrong_master = master is not None and theirs and seen.secret and theirs != seen.secret
    if master is not None and wrong_master:
        finding = Finding(
            "secret",
            master.name,
            "has another Spark secret (spark.authenticate.secret) than this machine keeps for the cluster",
            _SITE,
            (f"{master.name}: its hash is not that of secrets.json",),
        )
        yield Cause(
            finding, explains=frozenset(unregistered(node.name) for node in seen.workers) | {NO_EXECUTORS, WAITING}
        )
    for node in [each for each in seen.nodes if each is not master] if theirs else ():
        own = node.fact("secret", {}).get("hash")
        if own is None or own == theirs or (wrong_master and own == seen.secret):
            continue
        finding = Finding(
            "secret",
            node.name,
            "has another Spark secret (spark.authenticate.secret) than the master, which refuses its "
            f"{'worker' if node.role == 'worker' else 'drivers'}",
            _SITE,
            (f"{node.name}: the hash of its secret is not the master's", *_said(node)),
        )
        follows = frozenset({unregistered(node.name)}) | _alone(seen)
        yield Cause(finding, explains=follows if node.role == "worker" else frozenset({NO_EXECUTORS, WAITING}))


def _said(node: ObservedNode) -> tuple[str, ...]:
    """Return the warnings at the end of the worker's log."""
    return tuple(node.fact("worker_log", ()))[-5:]


def _alone(seen: ObservedSparkCluster) -> frozenset[str]:
    """Return that applications wait, if no worker is registered at all: that follows from why."""
    return frozenset() if seen.alive else frozenset({WAITING})


def mute(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """The Spark master runs and does not answer."""
    problem = seen.of_hub("spark").get("problem", "")
    if problem and seen.master:
        unit = seen.master.fact("units", {}).get("spark-master", {})
        finding = Finding(
            "spark",
            THE_SPARK_MASTER,
            f"{SILENT_SPARK}: {problem}",
            RESTART_SPARK,
            (f"systemctl: spark-master {unit.get('active', 'unknown')} ({unit.get('sub', '')})",),
        )
        everybody = frozenset(unregistered(node.name) for node in seen.workers)
        yield Cause(finding, frozenset({SPARK}), everybody | {SPARK, WAITING, NO_EXECUTORS})


def unlisted(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """A worker is not registered, and no rule before has said why."""
    if not seen.of_hub("spark") or not seen.master:
        return
    for node in seen.workers:
        if not node.answers or seen.registered(node):
            continue
        unit = node.fact("units", {}).get("spark-worker", {})
        ago = seen.now.timestamp() + node.ahead - unit.get("since", 0)
        changed = node.fact("secret", {}).get("changed", 0) > unit.get("since", 0)
        evidence = (f"the master lists {listed(each['host'] for each in seen.alive) or 'no worker'}", *_said(node))
        if changed and unit.get("since"):
            wrong = "is not registered: its worker still has the Spark secret that was there when it started"
            do = f"`provision ssh {node.name} -- sudo systemctl restart spark-worker` lets it read the new one."
        elif ago < STARTING:
            wrong = f"is not registered with the Spark master yet: its worker started {span(max(ago, 0.0))} ago"
            do = "Look again in some minutes."
        else:
            wrong, do = f"{UNREGISTERED} has run for {span(ago)} and reaches it", register_again(node.name)
        yield Cause(
            Finding("spark", node.name, wrong, do, evidence), frozenset({unregistered(node.name)}), _alone(seen)
        )


# --- applications


def too_large(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """An application asks for more than any worker has, or than anybody gives back."""
    if not seen.alive:
        return
    for app in _waiting(seen):
        most = max(worker["cores"] for worker in seen.alive)
        memory = max(worker["memory"] for worker in seen.alive)
        unit = int(_share(seen, app).get("unit") or 0)
        wants = int(app.get("memoryperexecutor") or 0)
        if wants > memory:
            wrong = f"asks for executors with {wants} MiB of memory, and the largest worker has {memory}"
            do = f"Ask for less: spark.executor.memory {memory}m at most. {_again()}"
        elif unit > most:
            wrong = f"asks for executors with {unit} cores, and the largest worker has {most}"
            do = f"Ask for less: spark.executor.cores {most} at most. {_again()}"
        else:
            continue
        yield Cause(
            Finding("applications", _name(app), wrong, do, _evidence(seen, app)), explains=frozenset({_wait(app)})
        )


def waiting(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """An application waits for cores or memory that others hold."""
    for app in _waiting(seen):
        unit = max(int(_share(seen, app).get("unit") or 1), 1)
        wants = int(app.get("memoryperexecutor") or 0)
        free = [worker for worker in seen.alive if worker["coresfree"] >= unit]
        if not seen.alive:
            wrong = "waits for cores, and no worker is registered"
            do = f"See why no worker is registered. {_again()}"
        elif free and all(worker["memoryfree"] < wants for worker in free):
            most = max(worker["memoryfree"] for worker in free)
            wrong = f"waits for an executor with {wants} MiB of memory: {most} are free on one worker; {_holders(seen)}"
            do = f"Ask for less memory (spark.executor.memory), or end what holds it. {_again()}"
        else:
            wrong = f"waits for cores: {_holders(seen)}"
            do = (
                "Notebooks give theirs back when they are idle; `provision jobs` and `provision kill` are for "
                f"programs. More workers have more cores. {_again()}"
            )
        yield Cause(
            Finding("applications", _name(app), wrong, do, _evidence(seen, app)),
            frozenset({WAITING}) if not seen.alive else frozenset({_wait(app)}),
        )


def _again() -> str:
    return f'Spark calls this "{NO_RESOURCES}".'


def _wait(app: Mapping[str, Any]) -> str:
    return f"waiting {app['id']}"


def _share(seen: ObservedSparkCluster, app: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the application's kernel has published of itself (shares.py), or its driver says; else nothing."""
    entry = seen.of_hub("shares").get(app["id"]) or seen.of_hub("spark").get("demands", {}).get(app["id"])
    return entry if isinstance(entry, dict) else {}


def _waiting(seen: ObservedSparkCluster) -> Iterator[Mapping[str, Any]]:
    """Yield the applications that want cores and have none."""
    for app in seen.of_hub("spark").get("activeapps", ()):
        share, memory = _share(seen, app), int(app.get("memoryperexecutor") or 0)
        room = any(worker["coresfree"] and worker["memoryfree"] >= memory for worker in seen.alive)
        # Where nobody says it: one that has nothing to compute has no cores either, but then there is room.
        wants = int(share.get("wants") or 0) > 0 if share else app["state"] == "WAITING" and not room
        if wants and not app["cores"] and app["duration"] >= _PATIENCE * 1000:
            yield app


def _name(app: Mapping[str, Any]) -> str:
    return f"{app['user']}'s {app['name']} ({app['id']})"


def _holders(seen: ObservedSparkCluster) -> str:
    """Say who holds the cores: `bob holds 3 of 4 (2 applications), carol 1`."""
    cores = sum(worker["cores"] for worker in seen.alive)
    held: dict[str, list[int]] = {}
    for app in seen.of_hub("spark").get("activeapps", ()):
        if app["cores"]:
            held.setdefault(app["user"], []).append(app["cores"])
    parts: list[str] = []
    for user, each in sorted(held.items(), key=lambda item: (-sum(item[1]), item[0])):
        many = f" ({len(each)} applications)" if len(each) > 1 else ""
        parts.append(f"{user}{'' if parts else ' holds'} {sum(each)}{'' if parts else f' of {cores}'}{many}")
    return ", ".join(parts) or f"nobody holds any of the {cores}"


def _evidence(seen: ObservedSparkCluster, app: Mapping[str, Any]) -> tuple[str, ...]:
    share = _share(seen, app)
    asks = f", executors of {share['unit']} cores, wants {share.get('wants')}" if share.get("unit") else ""
    return (
        f"master: {app['id']} is {app['state']}, {app['cores']} cores, "
        f"{app.get('memoryperexecutor')} MiB an executor{asks}",
        *(
            f"master: {worker['host']} has {worker['coresfree']} of {worker['cores']} cores and "
            f"{worker['memoryfree']} of {worker['memory']} MiB free"
            for worker in seen.alive
        ),
    )


# --- executors


def dying(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """An application's executors end as soon as they have started, again and again."""
    ends: dict[str, list[tuple[ObservedNode, Mapping[str, Any]]]] = {}
    for node in seen.workers:
        for each in node.fact("executors", ()):
            if seen.now.timestamp() + node.ahead - each["at"] < RECENT:
                ends.setdefault(each["app"], []).append((node, each))
    apps = {app["id"]: app for app in seen.of_hub("spark").get("activeapps", ())}
    for app, found in ends.items():
        node, last = max(found, key=lambda pair: (bool(pair[1].get("stderr")), pair[1]["at"]))
        said = "\n".join(last.get("stderr") or ())
        if len(found) < _AGAIN or _ENDED_WITH_DRIVER.search(said):
            continue
        wrong, do = _end(said, last)
        hosts = listed({each.name for each, _ in found})
        finding = Finding(
            "executors",
            f"the executors of {_name(apps[app])}" if app in apps else f"the executors of {app}",
            f"{wrong}; {len(found)} have ended at once on {hosts}",
            f"{do} {_again()}",
            tuple(
                [f"{clock(each['at'])} {which.name}: executor {each['id']} {each['why']}" for which, each in found[-3:]]
                + [f"stderr of executor {last['id']}: {line}" for line in (last.get("stderr") or ())[-6:]]
            ),
        )
        yield Cause(finding, frozenset({NO_EXECUTORS}))


def _end(said: str, last: Mapping[str, Any]) -> tuple[str, str]:
    for pattern, wrong, do in _ENDS:
        found = re.search(pattern, said)
        if found:
            return wrong.format(what=found["what"].strip("/ ")), do
    if last.get("code") == "137":
        return (
            "are killed (exit code 137), most likely for want of memory",
            "Give them more memory, or less to do at once.",
        )
    return f"end by themselves ({last['why'] or 'no reason given'})", "Their last lines, below, say why."


def daemons_with_old_secret(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """The Spark master was started before its secret was changed."""
    master = seen.master
    if master is None or not master.answers:
        return
    unit = master.fact("units", {}).get("spark-master", {})
    changed = master.fact("secret", {}).get("changed", 0)
    if seen.alive or unit.get("active") != "active" or not unit.get("since") or changed <= unit["since"]:
        return
    finding = Finding(
        "secret",
        "the Spark master",
        "still has the Spark secret that was there when it started, and refuses every worker",
        "`provision ssh master -- sudo systemctl restart spark-master` lets it read the new one.",
        ("spark-defaults.conf was changed after spark-master had started",),
    )
    symptoms = frozenset(unregistered(node.name) for node in seen.workers)
    yield Cause(finding, symptoms, symptoms | {WAITING, not_well(master.name, "spark-master")})
