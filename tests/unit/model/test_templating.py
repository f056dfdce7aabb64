"""Templates are strict."""

from __future__ import annotations

import jinja2
import pytest

from provision.model.templating import environment, render, render_mapping

TEMPLATE = "openstack/mariadb.sql.j2"
CONTEXT = {"databases": (("nova", "nova"),), "passwords": {"nova_db": "secret", "monitoring_db": "another"}}


def test_a_mapping_is_rendered_as_its_variables():
    assert render_mapping(TEMPLATE, CONTEXT) == render(TEMPLATE, **CONTEXT)


def test_a_missing_variable_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        render(TEMPLATE, passwords={})


def test_commands_in_html_are_code_and_all_else_is_text():
    page = environment(html=True).from_string("{{ value | code }}")
    assert page.render(value="<b> `a <c>` `d`") == "&lt;b&gt; <code>a &lt;c&gt;</code> <code>d</code>"


def test_json_is_written_as_ansible_s_filter_does():
    assert environment().from_string("{{ value | to_json }}").render(value={"a": [1, None]}) == '{"a": [1, null]}'
