"""What the container that bakes golden images does, with a root file system of one file."""

from __future__ import annotations

import os
import subprocess

import pytest

from provision.base import paths

PARTS = {
    "software": 'software() { mkdir "$1"; echo installed >"$1/file"; }',
    "finalize": 'finalize() { echo ours >>"$1/file"; }',
    "disk": 'disk() { cp "$1/file" "$2"; }',
}
# What it is asked for here, without compressing anything.
ZSTD = """#!/bin/sh
[ "$2" != -dc ] || exec cat "$3"
until [ "$1" = -o ]; do shift; done
exec cat >"$2"
"""


@pytest.fixture(name="bake")
def _bake(tmp_path, monkeypatch):
    """The entrypoint with its folders here; returns what it says."""
    script = (paths.COMPOSE / "bake/entrypoint").read_text()
    script = script.replace("/bake/", f"{tmp_path}/bake/").replace("/root-fs", f"{tmp_path}/root-fs")
    script = script.replace(" /cache /out/software /out/images", f" {tmp_path}/cache")
    (tmp_path / "bake").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/zstd").write_text(ZSTD)
    (tmp_path / "bin/zstd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")

    def run(**changed):
        for name, text in (PARTS | changed).items():
            (tmp_path / "bake" / name).write_text(f"{text}\n")
        subprocess.run(["rm", "-rf", tmp_path / "root-fs"], check=True)
        argv = ["bash", "-c", script, "entrypoint", tmp_path / "a.tar.zst", tmp_path / "a.qcow2"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return done.returncode, [line.split(" (")[0].removeprefix("bake: ") for line in done.stdout.splitlines()]

    return run


def test_the_disk_is_made_where_the_software_was_installed_and_later_from_its_archive(bake, tmp_path):
    assert bake() == (0, ["packing the software", "making the disk", "done"])
    assert (tmp_path / "a.qcow2").read_text() == "installed\nours\n"
    (tmp_path / "a.qcow2").unlink()
    # The archive has none of our files.
    assert bake(software="software() { false; }") == (0, ["unpacking the software", "making the disk", "done"])
    assert (tmp_path / "a.qcow2").read_text() == "installed\nours\n"
    assert not [*tmp_path.glob("*.part")]


@pytest.mark.parametrize(
    ("part", "kept"), [("software", []), ("finalize", ["a.tar.zst"]), ("disk", ["a.tar.zst"])]
)
def test_what_is_not_complete_does_not_exist(bake, tmp_path, part, kept):
    assert bake(**{part: f"{part}() {{ false; }}"})[0] == 1
    assert sorted(path.name for path in tmp_path.glob("a.*") if path.suffix != ".part") == kept
