"""The hypervisor of a Swarm's host: a Compose project beside the Swarm's services, on the hosts that shall run VMs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provision.adapters.docker.compose import Compose
from provision.adapters.host.files import ensure_private
from provision.adapters.openstack.admin import Admin
from provision.base import paths
from provision.model.localcloud import ovn
from provision.model.localcloud.settings import bridges
from provision.model.localcloud.swarm import hypervisor_project
from provision.operations.localcloud.shared import login
from provision.operations.localcloud.shared.hypervisors import AGENTS, await_hypervisors, start_early
from provision.operations.localcloud.shared.installation import is_installed, load_settings, read_passwords
from provision.operations.localcloud.shared.watch import Watch

if TYPE_CHECKING:
    from provision.adapters.docker.engine import Engine
    from provision.base.progress import Progress
    from provision.model.localcloud.settings import Settings
    from provision.operations.localcloud.shared.installation import Installation

_NO_HYPERVISOR: Final = "no-hypervisor"
"""File that marks a host without VMs. Unlike the settings, it is not shared with the other hosts."""
_DATABASES: Final = "external_ids:provision-databases"
"""Open vSwitch setting that keeps which OVN databases this host has followed."""
_FOLLOWER: Final = "metadata-agent"
"""Service that must be recreated to follow other databases; ovn-controller, on which VMs depend, can be told."""


def runs_vms() -> bool:
    """Whether this host shall run VMs."""
    return not (paths.localcloud_dir() / _NO_HYPERVISOR).exists()


def choose(*, vms: bool) -> None:
    """Keep whether this host shall run VMs."""
    if vms:
        (paths.localcloud_dir() / _NO_HYPERVISOR).unlink(missing_ok=True)
    else:
        ensure_private(paths.localcloud_dir() / _NO_HYPERVISOR, "")


def project(host: str) -> Compose:
    """Return the Compose project of this host's hypervisor."""
    folder = paths.localcloud_dir()
    files = (paths.COMPOSE / "compute.yaml", paths.COMPOSE / "swarm-compute.yaml", folder / "hypervisor.yaml")
    return Compose(hypervisor_project(host), files, folder / "compose.env", {"HYPERVISOR": host})


def ensure(engine: Engine, installation: Installation, progress: Progress) -> None:
    """Make this host a hypervisor, and wait until Nova and Neutron can use it; the control plane answers already."""
    settings, host = installation.settings, engine.host()
    for bridge in bridges(settings):
        engine.ensure_bridge(bridge)
    hypervisor = project(host)
    start_early(engine, hypervisor)
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
    admin = Admin(login.admin_login(settings, installation.passwords["admin"]))
    watch = Watch(engine, progress)
    await_hypervisors(engine, admin, watch, [host], replicas=installation.replicas, last_steps=steps)
    watch.until(watch.all_run)
    if current := _read_databases(engine, settings, switch):
        engine.execute(switch, ["ovs-vsctl", "set", "open", ".", f"{_DATABASES}={current}"])


def _forget_old_databases(engine: Engine, hypervisor: Compose, settings: Settings, switch: str) -> None:
    """Make this host follow OVN's databases if a restore has recreated them: it would take them for outdated ones."""
    _, text = engine.execute(switch, ["ovs-vsctl", "--if-exists", "get", "open", ".", _DATABASES])
    followed, current = text.strip().strip('"'), _read_databases(engine, settings, switch)
    if followed and current and followed != current:
        engine.execute(switch, ["ovn-appctl", "-t", "ovn-controller", "sb-cluster-state-reset"])
        hypervisor.remove([_FOLLOWER])


def _read_databases(engine: Engine, settings: Settings, switch: str) -> str:
    """Return the identity of OVN's databases; an empty string if they do not answer."""
    code, text = engine.execute(switch, ovn.identity(settings))
    return "" if code else text.strip()


def stop(engine: Engine, progress: Progress, *, purge: bool) -> None:
    """Remove this host's hypervisor with its VMs; their disks stay unless `purge` is set."""
    hypervisor = project(engine.host())
    if is_installed() and engine.states(hypervisor.project):
        progress.update(hypervisor.project, "stopping")
        hypervisor.down(volumes=purge)
        progress.update(hypervisor.project, "stopped")
    for bridge in bridges(load_settings()):
        engine.remove_bridge(bridge)


def retire(engine: Engine, settings: Settings, progress: Progress, *, listed: bool) -> None:
    """Remove this host's hypervisor for good. `listed`: also from Nova's and Neutron's lists, as these run.

    From the lists in any case: an interrupted `leave` may have stopped it already.
    """
    if engine.states(hypervisor_project(engine.host())):
        stop(engine, progress, purge=True)
    if listed:
        admin = Admin(login.admin_login(settings, read_passwords().get("admin", "")))
        admin.forget_hypervisor(engine.host())
