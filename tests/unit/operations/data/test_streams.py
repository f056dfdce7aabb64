"""Archives from one master to another, both of them folders of this machine."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from provision.adapters.host.process import Result
from provision.base.errors import ProvisionError
from provision.operations.data.streams import Meter, copy, send_archive, size


class Shown:
    def __init__(self):
        self.states = []

    def update(self, item, state):
        self.states.append(state)


def archive(archives, users=None, **options):
    with archives.start_archive("a", users, **options) as source:
        stream = io.BytesIO()
        copy(source.output, stream, lambda _: None)
        assert source.finish().ok
    stream.seek(0)
    return stream


def test_a_whole_archive_arrives(make_master, archives_of_folder, programs):
    old, new = make_master("old"), make_master("new")
    (old / "home/alice/x").write_text("alice's")
    (old / "shared/t").write_text("shared")
    (old / "var/lib/jupyterhub/cookie_secret").write_text("cookie")
    (old / "var/backups/notebooks").mkdir(parents=True)
    (old / "var/backups/notebooks/carol.tar.gz").write_text("carol's")
    stream = archive(archives_of_folder(old), stop=True)
    assert programs.read_text() == "systemctl stop jupyterhub\nsystemctl stop notebooks.slice\n", (
        "its Hub stays stopped"
    )
    target = archives_of_folder(new)
    assert send_archive(target, stream, lambda: None, lambda _: None)["cluster"] == "a"
    assert not (new / "home/alice/x").exists()
    report = target.place()
    assert report == {"users": ["alice", "bob"], "skipped": [], "files": 3, "kept": [], "left_out": []}
    assert (new / "home/alice/x").read_text() == "alice's"
    assert (new / "shared/t").read_text() == "shared"
    assert (new / "var/backups/notebooks/carol.tar.gz").read_text() == "carol's"
    assert (new / "var/lib/jupyterhub/cookie_secret").read_text() == "cookie"
    lines = programs.read_text().splitlines()[2:]
    assert lines[:2] == ["systemctl stop jupyterhub", "systemctl stop notebooks.slice"]
    assert lines[-1] == "systemctl start jupyterhub"
    assert "alice:$6$old-alice" in lines
    assert sorted(path.name for path in new.rglob(".provision*")) == []


def test_users_who_are_not_there_are_skipped(make_master, archives_of_folder):
    old, new = make_master("old", users=("alice", "carol")), make_master("new")
    (old / "home/carol/x").write_text("carol's")
    target = archives_of_folder(new)
    send_archive(target, archive(archives_of_folder(old)), lambda: None, lambda _: None)
    assert target.place()["skipped"] == ["carol"]
    assert sorted(path.name for path in (new / "home").iterdir()) == ["alice", "bob"]


def test_an_archive_of_one_user_has_nothing_else(make_master, archives_of_folder):
    old = make_master("old")
    (old / "shared/t").write_text("shared")
    with tarfile.open(fileobj=archive(archives_of_folder(old), ["bob"])) as tar:
        assert tar.getnames() == ["provision/manifest.json", "provision/hashes.json", "home/bob", "provision/end"]


def test_half_an_archive_changes_nothing(make_master, archives_of_folder):
    old, new = make_master("old"), make_master("new")
    (old / "home/alice/x").write_bytes(b"x" * 1_000_000)
    whole = archive(archives_of_folder(old)).getvalue()
    target = archives_of_folder(new)
    for length in (0, 600_000, len(whole) - 20_000):
        with pytest.raises(ProvisionError, match=r"a-master: the archive (could not be unpacked|has no end)"):
            send_archive(target, io.BytesIO(whole[:length]), lambda: None, lambda _: None)
        assert list((new / "home/alice").iterdir()) == []
        assert list(new.rglob(".provision*")) == []


def test_a_source_that_fails_at_its_end_changes_nothing(make_master, archives_of_folder):
    old, new = make_master("old"), make_master("new")

    def failed():
        raise ProvisionError("the source failed")

    with pytest.raises(ProvisionError, match="the source failed"):
        send_archive(archives_of_folder(new), archive(archives_of_folder(old)), failed, lambda _: None)
    archives_of_folder(new).clear()
    assert list(new.rglob(".provision*")) == []


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (Result((), 255, "", "No route"), "a-master cannot be reached by SSH"),
        (Result((), 1, "", json.dumps({"what": "it broke", "detail": "x"})), "a-master: it broke"),
        (
            Result((), 1, "", json.dumps({"what": "w", "detail": "No space left on device"})),
            "the disk of a-master is full",
        ),
        (Result((), 7, "", "Traceback"), "a-master: its program ended with 7"),
    ],
)
def test_failures_in_words(archives_of_folder, tmp_path, result, message):
    assert archives_of_folder(tmp_path).failure(result).message == message


@pytest.mark.parametrize(
    ("total", "times", "last"),
    [(100_000_000, 21, "100.0 MB of 100.0 MB"), (5_000_000, 6, "5.0 MB of 5.0 MB"), (10_000, 2, "10.0 kB of 10.0 kB")],
)
def test_the_meter_speaks_twenty_times_and_seldom_of_little(total, times, last):
    shown = Shown()
    meter = Meter(shown, "x", total)
    for _ in range(1100):
        meter.advance(total // 1000)
    assert len(shown.states) == times
    assert shown.states[-1] == last
    unknown = Meter(shown, "x", 0)
    unknown.advance(5)
    assert shown.states[-1] == "5 bytes"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (1500, "1.5 kB"), (10**9, "1.0 GB"), (2 * 10**12, "2.0 TB")]
)
def test_sizes(count, text):
    assert size(count) == text
