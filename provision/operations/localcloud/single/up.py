"""`provision cloud up` on one host: make images, files, containers, schemas and accounts, and wait for all parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provision.adapters.docker import compose
from provision.adapters.docker.engine import Engine
from provision.adapters.openstack import clouds_yaml, config
from provision.adapters.openstack.admin import Admin
from provision.adapters.openstack.bootstrap import ensure_accounts, ensure_resources, reset_passwords
from provision.base.constants import LOCAL_CLOUD
from provision.base.poll import Pending
from provision.model.localcloud.replicas import SERVICE_FAMILIES
from provision.model.localcloud.settings import PROJECT, apis, bridges
from provision.operations.localcloud.shared import login, preflight, schema, tls
from provision.operations.localcloud.shared.hypervisors import AGENTS, await_hypervisors, start_early
from provision.operations.localcloud.shared.images import ensure_images
from provision.operations.localcloud.shared.installation import (
    Installation,
    drop_unused,
    ensure_files,
    load_settings,
    require_complete_data,
    single_host_lock,
)
from provision.operations.localcloud.shared.watch import Watch
from provision.operations.localcloud.single import members, monitoring
from provision.operations.localcloud.single.scale import replica_set
from provision.operations.localcloud.single.settled import is_settled, record
from provision.operations.localcloud.single.upgrade import replace_outdated

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from provision.base.progress import Progress

_LAST_STEPS: Final[Mapping[str, tuple[str, list[str]]]] = {
    " OVN metadata": (f"{PROJECT}-ovn-1", ["ovn-nbctl", "--timeout=5", "--wait=sb", "sync"]),
    " hypervisor": (f"{PROJECT}-nova-scheduler-1", ["nova-manage", "cell_v2", "discover_hosts"]),
}
"""Commands that make OpenStack notice a new hypervisor at once (shared/hypervisors.py::await_hypervisors)."""


def up(progress: Progress, *, ha: bool | None = None, checked: Callable[[], None] = lambda: None) -> None:
    """Make the local cloud run and answer; a second call finds nothing to do (settled.py) and changes nothing.

    Outdated services are replaced one replica at a time (single/upgrade.py::replace_outdated): their APIs go on
    answering. `ha` is whether the clustered services have three members from now on; None: as before. `checked` is
    called when nothing can be refused any more, and nothing is made yet; also when there is nothing to do.
    """
    if is_settled(progress, ha=ha):
        checked()
        return
    clouds_yaml.require_own_entry(config.own_file(), LOCAL_CLOUD, PROJECT)
    preflight.require(progress)
    engine = Engine()
    compose.require()
    with single_host_lock(progress):
        require_complete_data()
        tls.require_usable(load_settings())
        members.ensure_choice(engine, progress, ha)
        checked()
        with progress.phase("images"):
            tags = ensure_images(engine, progress, load_settings().families)
        with progress.phase("configuration"):
            installation = ensure_files(tags)
        _start(engine, installation, progress)
        drop_unused(engine, installation)
        # Those that were built had to come before what ran with their predecessors could go.
        engine.drop_superseded(tags)
        entry = login.user_entry(installation.settings, installation.passwords["provision"])
        file = config.own_file()
        if clouds_yaml.ensure_entry(file, LOCAL_CLOUD, entry):
            progress.note(f"wrote the entry `{LOCAL_CLOUD}` into {file}")
        record(installation, tags)


def _start(engine: Engine, installation: Installation, progress: Progress) -> None:
    settings, control = installation.settings, installation.control
    replicas = replica_set(control, engine, settings, progress)
    wanted = installation.replicas
    for state in replicas.states() if installation.has_new_passwords else ():
        # They have the old passwords: no request of theirs would succeed.
        engine.stop_and_remove(state.id)
    running = {SERVICE_FAMILIES[state.service] for state in replicas.sweep()}
    watch = Watch(engine, progress)
    with progress.phase("databases"):
        members.start_infrastructure(engine, installation, watch)
        for bridge in bridges(settings):
            engine.ensure_bridge(bridge)
        keystone_migrated = _migrate(engine, installation, watch, running)
    admin = Admin(login.admin_login(settings, installation.passwords["admin"]))
    made: list[str] = []

    def note(text: str) -> None:
        made.append(text)
        progress.update(text, "made")

    with progress.phase("services and accounts"):
        replicas.drop_broken(wanted)
        replicas.start(wanted)
        watch.until(lambda: tls.hand_over(engine, settings), every=0.5)
        _wait_for_apis(installation, admin, watch, only="keystone")
        if keystone_migrated:
            # Data may have outlived the files that held the passwords.
            reset_passwords(admin, settings, installation.passwords)
        ensure_accounts(admin, settings, installation.passwords, note)
        _wait_for_apis(installation, admin, watch)
    replace_outdated(engine, installation, replicas, progress, wanted)
    watch = Watch(engine, progress)
    with progress.phase("flavors and networks"):
        # Agents start after the APIs: one that does not find an API yet tries again only after ten seconds.
        for hypervisor in installation.hypervisors:
            # `cloud upgrade` says when it is out of date.
            start_early(engine, hypervisor)
            hypervisor.up(list(AGENTS), no_deps=True)
        watch.look()
        if made:
            admin.renew()
        ensure_resources(admin, settings, note)
    with progress.phase("hypervisors and agents"):
        await_hypervisors(
            engine, admin, watch, settings.hypervisors, replicas=settings.replicas, last_steps=_LAST_STEPS
        )
        admin.forget_services(settings.replicas)
        watch.until(watch.all_run)
        watch.until(replicas.all_healthy)
    if settings.monitoring:
        with progress.phase("monitoring"):
            monitoring.start(engine, installation, replicas, watch)


def _migrate(engine: Engine, installation: Installation, watch: Watch, running: Collection[str]) -> bool:
    """Migrate the databases that need it, except those of `running` families: `replace_outdated` upgrades them.

    Return whether Keystone's was migrated.
    """

    def not_migrated() -> list[str] | Pending:
        families = schema.pending(engine, installation)
        return Pending("the database") if families is None else families

    pending = [family for family in watch.until(not_migrated) if family not in running]
    if not pending:
        return False
    # These services need no database, and testing whether KVM works takes a while: do both at the same time.
    for hypervisor in installation.hypervisors:
        start_early(engine, hypervisor)
    schema.run(engine, installation, pending, "migrate", watch.update)
    return "keystone" in pending


def _wait_for_apis(installation: Installation, admin: Admin, watch: Watch, *, only: str = "") -> None:
    """Wait until all APIs, or only one, answer through HAProxy."""
    waiting = {api.name: api for api in apis(installation.settings) if api.awaited and only in ("", api.name)}

    def all_answer() -> Pending | None:
        for name, api in list(waiting.items()):
            problem = admin.api_problem(installation.settings.public_url(api.port, api.health))
            watch.update(f"{name} API", problem or "answers")
            if not problem:
                del waiting[name]
        return Pending(", ".join(waiting)) if waiting else None

    watch.until(all_answer)
