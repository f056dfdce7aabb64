"""Logs that are followed together."""

from __future__ import annotations

import threading
from itertools import islice

import pytest

from provision.base.errors import ProvisionError
from provision.model.logs import Line
from provision.operations.logs.following import LATE, Following


def line(second, source="a"):
    return Line(f"2026-03-01T12:00:{second:02}.000000000Z", source, str(second))


def test_lines_come_in_the_order_of_time_and_an_ended_log_is_read_again():
    following, runs = Following(), []
    texts = {"a": [[line(2)], [line(3)]], "b": [[line(1, "b")]]}

    def read(name):
        runs.append(name)
        yield from texts[name].pop(0) if texts[name] else ()

    def refresh():
        for name in texts:
            following.read(name, lambda name=name: read(name))

    found = [each.text for each in islice(following.lines(refresh, every=0.05), 3)]
    assert found == ["1", "2", "3"]
    assert runs.count("a") >= 2


def test_the_first_lines_of_a_log_that_was_found_late_find_their_place():
    following, looks = Following(held=0.6 + LATE), []

    def speak():
        yield line(2)
        threading.Event().wait()

    def refresh():
        looks.append(1)
        following.read("a", speak)
        # The log "b" began before, and is seen at the second look.
        if len(looks) == 2:
            following.read("b", lambda: [line(1, "b")])

    found = [each.text for each in islice(following.lines(refresh, every=0.6), 2)]
    assert found == ["1", "2"]


def test_a_log_that_is_read_is_not_read_twice():
    following, runs = Following(), []

    def read():
        runs.append(1)
        yield line(1)
        threading.Event().wait()

    lines = following.lines(lambda: following.read("a", read), every=0.01)
    assert next(lines).text == "1"
    assert runs == [1]


def test_what_a_log_raises_ends_it():
    def read():
        yield line(1)
        raise ProvisionError("no more")

    following = Following()
    with pytest.raises(ProvisionError, match="no more"):
        list(islice(following.lines(lambda: following.read("a", read), every=9), 3))
