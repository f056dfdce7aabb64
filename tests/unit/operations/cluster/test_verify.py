from __future__ import annotations

import pytest

from provision.operations.cluster.verify import title


@pytest.mark.parametrize(
    ("nodeid", "expected"),
    [
        ("live/test_nodes.py::test_unit_runs[a-worker-1 spark-worker]", "a-worker-1 spark-worker: unit runs"),
        ("live/test_spark.py::test_master_is_alive", "master is alive"),
        ("x.py::test_file_is_as_described[a-master /etc/a::b]", "a-master /etc/a::b: file is as described"),
    ],
)
def test_checks_have_readable_names(nodeid: str, expected: str) -> None:
    assert title(nodeid) == expected
