"""Three members or one of what keeps state: the choice, the wait until all serve, and one that changes at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from provision.adapters.consul.catalogue import CatalogueAwayError
from provision.adapters.consul.kv import ConsulKeys
from provision.base.errors import ProvisionError, UsageError
from provision.model.galera.status import STATUS_QUERY, read_status
from provision.model.localcloud.settings import CLUSTERED, INFRASTRUCTURE, PROJECT, member_services, members
from provision.operations.localcloud.shared.consul_acl import ensure_access
from provision.operations.localcloud.shared.installation import control, load_settings, save_settings

if TYPE_CHECKING:
    from provision.adapters.docker.compose import Compose
    from provision.adapters.docker.engine import Engine
    from provision.base.progress import Progress
    from provision.model.galera.status import MemberState
    from provision.model.localcloud.settings import Settings
    from provision.operations.localcloud.shared.installation import Installation
    from provision.operations.localcloud.shared.watch import Watch

Wait = Callable[[Callable[[], str]], None]
"""Waits until a function returns an empty text: what is missing, in words."""
_FIRST: Final = "mariadb"
"""The member that stays when there is one: its service, and its volume's name."""


def ensure_choice(engine: Engine, progress: Progress, ha: bool | None) -> None:
    """Keep what the user wants from now on (None: what it was); raises UsageError where that could lose data."""
    settings = load_settings()
    if ha is None or ha == settings.ha:
        return
    if ha:
        save_settings(replace(settings, ha=True))
        return
    with progress.phase("from three members to one"):
        _reduce(engine, control(), settings)


def _reduce(engine: Engine, project: Compose, settings: Settings) -> None:
    """Let all members but the first leave in order, and only then forget them and their data."""
    state = _state(engine)
    if state is None or not state.serves:
        raise UsageError(
            "the first member of MariaDB does not serve, so another may hold what it lacks",
            "run `provision cloud up` as it is; when all are up, run it again with --no-ha",
        )
    project.stop(member_services(settings))
    state = _state(engine)
    if state is None or not state.serves or state.size != 1:
        raise ProvisionError(
            f"the first member of MariaDB did not stay when the others left ({state or 'no answer'})",
            "nothing is lost: run `provision cloud up` to have all three back",
        )
    save_settings(replace(settings, ha=False))
    project.remove(member_services(settings))
    # ReplicaSet that would only grow old, and calls that nobody waits for any more.
    engine.remove_volumes(
        f"{PROJECT}_{name}" for name in (*member_services(settings), "rabbitmq") if not name.startswith("memcached")
    )


def _state(engine: Engine) -> MemberState | None:
    code, text = engine.execute(f"{PROJECT}-{_FIRST}-1", ["mariadb", "-NBe", STATUS_QUERY])
    return None if code else read_status(dict(line.partition("\t")[::2] for line in text.splitlines()))


def start_infrastructure(engine: Engine, installation: Installation, watch: Watch) -> None:
    """Start what all else stands on, and give Consul's clients their rights; with several members, all serve then."""
    settings = installation.settings
    consul = settings.local_url(settings.ports.consul)
    rights = partial(ensure_access, consul, installation.passwords)
    wait = partial(watch.until, every=0.5)
    start(engine, installation.control, ConsulKeys(consul), settings, wait=wait, rights=rights)


def start(
    engine: Engine, project: Compose, keys: ConsulKeys, settings: Settings, *, wait: Wait, rights: Callable[[], str]
) -> None:
    """Start what all else stands on. With several members: wait until all serve, and change them one at a time.

    `rights` gives Consul's clients theirs: several members of MariaDB can't agree without.
    """
    if not settings.ha:
        project.up(INFRASTRUCTURE)
        wait(rights)
        return
    project.up([each for each in INFRASTRUCTURE if each not in CLUSTERED])
    wait(rights)
    if not lacking(keys, settings):
        for service in CLUSTERED:
            for name in (*members(settings, service)[1:], service):
                _renew(engine, project, keys, (service, name), wait)
    project.up([*CLUSTERED, *member_services(settings)])
    wait(lambda: lacking(keys, settings))


def _renew(engine: Engine, project: Compose, keys: ConsulKeys, member: tuple[str, str], wait: Wait) -> None:
    """Make one member what it shall be; where that takes a new container, wait until this one serves."""
    service, name = member
    before = engine.container_id(f"{PROJECT}-{name}-1")
    project.up([name])
    after = engine.container_id(f"{PROJECT}-{name}-1")

    def missing() -> str:
        try:
            return "" if after[:12] in keys.containers(service) else f"{name} (just renewed)"
        except CatalogueAwayError:
            return "Consul"

    if after != before:
        wait(missing)


def lacking(keys: ConsulKeys, settings: Settings) -> str:
    """Say which services have fewer members that serve than they shall."""
    lacks = []
    for service in CLUSTERED:
        wanted = len(members(settings, service))
        try:
            there = len(keys.containers(service))
        except CatalogueAwayError:
            return "Consul"
        if there < wanted:
            lacks.append(f"{service} ({there} of {wanted} serve)")
    return ", ".join(lacks)
