"""Members of the clustered services on one host, three or one: choose, start, wait for, and replace them in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from provision.adapters.consul.catalogue import Catalogue
from provision.adapters.consul.http import ConsulUnavailableError
from provision.base.errors import ProvisionError, UsageError
from provision.base.poll import Pending
from provision.model.galera.status import STATUS_QUERY, read_status
from provision.model.localcloud.settings import CLUSTERED, INFRASTRUCTURE, PROJECT, member_services, members
from provision.operations.localcloud.shared.consul_acl import ensure_access
from provision.operations.localcloud.shared.installation import control, load_settings, save_settings
from provision.operations.localcloud.shared.members import missing_members

if TYPE_CHECKING:
    from provision.adapters.docker.compose import Compose
    from provision.adapters.docker.engine import Engine
    from provision.base.progress import Progress
    from provision.model.galera.status import MemberState
    from provision.model.localcloud.settings import Settings
    from provision.operations.localcloud.shared.installation import Installation
    from provision.operations.localcloud.shared.watch import Watch

Wait = Callable[[Callable[[], Pending | None]], None]
"""Waits until a function no longer returns Pending."""
_FIRST: Final = "mariadb"
"""Service, and volume, of the member that stays when there is only one."""
_BROKER: Final = "rabbitmq"


def ensure_choice(engine: Engine, progress: Progress, ha: bool | None) -> None:
    """Keep whether there shall be three members (None: as before); raises UsageError where data could be lost."""
    settings = load_settings()
    if ha is None or ha == settings.ha:
        return
    if ha:
        save_settings(replace(settings, ha=True))
        return
    with progress.phase("from three members to one"):
        _reduce(engine, control(), settings)


def _reduce(engine: Engine, project: Compose, settings: Settings) -> None:
    """Stop all members but the first in good order, and only then remove them and their data."""
    state = _state(engine)
    if state is None or not state.serves:
        raise UsageError(
            "the first member of MariaDB does not serve, so another may hold what it lacks",
            "Run `provision cloud up` without --no-ha. When all members are up, run it again with --no-ha.",
        )
    project.stop(member_services(settings))
    state = _state(engine)
    if state is None or not state.serves or state.size != 1:
        raise ProvisionError(
            f"the first member of MariaDB did not stay when the others left ({state or 'no answer'})",
            "Nothing is lost: run `provision cloud up` to start all three again.",
        )
    # A single broker has no volume: the first one of three is made anew too, and its volume is in use until then.
    leaving = (*member_services(settings), _BROKER)
    project.remove(leaving)
    # Data that would only grow old, and RPC calls that nobody waits for any more.
    engine.remove_volumes(f"{PROJECT}_{name}" for name in leaving if not name.startswith("memcached"))
    # Last: interrupted before, three members start again, and the two others get their data from the first.
    save_settings(replace(settings, ha=False))


def _state(engine: Engine) -> MemberState | None:
    code, text = engine.execute(f"{PROJECT}-{_FIRST}-1", ["mariadb", "-NBe", STATUS_QUERY])
    return None if code else read_status(dict(line.partition("\t")[::2] for line in text.splitlines()))


def start_infrastructure(engine: Engine, installation: Installation, watch: Watch) -> None:
    """Start the infrastructure and give its services their rights in Consul; with several members, wait for all."""
    settings = installation.settings
    consul = settings.local_url(settings.ports.consul)
    rights = partial(ensure_access, consul, installation.passwords)
    wait = partial(watch.until, every=0.5)
    start(engine, installation.control, Catalogue(consul), settings, wait=wait, rights=rights)


def start(
    engine: Engine,
    project: Compose,
    catalogue: Catalogue,
    settings: Settings,
    *,
    wait: Wait,
    rights: Callable[[], Pending | None],
) -> None:
    """Start the infrastructure. With several members: replace outdated ones one at a time, and wait until all serve.

    `rights` gives the services their rights in Consul: several members of MariaDB cannot agree without them.
    """
    if not settings.ha:
        project.up(INFRASTRUCTURE)
        wait(rights)
        return
    project.up([each for each in INFRASTRUCTURE if each not in CLUSTERED])
    wait(rights)
    if not missing_members(catalogue, settings):
        for service in CLUSTERED:
            for name in (*members(settings, service)[1:], service):
                _replace(engine, project, catalogue, (service, name), wait)
    project.up([*CLUSTERED, *member_services(settings)])
    wait(lambda: missing_members(catalogue, settings))


def _replace(engine: Engine, project: Compose, catalogue: Catalogue, member: tuple[str, str], wait: Wait) -> None:
    """Bring one member up to date; if that takes a new container, wait until it serves."""
    service, name = member
    before = engine.container_id(f"{PROJECT}-{name}-1")
    project.up([name])
    after = engine.container_id(f"{PROJECT}-{name}-1")

    def serves() -> Pending | None:
        try:
            return None if after[:12] in catalogue.containers(service) else Pending(f"{name} (just replaced)")
        except ConsulUnavailableError:
            return Pending("Consul")

    if after != before:
        wait(serves)
