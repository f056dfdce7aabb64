"""Rendering of Jinja2 templates. It is strict: an unknown variable is an error, not an empty string."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import jinja2
from markupsafe import Markup, escape

from provision.base import paths

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMMAND: Final = re.compile("`([^`]+)`")


@lru_cache(maxsize=2)
def environment(*, html: bool = False) -> jinja2.Environment:
    """Return the environment in which every template is rendered. `html`: what is put into one is escaped."""
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(paths.TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=html,  # noqa: S701 - configuration files are no HTML
    )
    # The same as Ansible's filter, so that playbooks can use the same templates.
    env.filters["to_json"] = json.dumps
    env.filters["code"] = _code
    return env


def _code(text: str) -> Markup:
    """Write a text of ours as HTML: a command in backticks is code."""
    return Markup(_COMMAND.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - it is escaped


def render(template: str, /, **context: object) -> str:
    """Render `template` (a path below templates/); raises jinja2.UndefinedError for a missing variable."""
    return environment().get_template(template).render(**context)


def render_html(template: str, /, **context: object) -> str:
    """Render a template of an HTML page: whatever is put into it is text, not markup."""
    return environment(html=True).get_template(template).render(**context)


def render_mapping(template: str, context: Mapping[str, Any]) -> str:
    """Render `template` with the keys of `context` as its variables."""
    return environment().get_template(template).render(**context)
