"""The rules of `cloud doctor` on several hosts: those of one machine, and those of a Swarm.

Any host sees all hosts and replicas, but only its own disks and members.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from provision.model.finding import Finding, listed, since, span
from provision.model.localcloud.doctor.host_rules import drifted
from provision.model.localcloud.doctor.observed import read_time
from provision.model.localcloud.doctor.rules import RULES, missing
from provision.model.localcloud.doctor.words import UP, logs
from provision.model.localcloud.settings import CLUSTERED, PROJECT, base_service
from provision.model.localcloud.swarm import absent_members

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.model.localcloud.doctor.observed import ObservedLocalCloud
    from provision.model.localcloud.status import ServiceStatus
    from provision.model.localcloud.swarm import Host, Task

_RECENT: Final = 600
"""Seconds for which a failed replica is reported."""
_OFTEN: Final = 4
"""Failures in that time from which on a replica is reported. A host that stops and starts costs its replicas two, and
Swarm remembers four of each."""


@dataclass(frozen=True, slots=True)
class ObservedSwarm:
    """What was observed of a Swarm. If the Swarm does not answer, `problem` says why, and only `here` is known."""

    here: ObservedLocalCloud
    hosts: tuple[Host, ...] = ()
    services: tuple[ServiceStatus, ...] = ()
    tasks: tuple[Task, ...] = ()
    problem: str = ""


def diagnose_swarm(seen: ObservedSwarm) -> list[Finding]:
    """Return what is wrong, likely causes first; empty if all is well."""
    findings = [*leaderless(seen), *away(seen), *memberless(seen)]
    if not seen.problem and not any(each.service == "keystone" for each in seen.services):
        return [*findings, Finding("containers", "the local cloud", "is not running", f"{UP} starts it.")]
    findings += [*short(seen), *ended(seen)]
    # A Swarm has rules of its own in place of these two: `short` and `mixed`.
    for rule in RULES:
        if rule not in (missing, drifted):
            findings += rule(seen.here)
    return [*findings, *unwell(seen), *mixed(seen)]


def away(seen: ObservedSwarm) -> Iterator[Finding]:
    """A host does not answer the others."""
    for host in seen.hosts:
        if not host.ready:
            member = f", and with it member {host.member} of the stateful services" if host.member else ""
            yield Finding(
                "hosts",
                f"the host {host.name} ({host.address})",
                f"is away{member}",
                "Check whether it runs and can be reached, and whether Docker runs there. If it is gone for good, "
                f"`docker node demote {host.name}` and `docker node rm --force {host.name}` make room for another.",
            )


def memberless(seen: ObservedSwarm) -> Iterator[Finding]:
    """A member of the stateful services has no host."""
    absent = [] if seen.problem else absent_members(seen.hosts)
    if absent:
        yield Finding(
            "hosts",
            "the Swarm",
            f"has no host for member {' and '.join(map(str, absent))} of the stateful services",
            "Let another machine join: `provision cloud init` prints how.",
        )


def leaderless(seen: ObservedSwarm) -> Iterator[Finding]:
    """The Swarm itself does not answer."""
    if seen.problem:
        yield Finding(
            "hosts",
            "the Swarm",
            f"does not answer on this host, so nothing is started or moved ({seen.problem})",
            "Start the hosts that are away: more than half of them have to reach each other.",
        )


def short(seen: ObservedSwarm) -> Iterator[Finding]:
    """Services have fewer replicas than they should have: one finding for each reason."""
    reasons: dict[str, list[ServiceStatus]] = {}
    for each in seen.services:
        if each.running < each.wanted:
            reasons.setdefault(each.problem or _last_problem(seen, each.service), []).append(each)
    for reason, services in reasons.items():
        first = services[0].service
        counts = (f"{each.running} of {each.wanted} replicas of {each.service}" for each in services)
        yield Finding(
            "replicas",
            listed((each.service for each in services), 9),
            f"not all replicas run ({listed(counts, 9)}){f': {reason}' if reason else ''}",
            f"{logs(first)} and `docker service ps --no-trunc {PROJECT}_{first}` say more. Swarm goes on trying.",
        )


def _last_problem(seen: ObservedSwarm, service: str) -> str:
    """Return why the replica that ended last did so: one that has just been started again has no problem yet."""
    ended = [task for task in seen.tasks if task.service == service and task.problem]
    return max(ended, key=lambda task: task.changed).problem if ended else ""


def ended(seen: ObservedSwarm) -> Iterator[Finding]:
    """A replica fails again and again, though another takes its place each time."""
    short_services = {each.service for each in seen.services if each.running < each.wanted}
    recent: dict[str, list[Task]] = {}
    for task in seen.tasks:
        if task.state in ("failed", "rejected") and not task.wanted and task.service not in short_services:
            moment = read_time(task.changed)
            if moment is not None and (seen.here.now - moment).total_seconds() < _RECENT:
                recent.setdefault(task.name, []).append(task)
    for name, tasks in sorted(recent.items()):
        if len(tasks) < _OFTEN:
            continue
        last = max(tasks, key=lambda task: task.changed)
        yield Finding(
            "replicas",
            name,
            f"has ended {len(tasks)} times in {span(_RECENT)}, the last time"
            f"{since(seen.here.now, read_time(last.changed))}: {last.problem or last.state}",
            f"{logs(name)} says why. Another one runs in its place.",
        )


def unwell(seen: ObservedSwarm) -> Iterator[Finding]:
    """Some replicas of a service fail their health check while others serve. (If all fail, other rules say so.)"""
    for each in seen.services:
        # Members of clustered services are another rule's as well.
        if each.healthy is None or not 0 < each.healthy < each.running or base_service(each.service) in CLUSTERED:
            continue
        failing = (check for check in seen.here.checks or () if check.service == each.service and not check.passing)
        output = next((f": {check.output[:160]}" for check in failing if check.output), "")
        yield Finding(
            "replicas",
            f"the service {each.service}",
            f"has only {each.healthy} of its {each.running} running replicas healthy{output}",
            f"{logs(each.service)} says why. A replica that has just started needs a minute.",
        )


def mixed(seen: ObservedSwarm) -> Iterator[Finding]:
    """Replicas of a service were made from different images, or from other images than this checkout's."""
    for names, wrong in (
        ([each.service for each in seen.services if each.mixed], "have replicas from different images"),
        ([each.service for each in seen.services if each.drift], "run from other images than this checkout's"),
    ):
        if names:
            yield Finding(
                "images", listed(names, 9), wrong, "`provision cloud upgrade` replaces them with this checkout's."
            )
