"""Bakes that go on beside other work; what they do is in test_bake.py."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from provision.adapters.docker import image_builder
from provision.base.errors import ProvisionError, UsageError
from provision.base.model import ClusterSpec, ImageSpec
from provision.base.progress import Silent
from provision.model.image.recipe import image_paths, make_recipe
from provision.operations.image import bake
from provision.operations.image.beside import BakeBeside, ensure_cloud
from provision.operations.localcloud import local_cloud


@pytest.fixture
def beside(monkeypatch):
    """Stand for a bake of which each step is told: what happened, and the end that the test gives it."""

    class Bake:
        def __init__(self) -> None:
            self.log: list[str] = []
            self.may_end = threading.Event()
            self.error: Exception | None = None

        def run(self, progress):
            self.log.append("bake begins")
            assert self.may_end.wait(10)
            if self.error:
                raise self.error
            self.log.append("bake ends")

        def stop(self):
            self.log.append("bake is stopped")
            self.may_end.set()

    stand_in = Bake()
    monkeypatch.setattr(bake, "bake", stand_in.run)
    monkeypatch.setattr(image_builder, "stop", stand_in.stop)
    return stand_in


def test_a_bake_goes_on_beside_other_work_and_is_waited_for(beside):
    with BakeBeside(Silent()) as baking:
        baking.begin()
        beside.log.append("other work is done")
        beside.may_end.set()
        baking.wait()
    assert sorted(beside.log[:2]) == ["bake begins", "other work is done"]
    assert beside.log[2:] == ["bake ends"]


def test_a_bake_is_begun_once(beside):
    beside.may_end.set()
    with BakeBeside(Silent()) as baking:
        baking.begin()
        baking.wait()
        baking.begin()
    assert beside.log == ["bake begins", "bake ends"]


def test_where_there_is_no_image_one_is_baked_and_found_when_that_is_done(beside, monkeypatch):
    monkeypatch.setattr("provision.adapters.docker.engine.Engine", lambda: None)
    monkeypatch.setattr(bake, "find_image", lambda cloud, check: "")
    monkeypatch.setattr(bake, "ensure_image", lambda cloud, progress: beside.log.append("it is uploaded") or "new")
    with BakeBeside(Silent()) as baking:
        assert baking.find(None, ClusterSpec("a")) == ""
        beside.log.append("other work is done")
        beside.may_end.set()
        assert baking.finish(None) == "new"
    assert beside.log[2:] == ["bake ends", "it is uploaded"]


def test_an_image_that_is_there_is_not_baked(beside, monkeypatch):
    monkeypatch.setattr(bake, "find_image", lambda cloud, check: "there")
    with BakeBeside(Silent()) as baking:
        assert baking.find(None, ClusterSpec("a")) == "there"
    assert beside.log == []


def test_without_an_engine_there_has_to_be_an_image_in_the_cache(beside, tmp_path, monkeypatch):
    def no_engine():
        raise ProvisionError("no Docker", "Start it.")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("provision.adapters.docker.engine.Engine", no_engine)
    monkeypatch.setattr(bake, "find_image", lambda cloud, check: "")
    with BakeBeside(Silent()) as baking, pytest.raises(ProvisionError, match="no Docker"):
        baking.find(None, ClusterSpec("a"))
    assert beside.log == [], "the cluster's network would be made before that is known"
    image = image_paths(tmp_path / "provision", make_recipe(image_builder.inputs())).image
    image.parent.mkdir(parents=True)
    image.touch()
    beside.may_end.set()
    with BakeBeside(Silent()) as baking:
        baking.find(None, ClusterSpec("a"))
        baking.wait()
    assert beside.log == ["bake begins", "bake ends"]


def test_no_bake_is_begun_by_itself(beside):
    with BakeBeside(Silent()) as baking:
        baking.wait()
    assert beside.log == []


def test_what_a_bake_raises_is_raised_where_it_is_waited_for(beside):
    beside.error = ProvisionError("no Spark", "Try again.")
    beside.may_end.set()
    with BakeBeside(Silent()) as baking:
        baking.begin()
        beside.log.append("other work is done")
        with pytest.raises(ProvisionError, match="no Spark"):
            baking.wait()
    assert "other work is done" in beside.log
    assert "bake is stopped" not in beside.log, "what runs by then is another command's"


@pytest.mark.parametrize("failure", [UsageError("no such flavor", "Choose another."), KeyboardInterrupt()])
def test_a_bake_ends_with_the_work_that_failed(beside, failure):
    def work():
        with BakeBeside(Silent()) as baking:
            baking.begin()
            raise failure

    with pytest.raises(type(failure)):
        work()
    assert "bake is stopped" in beside.log


def test_a_bake_that_nobody_waits_for_is_ended(beside):
    with BakeBeside(Silent()) as baking:
        baking.begin()
    assert "bake is stopped" in beside.log


def test_no_bake_of_another_is_stopped_for_work_that_failed_before(beside):
    with pytest.raises(ProvisionError), BakeBeside(Silent()):
        raise ProvisionError("no Docker", "Start it.")
    assert beside.log == []


@pytest.mark.parametrize(
    ("spec", "new", "done"),
    [
        ({}, True, ["cloud", "bake begins", "cloud is up"]),
        # It may run from an image that is there, or an older one.
        ({}, False, ["cloud", "cloud is up"]),
        ({"image": ImageSpec("their-own")}, True, ["cloud", "cloud is up"]),
        ({"image": ImageSpec("debian-13", stock=True)}, True, ["cloud", "cloud is up"]),
        ({"cloud": "elsewhere"}, True, []),
    ],
)
def test_a_new_clusters_image_is_baked_beside_the_cloud(monkeypatch, spec, new, done):
    log = []

    class Cloud:
        def up(self, progress, *, checked=lambda: None):
            log.append("cloud")
            checked()
            log.append("cloud is up")

    class Baking:
        def begin(self):
            log.append("bake begins")

    monkeypatch.setattr(local_cloud, "local_cloud", Cloud)
    ensure_cloud(replace(ClusterSpec(name="lab"), **spec), Silent(), Baking(), new=new)
    assert log == done
