"""`provision cloud`: the `local` cloud, OpenStack in containers on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from provision.cli.asking import ask, require_consent
from provision.cli.cloud import operations
from provision.model.localcloud.replicas import READY_TIMEOUT


@click.group()
def cloud() -> None:
    """Run the `local` cloud: OpenStack in containers, on this machine or several."""


_FILE = click.Path(path_type=Path, resolve_path=True)


@cloud.command()
@click.option(
    "--ha/--no-ha", default=None, help="Three members of MariaDB, RabbitMQ and memcached, or one; remembered."
)
@click.option("--tls-cert", "cert", type=_FILE, help="A certificate (PEM, with its chain) of your own for the APIs.")
@click.option("--tls-key", "key", type=_FILE, help="Its key.")
@click.option(
    "--tls-authority", "authority", type=_FILE, help="The certificate of what signed it, if that is your own."
)
@click.option("--own-tls", is_flag=True, help="Go back to the certificate that the installation makes itself.")
def up(*, ha: bool | None, cert: Path | None, key: Path | None, authority: Path | None, own_tls: bool) -> None:
    """Start the cloud, and wait until it works.

    What is missing is built. A certificate's path is remembered, and the file read anew at every start. On several
    hosts this one carries VMs from then on, unless it was taken in with --no-hypervisor.
    """
    from provision.base.errors import UsageError
    from provision.cli.terminal import TerminalProgress, duration
    from provision.model.localcloud.settings import GivenTls
    from provision.operations.localcloud.shared.installation import choose_tls, load_settings
    from provision.operations.localcloud.single.up import ensure_stack
    from provision.operations.localcloud.swarm.up import ensure_swarm

    if (cert is None) != (key is None) or (authority and not cert) or (own_tls and cert):
        raise UsageError(
            "--tls-cert and --tls-key belong together, and exclude --own-tls", "give both, or --own-tls alone"
        )
    if cert and key:
        choose_tls(GivenTls("", cert, key, authority))
    elif own_tls:
        choose_tls(None)
    progress = TerminalProgress()
    if load_settings().swarm:
        if ha is False:
            raise UsageError("on several hosts what keeps state has three members", "leave out --no-ha")
        ensure_swarm(progress)
    else:
        ensure_stack(progress, ha=ha)
    for depth, name, seconds in progress.phases:
        progress.note(f"  {'  ' * depth}{name}: {duration(seconds)}")
    progress.note("The cloud `local` is up: `openstack --os-cloud local` and `provision up` work with it.")


@cloud.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(*, as_json: bool) -> None:
    """Show services, APIs and hypervisors.

    The exit code is 1 when something is not up.
    """
    from provision.cli.terminal import print_json
    from provision.operations.localcloud.shared.installation import load_settings
    from provision.operations.localcloud.single.status import stack_status
    from provision.operations.localcloud.swarm.status import swarm_status

    found = swarm_status() if load_settings().swarm else stack_status()
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
    help="Seconds for a new copy to work.",
)
_GRACE = click.option(
    "--grace", type=click.IntRange(0), help="Seconds for requests under way to end.  [default: 60; Glance's: an hour]"
)


@cloud.command()
@_TIMEOUT
@_GRACE
@click.argument("copies", nargs=-1, required=True, metavar="SERVICE=N...")
def scale(*, copies: tuple[str, ...], timeout: int, grace: int | None) -> None:
    """Run N copies of each SERVICE, now and from now on."""
    from provision.cli.terminal import TerminalProgress
    from provision.operations.localcloud.shared.installation import load_settings
    from provision.operations.localcloud.single.scale import scale as run
    from provision.operations.localcloud.swarm.up import scale as spread

    if load_settings().swarm:
        spread(TerminalProgress(), copies)
    else:
        run(TerminalProgress(), copies, limit=timeout, patience=grace)


@cloud.command()
@_TIMEOUT
@_GRACE
@click.argument("services", nargs=-1)
def upgrade(*, services: tuple[str, ...], timeout: int, grace: int | None) -> None:
    """Renew services, one copy at a time.

    SERVICES become what this checkout gives; by default all that can without a pause.
    """
    from provision.base.errors import UsageError
    from provision.cli.terminal import TerminalProgress
    from provision.operations.localcloud.shared.installation import load_settings
    from provision.operations.localcloud.single.upgrade import upgrade as run
    from provision.operations.localcloud.swarm.upgrade import upgrade_swarm

    if load_settings().swarm:
        if grace is not None:
            raise UsageError(
                "on several hosts each service has its own time to end what it has begun", "leave out --grace"
            )
        upgrade_swarm(TerminalProgress(), services)
    else:
        run(TerminalProgress(), services, limit=timeout, patience=grace)


@cloud.command()
@click.option("--purge", is_flag=True, help="Remove its data, images and files too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def down(*, purge: bool, yes: bool) -> None:
    """Stop the cloud; its data stays.

    On several hosts: the control plane on all, and this host's VMs.
    """
    from provision.cli.terminal import TerminalProgress
    from provision.operations.localcloud.shared.installation import load_settings
    from provision.operations.localcloud.single.down import stop_stack
    from provision.operations.localcloud.swarm.down import stop_swarm

    if purge and not yes:
        require_consent("--purge removes every VM, image and network of the local cloud", yes=yes)
        ask("Remove the local cloud with all its VMs, images and data?")
    if load_settings().swarm:
        stop_swarm(TerminalProgress(), purge=purge)
    else:
        stop_stack(TerminalProgress(), purge=purge)


_NO_HYPERVISOR = click.option("--no-hypervisor", is_flag=True, help="This host shall carry no VMs.")


@cloud.command("init")
@click.option("--advertise-addr", "address", required=True, help="Where the other hosts reach this one.")
@_NO_HYPERVISOR
def begin(*, address: str, no_hypervisor: bool) -> None:
    """Begin a cloud on several hosts, here.

    They are a Docker Swarm. What the others join it with is printed; whoever has that line controls every host.
    """
    from provision.cli.terminal import TerminalProgress
    from provision.operations.localcloud.swarm.hosts import begin as run

    progress = TerminalProgress()
    token = run(progress, address, guests=not no_hypervisor)
    progress.note("On each of the other hosts (three in all, or more), with the same checkout:")
    click.echo(f"provision cloud join {token} {address}")
    progress.note("Then `provision cloud up`, on each that shall carry VMs. Whoever has that line has everything.")


@cloud.command()
@click.option("--advertise-addr", "own", default="", help="Where the other hosts reach this one.")
@_NO_HYPERVISOR
@click.argument("token")
@click.argument("address")
def join(*, token: str, address: str, own: str, no_hypervisor: bool) -> None:
    """Take this host into a cloud on several.

    `provision cloud init` has printed TOKEN on the host at ADDRESS.
    """
    from provision.cli.terminal import TerminalProgress
    from provision.operations.localcloud.swarm.hosts import join as run

    run(TerminalProgress(), token, address, own, guests=not no_hypervisor)


@cloud.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def leave(*, yes: bool) -> None:
    """Take this host out; its data goes.

    The others keep what they have. VMs on this host go with their disks, and with the first host Glance's images.
    """
    from provision.cli.terminal import TerminalProgress
    from provision.operations.localcloud.swarm.files import require_swarm
    from provision.operations.localcloud.swarm.hosts import leave as run

    require_swarm()
    if not yes:
        require_consent("leaving removes all data of the cloud that is on this host", yes=yes)
        ask("Leave, and remove all data of the cloud that is on this host?")
    run(TerminalProgress())


for each in (operations.logs, operations.doctor, operations.backup, operations.restore):
    cloud.add_command(each)
