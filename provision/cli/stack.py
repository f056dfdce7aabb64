"""`provision cloud`: the `local` cloud, OpenStack in containers on this machine."""

from __future__ import annotations

import click


@click.group()
def cloud() -> None:
    """Run the `local` cloud: OpenStack in containers on this machine."""


@cloud.command()
@click.option("--ha/--no-ha", default=None, help="Three members of what keeps state, or one; kept for the next time.")
def up(*, ha: bool | None) -> None:
    """Start it (building what is missing), and wait until every API, compute service and network agent is up."""
    from provision.cli.terminal import TerminalProgress, duration
    from provision.workflows.stack_up import ensure_stack

    progress = TerminalProgress()
    ensure_stack(progress, ha=ha)
    for depth, name, seconds in progress.phases:
        progress.note(f"  {'  ' * depth}{name}: {duration(seconds)}")
    progress.note("The cloud `local` is up: `openstack --os-cloud local` and `provision up` work with it.")


@cloud.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(*, as_json: bool) -> None:
    """Show its containers, APIs, hypervisors and agents; 1 when something is not up."""
    from provision.cli.terminal import print_json
    from provision.workflows.stack_status import stack_status

    found = stack_status()
    if as_json:
        print_json(found.document())
    else:
        click.echo(found.text())
    if not found.up:
        raise click.exceptions.Exit(1)


@cloud.command()
@click.option("-f", "--follow", is_flag=True, help="Go on as new lines come.")
@click.option("-n", "--tail", type=click.IntRange(min=0), default=50, show_default=True, help="Lines per service.")
@click.argument("services", nargs=-1)
def logs(*, services: tuple[str, ...], follow: bool, tail: int) -> None:
    """Show the log of SERVICES (all of them by default)."""
    from provision.workflows.stack_status import stack_logs

    stack_logs(click.echo, services, follow=follow, tail=tail)


@cloud.command()
@click.option("--purge", is_flag=True, help="Remove its data, images and files too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def down(*, purge: bool, yes: bool) -> None:
    """Stop it; its data stays, unless --purge is given."""
    import sys

    from provision.base.errors import UsageError
    from provision.cli.terminal import TerminalProgress
    from provision.workflows.stack_down import stop_stack

    if purge and not yes:
        if not sys.stdin.isatty():
            raise UsageError("--purge removes every VM, image and network of the local cloud", "say so with --yes")
        click.confirm("Remove the local cloud with all its VMs, images and data?", abort=True, err=True)
    stop_stack(TerminalProgress(), purge=purge)
