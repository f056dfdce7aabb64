"""What is said of a busy machine."""

from __future__ import annotations

import pytest

from provision.adapters.host.load import MachineLoad


@pytest.mark.parametrize(
    ("running", "spent", "said"),
    [
        (1.0, (100, 0, 0, 100, 0, 0, 0, 0), ""),
        (9.2, (100, 0, 0, 0, 0, 0, 0, 0), "this machine is busy: 9 processes share its 2 processors"),
        (1.0, (50, 0, 0, 0, 0, 0, 0, 50), "this machine is busy: its own host takes 50% of their time away"),
        (
            9.2,
            (50, 0, 0, 0, 0, 0, 0, 50),
            "this machine is busy: 9 processes share its 2 processors, and its own host takes 50% of their time away",
        ),
    ],
)
def test_what_is_said(monkeypatch, tmp_path, running, spent, said):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr("os.getloadavg", lambda: (running, 0, 0))
    stat = tmp_path / "stat"
    stat.write_text("cpu  1000 0 0 1000 0 0 0 10 0 0\ncpu0 1 1\n")
    load = MachineLoad(stat)
    after = [a + b for a, b in zip((1000, 0, 0, 1000, 0, 0, 0, 10), spent, strict=True)]
    stat.write_text(f"cpu  {' '.join(map(str, after))} 0 0\n")
    assert load.describe() == said


def test_a_system_that_does_not_tell(monkeypatch, tmp_path):
    monkeypatch.setattr("os.getloadavg", lambda: (0.1, 0, 0))
    assert MachineLoad(tmp_path / "none").describe() == ""
