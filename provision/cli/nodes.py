"""The commands for a cluster's nodes: `ssh`, `run`, `verify` and `inventory`."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from provision.base.errors import UsageError
from provision.cli.completion.names import complete, nodes
from provision.cli.seconds import Seconds
from provision.cli.spec import file_option, live_cluster, load_spec
from provision.cli.terminal import TerminalProgress, duration, print_json
from provision.model import finding
from provision.model.cluster.inventory import host_variables
from provision.operations.cluster.run import ROLES, find_node, highest_exit_code, ssh_argv
from provision.operations.cluster.run import run as run_on_nodes

if TYPE_CHECKING:
    from pathlib import Path


@click.command(context_settings={"ignore_unknown_options": True})
@file_option
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[NODE] [-- CMD…]", shell_complete=complete(nodes))
@click.pass_context
def ssh(context: click.Context, *, file: Path | None, words: tuple[str, ...]) -> None:
    """Open a shell on a node, or run a command there.

    NODE is a node's name or its end, as `worker-1`. Default: the node with the Hub, which is the master unless the spec
    says otherwise (hub.on). CMD goes to the node's shell as ssh sends it. The exit code is CMD's.
    """
    name, command = split(words, sys.argv)
    cluster = live_cluster(load_spec(file), file)
    argv = ssh_argv(cluster, find_node(cluster, name), command)
    context.exit(os.spawnvp(os.P_WAIT, argv[0], argv))  # noqa: S606 - the terminal is the shell's own


def split(words: tuple[str, ...], argv: list[str]) -> tuple[str | None, tuple[str, ...]]:
    """Tell the node from the command: what follows `--` in `argv` is the command.

    Raises click.UsageError for more than one word before it.
    """
    before = len(words) - len(argv[argv.index("--") + 1 :]) if "--" in argv else len(words)
    if before > 1:
        raise click.UsageError(f"which of these is the node: {' '.join(words[:before])}? A command comes after `--`.")
    return (words[0] if before == 1 else None), words[before:]


@click.command(context_settings={"ignore_unknown_options": True})
@file_option
@click.option("--role", type=click.Choice(ROLES), default="all", show_default=True, help="On which nodes.")
@click.option("--timeout", type=Seconds(min=1), help="Seconds after which a node counts as failed (124).")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD…")
@click.pass_context
def run(
    context: click.Context,
    *,
    file: Path | None,
    role: str,
    timeout: float | None,
    as_json: bool,
    command: tuple[str, ...],
) -> None:
    """Run a command on many nodes at once.

    Shows every node's result, and ends with the worst exit code. One word goes to the nodes' shells as it is (`--
    'uptime | cut -c 1-20'`), several are one command with arguments.
    """
    line = command[0] if len(command) == 1 else shlex.join(command)
    results = run_on_nodes(live_cluster(load_spec(file), file), role, line, timeout)
    if as_json:
        print_json(
            {
                name: {key: asdict(result)[key] for key in ("code", "stdout", "stderr")}
                for name, result in results.items()
            }
        )
    else:
        for name, result in results.items():
            click.secho(f"{name}: {'ok' if result.ok else f'exit code {result.code}'}", bold=True, err=True)
            click.echo(result.stdout, nl=False)
            click.echo(result.stderr, nl=not result.stderr.endswith("\n") and bool(result.stderr), err=True)
    context.exit(highest_exit_code(results))


@click.command()
@file_option
@click.option("--json", "as_json", is_flag=True, help="Print every check as JSON.")
@click.option("-k", "only", metavar="EXPRESSION", default="", help="Only the checks whose names match (pytest -k).")
def verify(*, file: Path | None, as_json: bool, only: str) -> None:
    """Test the live cluster with testinfra.

    Looks at software, units, sockets and secrets, runs a job on every worker and logs in to the Hub. Exits with 1 when
    a check fails.
    """
    # They import Jinja and YAML.
    from provision.operations.cluster.verify import check_expression
    from provision.operations.cluster.verify import verify as run_checks

    check_expression(only)
    progress = TerminalProgress()
    report = run_checks(live_cluster(load_spec(file), file), progress, only=only)
    if as_json:
        print_json(report.as_data())
    else:
        for failed in report.failed:
            click.secho(f"✗ {failed.name}", fg="red", bold=True)
            click.echo("\n".join("    " + text for text in failed.message.splitlines()))
        counts = f"{len(report.passed)} passed, {len(report.failed)} failed"
        click.echo(f"{counts} in {duration(report.seconds)}")
    if report.failed or not report.passed:
        raise click.exceptions.Exit(1)


@click.command()
@file_option
@click.option("--list", "listed", is_flag=True, help="Groups, nodes and their variables, as Ansible asks for them.")
@click.option("--host", metavar="NODE", help="One node's variables.")
def inventory(*, file: Path | None, listed: bool, host: str | None) -> None:
    """Print Ansible's dynamic inventory, from the cloud's metadata. JSON, without secrets."""
    if host is not None and listed:
        raise click.UsageError("give --list or --host, not both")
    data = live_cluster(load_spec(file), file).inventory()
    if host is not None:
        names = data["_meta"]["hostvars"]
        if host not in names:
            raise UsageError(f"there is no node {host!r}", f"There are: {finding.listed(names)}.")
        print_json(host_variables(data, host))
        return
    print_json(data)
