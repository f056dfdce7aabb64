"""`provision cloud init`, `join` and `leave`: create a Swarm of hosts, add this host to one, and take it out."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from provision.adapters.consul.catalogue import Catalogue
from provision.adapters.docker import compose
from provision.adapters.docker.engine import Engine
from provision.adapters.host.facts import interface_mtu
from provision.adapters.openstack import clouds_yaml, config, kept_token
from provision.base import paths, poll
from provision.base.constants import LOCAL_CLOUD
from provision.base.errors import ProvisionError, UsageError
from provision.base.poll import Pending
from provision.model.localcloud.image_families import image_name
from provision.model.localcloud.settings import CLUSTERED, PROJECT, USUAL_MTU, VXLAN_BYTES
from provision.model.localcloud.swarm import (
    FIRST,
    NETWORK,
    TUNNEL,
    absent_members,
    names,
    next_member,
    part,
    renewal_hint,
)
from provision.operations.localcloud.shared import login, members
from provision.operations.localcloud.shared.images import ensure_images
from provision.operations.localcloud.shared.installation import (
    ensure_files,
    exclusive_lock,
    is_installed,
    load_settings,
    read_passwords,
    save_settings,
)
from provision.operations.localcloud.swarm import hypervisor
from provision.operations.localcloud.swarm.files import (
    ensure_built,
    ensure_stack_files,
    read_shared,
    require_swarm,
    swarm_adapter,
)
from provision.operations.localcloud.swarm.lock import swarm_lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from provision.adapters.docker.swarm import Swarm
    from provision.base.progress import Progress
    from provision.model.localcloud.settings import Settings
    from provision.model.localcloud.swarm import Host

_Answer = TypeVar("_Answer")

_JOIN_TIMEOUT: Final = 180
"""Seconds that a host may take to become one of the Swarm's."""
_UNDECIDED: Final = {
    "pending": "Start the hosts that are away: it may be one of theirs still. ",
    "locked": "`docker swarm unlock` lets it go on. ",
}
"""Docker's states of a host that has not found the others yet, and what helps."""


def until(ask: Callable[[], _Answer | Pending], timeout: float = _JOIN_TIMEOUT) -> _Answer:
    """Call `ask` every second until it returns something other than Pending, and return that.

    Raises ProvisionError with what is missing after `timeout` seconds.
    """

    def too_late(missing: str) -> ProvisionError:
        return ProvisionError(
            f"after {timeout:.0f} s there still lacks: {missing}",
            "See `provision cloud status` and `docker service ps --no-trunc`. "
            "Running the same command again continues from here.",
        )

    return poll.until(ask, timeout=timeout, too_late=too_late)


def init(progress: Progress, address: str, *, vms: bool = True) -> str:
    """Create a Swarm with this machine, which the other hosts reach at `address`; return the token to join it with.

    `vms` is whether this machine shall run VMs.
    Raises UsageError on a machine that already has a local cloud of its own: its data would be left behind.
    """
    compose.require()
    engine = Engine()
    with exclusive_lock(progress):
        settings = _settings_in_swarm()
        swarm = swarm_adapter(settings)
        state, manages = swarm.state()
        if state == "inactive":
            swarm.begin(address)
        else:
            _require_managing(state, manages=manages)
        with swarm_lock(swarm, progress):
            if read_shared(engine, swarm):
                # Not what this host last saw of them: all hosts get what is deployed below.
                settings = load_settings()
            save_settings(settings)
            hypervisor.choose(vms=vms)
            _begin(engine, swarm, settings, progress)
        return swarm.token()


def _begin(engine: Engine, swarm: Swarm, settings: Settings, progress: Progress) -> None:
    """Deploy what the other hosts get the images and the local cloud's files from."""
    take_member(swarm)
    ensure_networks(swarm, settings)
    with progress.phase("images"):
        tags = _prepare(engine, swarm, progress)
        ensure_files(tags)
        # With the registry's password, which may have been made just now.
        swarm = swarm_adapter(settings)
        stack = ensure_stack_files(tags, names(settings, tags))
        swarm.deploy(part(stack.file(), FIRST))
        until(lambda: None if swarm.registry_answers() else Pending("the registry"))
        ensure_built(engine, swarm, progress, settings.families)


def join(progress: Progress, token: str, address: str, own: str = "", *, vms: bool = True) -> None:
    """Add this machine to the Swarm of the host at `address`; the other hosts reach it at `own`.

    `vms` is whether this machine shall run VMs: `cloud up` on it makes it a hypervisor then.
    """
    compose.require()
    engine = Engine()
    with exclusive_lock(progress):
        settings = _settings_in_swarm()
        swarm = swarm_adapter(settings)
        state, manages = swarm.state()
        if state != "inactive":
            _require_managing(state, manages=manages)
        with progress.phase("image"):
            # The registry itself is reached through this image, so it is built here.
            _prepare(engine, swarm, progress)
        if state == "inactive":
            swarm.join(token, address, own)
        with progress.phase("joining"):
            until(lambda: None if swarm.state() == ("active", True) else Pending("a place among the Swarm's managers"))
            until(lambda: None if this_host(swarm).ready else Pending("this host"))
            _require_unique_name(swarm)
            try:
                _require_mtu(swarm, joins=True)
            except UsageError:
                # One that was a host before may run a member.
                if state == "inactive":
                    swarm.leave()
                raise
            until(lambda: None if read_shared(engine, swarm) else Pending("the local cloud's files, from the Swarm"))
            with swarm_lock(swarm, progress):
                take_member(swarm)
        hypervisor.choose(vms=vms)
        ensure_clouds_yaml(progress, load_settings())
        progress.update("this host", f"runs member {this_host(swarm).member or 'none'}")


def leave(progress: Progress) -> None:
    """Take this machine out of its Swarm, and remove what it has of the local cloud: containers, data, images, files.

    Raises UsageError if it runs a member without which the others would be no majority, and if it has not reached the
    others since Docker's start: they may count on it.
    """
    settings = require_swarm()
    swarm = swarm_adapter(settings)
    engine = Engine()
    with exclusive_lock(progress), swarm_lock(swarm, progress):
        state = swarm.state()
        if state[0] in _UNDECIDED:
            raise UsageError(
                f"this host does not reach the others (Docker says: {state[0]}), so they still count on it",
                f"{_UNDECIDED[state[0]]}If they have removed it, `docker swarm leave --force` here; then the same "
                "command again.",
            )
        if state == ("active", True):
            services = swarm.desired_replicas()
            if len(swarm.hosts()) > 1 and this_host(swarm).member and services.get("mariadb"):
                _require_others(swarm, settings)
            hypervisor.retire(engine, settings, progress, listed="nova-api" in services)
            swarm.leave()
        else:
            # The others have removed this host, and ask it for nothing any more.
            hypervisor.stop(engine, progress, purge=True)
            if state[0] != "inactive":
                swarm.leave(force=True)
        remove_all(engine, progress)
        progress.note(
            "`docker node rm` on another host removes this one from the list there; another machine may take its place."
        )


def remove_all(engine: Engine, progress: Progress) -> None:
    """Remove everything that this machine has of the local cloud."""
    # By label, in any state.
    engine.purge(lambda text: progress.update("removing", text))
    clouds_yaml.remove_entry(config.own_file(), LOCAL_CLOUD, PROJECT)
    kept_token.forget_all()
    shutil.rmtree(paths.localcloud_dir(), ignore_errors=True)


def ensure_networks(swarm: Swarm, settings: Settings) -> None:
    """Create the networks that the containers of all hosts share.

    Raises UsageError where they take longer packets than this host's own network does.
    """
    # No more than usual: another host's may be no larger.
    mtu = min(interface_mtu(this_host(swarm).address) or USUAL_MTU, USUAL_MTU)
    swarm.ensure_network(NETWORK, settings.management, mtu)
    swarm.ensure_network(TUNNEL, settings.tunnel, mtu)
    _require_mtu(swarm)


def _require_mtu(swarm: Swarm, *, joins: bool = False) -> None:
    """Raise UsageError if this host's network takes only shorter packets than the Swarm's networks make."""
    own = interface_mtu(this_host(swarm).address)
    for name in (NETWORK, TUNNEL):
        needed = swarm.network_mtu(name) + VXLAN_BYTES
        if 0 < own < needed:
            # Networks are made on a host of the Swarm, for the packets of its own.
            lower = (
                f"Or lower that of one of the Swarm's hosts to {own}, and make the networks there. " if joins else ""
            )
            raise UsageError(
                f"this host's network has an MTU of {own}, and {name} is made for {needed}: long packets would be lost",
                f"Give this host's network an MTU of {needed}. {lower}{renewal_hint()}",
            )


def missing_members(swarm: Swarm, settings: Settings) -> Pending | None:
    """Return Pending with the members of clustered services that do not serve."""
    address = swarm.address("consul")
    if not address:
        return Pending("Consul on this host")
    return members.missing_members(Catalogue(f"http://{address}:8500"), settings)


def serving_containers(swarm: Swarm) -> set[str]:
    """Return the containers (the first 12 digits of their ids) of the members that serve, on all hosts.

    Raises ConsulUnavailableError where nobody knows.
    """
    catalogue = Catalogue(f"http://{swarm.address('consul')}:8500")
    return set().union(*map(catalogue.containers, CLUSTERED))


def _require_others(swarm: Swarm, settings: Settings) -> None:
    if missing := missing_members(swarm, settings):
        raise UsageError(
            f"not all members serve ({missing.reason}), and this host runs one: the others would be no majority",
            "Start the missing ones first; `provision cloud down` stops everything in good order.",
        )


def ensure_clouds_yaml(progress: Progress, settings: Settings) -> None:
    """Write the entry into this host's clouds.yaml: the APIs answer on every host."""
    entry = login.user_entry(settings, read_passwords()["provision"])
    file = config.own_file()
    if clouds_yaml.ensure_entry(file, LOCAL_CLOUD, entry):
        progress.note(f"wrote the entry `{LOCAL_CLOUD}` into {file}")


def require_three_hosts(swarm: Swarm) -> None:
    """Raise UsageError if there are too few hosts for three members of each clustered service."""
    if absent := absent_members(swarm.hosts()):
        raise UsageError(
            f"a control plane on several hosts needs three: {len(absent)} more hosts have to join",
            "`provision cloud init` prints what to run on each.",
        )


def _settings_in_swarm() -> Settings:
    """Return the settings for a machine that joins a Swarm. Raises UsageError where the local cloud has no place."""
    clouds_yaml.require_own_entry(config.own_file(), LOCAL_CLOUD, PROJECT)
    settings = load_settings()
    if not settings.swarm and is_installed():
        raise UsageError(
            "this machine has a local cloud of its own, which would be left behind",
            "Keep its data with `provision cloud backup`, and remove it with `provision cloud down --purge`.",
        )
    # A certificate of the user's is a file of this machine alone.
    return replace(settings, ha=True, swarm=True, tls=None)


def _require_managing(state: str, *, manages: bool) -> None:
    if not manages:
        raise UsageError(
            f"Docker says that this machine's part in a Swarm is: {state}, not managing it",
            f"{_UNDECIDED.get(state, '')}`docker swarm leave --force` takes it out of that Swarm, and then it can join "
            "ours.",
        )


def _prepare(engine: Engine, swarm: Swarm, progress: Progress) -> dict[str, str]:
    tags = ensure_images(engine, progress, ["registry"])
    name = image_name("registry", tags)
    swarm.tag(name)
    swarm.ensure_resolver_file(name)
    return tags


def this_host(swarm: Swarm) -> Host:
    """Return this host, as the Swarm knows it."""
    id_ = swarm.host_id()
    return next(host for host in swarm.hosts() if host.id == id_)


def _require_unique_name(swarm: Swarm) -> None:
    mine = this_host(swarm)
    # One that is away and carries no member may be this machine itself: Docker lists a host that has left under its old
    # id, and gives another when it joins again.
    others = [host for host in swarm.hosts() if host.id != mine.id and (host.ready or host.member)]
    if any(host.name == mine.name for host in others):
        swarm.leave()
        raise UsageError(f"another host of the Swarm is called {mine.name} too", "Give this machine another host name.")


def take_member(swarm: Swarm) -> None:
    """Assign a free member to this host, if there is one."""
    # Again until no other host has taken the same one at the same time.
    while True:
        mine = this_host(swarm)
        twins = [host for host in swarm.hosts() if host.member == mine.member and host.id < mine.id]
        if mine.member and not twins:
            return
        free = next_member(swarm.hosts())
        if free != mine.member:
            swarm.set_member(mine.id, free)
        if not free:
            return
