"""A time series engine that takes the line protocol and answers PromQL: VictoriaMetrics."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import requests

from provision_data import lineprotocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision_data.lineprotocol import Point

AT_ONCE: Final = 5_000
"""Points of a request."""


def write(url: str, points: Sequence[Point], run: str) -> None:
    """Write points with a tag that says of which `run` they are. Raises requests.RequestException.

    The same point twice counts twice, unless the engine was told otherwise: by this tag a run has only its own.
    """
    lines = [lineprotocol.encode(replace(point, tags={**point.tags, "run": run})) for point in points]
    for first in range(0, len(lines), AT_ONCE):
        body = "\n".join(lines[first : first + AT_ONCE]).encode()
        requests.post(f"{url}/write?precision=s&db=weather", data=body, timeout=60).raise_for_status()


def count(url: str, run: str, seconds: float, days: int) -> int:
    """Return how many values of a run there are from so many days before a time, in seconds since 1970, up to it.

    Raises LookupError when there are none, and requests.RequestException.
    """
    asked: dict[str, str | float] = {"query": f"sum(count_over_time({{run='{run}'}}[{days}d]))", "time": seconds}
    answer = requests.get(f"{url}/api/v1/query", params=asked, timeout=60)
    answer.raise_for_status()
    result = answer.json()["data"]["result"]
    if not result:
        raise LookupError(
            "the engine has kept nothing of that time: what is older than its -retentionPeriod, a month unless it was "
            "told otherwise, it drops without a word; -retentionPeriod=100y keeps it"
        )
    return int(result[0]["value"][1])
