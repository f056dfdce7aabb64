"""`provision cloud upgrade` on one host: bring services to this checkout's version, one replica at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provision.adapters.docker import compose
from provision.adapters.docker.engine import Engine
from provision.base import poll
from provision.base.errors import ProvisionError, UsageError
from provision.base.poll import Pending
from provision.model.localcloud.host import failed
from provision.model.localcloud.replicas import READY_TIMEOUT, SERVICE_FAMILIES, drift, outdated
from provision.model.localcloud.settings import EARLY, INFRASTRUCTURE, MONITORING, base_service, services_of
from provision.operations.localcloud.shared import schema
from provision.operations.localcloud.shared.hypervisors import AGENTS
from provision.operations.localcloud.shared.images import ensure_images
from provision.operations.localcloud.shared.installation import (
    control,
    drop_unused,
    ensure_files,
    is_installed,
    load_settings,
    require_complete_data,
    single_host_lock,
)
from provision.operations.localcloud.single.rolling import is_connected
from provision.operations.localcloud.single.scale import forget_removed, replica_set

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from provision.adapters.docker.compose import Compose
    from provision.base.progress import Progress
    from provision.model.localcloud.host import ServiceState
    from provision.operations.localcloud.shared.installation import Installation
    from provision.operations.localcloud.single.rolling import ReplicaSet

WITHOUT_PAUSE: Final = ("registrator",)
"""Services without replicas that nobody misses while they are replaced."""
_MEMBERS_TIMEOUT: Final = 10
"""Seconds in which the other members work again after one of them has left or come back."""
_REPLACED_WHILE_RUNNING: Final = frozenset({*SERVICE_FAMILIES, *AGENTS})


def upgrade(
    progress: Progress,
    services: Sequence[str],
    *,
    ready_timeout: float = READY_TIMEOUT,
    drain_timeout: float | None = None,
) -> None:
    """Replace what is out of date of some services, or of all that can be replaced without a pause.

    Raises UsageError for an unknown service, and ProvisionError when a new replica does not work: it is removed then,
    and what ran before goes on.
    """
    _named(services)  # an unknown one is refused before anything is waited for
    if not is_installed():
        raise UsageError("there is no local cloud on this machine", "Start it with `provision cloud up`.")
    compose.require()
    engine = Engine()
    with single_host_lock(progress):
        if not engine.states(control().project):
            raise UsageError("the local cloud does not run", "Start it with `provision cloud up`.")
        require_complete_data()
        named = _named(services)
        with progress.phase("images"):
            tags = ensure_images(engine, progress, {_family(name) for name in named})
        with progress.phase("configuration"):
            installation = ensure_files(tags)
        replicas = replica_set(
            installation.control,
            engine,
            installation.settings,
            progress,
            ready_timeout=ready_timeout,
            drain_timeout=drain_timeout,
        )
        for name in named:
            if name not in _REPLACED_WHILE_RUNNING and is_outdated(engine, installation, name):
                with progress.phase(name):
                    replace_members(engine, installation, replicas, name, ready_timeout)
        replace_outdated(engine, installation, replicas, progress, named)
        drop_unused(engine, installation)
        engine.drop_superseded(tags)
        forget_removed(progress, installation.settings)
        note_rest(engine, installation, progress)


def replace_outdated(
    engine: Engine, installation: Installation, replicas: ReplicaSet, progress: Progress, services: Collection[str]
) -> None:
    """Replace the outdated replicas and agents of some services, with half of each schema change before, half after.

    This is the order that Nova and Keystone prescribe: expand the schemas so that old and new code can use them,
    replace the control plane, then the hypervisors' agents, and contract the schemas when nothing old is left.
    """
    wanted = {name: count for name, count in installation.replicas.items() if name in services}
    old = outdated(replicas.definitions(wanted), replicas.states(wanted))
    todo = [name for name in wanted if any(state.service == name for state in old)]
    lacking = schema.pending(engine, installation)
    if lacking is None:
        raise ProvisionError(
            "the database does not answer", "See `provision cloud status` and `provision cloud logs mariadb`."
        )
    # Schemas are expanded even if no replica is outdated: an upgrade may have been interrupted before its last step.
    families = {SERVICE_FAMILIES[name] for name in wanted}
    expanded = [family for family in lacking if family in families]
    if expanded:
        with progress.phase("schemas, before"):
            schema.run(engine, installation, expanded, "expand", progress.update)
    for name in todo:
        with progress.phase(name):
            replicas.roll(name, wanted[name])
    _replace_agents(engine, installation.hypervisors, [name for name in AGENTS if name in services], progress)
    if not expanded:
        return
    still_old = outdated(replicas.definitions(installation.replicas), replicas.states())
    families_in_use = {SERVICE_FAMILIES[state.service] for state in still_old}
    if done := [family for family in expanded if family not in families_in_use]:
        with progress.phase("schemas, after"):
            schema.run(engine, installation, done, "contract", progress.update)


def _family(service: str) -> str:
    """Return the image family of a service of any kind."""
    if service in MONITORING:
        return MONITORING[0]
    return SERVICE_FAMILIES.get(service) or AGENTS.get(service, (service,))[0]


def _named(services: Sequence[str]) -> list[str]:
    """Return what is to be upgraded, in its order, of what there is by the settings; raises UsageError."""
    return _in_order(services, (*WITHOUT_PAUSE, *(MONITORING if load_settings().monitoring else ())))


def _in_order(services: Sequence[str], without_pause: Sequence[str]) -> list[str]:
    """Return the named services, or all without a pause, in the order in which they are replaced; raises UsageError."""
    if not services:
        return [*without_pause, *SERVICE_FAMILIES, *AGENTS]
    every = [*dict.fromkeys((*INFRASTRUCTURE, *without_pause)), *SERVICE_FAMILIES, *AGENTS]
    for service in services:
        if service in EARLY:
            raise UsageError(
                f"VMs depend on {service}, so it cannot be replaced while they run",
                "`provision cloud down` and `provision cloud up` replace it; VMs stop meanwhile.",
            )
        if service not in every:
            raise UsageError(f"there is no service {service!r}", f"Name one of: {', '.join(every)}.")
    return [name for name in every if name in services]


def is_outdated(engine: Engine, installation: Installation, name: str) -> bool:
    """Whether a service without replicas, or any of its members, is out of date or missing."""
    made_from, definitions = installation.control.made_from(), installation.control.definitions()
    states = {state.service: state for state in engine.states(installation.control.project)}
    return any(
        member not in states or drift(states[member], made_from.get(member), definitions.get(member, ""))
        for member in services_of(installation.settings, name)
    )


def replace_members(
    engine: Engine, installation: Installation, replicas: ReplicaSet, name: str, ready_timeout: float
) -> None:
    """Replace a service that can have no replicas, and wait until it works again.

    Of several members one is replaced at a time, and only while all others work.
    """
    first, *others = services_of(installation.settings, name)
    for member in (*others, first):
        _require_others(engine, installation, replicas, member, sorted({first, *others} - {member}))
        installation.control.up([member], no_deps=True)
        _await(engine, installation, replicas, member, ready_timeout)


def _require_others(
    engine: Engine, installation: Installation, replicas: ReplicaSet, member: str, others: Sequence[str]
) -> None:
    def all_work() -> Pending | None:
        broken = [other for other in others if not is_working(engine, installation, replicas, other)]
        return Pending(", ".join(broken)) if broken else None

    def too_late(broken: str) -> ProvisionError:
        return ProvisionError(
            f"{broken} does not work, so {member} is not replaced",
            f"`provision cloud logs {broken.partition(', ')[0]}` says why. "
            "When all members work, run the same command again.",
        )

    poll.until(all_work, timeout=_MEMBERS_TIMEOUT, too_late=too_late)


def is_working(engine: Engine, installation: Installation, replicas: ReplicaSet, name: str) -> bool:
    """Whether all containers of a service run and are healthy in Consul."""
    states = _states(engine, installation.control, [name])
    return bool(states) and all(state.state == "running" and replicas.is_healthy(state) for state in states)


def _await(engine: Engine, installation: Installation, replicas: ReplicaSet, name: str, ready_timeout: float) -> None:
    def works() -> Pending | None:
        if is_working(engine, installation, replicas, name):
            return None
        if failed(_states(engine, installation.control, [name]), {}):
            raise problem(name)
        return Pending(name)

    def problem(name: str) -> ProvisionError:
        states = _states(engine, installation.control, [name])
        return ProvisionError(
            f"{name} does not work after it was replaced",
            f"`provision cloud logs {name}` shows more. Fix the cause, then run the same command again.",
            engine.last_lines(states[0].id) if states else "",
        )

    poll.until(works, timeout=ready_timeout, too_late=problem)


def _states(engine: Engine, project: Compose, services: Collection[str]) -> list[ServiceState]:
    return [state for state in engine.states(project.project) if state.service in services]


def _replace_agents(
    engine: Engine, hypervisors: Iterable[Compose], agents: Collection[str], progress: Progress
) -> None:
    """Replace outdated agents of hypervisors: VMs go on, and calls to the agents wait in their queues."""
    for hypervisor in hypervisors:
        made_from = hypervisor.made_from()
        states = _states(engine, hypervisor, agents)
        old = [state.service for state in states if drift(state, made_from.get(state.service))]
        if not old:
            continue
        with progress.phase(f"{hypervisor.project}: {', '.join(old)}"):
            hypervisor.up(old, no_deps=True)
            _await_connections(engine, hypervisor, old)


def _await_connections(engine: Engine, hypervisor: Compose, agents: Collection[str]) -> None:
    """Wait until agents are connected to their peers; raises ProvisionError for the first that is not."""

    def all_connected() -> Pending | None:
        waiting = [
            state
            for state in _states(engine, hypervisor, agents)
            if not is_connected(engine, state, AGENTS[state.service][1])
        ]
        if ended := failed(waiting, {}):
            raise problem(ended.container)
        return Pending(waiting[0].container) if waiting else None

    def problem(container: str) -> ProvisionError:
        return ProvisionError(
            f"{container} does not work after it was replaced",
            "Fix the cause, then run the same command again.",
            engine.last_lines(container),
        )

    poll.until(all_connected, timeout=READY_TIMEOUT, too_late=problem)


def note_rest(engine: Engine, installation: Installation, progress: Progress) -> None:
    """Name what is still out of date because replacing it would cause a pause."""

    def old(project: Compose) -> list[str]:
        made_from = project.made_from()
        states = [state for state in engine.states(project.project) if state.service not in _REPLACED_WHILE_RUNNING]
        return sorted({base_service(state.service) for state in states if drift(state, made_from.get(state.service))})

    if names := " ".join(old(installation.control)):
        progress.note(
            f"Still out of date: {names}. Replacing it takes a pause of seconds: `provision cloud upgrade {names}`."
        )
    for hypervisor in installation.hypervisors:
        if names := ", ".join(old(hypervisor)):
            progress.note(
                f"Still out of date: {names} of {hypervisor.project}, on which VMs depend. "
                "`provision cloud down` and `provision cloud up` replace them."
            )
