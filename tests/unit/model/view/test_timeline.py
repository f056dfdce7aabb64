"""How boots are laid out in time, and what is called slow."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from provision.model.view.timeline import BootTimes, slowest, ticks, timelines

from .boots import CREATED, KERNEL, LAUNCHED, LOST, MASTER, WORKER, told


def spans(timeline):
    return {span.label: (span.begin, span.end, span.part) for span in timeline.spans}


def test_spans_have_a_common_zero():
    later = BootTimes(WORKER, "2026-03-01T12:00:05Z", "2026-03-01T12:00:25", told(kernel=KERNEL + 10))
    first, second = timelines([BootTimes(MASTER, CREATED, LAUNCHED, told()), later])
    assert spans(first) == {
        "the cloud makes the server": (0.0, 20.5, "cloud"),
        "firmware and boot loader": (20.5, 30.0, "cloud"),
        "kernel": (30.0, 32.0, "system"),
        "initramfs": (32.0, 33.0, "system"),
        "systemd-resolved": (34.0, 39.0, "system"),
        "cloud-init-local": (38.0, 40.0, "cloud-init"),
        "spark-worker": (50.0, 51.0, "spark"),
        "spark-worker, until registered with the master": (51.0, 90.0, "spark"),
    }
    assert spans(second)["the cloud makes the server"] == (5.0, 25.0, "cloud")
    assert spans(second)["kernel"] == (40.0, 42.0, "system")
    assert (first.end, second.end) == (90.0, 100.0)
    assert first.note == second.note == ""


def test_the_kernel_may_begin_before_the_cloud_knows_that_it_runs():
    (timeline,) = timelines([BootTimes(MASTER, CREATED, "2026-03-01T12:00:40", told())])
    assert spans(timeline)["the cloud makes the server"] == (0.0, 30.0, "cloud")
    assert "firmware and boot loader" not in spans(timeline)


def test_a_node_that_was_started_again_has_a_zero_of_its_own():
    again = BootTimes(WORKER, CREATED, LAUNCHED, told(kernel=KERNEL + 86400))
    first, second = timelines([BootTimes(MASTER, CREATED, LAUNCHED, told()), again])
    assert spans(first)["kernel"][0] == 30.0
    assert spans(second)["kernel"] == (0.0, 2.0, "system")
    assert "2026-03-02 12:00 UTC" in second.note


def later(days, node=WORKER, created=CREATED, **more):
    """Return the boot of a server that was asked for and made days later; without `created` the cloud says but half."""
    moved = {"created": created, "launched": LAUNCHED}
    found = {name: (datetime.fromisoformat(text) + timedelta(days)).isoformat() for name, text in moved.items() if text}
    return BootTimes(node, found.get("created", ""), found["launched"], told(kernel=KERNEL + days * 86400, **more))


FIRST = BootTimes(MASTER, CREATED, LAUNCHED, told())
ASKED_FOR = {"unit": "spark-history.service", "begin": 259_190.0, "end": 259_200.0}
AGAIN = {"unit": "spark-worker.service", "begin": 432_000.0, "end": 432_001.0}
MUCH_LATER = {
    "the history page is opened on the third day": [
        BootTimes(MASTER, CREATED, LAUNCHED, told(units=[*told()["units"], ASKED_FOR]))
    ],
    "a worker is added": [FIRST, later(5)],
    "a worker is added, and the cloud does not say when it was asked for": [FIRST, later(5, created="")],
    "the master is replaced": [later(5, MASTER), BootTimes(WORKER, CREATED, LAUNCHED, told())],
    "the master is started again, and a worker added": [
        BootTimes(MASTER, CREATED, LAUNCHED, told(kernel=KERNEL + 3 * 86400)),
        later(5),
    ],
    "a server is resized, which the cloud takes for its launch": [
        FIRST,
        BootTimes(WORKER, CREATED, later(5).launched, told(kernel=KERNEL + 5 * 86400)),
    ],
    "the journal has lost all but the last start": [
        BootTimes(MASTER, CREATED, LAUNCHED, told(units=[AGAIN], events={"registered with the master": 432_060.0}))
    ],
    "a node's clock is behind": [FIRST, BootTimes(WORKER, CREATED, LAUNCHED, told(kernel=KERNEL - 5 * 86400))],
    "the cloud's clock was behind for the first server": [
        later(-5, MASTER),
        BootTimes(WORKER, CREATED, LAUNCHED, told()),
    ],
}


@pytest.mark.parametrize("case", MUCH_LATER)
def test_what_comes_days_later_is_no_part_of_a_boot(case):
    found = timelines(MUCH_LATER[case])
    assert max(timeline.end for timeline in found) < 600
    assert min(span.begin for timeline in found for span in timeline.spans) >= 0.0


def test_a_node_that_was_added_has_a_zero_of_its_own_and_says_so():
    first, added = timelines([FIRST, later(5)])
    assert added.spans == first.spans
    assert (first.note, added.note) == (
        "",
        "It was added on 2026-03-06 12:00 UTC: zero is when the cloud was asked for it.",
    )


def test_a_clock_that_is_behind_is_no_second_start():
    (timeline,) = timelines([BootTimes(MASTER, CREATED, LAUNCHED, told(kernel=KERNEL - 3600))])
    assert timeline.note == "Its clock and the cloud's differ: this is its last boot, from the kernel on."
    assert not timeline.from_request


@pytest.mark.parametrize(("created", "launched"), [("", ""), ("soon", "later"), (CREATED, "")])
def test_a_cloud_that_does_not_say_when(created, launched):
    (timeline,) = timelines([BootTimes(MASTER, created, launched, told())])
    assert timeline.spans[0].label == "kernel"
    assert timeline.spans[0].begin == 0.0
    assert timeline.note == "The cloud does not say when it was made: this is its last boot, from the kernel on."


def test_a_node_that_tells_nothing_says_why():
    (timeline,) = timelines([BootTimes(LOST, CREATED, LAUNCHED, None, "its server is SHUTOFF")])
    assert timeline.spans == ()
    assert timeline.note == "Its boot is not known: its server is SHUTOFF."


def test_without_an_initramfs_the_kernel_lasts_until_systemd():
    (timeline,) = timelines(
        [BootTimes(MASTER, CREATED, LAUNCHED, told(phases={"userspace": 7.0}, units=[], events={}))]
    )
    assert spans(timeline)["kernel"] == (30.0, 37.0, "system")


def test_what_took_longest_is_named_once_with_its_worst_node():
    slow = told(events={"registered with the master": 200.0})
    nodes = timelines([BootTimes(MASTER, CREATED, LAUNCHED, told()), BootTimes(WORKER, CREATED, LAUNCHED, slow)])
    first, second, *_ = slowest(nodes)
    assert first == ("spark-worker, until registered with the master", 179.0, "a-worker-1")
    assert second[:2] == ("the cloud makes the server", 20.5)
    assert len(slowest(nodes)) == 5


@pytest.mark.parametrize(
    ("length", "marks"),
    [(0, [0]), (7.5, [0, 1, 2, 3, 4, 5, 6, 7]), (450, [0, 60, 120, 180, 240, 300, 360, 420]), (9e5, 11)],
)
def test_an_axis_has_few_round_marks(length, marks):
    found = ticks(length)
    assert found == marks or len(found) == marks
