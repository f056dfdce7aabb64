from __future__ import annotations

import pytest

from provision.adapters.docker import engine
from provision.adapters.host.process import Result


@pytest.mark.parametrize(
    ("version", "leaves_out"),
    [("20.10.24+dfsg1", False), ("23.0.0", True), ("26.1.5+dfsg1", True), ("", False), ("dev", False)],
)
def test_an_engine_of_today_leaves_out_what_its_host_lacks_by_itself(monkeypatch, version, leaves_out):
    monkeypatch.setattr(engine, "run", lambda argv, timeout: Result(tuple(argv), 0, f"{version}\n", ""))
    assert engine.limits_capabilities() == leaves_out
