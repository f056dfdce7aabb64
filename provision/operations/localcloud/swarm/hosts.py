"""`provision cloud init`, `join` and `leave`: the hosts that one control plane runs on."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from provision.adapters.consul.catalogue import Catalogue
from provision.adapters.docker import compose
from provision.adapters.docker.engine import Engine
from provision.adapters.openstack import clouds_yaml
from provision.base import paths
from provision.base.constants import LOCAL_CLOUD
from provision.base.errors import ProvisionError, UsageError
from provision.model.localcloud.image_families import image_name
from provision.model.localcloud.swarm import FIRST, NETWORK, TUNNEL, absent_members, names, next_member, part
from provision.operations.localcloud.shared import bootstrap, installation
from provision.operations.localcloud.shared.images import ensure_images
from provision.operations.localcloud.shared.installation import (
    exclusive_lock,
    is_installed,
    load_settings,
    save_settings,
)
from provision.operations.localcloud.single.members import lacking
from provision.operations.localcloud.swarm import hypervisor
from provision.operations.localcloud.swarm.files import (
    door,
    ensure_built,
    ensure_stack_files,
    read_shared,
    require_swarm,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from provision.adapters.docker.swarm import Swarm
    from provision.base.progress import Progress
    from provision.model.localcloud.settings import Settings
    from provision.model.localcloud.swarm import Host

_LIMIT: Final = 180
"""Seconds that a host may take to be one of the Swarm's."""


def until(done: Callable[[], str], limit: float | None = None, every: float = 1) -> None:
    """Call `done` again and again until it returns an empty text: what is missing, in words."""
    limit = _LIMIT if limit is None else limit
    deadline = time.monotonic() + limit
    while missing := done():
        if time.monotonic() > deadline:
            raise ProvisionError(
                f"after {limit:.0f} s there still lacks: {missing}",
                "see `provision cloud status` and `docker service ps --no-trunc`; running this again goes on from here",
            )
        time.sleep(every)


def begin(progress: Progress, address: str, *, guests: bool = True) -> str:
    """Begin a Swarm with this machine, reached by others at `address`; return what another one joins it with.

    `guests` is whether this machine shall carry VMs.
    Raises UsageError on a machine that has a cloud of its own already: it would be left without its data.
    """
    compose.require()
    engine = Engine()
    with exclusive_lock(progress):
        settings = _enter()
        swarm = door(settings)
        state, manages = swarm.state()
        if state == "inactive":
            swarm.begin(address)
        elif not manages:
            raise UsageError(
                f"Docker says that this machine's part in a Swarm is: {state}, not managing it",
                "`docker swarm leave` makes it free for a Swarm of ours",
            )
        save_settings(settings)
        hypervisor.choose(guests=guests)
        _take_member(swarm)
        ensure_networks(swarm, settings)
        with progress.phase("images"):
            tags = _prepare(engine, swarm, progress)
            installation.ensure_files(tags)
            swarm = door(settings)
            stack = ensure_stack_files(tags, names(settings, tags))
            swarm.deploy(part(stack.file(), FIRST))
            until(lambda: "" if swarm.registry_answers() else "the registry")
            ensure_built(engine, swarm, progress, settings.families)
        return swarm.token()


def join(progress: Progress, token: str, address: str, own: str = "", *, guests: bool = True) -> None:
    """Take this machine into the Swarm of the machine at `address`; `own` is where the others reach it.

    `guests` is whether this machine shall carry VMs: `cloud up` here makes it a hypervisor then.
    """
    compose.require()
    engine = Engine()
    with exclusive_lock(progress):
        settings = _enter()
        swarm = door(settings)
        state, _ = swarm.state()
        with progress.phase("image"):
            # The way to the registry does not come from the registry.
            _prepare(engine, swarm, progress)
        if state == "inactive":
            swarm.join(token, address, own)
        with progress.phase("joining"):
            until(lambda: "" if swarm.state() == ("active", True) else "a place among the Swarm's managers")
            until(lambda: "" if _self(swarm).ready else "this host")
            _require_own_name(swarm)
            until(lambda: "" if read_shared(engine, swarm) else "the installation's files, which the Swarm hands over")
            _take_member(swarm)
        hypervisor.choose(guests=guests)
        ensure_entry(progress, load_settings())
        progress.update("this host", f"carries member {_self(swarm).member or 'none'}")


def leave(progress: Progress) -> None:
    """Take this machine out of its Swarm, with all that it has of the cloud: containers, data, images, files.

    Raises UsageError where it carries a member without which the others would be no majority.
    """
    settings = require_swarm()
    swarm = door(settings)
    engine = Engine()
    with exclusive_lock(progress):
        if swarm.state()[0] != "inactive":
            if len(swarm.hosts()) > 1 and _self(swarm).member and swarm.desired_replicas().get("mariadb"):
                _require_others(swarm, settings)
            hypervisor.retire(engine, settings, progress)
            swarm.leave()
        forget(engine, progress)
        progress.note("`docker node rm` on another host forgets this one there; another machine may take its place.")


def forget(engine: Engine, progress: Progress) -> None:
    """Remove all that this machine has of the cloud."""
    # By label, whatever state they are in.
    engine.purge(lambda text: progress.update("removing", text))
    clouds_yaml.remove_entry(paths.clouds_yaml(), LOCAL_CLOUD)
    shutil.rmtree(paths.localcloud_dir(), ignore_errors=True)


def ensure_networks(swarm: Swarm, settings: Settings) -> None:
    """Have the networks that all hosts' containers share."""
    swarm.ensure_network(NETWORK, settings.management)
    swarm.ensure_network(TUNNEL, settings.tunnel)


def lacking_members(swarm: Swarm, settings: Settings) -> str:
    """Say which members of what keeps state do not serve; nothing when all do."""
    address = swarm.address("consul")
    return lacking(Catalogue(f"http://{address}:8500"), settings) if address else "Consul on this host"


def _require_others(swarm: Swarm, settings: Settings) -> None:
    if missing := lacking_members(swarm, settings):
        raise UsageError(
            f"not all members serve ({missing}), and this host carries one: the others would be no majority",
            "bring back what is away first; `provision cloud down` stops everything in order",
        )


def ensure_entry(progress: Progress, settings: Settings) -> None:
    """Write the cloud's entry for the users of this host: its APIs answer on every host."""
    entry = bootstrap.user_entry(settings, installation.read_passwords()["provision"])
    if clouds_yaml.ensure_entry(paths.clouds_yaml(), LOCAL_CLOUD, entry):
        progress.note(f"wrote the entry `{LOCAL_CLOUD}` into {paths.clouds_yaml()}")


def lacking_hosts(swarm: Swarm) -> str:
    """Say how many hosts have to join before there can be three members; nothing when there are enough."""
    absent = absent_members(swarm.hosts())
    return f"{len(absent)} more hosts have to join" if absent else ""


def _enter() -> Settings:
    """Return the settings of a machine that is in a Swarm from now on."""
    settings = load_settings()
    if not settings.swarm and is_installed():
        raise UsageError(
            "this machine has a local cloud of its own, which would be left behind",
            "keep its data with `provision cloud backup`, and remove it with `provision cloud down --purge`",
        )
    return replace(settings, ha=True, swarm=True)


def _prepare(engine: Engine, swarm: Swarm, progress: Progress) -> dict[str, str]:
    tags = ensure_images(engine, progress, ["registry"])
    name = image_name("registry", tags)
    swarm.tag(name)
    swarm.ensure_resolver_file(name)
    return tags


def _self(swarm: Swarm) -> Host:
    id_ = swarm.host_id()
    return next(host for host in swarm.hosts() if host.id == id_)


def _require_own_name(swarm: Swarm) -> None:
    mine = _self(swarm)
    if any(host.name == mine.name and host.id != mine.id for host in swarm.hosts()):
        swarm.leave()
        raise UsageError(
            f"another host of the Swarm is called {mine.name} too", "give this machine a name of its own (hostname)"
        )


def _take_member(swarm: Swarm) -> None:
    """Have this host carry a member where one is free; two that join at once must not carry the same."""
    while True:
        mine = _self(swarm)
        twins = [host for host in swarm.hosts() if host.member == mine.member and host.id < mine.id]
        if mine.member and not twins:
            return
        free = next_member(swarm.hosts())
        if not free:
            return
        swarm.set_member(mine.id, free)
