"""The data of a master that is replaced, on its way through the cluster's folder."""

from __future__ import annotations

import shutil
from collections import namedtuple
from types import SimpleNamespace

import pytest

from provision.base.errors import ProvisionError
from provision.base.model import ClusterSpec, Node
from provision.base.progress import Silent
from provision.operations.data.carry import CarriedData, waiting_data

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def world(make_master, archives_of_folder, tmp_path):
    """Two masters, and the data between them."""
    roots = {"id-old": make_master("old"), "id-new": make_master("new")}
    (roots["id-old"] / "home/alice/x").write_text("alice's")
    data = CarriedData(tmp_path / "cluster", Silent(), lambda cluster: archives_of_folder(roots[cluster.hub.id]))

    def cluster(id):  # noqa: A002 - the cloud's own word
        return SimpleNamespace(spec=ClusterSpec("a"), hub=Node("a-master", "master", "10.0.0.1", id))

    return SimpleNamespace(data=data, roots=roots, old=cluster("id-old"), new=cluster("id-new"), folder=tmp_path)


def test_it_comes_over_and_is_gone_here(world, programs):
    world.data.carry(world.old)
    assert world.data.waiting() == waiting_data(world.folder / "cluster") == ("id-old",)
    assert (world.data.folder / "id-old.tar").stat().st_mode & 0o777 == 0o600
    assert programs.read_text() == "systemctl stop jupyterhub\nsystemctl stop notebooks.slice\n"
    world.data.restore(world.new, world.data.waiting())
    assert (world.roots["id-new"] / "home/alice/x").read_text() == "alice's"
    assert world.data.waiting() == ()
    assert list(world.data.folder.iterdir()) == []


def test_what_breaks_off_leaves_no_file_and_the_hub_goes_on(world, programs):
    # The manifest can be made, the archive cannot.
    (world.folder / "programs" / "tar").write_text("#!/bin/sh\nhead -c 2000000 /dev/zero\nexit 2\n")
    (world.folder / "programs" / "tar").chmod(0o755)
    with pytest.raises(ProvisionError, match="the data of a-master cannot be carried over") as caught:
        world.data.carry(world.old)
    assert "--without-data" in caught.value.hint
    assert list(world.data.folder.iterdir()) == []
    assert (
        programs.read_text()
        == "systemctl stop jupyterhub\nsystemctl stop notebooks.slice\nsystemctl start jupyterhub\n"
    )


def test_a_master_that_does_not_answer(world):
    shutil.rmtree(world.roots["id-old"] / "etc")
    (world.roots["id-old"] / "etc").write_text("")
    with pytest.raises(ProvisionError, match="cannot be carried over"):
        world.data.carry(world.old)


def test_no_room_here_is_said_before_the_hub_stops(world, programs, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100, 90, 10))
    with pytest.raises(ProvisionError, match="has room for 10 bytes") as caught:
        world.data.carry(world.old)
    assert "Nothing was deleted." in caught.value.hint
    assert programs.read_text() == ""
    assert world.data.waiting() == ()


def test_what_a_killed_run_left_is_removed(world):
    world.data.folder.mkdir(parents=True)
    (world.data.folder / ".id-old.x").write_text("half")
    assert world.data.waiting() == ()
    world.data.carry(world.old)
    assert [path.name for path in world.data.folder.iterdir()] == ["id-old.tar"]


def test_files_of_users_who_are_no_longer_there_are_kept(world, make_master):
    world.roots["id-new"] = make_master("newer", users=("bob",))
    world.data.carry(world.old)
    world.data.restore(world.new, ["id-old"])
    assert [path.name for path in world.data.folder.iterdir()] == ["id-old.tar.kept"]
    assert world.data.waiting() == ()


def test_a_master_that_stays_goes_on(world, programs):
    world.data.carry(world.old)
    world.data.resume(world.old)
    assert programs.read_text().endswith("systemctl start jupyterhub\n")
    assert world.data.waiting() == ()
