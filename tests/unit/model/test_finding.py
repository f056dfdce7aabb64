"""Findings in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from provision.model.finding import Finding, listed, named, since, span, text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (172800, "2 days")],
)
def test_durations(seconds, words):
    assert span(seconds) == words


def test_how_long_ago():
    now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    assert since(now, now - timedelta(minutes=5)) == " 5 min ago"
    # A clock that is ahead.
    assert since(now, now + timedelta(minutes=5)) == " 0 s ago"
    assert since(now, None) == ""


def test_many_names_are_counted():
    assert listed(["b", "a"]) == "a, b"
    assert listed("fedcba") == "a, b, c, d and 2 more"
    assert listed(["w-10", "w-2"]) == "w-2, w-10"


def test_no_digit_that_is_no_number_ends_it():
    assert listed(["10²", "²"]) == "10², ²"


def test_of_a_small_cluster_nothing_is_left_out_that_somebody_consents_to():
    names = [f"w-{number}" for number in range(1, 21)]
    assert named(iter(names)) == ", ".join(names)
    assert named([*names, "w-21"]) == "w-1, w-2, w-3, w-4 and 17 more"


def test_findings_are_numbered():
    assert text([]) == "Nothing is wrong."
    first = Finding("r", "here", "is wrong", "Mend it.")
    assert text([first]) == "1. here: is wrong.\n   Mend it."
    assert text([first, first]).splitlines()[2:] == [
        "2. here: is wrong.",
        "   Mend it.",
        "The first may have caused the others: mend it, and run this again.",
    ]
