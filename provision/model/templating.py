"""Strict Jinja2 over the template folder: an unknown variable is an error, never an empty string."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jinja2

from provision.base import paths

if TYPE_CHECKING:
    from collections.abc import Mapping


@lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    """Make the one environment that every template is rendered in."""
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(paths.TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - configuration files, not HTML
    )
    # Ansible's filter of the same name, so that the playbooks can use the same templates.
    env.filters["to_json"] = json.dumps
    return env


def render(template: str, /, **context: object) -> str:
    """Render `template` (a path below templates/); raises jinja2.UndefinedError for a variable that is not given."""
    return environment().get_template(template).render(**context)


def render_mapping(template: str, context: Mapping[str, Any]) -> str:
    """Render `template` with the keys of `context` as its variables."""
    return environment().get_template(template).render(**context)
