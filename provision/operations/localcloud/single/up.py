"""Bring the `local` cloud up: images, files, containers, schemas, accounts; then wait until every part answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from provision.adapters.docker import compose
from provision.adapters.docker.engine import Engine
from provision.adapters.openstack import clouds_yaml
from provision.adapters.openstack.admin import Admin
from provision.base import paths
from provision.base.constants import LOCAL_CLOUD
from provision.model.localcloud.replicas import SERVICE_FAMILIES
from provision.model.localcloud.settings import EARLY, NEED_ACCOUNTS, PROJECT, apis, bridges
from provision.operations.localcloud.shared import bootstrap, preflight, schema, tls
from provision.operations.localcloud.shared.images import ensure_images
from provision.operations.localcloud.shared.installation import (
    Installation,
    drop_unused,
    ensure_files,
    exclusive_lock,
    load_settings,
    require_whole_data,
)
from provision.operations.localcloud.shared.watch import Watch
from provision.operations.localcloud.single import members
from provision.operations.localcloud.single.scale import copies_of
from provision.operations.localcloud.single.upgrade import AGENTS, renew

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from provision.base.progress import Progress

_FAMILIES: Final = SERVICE_FAMILIES
_LAST_STEPS: Final[Mapping[str, tuple[str, list[str]]]] = {
    " OVN metadata": (f"{PROJECT}-ovn-1", ["ovn-nbctl", "--timeout=5", "--wait=sb", "sync"]),
    " hypervisor": (f"{PROJECT}-nova-scheduler-1", ["nova-manage", "cell_v2", "discover_hosts"]),
}
"""What is still missing when a hypervisor's services run, and what ends that at once: Neutron asks OVN's agents for a
sign of life every 37 s, and Nova looks for new hypervisors every 30 s."""


def ensure_stack(progress: Progress, *, ha: bool | None = None) -> None:
    """Make the `local` cloud run and answer; a second call finds nothing to do and changes nothing.

    What runs and is out of date is replaced copy by copy (single/upgrade.py::renew): its APIs go on answering. `ha` is
    whether there shall be three members of what keeps state, from now on; None: as it was.
    """
    preflight.require(progress)
    engine = Engine()
    compose.require()
    with exclusive_lock(progress):
        require_whole_data()
        members.ensure_choice(engine, progress, ha)
        with progress.phase("images"):
            tags = ensure_images(engine, progress, load_settings().families)
        with progress.phase("configuration"):
            installation = ensure_files(tags)
        _start(engine, installation, progress)
        drop_unused(engine, installation)
    entry = bootstrap.user_entry(installation.settings, installation.passwords["provision"])
    if clouds_yaml.ensure_entry(paths.clouds_yaml(), LOCAL_CLOUD, entry):
        progress.note(f"wrote the entry `{LOCAL_CLOUD}` into {paths.clouds_yaml()}")


def _start(engine: Engine, installation: Installation, progress: Progress) -> None:
    settings, control = installation.settings, installation.control
    copies = copies_of(control, engine, settings, progress)
    wanted = installation.copies
    for state in copies.states() if installation.first else ():
        # Their passwords are gone: no request of theirs would succeed.
        engine.end(state.id)
    running = {_FAMILIES[state.service] for state in copies.sweep()}
    watch = Watch(engine, progress)
    with progress.phase("databases"):
        members.start_infrastructure(engine, installation, watch)
        for bridge in bridges(settings):
            engine.ensure_bridge(bridge)
        fresh = _migrate(engine, installation, watch, running)
    admin = Admin(bootstrap.admin_login(settings, installation.passwords["admin"]))
    made: list[str] = []

    def note(text: str) -> None:
        made.append(text)
        progress.update(text, "made")

    with progress.phase("services and accounts"):
        copies.drop_broken(wanted)
        copies.start({name: count for name, count in wanted.items() if name not in NEED_ACCOUNTS})
        watch.until(lambda: tls.hand_over(engine, settings), every=0.5)
        _wait_for_apis(installation, admin, watch, only="keystone")
        if fresh:
            bootstrap.reset_passwords(admin.connection, settings, installation.passwords)
        bootstrap.ensure_accounts(admin.connection, settings, installation.passwords, note)
        copies.start(wanted)
        _wait_for_apis(installation, admin, watch)
    renew(engine, installation, copies, progress, wanted)
    watch = Watch(engine, progress)
    with progress.phase("flavors and networks"):
        # After the APIs, not beside them: an agent that finds none yet tries again only after ten seconds.
        for hypervisor in installation.hypervisors:
            # What carries guests stays, since they would end with it; `cloud upgrade` says when it is out of date.
            hypervisor.up(EARLY, no_recreate=True)
            hypervisor.up(list(AGENTS), no_deps=True)
        watch.look()
        if made:
            admin.renew()
        bootstrap.ensure_resources(admin.connection, settings, note)
    with progress.phase("hypervisors and agents"):
        await_hypervisors(engine, admin, watch, settings.hypervisors, copies=settings.replicas)
        admin.forget_services(settings.replicas)
        watch.until(watch.stopped)
        watch.until(copies.unhealthy)


def _migrate(engine: Engine, installation: Installation, watch: Watch, running: Collection[str]) -> bool:
    """Bring databases to their images' schemas, those of `running` families excepted: they are renewed as they run.

    Return whether accounts may be older than the passwords.
    """
    found: list[str] = []

    def database() -> str:
        lacking = schema.pending(engine, installation)
        found[:] = lacking or ()
        return "the database" if lacking is None else ""

    watch.until(database)
    pending = [family for family in found if family not in running]
    if not pending:
        return False
    # These need no database, and trying whether KVM works takes its time: beside the migrations it costs nothing.
    for hypervisor in installation.hypervisors:
        hypervisor.up(EARLY, no_recreate=True)
    schema.run(engine, installation, pending, "migrate", watch.say)
    return "keystone" in pending


def _wait_for_apis(installation: Installation, admin: Admin, watch: Watch, *, only: str = "") -> None:
    """Wait until each API (or only one) answers through HAProxy."""
    waiting = {api.name: api for api in apis(installation.settings) if api.awaited and only in ("", api.name)}

    def missing() -> str:
        for name, api in list(waiting.items()):
            answer = admin.answers(installation.settings.public_url(api.port, api.health))
            if answer:
                watch.say(f"{name} API", answer)
            else:
                watch.say(f"{name} API", "answers")
                del waiting[name]
        return ", ".join(waiting)

    watch.until(missing)


def await_hypervisors(
    engine: Engine,
    admin: Admin,
    watch: Watch,
    names: Sequence[str],
    *,
    copies: Mapping[str, int],
    last_steps: Mapping[str, tuple[str, list[str]]] = _LAST_STEPS,
) -> None:
    """Wait until every compute service and network agent is up, and the scheduler knows every hypervisor."""
    asked: list[float] = []

    def missing() -> str:
        lacks = admin.lacking(names, copies)
        for item, state in lacks.items():
            watch.say(item, state)
        if all(item.endswith(tuple(last_steps)) for item in lacks) and (not asked or time.monotonic() - asked[-1] > 10):
            asked.append(time.monotonic())
            for end, step in last_steps.items():
                if any(item.endswith(end) for item in lacks):
                    engine.execute(*step)
        return ", ".join(f"{item} ({state})" for item, state in lacks.items())

    watch.until(missing)
    for name in names:
        watch.say(name, "up")
