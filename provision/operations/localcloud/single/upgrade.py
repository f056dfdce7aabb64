"""`provision cloud upgrade`: what runs becomes what this checkout gives, copy by copy, and nobody notices."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from provision.adapters.docker import compose
from provision.adapters.docker.engine import Engine
from provision.base.errors import ProvisionError, UsageError
from provision.model.localcloud.host import failed
from provision.model.localcloud.replicas import READY_TIMEOUT, SERVICE_FAMILIES, drift, outdated
from provision.model.localcloud.settings import EARLY, INFRASTRUCTURE, base_service, services_of
from provision.operations.localcloud.shared import schema
from provision.operations.localcloud.shared.images import ensure_images
from provision.operations.localcloud.shared.installation import (
    control,
    drop_unused,
    ensure_files,
    exclusive_lock,
    is_installed,
    require_whole_data,
)
from provision.operations.localcloud.single.rolling import is_connected
from provision.operations.localcloud.single.scale import copies_of, forget

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from provision.adapters.docker.compose import Compose
    from provision.base.progress import Progress
    from provision.operations.localcloud.shared.installation import Installation
    from provision.operations.localcloud.single.rolling import ReplicaSet

AGENTS: Final = {"nova-compute": ("compute", 5672), "metadata-agent": ("neutron", 6642)}
"""What of a hypervisor may be replaced under its guests: its image's family, and the peer it is connected to."""
UNNOTICED: Final = ("registrator",)
"""What has no copies, and is missed by nobody for seconds."""
_BLINK: Final = 10
"""Seconds in which members work again that one of them has just left, or come back to."""
_FAMILIES: Final = SERVICE_FAMILIES
_NAMES: Final = frozenset({*_FAMILIES, *AGENTS})


def upgrade(
    progress: Progress, services: Sequence[str], *, limit: float = READY_TIMEOUT, patience: float | None = None
) -> None:
    """Replace what is out of date of some services, or all that nobody misses while it is replaced.

    Raises UsageError for a service that there is not, and ProvisionError when a new copy does not work: it is removed
    then, and what ran before goes on.
    """
    named = _known(services)
    if not is_installed():
        raise UsageError("there is no local cloud on this machine", "start it with `provision cloud up`")
    compose.require()
    engine = Engine()
    if not engine.states(control().project):
        raise UsageError("the local cloud does not run", "start it with `provision cloud up`")
    with exclusive_lock(progress):
        require_whole_data()
        with progress.phase("images"):
            families = {_FAMILIES.get(name) or AGENTS.get(name, (name,))[0] for name in named}
            tags = ensure_images(engine, progress, families)
        with progress.phase("configuration"):
            installation = ensure_files(tags)
        copies = copies_of(
            installation.control, engine, installation.settings, progress, limit=limit, patience=patience
        )
        for name in named:
            if name not in _NAMES and _is_old(engine, installation, name):
                with progress.phase(name):
                    _replace(engine, installation, copies, name, limit)
        renew(engine, installation, copies, progress, named)
        drop_unused(engine, installation)
        forget(progress, installation.settings)
        _say_rest(engine, installation, progress)


def renew(
    engine: Engine, installation: Installation, copies: ReplicaSet, progress: Progress, services: Collection[str]
) -> None:
    """Replace what is out of date of some services, half of each schema's change before, and half after.

    Nova's and Keystone's own order: schemas that old and new can use, the control plane, hypervisors' agents, and the
    rest of the schemas when nothing old is left.
    """
    wanted = {name: count for name, count in installation.copies.items() if name in services}
    old = outdated(copies.definitions(wanted), copies.states(wanted))
    todo = [name for name in wanted if any(state.service == name for state in old)]
    lacking = schema.pending(engine, installation)
    if lacking is None:
        raise ProvisionError("the database does not answer", "see `provision cloud status` and `cloud logs mariadb`")
    # Also where nothing runs that is old: an upgrade may have broken off before its last step.
    families = {_FAMILIES[name] for name in wanted}
    halves = [family for family in lacking if family in families]
    if halves:
        with progress.phase("schemas, before"):
            schema.run(engine, installation, halves, "expand", progress.update)
    for name in todo:
        with progress.phase(name):
            copies.roll(name, wanted[name])
    _renew_agents(engine, installation.hypervisors, [name for name in AGENTS if name in services], progress)
    if not halves:
        return
    still = {_FAMILIES[state.service] for state in outdated(copies.definitions(installation.copies), copies.states())}
    if done := [family for family in halves if family not in still]:
        with progress.phase("schemas, after"):
            schema.run(engine, installation, done, "contract", progress.update)


def _known(services: Sequence[str]) -> list[str]:
    """Put the named services, or all that nobody misses, into the order in which they are replaced."""
    if not services:
        return [*UNNOTICED, *_FAMILIES, *AGENTS]
    every = [*INFRASTRUCTURE, *_FAMILIES, *AGENTS]
    for service in services:
        if service in EARLY:
            raise UsageError(
                f"{service} carries the guests of its hypervisor, and cannot be replaced under them",
                "`provision cloud down` and `provision cloud up` replace it; guests stop meanwhile",
            )
        if service not in every:
            raise UsageError(f"there is no service {service!r}", f"one of: {', '.join(every)}")
    return [name for name in every if name in services]


def _is_old(engine: Engine, installation: Installation, name: str) -> bool:
    """Whether a service that has no copies, or any of its members, is out of date or not there."""
    made_from, definitions = installation.control.made_from(), installation.control.definitions()
    states = {state.service: state for state in engine.states(installation.control.project)}
    return any(
        each not in states or drift(states[each], made_from.get(each), definitions.get(each, ""))
        for each in services_of(installation.settings, name)
    )


def _replace(engine: Engine, installation: Installation, copies: ReplicaSet, name: str, limit: float) -> None:
    """Have Compose replace a service that cannot stand beside itself, and wait until it works again.

    Of several members one leaves at a time, and only while all the others work.
    """
    first, *others = services_of(installation.settings, name)
    for each in (*others, first):
        deadline = time.monotonic() + _BLINK
        rest = {first, *others} - {each}
        while lame := [other for other in sorted(rest) if not _works(engine, installation, copies, other)]:
            if time.monotonic() > deadline:
                raise ProvisionError(
                    f"{', '.join(lame)} does not work, so {each} is not replaced",
                    f"`provision cloud logs {lame[0]}` says why; when all members work, run the same command again",
                )
            time.sleep(1)
        installation.control.up([each], no_deps=True)
        _await(engine, installation, copies, each, limit)


def _works(engine: Engine, installation: Installation, copies: ReplicaSet, name: str) -> bool:
    states = [state for state in engine.states(installation.control.project) if state.service == name]
    return bool(states) and all(state.state == "running" and copies.is_healthy(state) for state in states)


def _await(engine: Engine, installation: Installation, copies: ReplicaSet, name: str, limit: float) -> None:
    deadline = time.monotonic() + limit
    while not _works(engine, installation, copies, name):
        states = [state for state in engine.states(installation.control.project) if state.service == name]
        bad = failed(states, {})
        if bad or time.monotonic() > deadline:
            raise ProvisionError(
                f"{name} does not work after it was replaced",
                f"`provision cloud logs {name}` shows more; after mending the cause, run the same command again",
                engine.last_lines(states[0].id) if states else "",
            )
        time.sleep(1)


def _renew_agents(engine: Engine, hypervisors: Iterable[Compose], agents: Collection[str], progress: Progress) -> None:
    """Replace agents of hypervisors: guests go on, and calls wait for them in their queues."""
    for hypervisor in hypervisors:
        made_from = hypervisor.made_from()
        states = engine.states(hypervisor.project)
        old = [one.service for one in states if one.service in agents and drift(one, made_from.get(one.service))]
        if not old:
            continue
        with progress.phase(f"{hypervisor.project}: {', '.join(old)}"):
            hypervisor.up(old, no_deps=True)
            _connected(engine, hypervisor, old)


def _connected(engine: Engine, hypervisor: Compose, agents: Collection[str]) -> None:
    """Wait until agents are connected to their peers; raises ProvisionError when they are not."""
    deadline = time.monotonic() + READY_TIMEOUT
    while True:
        states = [state for state in engine.states(hypervisor.project) if state.service in agents]
        waiting = [each for each in states if not is_connected(engine, each, AGENTS[each.service][1])]
        if not waiting:
            return
        bad = failed(waiting, {})
        if bad or time.monotonic() > deadline:
            worst = bad or waiting[0]
            raise ProvisionError(
                f"{worst.container} does not work after it was replaced",
                "after mending the cause, run the same command again",
                engine.last_lines(worst.id),
            )
        time.sleep(1)


def _say_rest(engine: Engine, installation: Installation, progress: Progress) -> None:
    """Name what is out of date still, since replacing it would be noticed."""

    def old(project: Compose) -> list[str]:
        made_from = project.made_from()
        states = [each for each in engine.states(project.project) if each.service not in _NAMES]
        return sorted({base_service(each.service) for each in states if drift(each, made_from.get(each.service))})

    if names := " ".join(old(installation.control)):
        progress.note(f"Out of date, and left: replacing it is a pause of seconds. `provision cloud upgrade {names}`")
    for hypervisor in installation.hypervisors:
        if names := ", ".join(old(hypervisor)):
            progress.note(
                f"Out of date, and left: {names} of {hypervisor.project} carry guests. "
                "`provision cloud down` and `provision cloud up` replace them."
            )
