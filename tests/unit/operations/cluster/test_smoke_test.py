from __future__ import annotations

import pytest

from provision.base.errors import ProvisionError
from provision.operations.cluster import smoke_test

GOOD = '{"sum": 499500, "hosts": ["a-worker-1", "a-worker-2.novalocal"], "seconds": 12.5}'
WORKERS = ["a-worker-1", "a-worker-2"]


def test_a_good_job() -> None:
    found = smoke_test.read_result(f"NOTE: Picked up JDK_JAVA_OPTIONS\n{GOOD}\n", WORKERS)
    assert found == smoke_test.SmokeTestResult(499500, ("a-worker-1", "a-worker-2.novalocal"), 12.5)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("", "without a result"),
        (GOOD.replace("499500", "499499"), "computed 499499"),
        (GOOD.replace(', "a-worker-2.novalocal"', ""), "ran on a-worker-2"),
    ],
)
def test_a_bad_job(said: str, complaint: str) -> None:
    with pytest.raises(ProvisionError, match=complaint):
        smoke_test.read_result(said, WORKERS)
