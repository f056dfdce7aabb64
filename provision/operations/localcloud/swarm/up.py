"""Bring the control plane up on the hosts of a Swarm, and make it what this checkout gives, one copy at a time."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from provision.adapters.docker import compose
from provision.adapters.docker.engine import Engine
from provision.adapters.openstack.admin import Admin
from provision.base.errors import ProvisionError, UsageError
from provision.model.localcloud import ovn
from provision.model.localcloud.replicas import SCALABLE_NAMES, SCALABLE_SERVICES, SERVICE_FAMILIES, parse_replicas
from provision.model.localcloud.settings import CLUSTERED, INFRASTRUCTURE, MIGRATED, apis, members, services_of
from provision.model.localcloud.swarm import FIRST, clear_jobs, job, member_addresses, part, unwanted_services
from provision.operations.localcloud.shared import bootstrap, schema
from provision.operations.localcloud.shared.consul_acl import ensure_access
from provision.operations.localcloud.shared.installation import (
    exclusive_lock,
    load_settings,
    require_whole_data,
    save_settings,
)
from provision.operations.localcloud.swarm import hypervisor
from provision.operations.localcloud.swarm.files import (
    door,
    ensure_built,
    ensure_stack_files,
    read_shared,
    require_swarm,
)
from provision.operations.localcloud.swarm.hosts import (
    ensure_entry,
    ensure_networks,
    lacking_hosts,
    lacking_members,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from provision.adapters.docker.swarm import Swarm
    from provision.base.progress import Progress
    from provision.model.localcloud.settings import Settings
    from provision.operations.localcloud.swarm.files import Stack

_EVERYWHERE: Final = ("consul", "registrator", "haproxy", "restart-hypervisor")
_FAMILIES: Final = SERVICE_FAMILIES
_LIMIT: Final = 600
"""Seconds for what hosts have to fetch first."""
_LONGEST: Final = 3700
"""Seconds for what an old copy has begun (Glance's stop_grace_period, compose/swarm.yaml)."""


def ensure_swarm(progress: Progress, copies: Mapping[str, int] | None = None) -> None:
    """Make the control plane run on all hosts and answer; a second call finds nothing to do and changes nothing.

    `copies` is how many copies some services have from now on.
    """
    require_whole_data()
    compose.require()
    engine = Engine()
    with exclusive_lock(progress):
        settings = current(engine)
        if copies:
            settings = replace(settings, replicas=dict(settings.replicas) | dict(copies))
            save_settings(settings)
        swarm = door(settings)
        if missing := lacking_hosts(swarm):
            raise UsageError(
                f"a control plane on several hosts needs three: {missing}",
                "`provision cloud init` prints what to run on each",
            )
        ensure_networks(swarm, settings)
        settings = replace(settings, members=member_addresses(swarm.hosts()))
        save_settings(settings)
        stack = bring_up(engine, swarm, progress, settings.families)
        if hypervisor.carries_guests():
            with progress.phase("this host's hypervisor"):
                hypervisor.ensure(engine, stack.installation, progress)
    ensure_entry(progress, settings)


def bring_up(
    engine: Engine, swarm: Swarm, progress: Progress, families: Collection[str], only: Collection[str] = ()
) -> Stack:
    """Make services (`only` some of them, of these families) what this checkout gives; return what all shall be."""
    with progress.phase("images"):
        until(lambda: "" if swarm.registry_answers() else "the registry")
        tags, images = ensure_built(engine, swarm, progress, families)
    with progress.phase("configuration"):
        stack = ensure_stack_files(tags, images)
    Deployment(engine, swarm, stack, progress, only).run()
    return stack


def current(engine: Engine) -> Settings:
    """Return the installation's settings as the Swarm has them now: another host's command may have changed them."""
    settings = require_swarm()
    return load_settings() if read_shared(engine, door(settings)) else settings


class Deployment:
    """One stack file on its way to the hosts."""

    def __init__(
        self, engine: Engine, swarm: Swarm, stack: Stack, progress: Progress, only: Collection[str] = ()
    ) -> None:
        """`only` are the services that are deployed; by default all."""
        self._only = frozenset(only)
        self._engine = engine
        self._swarm = swarm
        self._stack = stack
        self._progress = progress
        self._file = stack.file()
        self._settings = stack.installation.settings
        self._admin = Admin(bootstrap.admin_login(self._settings, stack.installation.passwords["admin"]))

    def run(self) -> None:
        """Deploy everything, in the order in which one stands on the other."""
        with self._progress.phase("what all else stands on"):
            self._everywhere()
            if self._chosen(_members_of(self._settings)):
                self._members()
            self._ovn()
        running = {_FAMILIES[name] for name, count in self._running().items() if name in _FAMILIES and count}
        with self._progress.phase("databases"):
            pending = self._pending()
            self._migrate({family: "expand" if family in running else "migrate" for family in pending})
        with self._progress.phase("services and accounts"):
            self._deploy("keystone")
            self._await_apis("keystone")
            bootstrap.ensure_accounts(
                self._admin.connection, self._settings, self._stack.installation.passwords, self._made
            )
            self._deploy(*(name for name in self._file["services"] if name in _FAMILIES))
            self._await_apis()
            self._admin.renew()
            bootstrap.ensure_resources(self._admin.connection, self._settings, self._made)
        self._contract([family for family in pending if family in running])
        self._admin.forget_services(self._stack.installation.copies)
        self._swarm.remove(unwanted_services(self._swarm.wanted(), self._file))
        self._swarm.drop_secrets({each["name"] for each in self._file["secrets"].values()})

    def begin_anew(self, *, images: bool) -> None:
        """Start what all else stands on without data: every host's old is removed, with `images` Glance's too."""
        image = next(name for name in self._stack.images.values() if "/registry:" in name)
        self._jobs(clear_jobs(self._file, image, images=images), "removing data")
        self._everywhere()
        self._members()

    def _everywhere(self) -> None:
        # Every host has every image before it is needed: a host that is lost may be the registry's, and what leads to
        # the registry cannot be fetched once it has stopped.
        self._fetch()
        self._deploy(*FIRST)
        self._deploy(*_EVERYWHERE)
        until(lambda: "" if self._swarm.address("consul") else "Consul on this host", _LIMIT)
        until(lambda: ensure_access(self._consul(), self._stack.installation.passwords), _LIMIT)

    def _consul(self) -> str:
        return f"http://{self._swarm.address('consul')}:8500"

    def _members(self) -> None:
        """Start the members all at once; where they serve already, renew one at a time."""
        missing = partial(lacking_members, self._swarm, self._settings)
        names = _members_of(self._settings)
        if missing():
            self._deploy(*names, wait=False)
        else:
            for name in names:
                self._deploy(name)
                until(missing, _LIMIT)
        until(missing, _LIMIT)

    def _ovn(self) -> None:
        """Start OVN's members at once, since none begins without the others; where they run, renew one at a time."""
        running = self._running()
        if all(running.get(name) for name in ovn.MEMBERS):
            for name in ovn.MEMBERS:
                self._deploy(name)
        else:
            self._deploy(*ovn.MEMBERS)

    def _pending(self) -> list[str]:
        found: list[str] = []

        def asked() -> str:
            databases = list(filter(None, map(self._swarm.container, self._database_names())))
            pending = schema.pending(self._engine, self._stack.installation, databases) if databases else None
            found[:] = pending or ()
            return "a database on this host" if pending is None else ""

        until(asked, _LIMIT)
        return [family for family in found if any(_FAMILIES[name] == family for name in self._chosen(_FAMILIES))]

    def _contract(self, families: Sequence[str]) -> None:
        """Carry out the second half of schemas' changes: of those whose last old copy has ended."""
        names = [name for name, family in _FAMILIES.items() if family in families]
        # An old copy may be busy for long with what it had begun before its successor came.
        until(partial(self._leaving, names), _LONGEST)
        old = {
            _FAMILIES[task.service]
            for task in self._swarm.tasks()
            if task.service in names and task.wanted and task.image != self._file["services"][task.service]["image"]
        }
        self._migrate({family: "contract" for family in families if family not in old})

    def _leaving(self, names: Collection[str]) -> str:
        ready = {host.name for host in self._swarm.hosts() if host.ready}
        tasks = [task for task in self._swarm.tasks() if task.service in names and task.host in ready]
        left = sorted(task.name for task in tasks if task.state == "running" and not task.wanted)
        for name in left:
            self._progress.update(name, "ends what it has begun")
        return ", ".join(left)

    def _database_names(self) -> tuple[str, ...]:
        return ("mariadb", *members(self._settings, "mariadb")[1:])

    def _migrate(self, steps: Mapping[str, str]) -> None:
        for family in MIGRATED:
            if family in steps:
                self._progress.update(f"{family} database", steps[family])
                self._once(f"{family}-migrate", steps[family])
                self._progress.update(f"{family} database", "done")

    def _once(self, service: str, command: str) -> None:
        """Run a one-shot service on this host to its end; raises ProvisionError with its last lines when it fails."""
        self._swarm.remove([service])
        self._swarm.deploy(
            job(
                self._stack.compose, service, [command], self._stack.documents, self._stack.images,
                etc=self._stack.etc, places=self._stack.places, host=self._swarm.host_id(),
            )
        )  # fmt: skip
        states: set[str] = set()

        def ended() -> str:
            states.clear()
            states.update(task.state for task in self._swarm.tasks() if task.service == service)
            return "" if states & {"complete", "failed", "rejected"} else f"the end of {service}"

        until(ended, _LIMIT)
        if "complete" not in states:
            raise ProvisionError(
                f"the one-shot run {service} failed", "run the same command again", self._swarm.last_lines(service)
            )
        self._swarm.remove([service])

    def _fetch(self) -> None:
        """Have every host fetch every image of Swarm's: one-shot runs that do nothing, and are gone afterwards."""
        used = {body["image"] for body in self._file["services"].values()} & set(self._stack.images.values())
        images = {f"fetch-{name.rpartition('/')[2].partition(':')[0]}": name for name in sorted(used)}
        if not set(images.values()) <= self._swarm.images():
            self._jobs({name: _nothing(image) for name, image in images.items()}, "fetching images")

    def _jobs(self, services: Mapping[str, object], doing: str) -> None:
        """Run one-shot services to their end on all hosts that they are for; they are gone afterwards."""
        self._swarm.remove(services)
        self._swarm.deploy({**self._file, "services": services, "secrets": {}})

        def left_to_do() -> str:
            tasks = [task for task in self._swarm.tasks() if task.service in services and task.wanted]
            for task in tasks:
                if task.state in ("failed", "rejected"):
                    raise ProvisionError(f"{task.host} cannot run {task.image}", detail=task.problem)
            left = {(task.service, task.host) for task in tasks if task.state != "complete"}
            there = {task.service for task in tasks}
            if left:
                self._progress.update("hosts", f"{doing}: {len(left)} left")
            return "" if not left and there == set(services) else f"{doing} on every host"

        until(left_to_do, 3 * _LIMIT)
        self._swarm.remove(services)

    def _deploy(self, *names: str, wait: bool = True) -> None:
        """Make some services what they shall be; wait until their copies run, and none is an old one."""
        names = self._chosen(names)
        if not names:
            return
        self._swarm.deploy(part(self._file, names))
        if wait:
            # Swarm takes a moment to see that there is something to do.
            time.sleep(1)
            until(partial(self._unsettled, names), _LIMIT)

    def _chosen(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(name for name in names if not self._only or name in self._only)

    def _unsettled(self, names: tuple[str, ...]) -> str:
        updates, wanted, running = self._swarm.updates(), self._swarm.wanted(), self._running()
        for name in names:
            state = updates.get(name, "")
            if state.startswith(("rollback", "paused")):
                raise ProvisionError(
                    f"the new copies of {name} do not work: Swarm's word is {state}, and what ran before goes on",
                    "the lines above are the last ones; after mending the cause, run the same command again",
                    self._swarm.last_lines(name),
                )
        left = [
            f"{name} ({running.get(name, 0)} of {wanted.get(name, 1)})"
            for name in names
            if updates.get(name) == "updating" or running.get(name, 0) < max(1, wanted.get(name, 1))
        ]
        for each in left:
            self._progress.update(each.partition(" ")[0], each.partition(" ")[2])
        return ", ".join(left)

    def _running(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for task in self._swarm.tasks():
            if task.wanted and task.state == "running":
                counts[task.service] = counts.get(task.service, 0) + 1
        return counts

    def _await_apis(self, only: str = "") -> None:
        waiting = [api for api in apis(self._settings) if api.awaited and only in ("", api.name)]

        def missing() -> str:
            urls = {api.name: self._settings.public_url(api.port, api.health) for api in waiting}
            return ", ".join(name for name, url in urls.items() if self._admin.answers(url))

        until(missing, _LIMIT)

    def _made(self, text: str) -> None:
        self._progress.update(text, "made")


def _members_of(settings: Settings) -> tuple[str, ...]:
    """Name the services that keep state, first members first."""
    return tuple(name for service in CLUSTERED for name in services_of(settings, service))


def _nothing(image: str) -> dict[str, object]:
    return {
        "image": image,
        "entrypoint": ["true"],
        "networks": ["management"],
        "deploy": {"mode": "global-job", "endpoint_mode": "dnsrr", "restart_policy": {"condition": "none"}},
    }


def scale(progress: Progress, words: Sequence[str]) -> None:
    """Run as many copies as the SERVICE=N words say, now and from now on; raises UsageError for what cannot be done."""
    wanted = parse_replicas(words, {*INFRASTRUCTURE, *(each.service for each in SCALABLE_SERVICES)})
    if "glance" in wanted:
        others = ", ".join(service for service in SCALABLE_NAMES if service != "glance")
        raise UsageError("glance cannot have copies on several hosts yet", f"these can: {others}")
    ensure_swarm(progress, wanted)
