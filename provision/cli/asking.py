"""Asking for consent before something is changed."""

from __future__ import annotations

import sys

import click

from provision.base.errors import UsageError


def require_consent(message: str, *, yes: bool, hint: str = "Confirm it with --yes.") -> None:
    """Raise UsageError with `message` unless --yes was given or there is a terminal to ask on."""
    if not yes and not sys.stdin.isatty():
        raise UsageError(message, hint)


def ask(question: str, *, default: bool = False) -> None:
    """Ask a question; any other answer than yes ends the command with exit code 1."""
    try:
        agreed = click.confirm(question, default=default, err=True)
    except click.Abort:
        # Ctrl-C and Ctrl-D mean no.
        click.echo(err=True)
        agreed = False
    if not agreed:
        click.echo("Nothing was changed.", err=True)
        raise click.exceptions.Exit(1)
