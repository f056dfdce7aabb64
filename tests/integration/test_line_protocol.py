"""The line protocol against a real engine: VictoriaMetrics from Debian trixie, on the loopback address.

The program comes from VICTORIA_METRICS, the PATH, or Debian's package.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from provision_data import victoria
from provision_data.lineprotocol import Point, encode

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration
PACKAGE = "victoria-metrics"


@pytest.fixture(autouse=True)
def _clean():
    """Take the place of conftest's: the engine needs no containers, and so no world."""


def program(folder: Path) -> str:
    """Return the engine's program, from Debian's package if this machine has none."""
    found = os.environ.get("VICTORIA_METRICS") or shutil.which(PACKAGE)
    if found:
        return found
    subprocess.run(["apt-get", "download", PACKAGE], cwd=folder, check=True)
    (package,) = folder.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", str(package), str(folder / "package")], check=True)
    return str(folder / "package/usr/bin" / PACKAGE)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine")
    options = [
        f"-storageDataPath={folder}/data",
        "-httpListenAddr=127.0.0.1:18429",
        "-retentionPeriod=100y",
    ]
    with subprocess.Popen([program(folder), *options], stderr=subprocess.DEVNULL) as running:
        url = "http://127.0.0.1:18429"
        ends = time.monotonic() + 120
        while True:
            try:
                requests.get(f"{url}/health", timeout=5).raise_for_status()
                break
            except requests.RequestException:
                assert time.monotonic() < ends
                time.sleep(0.2)
        yield url
        running.terminate()


def write(engine: str, *points: Point) -> None:
    body = "\n".join(map(encode, points)).encode()
    requests.post(f"{engine}/write?precision=s", data=body, timeout=30).raise_for_status()
    requests.get(f"{engine}/internal/force_flush", timeout=30).raise_for_status()


def read(engine: str, **labels: str) -> list[dict]:
    match = "{" + ",".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in labels.items()) + "}"
    asked = {"match[]": match, "start": "2000-01-01T00:00:00Z", "end": "2040-01-01T00:00:00Z", "reduce_mem_usage": "0"}
    answer = requests.get(f"{engine}/api/v1/export", params=asked, timeout=30)
    answer.raise_for_status()
    return [json.loads(line) for line in answer.text.split("\n") if line]


NAMES = {
    "a space": "Living room",
    "a comma": "Living room, south",
    "an equals sign": "Rain=Gauge",
    "quotes": 'the "old" one',
    "a backslash": "C:\\Weather",
    "backslashes at the end": "ends with \\\\",
    "a backslash before a comma": "\\, or not",
    "non-ASCII": "Tromsø ☃ 東京",
}


@pytest.mark.parametrize("case", NAMES)
def test_names_arrive_as_they_are(engine, case):
    name = NAMES[case]
    write(engine, Point("names", {f"of {name}": 1.5}, 1_468_157_806, {"case": case, f"tag {name}": name}))
    (found,) = read(engine, case=case)
    assert found["metric"] == {"__name__": f"names_of {name}", "case": case, f"tag {name}": name}
    assert found["values"] == [1.5]
    assert found["timestamps"] == [1_468_157_806_000]


def test_integers_and_booleans_become_numbers(engine):
    write(engine, Point("kinds", {"whole": -7, "yes": True, "no": False, "half": 0.5}, 1_468_157_806))
    found = {name: read(engine, __name__=f"kinds_{name}")[0]["values"] for name in ("whole", "yes", "no", "half")}
    assert found == {"whole": [-7], "yes": [1], "no": [0], "half": [0.5]}


def test_points_out_of_order(engine):
    times = [1_468_157_806 + 60 * place for place in (3, 0, 2, 1)]
    write(engine, *(Point("order", {"value": float(seconds % 1_000)}, seconds) for seconds in times))
    (found,) = read(engine, __name__="order_value")
    assert found["timestamps"] == [1000 * seconds for seconds in sorted(times)]
    assert found["values"] == [float(seconds % 1_000) for seconds in sorted(times)]


def test_runs_with_the_same_points_do_not_count_each_others(engine):
    days = 40
    points = [Point("twice", {"value": 1.0}, 1_467_331_193 + 86_400 * day) for day in range(days)]
    for run in ("one", "another"):
        victoria.write(engine, points, run)
    requests.get(f"{engine}/internal/force_flush", timeout=30).raise_for_status()
    ends = 1_467_331_200 + 86_400 * days
    assert [victoria.count(engine, run, ends, days + 1) for run in ("one", "another")] == [days, days]
    with pytest.raises(LookupError, match="retentionPeriod"):
        victoria.count(engine, "none", ends, days + 1)


letters = st.characters(exclude_characters="\n\r\x00", exclude_categories=["Cs"])
names = st.text(letters, min_size=1, max_size=10)
numbers = st.floats(-1e9, 1e9).map(lambda value: round(value, 3))
counter = iter(range(10**9))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names, names, st.dictionaries(st.integers(1_400_000_000, 1_500_000_000), numbers, min_size=1, max_size=5))
def test_what_is_written_is_what_is_read(engine, place, value, readings):
    example = str(next(counter))
    points = [
        Point("any", {"value": number}, at, {"example": example, place: value}) for at, number in readings.items()
    ]
    write(engine, *points)
    (found,) = read(engine, example=example)
    assert found["metric"].get(place) == (value if place != "example" else example)
    assert dict(zip(found["timestamps"], found["values"], strict=True)) == pytest.approx(
        {1000 * at: number for at, number in readings.items()}
    )
