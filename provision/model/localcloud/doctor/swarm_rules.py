"""What is wrong with the `local` cloud on several hosts: one machine's rules, and those of a Swarm; touches nothing.

Whatever host it is asked on sees all hosts and copies, and looks at its own disks and members.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from provision.model.localcloud.doctor.finding import UP, Finding, listed, logs, since, span
from provision.model.localcloud.doctor.host_rules import drifted
from provision.model.localcloud.doctor.observed import read_time
from provision.model.localcloud.doctor.rules import RULES, missing
from provision.model.localcloud.settings import CLUSTERED, PROJECT, base_service
from provision.model.localcloud.swarm import absent_members

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.model.localcloud.doctor.observed import ObservedLocalCloud
    from provision.model.localcloud.swarm import Host, Task
    from provision.model.localcloud.swarm_status import SwarmLine

_LATELY: Final = 600
"""Seconds in which a copy that failed is still news."""
_OFTEN: Final = 4
"""Failures in that time that are no accident: a host that stops and starts costs its copies two, and Swarm remembers
four of each."""


@dataclass(frozen=True, slots=True)
class ObservedSwarm:
    """What is looked at; where the Swarm does not tell, `problem` says why, and there is only what is `here`."""

    here: ObservedLocalCloud
    hosts: tuple[Host, ...] = ()
    lines: tuple[SwarmLine, ...] = ()
    tasks: tuple[Task, ...] = ()
    problem: str = ""


def diagnose_swarm(seen: ObservedSwarm) -> list[Finding]:
    """Return what is wrong, likely causes first; nothing when all is well."""
    findings = [*leaderless(seen), *away(seen), *memberless(seen)]
    if not seen.problem and not any(line.service == "keystone" for line in seen.lines):
        return [*findings, Finding("containers", "the local cloud", "is not running", f"{UP} starts it")]
    findings += [*short(seen), *ended(seen)]
    # Its own words for these two are above and below.
    for rule in RULES:
        if rule not in (missing, drifted):
            findings += rule(seen.here)
    return [*findings, *unwell(seen), *mixed(seen)]


def away(seen: ObservedSwarm) -> Iterator[Finding]:
    """A host does not answer the others."""
    for host in seen.hosts:
        if not host.ready:
            member = f", and with it member {host.member} of what keeps state" if host.member else ""
            yield Finding(
                "hosts",
                f"the host {host.name} ({host.address})",
                f"is away{member}",
                "see whether it runs and is reached, and whether Docker runs there; if it is gone for good, "
                f"`docker node demote {host.name}` and `docker node rm --force {host.name}` make room for another",
            )


def memberless(seen: ObservedSwarm) -> Iterator[Finding]:
    """A member of what keeps state has no host."""
    absent = [] if seen.problem else absent_members(seen.hosts)
    if absent:
        yield Finding(
            "hosts",
            "the Swarm",
            f"has no host for member {' and '.join(map(str, absent))} of what keeps state",
            "have another machine join: `provision cloud init` prints how",
        )


def leaderless(seen: ObservedSwarm) -> Iterator[Finding]:
    """The Swarm itself does not answer."""
    if seen.problem:
        yield Finding(
            "hosts",
            "the Swarm",
            f"does not answer on this host, so nothing is started or moved ({seen.problem})",
            "start the hosts that are away: more than half of them have to reach each other",
        )


def short(seen: ObservedSwarm) -> Iterator[Finding]:
    """A service has fewer copies than it shall have: one finding for all that have the same reason."""
    reasons: dict[str, list[SwarmLine]] = {}
    for line in seen.lines:
        if line.running < line.wanted:
            reasons.setdefault(line.problem or _last_problem(seen, line.service), []).append(line)
    for reason, lines in reasons.items():
        first = lines[0].service
        counts = (f"{line.running} of {line.wanted} copies of {line.service}" for line in lines)
        yield Finding(
            "copies",
            listed((line.service for line in lines), 9),
            f"not all runs that shall ({listed(counts, 9)}){f': {reason}' if reason else ''}",
            f"{logs(first)} and `docker service ps --no-trunc {PROJECT}_{first}` say more; Swarm goes on trying",
        )


def _last_problem(seen: ObservedSwarm, service: str) -> str:
    """Say what the copy died of that ended last: one that has just been started again has no problem yet."""
    ended = [task for task in seen.tasks if task.service == service and task.problem]
    return max(ended, key=lambda task: task.changed).problem if ended else ""


def ended(seen: ObservedSwarm) -> Iterator[Finding]:
    """A copy fails again and again, though another runs in its place each time; once is a host that came back."""
    lame = {line.service for line in seen.lines if line.running < line.wanted}
    lately: dict[str, list[Task]] = {}
    for task in seen.tasks:
        if task.state in ("failed", "rejected") and not task.wanted and task.service not in lame:
            moment = read_time(task.changed)
            if moment is not None and (seen.here.now - moment).total_seconds() < _LATELY:
                lately.setdefault(task.name, []).append(task)
    for name, tasks in sorted(lately.items()):
        if len(tasks) < _OFTEN:
            continue
        last = max(tasks, key=lambda task: task.changed)
        yield Finding(
            "copies",
            name,
            f"has ended {len(tasks)} times in {span(_LATELY)}, the last time"
            f"{since(seen.here.now, read_time(last.changed))}: {last.problem or last.state}",
            f"{logs(name)} says why; another runs in its place",
        )


def unwell(seen: ObservedSwarm) -> Iterator[Finding]:
    """Some copies of a service fail their health check, while others serve (all: another rule's)."""
    for line in seen.lines:
        # Members: another rule's too.
        if line.healthy is None or not 0 < line.healthy < line.running or base_service(line.service) in CLUSTERED:
            continue
        outputs = (each.output for each in seen.here.checks or () if each.service == line.service and not each.passing)
        said = next(filter(None, outputs), "")
        yield Finding(
            "copies",
            f"the service {line.service}",
            f"has {line.healthy} healthy copies of {line.running} that run{f': {said[:160]}' if said else ''}",
            f"{logs(line.service)} says why; one that has just started needs a minute",
        )


def mixed(seen: ObservedSwarm) -> Iterator[Finding]:
    """ReplicaSet of a service were made from different images, or from others than this checkout gives."""
    for names, wrong in (
        (
            [line.service for line in seen.lines if len(line.digests) > 1],
            "have copies from different images",
        ),
        ([line.service for line in seen.lines if line.drift], "run from other images than this checkout gives"),
    ):
        if names:
            yield Finding("images", listed(names, 9), wrong, "`provision cloud upgrade` brings this checkout's")
