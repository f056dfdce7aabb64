"""What is wrong on a node itself: clock, disks, units, mounts, the Hub's certificate, memory."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any, Final

from provision.base.constants import PASSING_UNITS
from provision.model.doctor.cause import (
    HUB,
    NO_EXECUTORS,
    SPARK,
    WAITING,
    Cause,
    not_well,
    unmounted,
    unregistered,
)
from provision.model.doctor.words import (
    EXPIRES,
    FAILED,
    FOR_WANT_OF_MEMORY,
    INODES,
    INODES_PART,
    MIB,
    NO_INODES,
    RECENT,
    RENEW_CERTIFICATE,
    ROOM,
    ROOM_PART,
    STOPPED,
    THE_CERTIFICATE,
    disk_of,
    find_small_files,
    log_of,
    make_room,
    mount_again,
    not_the_masters,
    start,
    start_again,
    who_has_memory,
)
from provision.model.finding import Finding, clock, listed, span, times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.model.doctor.observed import ObservedNode, ObservedSparkCluster

_CLOCK: Final = 5.0
"""Seconds that the clocks of nodes may differ: NFS and certificates tolerate that much."""
_RESTARTED: Final = 600
"""Seconds for which a restart is reported."""
_NO_SPACE: Final = ("No space left on device", "Disk quota exceeded", "ENOSPC")


def skewed(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """A node's clock is not that of the others."""
    nodes = seen.answering
    if len(nodes) < 2:
        return
    # Not against this machine: its own clock may be the wrong one. Of two nodes the master's counts.
    middle = median(node.ahead for node in nodes) if len(nodes) > 2 else nodes[0].ahead
    for node in nodes:
        off = node.ahead - middle
        if abs(off) - node.uncertain > _CLOCK:
            side = "ahead of" if off > 0 else "behind"
            follows = "follows" if node.fact("synchronised") else "does not follow"
            finding = Finding(
                "clock",
                f"the clock of {node.name}",
                f"is {span(abs(off))} {side} the other nodes'",
                "`sudo systemctl restart systemd-timesyncd` there sets it. A jump makes the Spark master drop its "
                "workers, and shared files look newer than they are.",
                (f"{node.name}: {off:+.1f} s (± {node.uncertain:.1f} s), it {follows} a time server",),
            )
            who = [node] if node.role == "worker" else seen.workers
            yield Cause(finding, explains=frozenset(unregistered(each.name) for each in who))


def full(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """A disk is full, or has no inodes left for another file."""
    for node in seen.answering:
        known: set[tuple[int, int]] = set()
        for disk in node.fact("disks", []):
            key = (disk["size"], disk["files"])
            if key in known or not disk["size"]:
                continue
            known.add(key)
            ends = _ends(disk)
            if ends:
                hint = find_small_files(node.name) if "inodes" in ends else make_room(node.name)
                yield Cause(
                    Finding("disks", _disk(node, disk), ends, hint, (_df(node, disk),)),
                    explains=frozenset(_stopped_by_disk(node)),
                )


def _ends(disk: dict[str, Any]) -> str:
    if disk["free"] < min(ROOM, disk["size"] / ROOM_PART):
        return f"is full: {disk['free'] / MIB:.0f} MiB are left of {disk['size'] / MIB / 1024:.1f} GiB"
    if disk["files"] and disk["free_files"] < min(INODES, disk["files"] / INODES_PART):
        return f"{NO_INODES}: {disk['free_files']} of {disk['files']}, so no new file can be made"
    return ""


def _disk(node: ObservedNode, disk: dict[str, Any]) -> str:
    return disk_of(node.name) if disk["path"] == "/" else f"{disk['path']} of {node.name}"


def _df(node: ObservedNode, disk: dict[str, Any]) -> str:
    room = f"{disk['free'] // MIB} MiB free of {disk['size'] // MIB}"
    return f"{node.name} {disk['path']}: {room}, {disk['free_files']} inodes of {disk['files']}"


def _stopped_by_disk(node: ObservedNode) -> Iterator[str]:
    for unit in node.fact("logs", {}):
        if any(word in line for line in node.log(unit) for word in _NO_SPACE):
            yield not_well(node.name, unit)


def stopped(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """A unit is masked, stopped, has failed or does not stay up."""
    for node in seen.answering:
        states = node.fact("units", {})
        for unit in [each for each in seen.units.get(node.role, ()) if each in states]:
            wrong, do = _trouble(seen, node, unit, states[unit])
            if wrong:
                evidence = (f"systemctl: {unit} {_state(states[unit])}", *node.log(unit))
                finding = Finding("units", f"{unit} on {node.name}", wrong, do, evidence)
                yield Cause(finding, frozenset({not_well(node.name, unit)}), _stops(seen, node, unit))
        known = set(seen.units.get(node.role, ()))
        for unit in node.fact("failed", []):
            name = unit.removesuffix(".service")
            # A notebook that was ended is told about below.
            if name not in known and not name.startswith(PASSING_UNITS):
                finding = Finding(
                    "units",
                    f"{name} on {node.name}",
                    FAILED,
                    f"`provision ssh {node.name} -- sudo journalctl -u {name}` says why; "
                    "`systemctl reset-failed` forgets it.",
                    node.log(name),
                )
                yield Cause(finding, frozenset({not_well(node.name, name)}))


def _state(unit: dict[str, Any]) -> str:
    return (
        f"{unit['load']}, {unit['file'] or 'no unit file'}, {unit['active']} ({unit['sub']}), result {unit['result']}"
    )


def _trouble(seen: ObservedSparkCluster, node: ObservedNode, name: str, unit: dict[str, Any]) -> tuple[str, str]:
    """Say what is wrong with a unit and what to do; empty if nothing is."""
    ssh = f"`provision ssh {node.name} --"
    ago = max(0.0, seen.now.timestamp() + node.ahead - unit["since"]) if unit["since"] else 0.0
    when = f" since {span(ago)}" if ago else ""
    code = f", exit code {unit['code']}" if unit["code"] else ""
    if unit["file"] == "static" and unit["active"] == "inactive" and unit["result"] == "success":
        return "", ""  # it starts when somebody asks for it, as the history server does
    begin, log = start(node.name, name), log_of(node.name, name)
    unmask = f"{ssh} sudo systemctl unmask {name}`, then {begin}"
    restarted = f"it was restarted {times(unit['restarts'])}"
    # The first that holds counts.
    cases = (
        ("masked" in (unit["load"], unit["file"].removesuffix("-runtime")), "is masked: nothing can start it", unmask),
        (unit["load"] == "not-found", "does not exist on this node", "`provision up --replace` makes the node anew."),
        (
            unit["active"] == "failed",
            f"{FAILED} ({unit['result']}{code}){when}",
            f"{log} Once mended, {start_again(node.name, name)}",
        ),
        (
            unit["active"] == "inactive" and not unit["condition"],
            "did not start: its condition does not hold",
            f"playbooks/site.yml restores its files. {log}",
        ),
        (unit["active"] == "inactive", f"{STOPPED}{when}", f"{begin} {log}"),
        (unit["sub"] == "auto-restart", f"does not stay up: {restarted}{code}", log),
        (unit["active"] == "activating", "is still starting", f"That takes minutes on a slow machine. {log}"),
        (
            bool(unit["active"] == "active" and unit["restarts"] and ago < _RESTARTED),
            f"does not stay up: {restarted}, the last time {span(ago)} ago",
            log,
        ),
    )
    return next(((wrong, do) for holds, wrong, do in cases if holds), ("", ""))


def _stops(seen: ObservedSparkCluster, node: ObservedNode, unit: str) -> frozenset[str]:
    """Return what follows from a unit that does not run."""
    workers = {unregistered(each.name) for each in seen.workers}
    folders = {unmounted(each.name) for each in seen.workers}
    own = {unregistered(node.name)} | (set() if seen.alive else {WAITING})
    master = {SPARK, WAITING, NO_EXECUTORS, *workers}
    own |= {HUB} if node is seen.hub else set()
    daemons = {not_well(node.name, each) for each in ("spark-master", "spark-worker", "spark-history", "jupyterhub")}
    follows = {
        "provision-jvm": daemons | own | (master if node.role == "master" else set()),
        "spark-master": master,
        "spark-worker": own - {HUB},
        "jupyterhub": {HUB},
        "provision-files": folders | {not_well(node.name, "nfs-server")},
        "nfs-server": folders,
        "shared.automount": {unmounted(node.name)},
        "home.automount": {unmounted(node.name)},
    }
    return frozenset(follows.get(unit, ()))


def not_mounted(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """A worker does not see the homes or /shared of the node with the Hub."""
    apart = seen.hub_is_apart
    whose = "the Hub's" if apart else "the master's"
    for node in seen.workers:
        for path, kind in node.fact("mounts", {}).items():
            if kind == "nfs4":
                continue
            wrong = kind.replace("unreadable:", "it cannot be read:") if kind.startswith("unreadable") else (
                f"what is there is {kind or 'its own disk'}, not {whose}"
            )  # fmt: skip
            finding = Finding(
                "mounts",
                f"{path} on {node.name}",
                f"{not_the_masters(path, apart=apart)}: {wrong}. What executors write there is lost to everybody else",
                mount_again(node.name, path),
                (f"{node.name} {path}: {kind or 'no mount'}",),
            )
            yield Cause(finding, frozenset({unmounted(node.name)}))


def expiring(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """The Hub's certificate has expired, or will soon."""
    ends = seen.certificate_ends
    if ends is None:
        return
    left = (ends - seen.now).total_seconds()
    if left > EXPIRES * 86400:
        return
    wrong = f"expired {span(-left)} ago: browsers refuse the Hub" if left < 0 else f"expires in {span(left)}"
    yield Cause(
        Finding(
            "certificate",
            THE_CERTIFICATE,
            wrong,
            RENEW_CERTIFICATE,
            (f"certificate: ends {ends.isoformat(timespec='minutes')}",),
        )
    )


def starved(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """The kernel has ended programs for want of memory."""
    for node in seen.answering:
        by_unit: dict[str, list[dict[str, Any]]] = {}
        for each in node.fact("killed", []):
            if seen.now.timestamp() + node.ahead - each["at"] < RECENT:
                by_unit.setdefault(each["unit"].removesuffix(".service"), []).append(each)
        for unit, deaths in by_unit.items():
            whose, do = _whose(unit, node)
            programs = listed({each["program"] for each in deaths})
            own = all(each["limit"].strip("/") for each in deaths)
            bound = "its limit was reached" if own else "the node had no more"
            last = max(each["at"] for each in deaths)
            evidence = tuple(
                f"{clock(each['at'])} {node.name}: oom-kill {each['program']} of {unit}" for each in deaths
            )
            ago = span(max(0.0, seen.now.timestamp() + node.ahead - last))
            wrong = f"{programs} was ended {times(len(deaths))} {FOR_WANT_OF_MEMORY}, the last time {ago} ago: {bound}"
            yield Cause(
                Finding("memory", f"{whose} on {node.name}", wrong, do, evidence), frozenset({f"killed {unit}"})
            )


def _whose(unit: str, node: ObservedNode) -> tuple[str, str]:
    if unit.startswith("notebook-"):
        user = unit.removeprefix("notebook-")
        return f"{user}'s notebooks", "Let them take less at once, close kernels, or raise hub.limits.memory."
    if unit.startswith("provision-executor@"):
        return "an executor", "Give executors more memory (spark.executor.memoryOverhead), or less to do at once."
    return unit or "a program", who_has_memory(node.name)
