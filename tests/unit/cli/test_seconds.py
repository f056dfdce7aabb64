"""Numbers of seconds that can be waited for."""

from __future__ import annotations

import click
import pytest

from provision.cli.seconds import Seconds


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "0.5", "one"])
def test_what_is_no_number_of_seconds_is_refused(text):
    with pytest.raises(click.BadParameter):
        Seconds(min=1).convert(text, None, None)


def test_seconds():
    assert Seconds(min=1).convert("1.5", None, None) == 1.5
