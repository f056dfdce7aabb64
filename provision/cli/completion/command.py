"""`provision completion`: the script that a shell loads."""

from __future__ import annotations

import click

from provision.cli.completion import VARIABLE

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that completes commands, options and names in a shell.

    Names of nodes, users and jobs are completed too, as far as this machine knows them: nothing is asked. Load it in
    ~/.bashrc with `eval "$(provision completion bash)"`, in ~/.zshrc with the same for zsh, in fish with
    `provision completion fish | source`.
    """
    from click.shell_completion import get_completion_class

    from provision.cli.completion.shells import register
    from provision.cli.main import cli

    register()
    made = get_completion_class(shell)
    assert made is not None  # noqa: S101 - click has all three
    click.echo(made(cli, {}, "provision", VARIABLE).source())
