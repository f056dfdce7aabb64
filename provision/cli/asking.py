"""The one way to ask before something is changed."""

from __future__ import annotations

import sys

import click

from provision.base.errors import UsageError


def require_consent(does: str, *, yes: bool, hint: str = "Say so with --yes.") -> None:
    """Make sure that `yes` is said or that somebody can be asked; `does` tells what would happen unasked."""
    if not yes and not sys.stdin.isatty():
        raise UsageError(does, hint)


def ask(question: str, *, default: bool = False) -> None:
    """Go on when a person agrees; anything else ends the command with 1."""
    try:
        agreed = click.confirm(question, default=default, err=True)
    except click.Abort:
        # Ctrl-C and Ctrl-D answer the question too.
        click.echo(err=True)
        agreed = False
    if not agreed:
        click.echo("Nothing was changed.", err=True)
        raise click.exceptions.Exit(1)
