"""The rules of `cloud doctor`: what is wrong with the `local` cloud, and what to do about it.

The rules are ordered by dependency, so that likely causes come first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from provision.model.finding import Finding, listed, since
from provision.model.localcloud.doctor.host_rules import drifted, expiring, filling, skewed
from provision.model.localcloud.doctor.words import (
    CUT_OFF,
    UP,
    called,
    catches_up,
    check_reader,
    logs,
    look_at,
    service_of,
)
from provision.model.localcloud.settings import CLUSTERED, PROJECT, base_service, peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from provision.model.localcloud.doctor.observed import (
        ConsulCheck,
        DatabaseMember,
        Endpoint,
        ObservedLocalCloud,
        Unit,
        Worker,
    )
    from provision.model.localcloud.settings import Api

_RECENT: Final = 600
"""Seconds for which a restart is reported."""


def diagnose(seen: ObservedLocalCloud) -> list[Finding]:
    """Return what is wrong, likely causes first; empty if all is well."""
    if not seen.units:
        return [Finding("containers", "the local cloud", "is not running", f"{UP} starts it.")]
    return [finding for rule in RULES for finding in rule(seen)]


def missing(seen: ObservedLocalCloud) -> Iterator[Finding]:
    """A service has fewer containers than it should have."""
    for (project, service), count in seen.wanted.items():
        there = sum((unit.project, unit.service) == (project, service) for unit in seen.units)
        if there < count:
            wrong = f"has {there} of the {count} containers that it should have" if count > 1 else "has no container"
            host = project.removeprefix(PROJECT).lstrip("-")
            yield Finding("containers", f"{host} {service}".lstrip(), wrong, f"{UP} makes what is missing.")


def stopped(seen: ObservedLocalCloud) -> Iterator[Finding]:
    """A container does not run, does not stay up, or fails its own health check."""
    for unit in seen.units:
        wrong, do = _trouble(seen, unit)
        if wrong:
            yield Finding("containers", unit.name, wrong, do)


def _trouble(seen: ObservedLocalCloud, unit: Unit) -> tuple[str, str]:
    why, end = f"{logs(unit.name)} says why.", f"code {unit.exit_code}"
    if unit.out_of_memory:
        end, why = f"{end}, out of memory", "Give this machine more memory, or let it do less."
    ended = f"exited{since(seen.now, unit.finished)} with {end}", f"{why} {UP} starts it again."
    states = {
        "exited": ended,
        "dead": ended,
        "created": ("was made, and never started", f"{UP} starts it."),
        "paused": ("is paused", f"`docker unpause {PROJECT}-{unit.name}` resumes it."),
        "restarting": (
            f"does not stay up: it was restarted {unit.restarts} times and exited with {end}",
            f"{why} Once the cause is mended, it comes back by itself.",
        ),
    }
    if unit.state in states:
        return states[unit.state]
    if unit.restarts and unit.started and (seen.now - unit.started).total_seconds() < _RECENT:
        times = f"restarted {unit.restarts} times, the last time" if unit.restarts > 1 else "restarted"
        return f"was {times}{since(seen.now, unit.started)}, after it had exited with {end}", why
    return ("runs, but fails its own health check", why) if unit.unhealthy else ("", "")


def lost(seen: ObservedLocalCloud) -> Iterator[Finding]:
    """A member of Consul does not answer the others."""
    for node in seen.failed_nodes:
        yield Finding(
            "consul",
            f"Consul's member {node}",
            "does not answer the others",
            f"Check whether its host runs and can be reached; {logs('consul')} says since when.",
        )


def unregistered(seen: ObservedLocalCloud) -> Iterator[Finding]:
    """Consul's catalogue is not what runs, because the Registrator does not keep up."""
    restart = f"service update --force {PROJECT}_registrator" if seen.swarm else f"restart {PROJECT}-registrator-1"
    do = f"{logs('registrator')} says why. `docker {restart}` restarts it and does no harm."
    for services, wrong in (
        (seen.unregistered, "services that run are missing or outdated in Consul, so they get no requests"),
        (seen.stale, "Consul still lists services that do not run any more"),
    ):
        if services:
            yield Finding("registrator", "the Registrator", f"{wrong}: {listed(services)}", do)


def unsynced(seen: ObservedLocalCloud) -> Iterator[Finding]:
    """A member of the database does not answer, or is not in sync with the others."""
    members = seen.members or ()
    several = max(len(members), sum(member.clustered for member in members), 2 * seen.swarm)
    for member in members:
        wrong, do = _out_of_sync(member, several)
        if wrong:
            yield Finding("database", member.name, wrong, do)
    clusters = {member.variables.get("wsrep_cluster_state_uuid", "") for member in members if member.clustered} - {""}
    if len(clusters) > 1:
        yield Finding(
            "database",
            "the database's members",
            f"form {len(clusters)} clusters, each with data of its own",
            "Save the data of each first (`mariadb-dump --all-databases` in its container), as others may lack some of "
            "it. Keep the one that HAProxy used and remove the others' volumes: they then copy its data.",
        )


def _out_of_sync(member: DatabaseMember, several: int) -> tuple[str, str]:
    if not member.answers:
        return "runs, but does not answer SQL", f"{logs(member.name)} says why."
    if not member.clustered:
        # A single member needs no cluster; one of several does.
        return ("belongs to no cluster", f"{logs(member.name)} says why.") if several > 1 else ("", "")
    stage = member.variables.get("wsrep_local_state_comment", "unknown")
    if member.variables.get("wsrep_cluster_status") != "Primary":
        return CUT_OFF
    if stage.startswith("Donor"):
        return "sends its data to another member", "Nothing, unless it lasts: then the other member's log says why."
    if stage != "Synced":
        return f"is not in sync with its cluster ({stage})", catches_up(member.name)
    return "", ""


def weakened(seen: ObservedLocalCloud) -> Iterator[Finding]:
    """Some members of a clustered service do not pass their checks, and no other rule says why."""
    told = {each.where for rule in (missing, stopped, unsynced) for each in rule(seen)}
    for service in CLUSTERED:
        wanted = sum(base_service(name) == service for project, name in seen.wanted if project == PROJECT)
        checks = [check for check in seen.checks or () if check.service == service]
        serving = sum(check.passing for check in checks)
        if 0 < serving < wanted and not any(where == service or where.startswith(f"{service}-") for where in told):
            output = next((check.output for check in checks if not check.passing and check.output), "")
            yield Finding(
                "members",
                f"the service {service}",
                f"has {serving} of its {wanted} members in service{_quoted(output)}",
                f"{logs(service)} says why. The others go on without it.",
            )


# Queues that RabbitMQ keeps for one client or one replica: they expire when that is gone, and nobody misses them.
_PRIVATE: Final = ("reply_", "_fanout")


def unread(seen: ObservedLocalCloud) -> Iterator[Finding]:
    """Messages wait in a queue that nobody reads."""
    for queue in seen.queues or ():
        if queue.messages and not queue.consumers and not any(mark in queue.name for mark in _PRIVATE):
            waiting = "1 message waits" if queue.messages == 1 else f"{queue.messages} messages wait"
            yield Finding(
                "queues",
                f"the queue {queue.name}",
                f"{waiting} there, and nobody reads them",
                check_reader(queue.name),
            )


def unserved(seen: ObservedLocalCloud) -> Iterator[Finding]:
    """A service in Keystone's catalogue has no healthy replica."""
    endpoints = seen.endpoints
    if endpoints is None:
        # Keystone does not answer; the ports that `cloud up` writes into its catalogue are known.
        ports = {api.port for api in seen.apis if api.type}
    else:
        ports = {port for port in (_own_port(each) for each in endpoints) if port}
    known = {api.port: api for api in seen.apis}
    for port in sorted(ports):
        api = known.get(port)
        if api is None:
            where = next(each for each in endpoints or () if _own_port(each) == port)
            yield Finding(
                "catalogue",
                f"Keystone's catalogue, {where.type} ({where.interface})",
                f"names {where.url}, where no service of this cloud answers",
                f"{UP} repairs the cloud's own entries. Remove this one with `openstack endpoint delete`.",
            )
        elif wrong := _no_backend(seen, api):
            yield Finding("catalogue", called(api.name, api.type), *wrong)


def _own_port(endpoint: Endpoint) -> int | None:
    """Return the port of an endpoint that goes through this cloud's HAProxy; None for services elsewhere."""
    parts = urlsplit(endpoint.url)
    return parts.port if parts.hostname in ("127.0.0.1", "localhost", peer("haproxy")) else None


def _no_backend(seen: ObservedLocalCloud, api: Api) -> tuple[str, str] | None:
    checks = [check for check in seen.checks or () if check.service == api.name]
    if seen.checks is not None and not checks:
        return (
            "has no replica in Consul, so no request is answered",
            f"{UP} starts it. If it runs, {logs('registrator')} says why it is not registered.",
        )
    if checks and not any(check.passing for check in checks):
        return _all_fail(api.name, checks)
    if seen.backends is not None and not seen.backends.get(api.name):
        return (
            "has no replica that HAProxy sends requests to, though it is healthy in Consul",
            f"This may take a second or two. If it lasts, {logs('haproxy')} says why.",
        )
    return None


def _all_fail(name: str, checks: list[ConsulCheck]) -> tuple[str, str]:
    count = "its only replica fails" if len(checks) == 1 else f"all its {len(checks)} replicas fail"
    why = _quoted(next((check.output for check in checks if check.output), ""))
    return (
        f"{count} the health check{why}",
        f"{logs(service_of(name))} says why. A replica that has just started needs a minute.",
    )


def _quoted(output: str) -> str:
    return f": {output[:160]}" if output else ""


def unfound(seen: ObservedLocalCloud) -> Iterator[Finding]:
    """A service that others need (a database, a broker) is in Consul, but none of its replicas is healthy."""
    in_catalogue = {api.name for api in seen.apis if api.type}
    by_name: dict[str, list[ConsulCheck]] = {}
    for check in seen.checks or ():
        by_name.setdefault(check.service, []).append(check)
    for name, checks in sorted(by_name.items()):
        if name not in in_catalogue and not any(check.passing for check in checks):
            yield Finding("catalogue", f"the service {name}", *_all_fail(name, checks))


def down(seen: ObservedLocalCloud) -> Iterator[Finding]:
    """A compute service or a network agent is down, is disabled, or has never reported."""
    for workers, kind, delete in (
        (seen.compute, "compute", "openstack compute service delete"),
        (seen.agents, "network", "openstack network agent delete"),
    ):
        for worker in workers or ():
            where = f"{worker.kind} on {worker.host}"
            if not worker.up:
                last = f": it last reported{since(seen.now, worker.seen)}" if worker.seen else ""
                yield Finding(kind, where, f"is down{last}", _revive(seen, worker, delete))
            elif not worker.enabled:
                why = f" ({worker.reason})" if worker.reason else ""
                yield Finding(
                    kind, where, f"is disabled{why}", "`openstack compute service set --enable` enables it again."
                )
    for host in seen.hypervisors:
        if seen.compute is not None and not any(each.host == host for each in seen.compute):
            yield Finding("compute", f"nova-compute on {host}", "has never reported", f"{UP} starts it.")
        if seen.agents is not None and not any(each.host == host for each in seen.agents):
            yield Finding("network", f"OVN on {host}", "has never reported", f"{UP} starts it.")


def _revive(seen: ObservedLocalCloud, worker: Worker, delete: str) -> str:
    """Say how to bring a worker back, or how to remove it from the list if its host is gone."""
    if worker.kind in ("nova-scheduler", "nova-conductor"):
        running = [unit for unit in seen.units if unit.service == worker.kind and unit.state == "running"]
        if not running:
            return f"{UP} starts it."
        return (
            f"{logs(worker.kind)} says why. If there is no such replica any more, `{delete}` removes it from the list."
        )
    if worker.host in seen.hypervisors:
        service = {"nova-compute": "nova-compute", "OVN Metadata agent": "metadata-agent"}.get(worker.kind, "switch")
        return look_at(f"{worker.host}-{service}-1")
    return f"Start its host. If it is gone for good, `{delete}` removes it from the list."


# The fields of ObservedLocalCloud that may be missing, in words.
_SIGHTS: Final = {
    "checks": "Consul's catalogue",
    "backends": "HAProxy's statistics",
    "endpoints": "Keystone's catalogue",
    "compute": "Nova's list of compute services",
    "agents": "Neutron's list of agents",
    "members": "the database's state",
    "queues": "RabbitMQ's queues",
}


def unseen(seen: ObservedLocalCloud) -> Iterator[Finding]:
    """Something could not be observed."""
    reasons: dict[str, list[str]] = {}
    for name, reason in seen.unseen.items():
        reasons.setdefault(reason, []).append(_SIGHTS.get(name, name))
    for reason, names in reasons.items():
        yield Finding(
            "unseen",
            " and ".join(names) if len(names) < 3 else ", ".join(names),
            f"could not be read: {reason}",
            "Mend the services that it depends on, and run this again.",
        )


RULES: Final[tuple[Callable[[ObservedLocalCloud], Iterator[Finding]], ...]] = (
    missing,
    stopped,
    lost,
    filling,
    skewed,
    unsynced,
    unregistered,
    unfound,
    weakened,
    unserved,
    unread,
    down,
    expiring,
    drifted,
    unseen,
)
"""Every rule, ordered by dependency."""
