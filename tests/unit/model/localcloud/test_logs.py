"""Lines as Docker sends them, and what of a log is asked for."""

from __future__ import annotations

import re

import pytest

from provision.base.errors import UsageError
from provision.model.localcloud import logs
from provision.model.localcloud.logs import LogFilter, LogSource
from provision.model.logs import Line, merged

API = LogSource("1", "nova-api", "nova-api-1")


def test_a_frame_is_a_line_with_dockers_time():
    frames = [b"2026-03-01T12:00:00.000000001Z one\n", b"2026-03-01T12:00:01.000000000Z two  words \r\n"]
    assert list(logs.lines_of(API, frames)) == [
        Line("2026-03-01T12:00:00.000000001Z", "nova-api-1", "one"),
        Line("2026-03-01T12:00:01.000000000Z", "nova-api-1", "two  words"),
    ]
    assert {line.service for line in logs.lines_of(API, frames)} == {"nova-api"}


def test_a_long_line_in_parts_is_one_line_although_another_pipes_line_stands_between():
    # A part may end inside a character.
    frames = [b"T1 " + b"a" * 10 + b"\xc3", b"T2 error\n", b"T1 \xa9b", b"T1 c\n", b"T4 next\n", b"T5 cut off"]
    assert [(line.time, line.text) for line in logs.lines_of(API, frames)] == [
        ("T2", "error"),
        ("T1", "a" * 10 + "ébc"),
        ("T4", "next"),
        ("T5", "cut off"),
    ]


def test_a_line_that_was_cut_off_by_a_restart_stays_near_its_place():
    frames = [b"T000 cut off", *(b"T%03d line\n" % number for number in range(1, 100))]
    times = [line.time for line in merged([logs.lines_of(API, frames)])]
    assert times == [f"T{number:03}" for number in range(100)]


def test_an_empty_line_stays_one():
    assert [(line.time, line.text) for line in logs.lines_of(API, [b"T1 \n", b"T2 x\n"])] == [("T1", ""), ("T2", "x")]


def test_nothing_in_a_log_steers_the_terminal():
    frame = b"T \x1b[38;5;214mwarn\x1b[0m\x07 a\rb \x1b]0;title\x07 \xff caf\xc3\xa9\tend\n"
    (line,) = logs.lines_of(API, [frame])
    assert line.text == "warn ab 0;title � café\tend"


REQUEST = "req-5283954c-ebd4-45fc-90b9-6131eeb3919e"
OTHER = "req-12e2be1e-c5d4-4cc2-8b35-3f2d9c0b1f7a"
HEAD = "2026-11-23 01:15:56.936 12"
LOG = [
    f"{HEAD} INFO nova.api [None {OTHER} u p - - default default] before",
    f"{HEAD} ERROR nova.api [None {REQUEST} u p - - default default] Unexpected: ValueError",
    f"{HEAD} ERROR nova.api Traceback (most recent call last):",
    f"{HEAD} ERROR nova.api [instance: b756dba5] ValueError",
    f"{HEAD} ERROR nova.api ",
    f"{HEAD} INFO nova.api [-] something else",
    f"{HEAD} ERROR nova.api Traceback of something else",
    f"{HEAD} INFO neutron.api [{REQUEST} {OTHER} u p - - default default] called by it",
    f'{HEAD} INFO nova.requestlog [None {REQUEST} u p - - default default] 172.28.0.9 "GET /" status: 200 len: 384',
    "[pid: 12] GET / => generated 121 bytes",
]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (LogFilter(), range(10)),
        (LogFilter(request=REQUEST), [1, 2, 3, 4, 7]),
        (LogFilter(re.compile("Traceback|pid")), [2, 6, 9]),
        (LogFilter(re.compile("Trace"), REQUEST), [2]),
        (LogFilter(request="req-000000"), []),
    ],
)
def test_what_is_asked_for_is_chosen(wanted, expected):
    lines = [Line(f"T{index:02}", "a-1", text) for index, text in enumerate(LOG)]
    assert [line.text for line in logs.matching(lines, wanted)] == [LOG[index] for index in expected]


@pytest.mark.parametrize("pattern", ["(", "[a", "*x", "a{2,1}"])
def test_a_bad_pattern_is_bad_usage(pattern):
    with pytest.raises(UsageError, match="not a regular expression"):
        logs.read_filter(pattern, None)


@pytest.mark.parametrize("request_id", ["5283954c", "req-", "req-zzzzzzzz", "req-12 34", REQUEST + "0"])
def test_a_bad_request_id_is_bad_usage(request_id):
    with pytest.raises(UsageError, match="not a request id"):
        logs.read_filter(None, request_id)


def test_a_filter_is_read():
    assert not logs.read_filter(None, None)
    assert logs.read_filter("a.c", REQUEST) == LogFilter(re.compile("a.c"), REQUEST)


SOURCES = [
    LogSource("3", "glance", "glance-1"),
    LogSource("1", "nova-api", "nova-api-1"),
    LogSource("2", "nova-api", "nova-api-2"),
]


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ((), ["glance-1", "nova-api-1", "nova-api-2"]),
        (("nova-api",), ["nova-api-1", "nova-api-2"]),
        (("nova-api-2", "glance"), ["glance-1", "nova-api-2"]),
    ],
)
def test_sources_are_chosen_by_service_or_by_name(asked, names):
    assert [source.name for source in logs.select_sources(SOURCES, asked)] == names


def test_members_are_chosen_by_their_service_or_one_by_one():
    members = [LogSource("1", "mariadb", "mariadb-1"), LogSource("2", "mariadb-2", "mariadb-2-1"), *SOURCES]
    for asked, names in (
        ("mariadb", ["mariadb-1", "mariadb-2-1"]),
        ("mariadb-2", ["mariadb-2-1"]),
        ("mariadb-2-1", ["mariadb-2-1"]),
        ("mariadb-1", ["mariadb-1"]),
    ):
        assert [source.name for source in logs.select_sources(members, [asked])] == names


def test_an_unknown_service_is_bad_usage():
    with pytest.raises(UsageError, match="'nova'") as caught:
        logs.select_sources(SOURCES, ["glance", "nova"])
    assert caught.value.hint == "The services are: glance, nova-api."
