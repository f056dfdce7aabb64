"""A clock that nobody has to wait for."""

from __future__ import annotations

from functools import partial

from provision.base import poll


class FakeClock:
    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def use_clock(monkeypatch, clock=None):
    """Let `poll.until` go by this clock; return it."""
    clock = clock or FakeClock()
    monkeypatch.setattr(poll, "until", partial(poll.until, clock=clock.monotonic, sleep=clock.sleep))
    return clock
