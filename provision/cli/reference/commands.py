"""The page of commands, made from click's own description of them."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Final

import click

from provision.cli.reference.markdown import NOTICE, code, table

if TYPE_CHECKING:
    from collections.abc import Iterator

_INTRODUCTION: Final = """\
# Commands

Data goes to stdout, progress and errors to stderr. Nothing is asked when there is no terminal: `--yes` answers. Every
command takes `-h` and `--help`, and `provision --version` prints the version. [Exit codes](exit-codes.md) are the same
for all commands; where a command has its own, its description says so.

`up`, `down`, `status` and the other commands for a cluster read `cluster.yaml` of the folder in which they run, or the
file that `--file` names. Where there is none they mean the default cluster `analytics`.
"""
_DEFAULT: Final = re.compile(r"\s*[\[(]default: ([^\])]*)[\])](\.?)$")
"""A default that is written in the help text, since it is no plain value."""


def commands_page(cli: click.Group) -> str:
    """Write the page of all commands and sub-commands of `cli`."""
    lines = [NOTICE.format(source="the docstrings and options in provision/cli"), "", _INTRODUCTION]
    lines += table(("Command", "What it does"), _overview(cli))
    for path, command in walk(cli):
        lines += _section(path, command)
    return "\n".join(lines).rstrip() + "\n"


def walk(cli: click.Group, path: tuple[str, ...] = ("provision",)) -> Iterator[tuple[str, click.Command]]:
    """Yield the full name of every command below `cli`, and the command, groups before what is in them."""
    context = click.Context(cli, info_name=path[0])
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if command is None or command.hidden:
            continue
        yield " ".join((*path, name)), command
        if isinstance(command, click.Group):
            yield from walk(command, (*path, name))


def _overview(cli: click.Group) -> Iterator[tuple[str, str]]:
    for path, command in walk(cli):
        yield f"[{code(path)}](#{path.replace(' ', '-')})", _paragraphs(command)[0].split(". ")[0].rstrip(".")


def _section(path: str, command: click.Command) -> list[str]:
    context = click.Context(command, info_name=path)
    level = "##" if path.count(" ") == 1 else "###"
    usage = " ".join((path, *command.collect_usage_pieces(context)))
    lines = [f"{level} `{path}`", "", *("\n\n".join(_paragraphs(command)), "")]
    lines += ["```text", usage, "```", ""]
    for argument in command.params:
        default = argument.get_default(context)
        if isinstance(argument, click.Argument) and isinstance(default, str):
            lines += [f"{code(argument.make_metavar(context).strip('[]'))} is {code(default)} by default.", ""]
    options = [option for option in command.params if isinstance(option, click.Option) and not option.hidden]
    if options:
        lines += table(("Option", "Meaning", "Default"), (_option(option, context) for option in options))
    return lines


def _paragraphs(command: click.Command) -> list[str]:
    text = inspect.cleandoc(command.help or "")
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]


def _option(option: click.Option, context: click.Context) -> tuple[str, str, str]:
    names, _ = option.get_help_record(context) or ("", "")
    extra = option.get_help_extra(context)
    meaning, default = option.help or "", str(extra.get("default", ""))
    if written := _DEFAULT.search(meaning):
        meaning, default = meaning[: written.start()] + written[2], written[1]
    if meaning and not meaning.endswith("."):
        meaning += "."
    if isinstance(option.type, click.IntRange | click.FloatRange) and option.type.min is not None:
        meaning += f" At least {option.type.min}."
    if option.envvar:
        variables = [option.envvar] if isinstance(option.envvar, str) else option.envvar
        meaning += f" Environment: {', '.join(code(variable) for variable in variables)}."
    if option.required:
        default = "required"
    return code(names.replace(" RANGE", "")), meaning, default
