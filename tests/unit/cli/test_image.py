"""`provision image`: what is printed; the operations are replaced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from provision.base.errors import UsageError
from provision.cli.image import image
from provision.clusterfile.loading import DEFAULT_SOURCE
from provision.model.cluster.resources import KeyPair, ObservedCluster
from provision.model.cluster.steps import Plan, Step
from provision.model.image.recipe import ListedImage

CACHED = ListedImage("cache", "/c/1.qcow2", "1" * 32, 400_000_000, "baked", current=True)
ON_CLOUD = ListedImage("campus", "id-2", "2" * 32, 500_000_000, "active", current=False)


@pytest.fixture(autouse=True)
def _operations(monkeypatch):
    monkeypatch.setattr("provision.operations.image.bake.bake", lambda progress: Path("/c/1.qcow2"))
    monkeypatch.setattr("provision.operations.image.bake.images_in_cache", lambda: [CACHED])
    monkeypatch.setattr("provision.operations.image.bake.images_on_cloud", {"campus": [ON_CLOUD]}.__getitem__)


def run(*arguments):
    result = CliRunner().invoke(image, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_bake_prints_the_path_alone():
    assert run("bake") == "/c/1.qcow2\n"


def test_list():
    (line,) = run("list").splitlines()
    assert line.split() == ["cache", "1" * 12, "400", "MB", "baked", "current", "/c/1.qcow2"]


def test_list_with_a_cloud_as_json():
    listed = json.loads(run("list", "--cloud", "campus", "--json"))
    assert [entry["where"] for entry in listed] == ["cache", "campus"]
    assert listed[1]["current"] is False


class Operation:
    """Stands for operations.image.snapshot.SnapshotBake."""

    asked: list = []  # noqa: RUF012 - what one test has asked for
    there = True

    def __init__(self, cloud, progress):
        self.cloud = cloud

    def run(self, spec, source, confirm):
        confirm(Plan("image_bake", (Step("create", "server", "image_bake-master", "an image is made of it"),)))
        self.asked.append((self.cloud, spec, source))
        return "id-7"

    def remove(self, confirm):
        if self.there:
            confirm(ObservedCluster(keys=(KeyPair("provision-image_bake", ""),)))
        return self.there


@pytest.fixture
def on_cloud(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("provision.adapters.openstack.cloud.connect", lambda name, source: name)
    monkeypatch.setattr("provision.operations.image.snapshot.SnapshotBake", Operation)
    monkeypatch.setattr(
        "provision.operations.image.snapshot.server_spec",
        lambda cloud, spec, base, **given: (spec.network.external, base, given),
    )
    Operation.asked = []
    return tmp_path


def test_bake_on_a_cloud_prints_the_id_alone(on_cloud):
    (on_cloud / "cluster.yaml").write_text("name: a\ncloud: campus\nnetwork: {external: wan}\n")
    assert run("bake", "--base", "debian-13", "--yes", "--flavor", "m1.medium", "--sources", "host") == "id-7\n"
    # What is here may be for another cloud.
    assert run("bake", "--base", "debian-13", "--yes", "--cloud", "company") == "id-7\n"
    assert Operation.asked == [
        ("campus", ("wan", "debian-13", {"flavor": "m1.medium", "sources": "host"}), "cluster.yaml"),
        ("company", ("public", "debian-13", {"flavor": "", "sources": ""}), DEFAULT_SOURCE),
    ]


def test_remove_says_what_it_removes(on_cloud, monkeypatch):
    assert run("bake", "--remove", "--yes") == "Removed what the bake had made.\n"
    monkeypatch.setattr(Operation, "there", False)
    assert run("bake", "--remove").startswith("Nothing to remove")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--base", "debian-13"], "no terminal to ask on"),
        (["--remove"], "no terminal to ask on|removes a bake"),
        (["--base", "debian-13", "--remove"], "--remove removes what is there"),
        (["--cloud", "campus"], "--cloud: the bake on this machine has no such option"),
        (["--flavor", "m1.small", "--yes"], "--flavor, --yes: the bake on this machine"),
    ],
)
def test_what_is_refused(on_cloud, arguments, said):
    with pytest.raises(UsageError, match=said):
        CliRunner().invoke(image, ["bake", *arguments], catch_exceptions=False)
    assert Operation.asked == []
