"""`provision image`: what is printed; the operations are replaced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from provision.cli.image import image
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
