"""`provision cloud up` on several hosts: start the control plane, or bring it up to date one replica at a time."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from provision.adapters.consul.http import ConsulUnavailableError
from provision.adapters.docker import compose
from provision.adapters.docker.engine import Engine
from provision.adapters.openstack.admin import Admin
from provision.adapters.openstack.bootstrap import ensure_accounts, ensure_resources
from provision.base.errors import ProvisionError, UsageError
from provision.base.poll import Pending
from provision.model.localcloud import ovn
from provision.model.localcloud.replicas import SERVICE_FAMILIES
from provision.model.localcloud.settings import CLUSTERED, MIGRATED, apis, services_of
from provision.model.localcloud.swarm import (
    FIRST,
    TUNNEL,
    clear_jobs,
    collect_job,
    job,
    member_addresses,
    old_services,
    part,
    unwanted_services,
)
from provision.operations.localcloud.shared import login, schema
from provision.operations.localcloud.shared.consul_acl import ensure_access
from provision.operations.localcloud.shared.installation import (
    exclusive_lock,
    load_settings,
    require_complete_data,
    save_settings,
)
from provision.operations.localcloud.swarm import hypervisor
from provision.operations.localcloud.swarm.files import (
    drop_leftovers,
    ensure_built,
    ensure_stack_files,
    read_shared,
    registry_adapter,
    require_swarm,
    swarm_adapter,
)
from provision.operations.localcloud.swarm.hosts import (
    ensure_clouds_yaml,
    ensure_networks,
    missing_members,
    require_three_hosts,
    serving_containers,
    take_member,
    this_host,
    until,
)
from provision.operations.localcloud.swarm.lock import swarm_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from provision.adapters.docker.swarm import Swarm
    from provision.base.progress import Progress
    from provision.model.localcloud.settings import Settings
    from provision.operations.localcloud.swarm.files import Stack

_EVERYWHERE: Final = ("consul", "registrator", "haproxy", "restart-hypervisor")
_DEPLOY_TIMEOUT: Final = 600
"""Seconds for a deployment; hosts may have to fetch images first."""
_SETTLE_TIMEOUT: Final = 60
"""Seconds in which Consul knows that members serve which run already."""
_DRAIN_TIMEOUT: Final = 3700
"""Seconds in which old replicas end their requests (Glance's stop_grace_period, compose/swarm.yaml)."""


def up(progress: Progress, replicas: Mapping[str, int] | None = None) -> None:
    """Make the control plane run on all hosts and answer; a second call finds nothing to do and changes nothing.

    `replicas` is how many replicas some services have from now on.
    """
    compose.require()
    engine = Engine()
    with exclusive_lock(progress), swarm_lock(swarm_adapter(load_settings()), progress):
        require_complete_data()
        settings = newest_settings(engine)
        if replicas:
            settings = replace(settings, replicas=dict(settings.replicas) | dict(replicas))
            save_settings(settings)
        swarm = swarm_adapter(settings)
        # The host of a member may be gone for good: then one without a member takes its place.
        take_member(swarm)
        require_three_hosts(swarm)
        _require_start(swarm)
        ensure_networks(swarm, settings)
        # All hosts make their files from these.
        settings = replace(settings, members=member_addresses(swarm.hosts()), overlay_mtu=swarm.network_mtu(TUNNEL))
        save_settings(settings)
        stack = bring_up(engine, swarm, progress, settings.families)
        if hypervisor.runs_vms():
            with progress.phase("this host's hypervisor"):
                hypervisor.ensure(engine, stack.installation, progress)
        drop_leftovers(engine, stack)
    ensure_clouds_yaml(progress, settings)


def newest_settings(engine: Engine) -> Settings:
    """Return the settings as the Swarm has them now, once this host's part of it has started.

    Right after a start of the host they cannot be read yet, and this host's own would undo what others have changed.
    """
    swarm = swarm_adapter(load_settings())
    if "mirror" in swarm.desired_replicas():
        until(lambda: None if read_shared(engine, swarm) else Pending("the local cloud's files, from the Swarm"))
    return require_swarm()


def bring_up(
    engine: Engine, swarm: Swarm, progress: Progress, families: Collection[str], only: Collection[str] = ()
) -> Stack:
    """Bring services to this checkout's version, all or `only` some, with the images of these families."""
    with progress.phase("images"):
        until(lambda: None if swarm.registry_answers() else Pending("the registry"))
        tags, images = ensure_built(engine, swarm, progress, families)
    with progress.phase("configuration"):
        stack = ensure_stack_files(tags, images)
    deployment = Deployment(engine, swarm, stack, progress, only)
    deployment.run()
    if not only:
        deployment.drop_old_images()
    return stack


class Deployment:
    """Deploys one stack to the hosts."""

    def __init__(
        self, engine: Engine, swarm: Swarm, stack: Stack, progress: Progress, only: Collection[str] = ()
    ) -> None:
        """`only` names the services to deploy, by default all."""
        self._only = frozenset(only)
        self._engine = engine
        self._swarm = swarm
        self._stack = stack
        self._progress = progress
        self._file = stack.file()
        self._settings = stack.installation.settings
        self._admin = Admin(login.admin_login(self._settings, stack.installation.passwords["admin"]))

    def run(self) -> None:
        """Deploy everything, in the order of the services' dependencies.

        Raises UsageError, before anything is changed, where that takes a database and this host has none.
        """
        self._require_database()
        with self._progress.phase("infrastructure"):
            self._deploy_everywhere()
            if self._selected(_members_of(self._settings)):
                self._deploy_members()
            self._deploy_ovn()
        running = {
            SERVICE_FAMILIES[name] for name, count in self._running().items() if name in SERVICE_FAMILIES and count
        }
        with self._progress.phase("databases"):
            pending = self._not_migrated()
            self._migrate({family: "expand" if family in running else "migrate" for family in pending})
        with self._progress.phase("services and accounts"):
            self._deploy("keystone")
            self._await_apis("keystone")
            ensure_accounts(self._admin, self._settings, self._stack.installation.passwords, self._note_made)
            self._deploy(*(name for name in self._file["services"] if name in SERVICE_FAMILIES))
            self._await_apis()
            self._admin.renew()
            ensure_resources(self._admin, self._settings, self._note_made)
        self._contract([family for family in pending if family in running])
        self._admin.forget_services(self._stack.installation.replicas)
        # Services of which no replica is wanted any more, and one-shot ones that an interruption has left.
        unwanted = unwanted_services(self._swarm.desired_replicas(), self._file)
        self._swarm.remove(unwanted | self._swarm.jobs())
        self._swarm.drop_secrets({secret["name"] for secret in self._file["secrets"].values()})

    def start_empty(self, *, images: bool) -> None:
        """Remove the old data on all hosts, with `images` also Glance's, and start the infrastructure without data."""
        image = next(name for name in self._stack.images.values() if "/registry:" in name)
        self._run_jobs(clear_jobs(self._file, image, images=images), "removing data")
        self._deploy_everywhere()
        self._deploy_members()

    def drop_old_images(self) -> None:
        """Have the registry delete all images but those of this stack and of services, and free their room.

        This fails no command: the next one deletes what is left, and the room of what was deleted is freed with it.
        Nothing is pushed meanwhile, since that takes the Swarm's lock.
        """
        try:
            kept = {*self._stack.images.values(), *self._swarm.images()}
            if not registry_adapter(self._settings).drop_others(kept):
                return
            # One that has left and joined again is listed twice, by one name: no job ever runs on the first.
            hosts = {host.name: host.id for host in self._swarm.hosts() if host.ready}
            running = (task for task in self._swarm.tasks() if task.wanted and task.state == "running")
            place = next((hosts.get(task.host, "") for task in running if task.service == "registry"), "")
            if place:
                self._run_jobs(collect_job(self._file, place), "removing old images from the registry")
        except ProvisionError as error:
            self._progress.note(f"Old images stay in the registry: {error.message}.")

    def _deploy_everywhere(self) -> None:
        """Deploy what runs on every host, and give Consul's clients their rights."""
        # All hosts fetch all images before they are needed: the host of the registry may be lost, and the image
        # through which the registry is reached cannot be fetched once its service has stopped.
        self._fetch_images()
        self._deploy(*FIRST)
        self._deploy(*_EVERYWHERE)
        until(lambda: None if self._swarm.address("consul") else Pending("Consul on this host"), _DEPLOY_TIMEOUT)
        until(lambda: ensure_access(self._consul(), self._stack.installation.passwords), _DEPLOY_TIMEOUT)

    def _consul(self) -> str:
        return f"http://{self._swarm.address('consul')}:8500"

    def _deploy_members(self) -> None:
        """Start all members that do not run at once; when all serve, replace the others one at a time."""
        missing = partial(missing_members, self._swarm, self._settings)
        names = _members_of(self._settings)
        started = self._not_running(names)
        self._deploy(*started, wait=False)
        if len(started) < len(names):
            started += self._restart_idle(set(names) - set(started), missing)
        until(missing, _DEPLOY_TIMEOUT)
        for name in names:
            if name not in started:
                self._deploy(name)
                until(missing, _DEPLOY_TIMEOUT)

    def _restart_idle(self, names: Collection[str], missing: Callable[[], Pending | None]) -> list[str]:
        """Deploy those of some running members that do not serve for long; return them."""
        try:
            until(missing, _SETTLE_TIMEOUT)
        except ProvisionError:
            # What they lack may be in this version. Those that serve must not stop with them.
            try:
                serving = serving_containers(self._swarm)
            except ConsulUnavailableError:
                # Any of them may serve.
                return []
            tasks = (task for task in self._swarm.tasks() if task.wanted and task.service in names)
            idle = sorted({task.service for task in tasks if task.container[:12] not in serving})
            self._deploy(*idle, wait=False)
            return idle
        return []

    def _deploy_ovn(self) -> None:
        """Start OVN's members that do not run all at once, since none starts alone; then replace the others singly."""
        away = self._not_running(ovn.MEMBERS)
        self._deploy(*away)
        for name in ovn.MEMBERS:
            if name not in away:
                self._deploy(name)

    def _not_running(self, names: Iterable[str]) -> list[str]:
        running = self._running()
        return [name for name in names if not running.get(name)]

    def _require_database(self) -> None:
        """Raise UsageError if databases may have to be migrated, and no member of MariaDB is this host's to ask."""
        if not this_host(self._swarm).member and self._selected(old_services(self._swarm.tasks(), self._file)):
            raise UsageError(
                "services are out of date, and this host has no member of MariaDB to migrate their databases with",
                f"Run the same command on {_hosts_with_members(self._swarm)} first.",
            )

    def _not_migrated(self) -> list[str]:
        """Return the families to deploy whose database does not have their image's schema."""
        if not this_host(self._swarm).member:
            # All run with this schema already.
            return []

        def read() -> list[str] | Pending:
            containers = list(filter(None, map(self._swarm.container, services_of(self._settings, "mariadb"))))
            families = schema.pending(self._engine, self._stack.installation, containers) if containers else None
            return Pending("a database on this host") if families is None else families

        selected = {SERVICE_FAMILIES[name] for name in self._selected(SERVICE_FAMILIES)}
        return [family for family in until(read, _DEPLOY_TIMEOUT) if family in selected]

    def _contract(self, families: Sequence[str]) -> None:
        """Contract the schemas of those families of which no old replica runs any more."""
        names = [name for name, family in SERVICE_FAMILIES.items() if family in families]
        # An old replica may be busy for long with requests from before its successor came.
        until(partial(self._all_drained, names), _DRAIN_TIMEOUT)
        old = {
            SERVICE_FAMILIES[task.service]
            for task in self._swarm.tasks()
            if task.service in names and task.wanted and task.image != self._file["services"][task.service]["image"]
        }
        self._migrate({family: "contract" for family in families if family not in old})

    def _all_drained(self, names: Collection[str]) -> Pending | None:
        ready = {host.name for host in self._swarm.hosts() if host.ready}
        tasks = [task for task in self._swarm.tasks() if task.service in names and task.host in ready]
        left = sorted(task.name for task in tasks if task.state == "running" and not task.wanted)
        for name in left:
            self._progress.update(name, "ends the requests under way")
        return Pending(", ".join(left)) if left else None

    def _migrate(self, steps: Mapping[str, str]) -> None:
        for family in MIGRATED:
            if family in steps:
                self._progress.update(f"{family} database", steps[family])
                self._run_once(f"{family}-migrate", steps[family])
                self._progress.update(f"{family} database", "done")

    def _run_once(self, service: str, command: str) -> None:
        """Run a one-shot service on this host to its end; raises ProvisionError with its last lines if it fails."""
        self._swarm.remove([service])
        self._swarm.deploy(
            job(
                self._stack.compose, service, [command], self._stack.documents, self._stack.images,
                etc=self._stack.etc, places=self._stack.places, host=self._swarm.host_id(),
            )
        )  # fmt: skip

        def ended() -> set[str] | Pending:
            states = {task.state for task in self._swarm.tasks() if task.service == service}
            return states if states & {"complete", "failed", "rejected"} else Pending(f"the end of {service}")

        if "complete" not in until(ended, _DEPLOY_TIMEOUT):
            raise ProvisionError(
                f"the one-shot run {service} failed", "Run the same command again.", self._swarm.last_lines(service)
            )
        self._swarm.remove([service])

    def _fetch_images(self) -> None:
        """Make all hosts fetch all images of the stack: by one-shot services that do nothing, and are removed again."""
        used = {body["image"] for body in self._file["services"].values()} & set(self._stack.images.values())
        images = {f"fetch-{name.rpartition('/')[2].partition(':')[0]}": name for name in sorted(used)}
        if not set(images.values()) <= self._swarm.images():
            self._run_jobs({name: _no_op(image) for name, image in images.items()}, "fetching images")

    def _run_jobs(self, services: Mapping[str, object], doing: str) -> None:
        """Run one-shot services to their end on all hosts that they are for; they are removed afterwards."""
        self._swarm.remove(services)
        self._swarm.deploy({**self._file, "services": services, "secrets": {}})

        def all_done() -> Pending | None:
            tasks = [task for task in self._swarm.tasks() if task.service in services and task.wanted]
            for task in tasks:
                if task.state in ("failed", "rejected"):
                    raise ProvisionError(f"{task.host} cannot run {task.image}", detail=task.problem)
            left = {(task.service, task.host) for task in tasks if task.state != "complete"}
            started = {task.service for task in tasks}
            if left:
                self._progress.update("hosts", f"{doing}: {len(left)} left")
            return None if not left and started == set(services) else Pending(f"{doing} on every host")

        until(all_done, 3 * _DEPLOY_TIMEOUT)
        self._swarm.remove(services)

    def _deploy(self, *names: str, wait: bool = True) -> None:
        """Deploy some services; wait until their replicas run, and no old one does."""
        names = self._selected(names)
        if not names:
            return
        self._swarm.deploy(part(self._file, names))
        if wait:
            # Swarm takes a moment before it begins.
            time.sleep(1)
            until(partial(self._all_updated, names), _DEPLOY_TIMEOUT)

    def _selected(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(name for name in names if not self._only or name in self._only)

    def _all_updated(self, names: tuple[str, ...]) -> Pending | None:
        updates, wanted, running = self._swarm.updates(), self._swarm.desired_replicas(), self._running()
        for name in names:
            state = updates.get(name, "")
            if state.startswith(("rollback", "paused")):
                raise ProvisionError(
                    f"the new replicas of {name} do not work: Swarm's word is {state}, and what ran before goes on",
                    "The lines above are the last ones. Fix the cause, then run the same command again.",
                    self._swarm.last_lines(name),
                )
        left = [
            f"{name} ({running.get(name, 0)} of {wanted.get(name, 1)})"
            for name in names
            if updates.get(name) == "updating" or running.get(name, 0) < max(1, wanted.get(name, 1))
        ]
        for item in left:
            self._progress.update(item.partition(" ")[0], item.partition(" ")[2])
        return Pending(", ".join(left)) if left else None

    def _running(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for task in self._swarm.tasks():
            if task.wanted and task.state == "running":
                counts[task.service] = counts.get(task.service, 0) + 1
        return counts

    def _await_apis(self, only: str = "") -> None:
        waiting = [api for api in apis(self._settings) if api.awaited and only in ("", api.name)]

        def all_answer() -> Pending | None:
            urls = {api.name: self._settings.public_url(api.port, api.health) for api in waiting}
            silent = [name for name, url in urls.items() if self._admin.api_problem(url)]
            return Pending(", ".join(silent)) if silent else None

        until(all_answer, _DEPLOY_TIMEOUT)

    def _note_made(self, text: str) -> None:
        self._progress.update(text, "made")


def _require_start(swarm: Swarm) -> None:
    """Raise UsageError if nothing runs yet, and this host has no member: databases are made on one that has."""
    if not this_host(swarm).member and "keystone" not in swarm.desired_replicas():
        raise UsageError(
            "the local cloud does not run yet, and hosts with a member of MariaDB come first: this one has none",
            f"Run the same command on {_hosts_with_members(swarm)} first.",
        )


def _hosts_with_members(swarm: Swarm) -> str:
    return " or ".join(sorted(host.name for host in swarm.hosts() if host.member))


def _members_of(settings: Settings) -> tuple[str, ...]:
    """Return the members of all clustered services, first members first."""
    return tuple(name for service in CLUSTERED for name in services_of(settings, service))


def _no_op(image: str) -> dict[str, object]:
    return {
        "image": image,
        "entrypoint": ["true"],
        "networks": ["management"],
        "deploy": {"mode": "global-job", "endpoint_mode": "dnsrr", "restart_policy": {"condition": "none"}},
    }
