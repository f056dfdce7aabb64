"""A Swarm's host as a hypervisor: a Compose project of its own beside the Swarm's services, and whether it has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provision.adapters.docker.compose import Compose
from provision.adapters.host.files import ensure_private
from provision.adapters.openstack.admin import Admin
from provision.base import paths
from provision.model.localcloud import ovn
from provision.model.localcloud.settings import EARLY, bridges
from provision.model.localcloud.swarm import hypervisor_project
from provision.operations.localcloud.shared import bootstrap
from provision.operations.localcloud.shared.installation import is_installed, load_settings, read_passwords
from provision.operations.localcloud.shared.watch import Watch
from provision.operations.localcloud.single.up import await_hypervisors
from provision.operations.localcloud.single.upgrade import AGENTS

if TYPE_CHECKING:
    from provision.adapters.docker.engine import Engine
    from provision.base.progress import Progress
    from provision.model.localcloud.settings import Settings
    from provision.operations.localcloud.shared.installation import Installation

_NONE: Final = "no-hypervisor"
"""A file of this host alone: the other choices are all hosts'."""
_FOLLOWED: Final = "external_ids:provision-databases"
"""Where the switch keeps which databases of OVN this host has followed."""
_FOLLOWER: Final = "metadata-agent"
"""What has to be made anew to follow others; ovn-controller, on which guests depend, can be told."""


def carries_guests() -> bool:
    """Whether this host shall carry VMs."""
    return not (paths.localcloud_dir() / _NONE).exists()


def choose(*, guests: bool) -> None:
    """Keep whether this host shall carry VMs."""
    if guests:
        (paths.localcloud_dir() / _NONE).unlink(missing_ok=True)
    else:
        ensure_private(paths.localcloud_dir() / _NONE, "")


def project(host: str) -> Compose:
    """Return the Compose project of this host's hypervisor."""
    folder = paths.localcloud_dir()
    files = (paths.COMPOSE / "compute.yaml", paths.COMPOSE / "swarm-compute.yaml", folder / "hypervisor.yaml")
    return Compose(hypervisor_project(host), files, folder / "compose.env", {"HYPERVISOR": host})


def ensure(engine: Engine, installation: Installation, progress: Progress) -> None:
    """Make this host a hypervisor, and wait until Nova and Neutron count on it; the control plane answers already."""
    settings, host = installation.settings, engine.host()
    for bridge in bridges(settings):
        engine.ensure_bridge(bridge)
    hypervisor = project(host)
    # What carries guests stays, since they would end with it.
    hypervisor.up(EARLY, no_recreate=True)
    switch, agent = f"{hypervisor.project}-switch-1", f"{hypervisor.project}-nova-compute-1"
    _forget_old_databases(engine, hypervisor, settings, switch)
    hypervisor.up(list(AGENTS), no_deps=True)
    remote = ovn.remotes(settings, settings.ports.ovn_sb)
    # Another host may carry a member now than when the switch was made.
    engine.execute(switch, ["ovs-vsctl", "--no-wait", "set", "open", ".", f'external_ids:ovn-remote="{remote}"'])
    steps = {
        " OVN metadata": (switch, ovn.sync(settings)),
        " hypervisor": (agent, ["nova-manage", "cell_v2", "discover_hosts"]),
    }
    admin = Admin(bootstrap.admin_login(settings, installation.passwords["admin"]))
    watch = Watch(engine, progress)
    await_hypervisors(engine, admin, watch, [host], copies=installation.copies, last_steps=steps)
    watch.until(watch.stopped)
    if now := _databases(engine, settings, switch):
        engine.execute(switch, ["ovs-vsctl", "set", "open", ".", f"{_FOLLOWED}={now}"])


def _forget_old_databases(engine: Engine, hypervisor: Compose, settings: Settings, switch: str) -> None:
    """Have this host follow OVN's databases where a restore has made them anew: it would take them for old ones."""
    _, known = engine.execute(switch, ["ovs-vsctl", "--if-exists", "get", "open", ".", _FOLLOWED])
    known, now = known.strip().strip('"'), _databases(engine, settings, switch)
    if known and now and known != now:
        engine.execute(switch, ["ovn-appctl", "-t", "ovn-controller", "sb-cluster-state-reset"])
        hypervisor.remove([_FOLLOWER])


def _databases(engine: Engine, settings: Settings, switch: str) -> str:
    """Return what tells OVN's databases from any others; nothing where they do not answer."""
    code, said = engine.execute(switch, ovn.identity(settings))
    return "" if code else said.strip()


def stop(engine: Engine, progress: Progress, *, purge: bool) -> None:
    """Remove this host's hypervisor with its guests; their disks stay, unless all is to go."""
    hypervisor = project(engine.host())
    if is_installed() and engine.states(hypervisor.project):
        progress.update(hypervisor.project, "stopping")
        hypervisor.down(volumes=purge)
        progress.update(hypervisor.project, "stopped")
    for bridge in bridges(load_settings()):
        engine.remove_bridge(bridge)


def retire(engine: Engine, settings: Settings, progress: Progress) -> None:
    """Remove this host's hypervisor for good: Nova and Neutron count on it no more."""
    if engine.states(hypervisor_project(engine.host())):
        stop(engine, progress, purge=True)
        admin = Admin(bootstrap.admin_login(settings, read_passwords().get("admin", "")))
        admin.forget_hypervisor(engine.host())
