"""`provision cloud`: run the `local` cloud, and choose the hosts that it runs on."""

from __future__ import annotations

from pathlib import Path

import click

from provision.base.errors import UsageError
from provision.cli.asking import ask, require_consent
from provision.cli.cloud import monitoring, operations
from provision.model.localcloud.replicas import READY_TIMEOUT
from provision.operations.localcloud.local_cloud import local_cloud


@click.group()
def cloud() -> None:
    """Run the `local` cloud: OpenStack in containers, on this machine or several."""


_FILE = click.Path(path_type=Path, resolve_path=True)


@cloud.command()
@click.option(
    "--ha/--no-ha", default=None, help="Run three members of MariaDB, RabbitMQ and memcached, or one; remembered."
)
@click.option("--tls-cert", "cert", type=_FILE, help="Use your own certificate (PEM, with its chain) for the APIs.")
@click.option("--tls-key", "key", type=_FILE, help="Private key of that certificate.")
@click.option("--tls-authority", "authority", type=_FILE, help="CA that signed it, if it is not publicly trusted.")
@click.option("--own-tls", is_flag=True, help="Go back to the certificate that the cloud makes itself.")
def up(*, ha: bool | None, cert: Path | None, key: Path | None, authority: Path | None, own_tls: bool) -> None:
    """Start the cloud, and wait until it works.

    Missing images are built. The paths of a certificate are remembered, and the files are read again at every start. On
    several hosts this makes the current host run VMs, unless it joined with --no-hypervisor.
    """
    from provision.cli.terminal import TerminalProgress, duration
    from provision.model.localcloud.settings import GivenTls
    from provision.operations.localcloud.shared.installation import choose_tls, load_settings

    if (cert is None) != (key is None) or (authority and not cert) or (own_tls and cert):
        raise UsageError(
            "--tls-cert and --tls-key belong together, and exclude --own-tls", "Give both, or --own-tls alone."
        )
    if (cert or own_tls) and load_settings().swarm:
        raise UsageError(
            "on several hosts the APIs have the certificate that the cloud makes itself",
            "Leave out --tls-cert, --tls-key and --own-tls.",
        )
    progress = TerminalProgress()
    if cert and key:
        choose_tls(progress, GivenTls("", cert, key, authority))
    elif own_tls:
        choose_tls(progress, None)
    local_cloud().up(progress, ha=ha)
    for depth, name, seconds in progress.phases:
        progress.note(f"  {'  ' * depth}{name}: {duration(seconds)}")
    progress.note("The cloud `local` is up: `openstack --os-cloud local` and `provision up` work with it.")


@cloud.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(*, as_json: bool) -> None:
    """Show services, APIs and hypervisors.

    The exit code is 1 if something is not up.
    """
    from provision.cli.terminal import print_json

    found = local_cloud().status()
    if as_json:
        print_json(found.document())
    else:
        click.echo(found.text())
    if not found.up:
        raise click.exceptions.Exit(1)


_TIMEOUT = click.option(
    "--timeout",
    type=click.IntRange(1),
    default=READY_TIMEOUT,
    show_default=True,
    help="Seconds for a new replica to become ready.",
)
_GRACE = click.option(
    "--grace",
    type=click.IntRange(0),
    help="Seconds for the requests of an old replica to end.  [default: 60; Glance: 3600]",
)


@cloud.command()
@_TIMEOUT
@_GRACE
@click.argument("replicas", nargs=-1, required=True, metavar="SERVICE=N...")
def scale(*, replicas: tuple[str, ...], timeout: int, grace: int | None) -> None:
    """Run N replicas of each SERVICE, now and from now on."""
    from provision.cli.terminal import TerminalProgress

    local_cloud().scale(TerminalProgress(), replicas, ready_timeout=timeout, drain_timeout=grace)


@cloud.command()
@_TIMEOUT
@_GRACE
@click.argument("services", nargs=-1)
def upgrade(*, services: tuple[str, ...], timeout: int, grace: int | None) -> None:
    """Upgrade services, one replica at a time.

    SERVICES are brought to this checkout's version, by default all that can be replaced without a pause.
    """
    from provision.cli.terminal import TerminalProgress

    local_cloud().upgrade(TerminalProgress(), services, ready_timeout=timeout, drain_timeout=grace)


@cloud.command()
@click.option("--purge", is_flag=True, help="Remove data, images and files too.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def down(*, purge: bool, yes: bool) -> None:
    """Stop the cloud; its data stays.

    On several hosts this stops the control plane on all of them, and the VMs of the current host.
    """
    from provision.cli.terminal import TerminalProgress

    if purge and not yes:
        require_consent("--purge removes every VM, image and network of the local cloud", yes=yes)
        ask("Remove the local cloud with all its VMs, images and data?")
    local_cloud().down(TerminalProgress(), purge=purge)


_NO_HYPERVISOR = click.option("--no-hypervisor", is_flag=True, help="Run no VMs on this host.")


@cloud.command()
@click.option("--advertise-addr", "address", required=True, help="Address where the other hosts reach this one.")
@_NO_HYPERVISOR
def init(*, address: str, no_hypervisor: bool) -> None:
    """Create a cloud on several hosts, with this one as the first.

    The hosts form a Docker Swarm. The command prints the line with which the others join. Keep that line secret: it
    gives control over every host.
    """
    from provision.cli.terminal import TerminalProgress
    from provision.operations.localcloud.swarm import hosts

    progress = TerminalProgress()
    token = hosts.init(progress, address, vms=not no_hypervisor)
    progress.note("On each of the other hosts (three in all, or more), with the same checkout:")
    click.echo(f"provision cloud join {token} {address}")
    progress.note(
        "Then `provision cloud up`, on each that shall run VMs. Keep that line secret: it gives full control."
    )


@cloud.command()
@click.option("--advertise-addr", "own", default="", help="Address where the other hosts reach this one.")
@_NO_HYPERVISOR
@click.argument("token")
@click.argument("address")
def join(*, token: str, address: str, own: str, no_hypervisor: bool) -> None:
    """Add this host to a cloud on several hosts.

    `provision cloud init` has printed TOKEN on the host at ADDRESS.
    """
    from provision.cli.terminal import TerminalProgress
    from provision.operations.localcloud.swarm import hosts

    hosts.join(TerminalProgress(), token, address, own, vms=not no_hypervisor)


@cloud.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def leave(*, yes: bool) -> None:
    """Take this host out of the cloud, and remove its data.

    The other hosts keep their data. The VMs on this host are removed with their disks, and with the first host Glance's
    images.
    """
    from provision.cli.terminal import TerminalProgress
    from provision.operations.localcloud.swarm import hosts
    from provision.operations.localcloud.swarm.files import require_swarm

    require_swarm()
    if not yes:
        require_consent("leaving removes all data of the cloud that is on this host", yes=yes)
        ask("Leave, and remove all data of the cloud that is on this host?")
    hosts.leave(TerminalProgress())


for command in (
    *(operations.logs, operations.doctor, operations.backup, operations.restore),
    *(monitoring.enable, monitoring.disable, monitoring.alerts, monitoring.metrics, monitoring.dashboards),
):
    cloud.add_command(command)
