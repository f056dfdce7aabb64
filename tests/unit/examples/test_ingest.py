"""Memory of the two ways to disk: each in its own process, and the one that is said to be flat is."""

from __future__ import annotations

import gzip
import json
import subprocess

import pytest
from provision_data.bulk import RECORD, serving
from provision_data.ingest import measure

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def tweets():
    with serving() as url:
        yield lambda size: f"{url}/tweets?records={size // RECORD}"


def test_both_ways_write_the_same(tweets, tmp_path):
    files = [tmp_path / "a.json.gz", tmp_path / "b.json.gz"]
    for way, path in zip(("at_once", "as_it_comes"), files, strict=True):
        measured = measure(way, tweets(MEGABYTE), path)
        assert 0 < measured.idle <= measured.peak
        assert measured.seconds > 0
    first, second = (json.loads(gzip.decompress(path.read_bytes())) for path in files)
    assert first == second


def test_one_way_takes_what_the_answer_has_and_the_other_does_not(tweets, tmp_path):
    path = tmp_path / "a.json.gz"
    naive = measure("at_once", tweets(24 * MEGABYTE), path)
    few, many = (measure("as_it_comes", tweets(size * MEGABYTE), path) for size in (6, 24))
    assert naive.taken > 2 * 24 * MEGABYTE
    assert few.taken < 6 * MEGABYTE
    assert many.peak < 1.1 * few.peak


def test_a_way_that_fails_says_so(tmp_path):
    with pytest.raises(subprocess.CalledProcessError):
        measure("as_it_comes", "nowhere://a", tmp_path / "a")
