"""The `provision` command: its sub-commands."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

import click

from provision import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# Where each command is, and the first sentence of its help: `provision --help` imports none and stays under 0.3 s.
# tests/unit/cli/test_main.py compares the sentence with the command's own.
COMMANDS: Final = {
    "init": ("provision.cli.spec:init", "Write a cluster.yaml with every field and its default."),
    "plan": ("provision.cli.cluster:plan", "Show what `up` would do."),
    "up": ("provision.cli.cluster:up", "Make the cluster, or what is missing of it."),
    "status": ("provision.cli.cluster:status", "Show the cluster as the cloud, Spark and the Hub see it."),
    "doctor": ("provision.cli.view.doctor:doctor", "Say what is wrong with the cluster, and what to do about it."),
    "dashboards": (
        "provision.cli.view.monitoring:dashboards",
        "Show the newest figures of the cluster's dashboards, or write the dashboards for Grafana.",
    ),
    "alerts": (
        "provision.cli.view.monitoring:alerts",
        "Show the cluster's alerts that fire, and what to do about each.",
    ),
    "metrics": (
        "provision.cli.view.monitoring:metrics",
        "Ask the metrics that the cluster's master gathers, in PromQL.",
    ),
    "down": ("provision.cli.cluster:down", "Remove the cluster: all that carries its mark, and nothing else."),
    "ssh": ("provision.cli.nodes:ssh", "Open a shell on a node, or run a command there."),
    "run": ("provision.cli.nodes:run", "Run a command on many nodes at once."),
    "submit": ("provision.cli.jobs:submit", "Run a PySpark program on the cluster."),
    "jobs": ("provision.cli.jobs:jobs", "List the programs that were submitted, and what has become of them."),
    "logs": (
        "provision.cli.view.logs:logs",
        "Show the logs of all nodes as one, or the output of a submitted program.",
    ),
    "kill": ("provision.cli.jobs:kill", "End a submitted program; when this returns, it has ended."),
    "users": ("provision.cli.users.commands:users", "Show, add and remove notebook users, and set their passwords."),
    "put": ("provision.cli.data:put", "Copy files and folders to the cluster."),
    "get": ("provision.cli.data:get", "Copy files and folders from the cluster."),
    "sync": (
        "provision.cli.data:sync",
        "Make a folder on one side equal to one on the other, by transferring what differs.",
    ),
    "backup": (
        "provision.cli.data:backup",
        "Back up people's data with restic: homes, /shared, passwords and the Hub's state.",
    ),
    "restore": ("provision.cli.data:restore", "Restore people's data from a backup that `backup` has made."),
    "tunnel": (
        "provision.cli.view.tunnel:tunnel",
        "Show Spark's own pages, or the Hub, on this machine, over SSH, until Ctrl-C.",
    ),
    "examples": (
        "provision.cli.examples.commands:examples",
        "List the example notebooks, bring them to the cluster, and run them there.",
    ),
    "verify": ("provision.cli.nodes:verify", "Test the live cluster with testinfra."),
    "report": ("provision.cli.view.report:report", "Write one HTML file about the cluster."),
    "render": ("provision.cli.spec:render", "Print a document that the cluster would get, offline."),
    "inventory": ("provision.cli.nodes:inventory", "Print Ansible's dynamic inventory, from the cloud's metadata."),
    "sizing": ("provision.cli.examples.sizing:sizing", "Work out sizes before anything is bought or made."),
    "image": ("provision.cli.image:image", "Bake and list golden images."),
    "completion": (
        "provision.cli.completion.command:completion",
        "Print the script that completes commands, options and names in a shell.",
    ),
    "cloud": (
        "provision.cli.cloud.lifecycle:cloud",
        "Run the `local` cloud: OpenStack in containers, on this machine or several.",
    ),
    "registrator": (
        "provision.cli.registrator:registrator",
        "Keep Consul's catalogue in sync with Docker's containers.",
    ),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """List the commands in the order in which a user meets them."""
        return list(COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the nearest command for a mistyped name: click itself knows only those that were imported."""
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            from difflib import get_close_matches

            if near := get_close_matches(args[0], COMMANDS, n=1):
                ctx.fail(f"No such command {args[0]!r}. Did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command, or return None when there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{attribute} is not a command")
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the commands without importing them."""
        from click.shell_completion import CompletionItem

        found = [CompletionItem(name, help=text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="provision")
def cli() -> None:
    """Spark for a team on any OpenStack, and the OpenStack itself, in one command."""
