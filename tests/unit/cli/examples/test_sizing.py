"""The calculator on the command line."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from provision.base.errors import UsageError
from provision.cli.examples.sizing import sizing


def invoke(*words):
    return CliRunner().invoke(sizing, words, catch_exceptions=False)


def test_the_defaults_are_the_published_case():
    lines = dict(line.rsplit("  ", 1) for line in invoke("network").stdout.splitlines())
    shown = {words.strip(): value for words, value in lines.items()}
    assert shown["servers on split ports, in the rack"] == "40"
    assert shown["links of split ports"] == "80"
    assert shown["oversubscription"] == "5:1"


def test_a_rack_without_a_server_is_refused():
    for words in (["--ports", "5", "--links-per-server", "8"], ["--ports", "5", "--lanes", "1"]):
        with pytest.raises(UsageError, match="connects no server") as caught:
            invoke("network", *words)
        assert caught.value.exit_code == 2


def test_every_number_may_be_given():
    size = json.loads(invoke("network", "--json", "--spines", "8", "--whole-port-servers", "6").stdout)
    assert (size["uplinks"], size["servers"], size["oversubscription"]) == (8, 20, 2.0)
