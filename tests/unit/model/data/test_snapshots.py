"""Finding a backup among those of several clusters."""

from __future__ import annotations

import json

import pytest

from provision.base.errors import ProvisionError, UsageError
from provision.model.data.snapshots import choose, read_snapshots, tags


def entry(number, cluster, users=()):
    time = f"2026-01-0{number}T10:00:00Z"
    return {"id": f"{number}" * 64, "time": time, "tags": tags(cluster, users), "paths": [f"/{cluster}.tar"]}


TEXT = json.dumps(
    [entry(3, "a"), entry(1, "a"), entry(4, "a", ["alice"]), entry(2, "b"), {**entry(5, "a"), "tags": ["provision"]}]
)


def test_only_our_own_and_the_oldest_first():
    found = read_snapshots(TEXT)
    assert [(one.id, one.cluster, one.users) for one in found] == [
        ("11111111", "a", ()),
        ("22222222", "b", ()),
        ("33333333", "a", ()),
        ("44444444", "a", ("alice",)),
    ]
    assert found[0].path == "/a.tar"
    assert read_snapshots("null") == []


def test_the_newest_is_a_matter_of_moments_not_of_texts():
    """A laptop that was abroad, a winter and a summer time: the later text may be the earlier moment."""
    times = ["2026-01-01T10:00:00.123456789+02:00", "2026-01-01T09:30:00Z", "2026-01-01T06:00:00.5-05:00"]
    entries = [{**entry(number, "a"), "time": time} for number, time in enumerate(times, start=1)]
    found = read_snapshots(json.dumps(entries[::-1]))
    assert [one.id[0] for one in found] == ["1", "2", "3"]
    assert choose(found, "a").id == "33333333"
    assert [one.date for one in found] == [
        "2026-01-01 10:00:00+02:00",
        "2026-01-01 09:30:00+00:00",
        "2026-01-01 06:00:00-05:00",
    ]


@pytest.mark.parametrize("text", ["Fatal", '[{"time": "yesterday"}]', "[{}]", "[1]"])
def test_what_is_no_list(text):
    with pytest.raises(ProvisionError, match="cannot be read"):
        read_snapshots(text)


@pytest.mark.parametrize(
    ("cluster", "wanted", "users", "found"),
    [
        ("a", "", (), "33333333"),
        ("a", "", ("alice",), "44444444"),
        ("a", "", ("bob",), "33333333"),
        ("a", "2222", (), "22222222"),
        ("a", "1" * 64, (), "11111111"),
    ],
)
def test_which_is_restored(cluster, wanted, users, found):
    assert choose(read_snapshots(TEXT), cluster, wanted, users).id == found


@pytest.mark.parametrize(
    ("cluster", "wanted", "message"),
    [("c", "", "no backup of everything on cluster c"), ("a", "99", "no backup '99'"), ("a", "", "no backup")],
)
def test_what_is_not_there_is_said(cluster, wanted, message):
    snapshots = [one for one in read_snapshots(TEXT) if (cluster, wanted) != ("a", "") or one.cluster == "b"]
    with pytest.raises(UsageError, match=message) as caught:
        choose(snapshots, cluster, wanted)
    assert "--list" in caught.value.hint
