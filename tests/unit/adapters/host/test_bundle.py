"""The archive that all nodes get: the same bytes from the same files, and nothing of this machine in it."""

from __future__ import annotations

import gzip
import hashlib
import sys
import tarfile

from provision.adapters.host import bundle


def fill(folder):
    (folder / "python/bin").mkdir(parents=True)
    (folder / "python/demo-1.0.dist-info").mkdir()
    (folder / "python/.lock").touch()
    (folder / "python/demo.py").write_text("x = 1\n")
    (folder / "python/demo-1.0.dist-info/direct_url.json").write_text('{"url": "file:///home/me/demo.whl"}')
    (folder / "python/demo-1.0.dist-info/METADATA").write_text("Name: demo\n")
    script = folder / "python/bin/demo"
    script.write_text(f"#!{sys.executable}\nimport demo\nprint({sys.executable!r})\n")
    script.chmod(0o775)
    long = folder / "python/bin/long"
    long.write_text(f"#!/bin/sh\n'''exec' '{sys.executable}' \"$0\" \"$@\"\n' '''\nimport demo\n")
    (folder / "python/bin/program").write_bytes(b"\x7fELF")
    return folder


def test_scripts_run_with_the_nodes_python_and_traces_are_gone(tmp_path):
    target = fill(tmp_path) / "python"
    bundle.tidy(target)
    assert (target / "bin/demo").read_text() == f"#!/opt/jupyter/bin/python\nimport demo\nprint({sys.executable!r})\n"
    assert "'/opt/jupyter/bin/python' \"$0\"" in (target / "bin/long").read_text()
    assert (target / "bin/program").read_bytes() == b"\x7fELF"
    assert not (target / ".lock").exists()
    assert [path.name for path in target.glob("*.dist-info/*")] == ["METADATA"]


def test_the_same_files_are_the_same_archive(tmp_path):
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made.append(bundle.pack(fill(tmp_path / name), tmp_path / f"{name}.tar.gz"))
    one, two = ((tmp_path / f"{name}.tar.gz").read_bytes() for name in ("one", "two"))
    assert made[0] == made[1] == hashlib.sha256(gzip.decompress(one)).hexdigest()
    assert one == two
    (tmp_path / "two/python/demo.py").write_text("x = 2\n")
    assert bundle.pack(tmp_path / "two", tmp_path / "two.tar.gz") != made[0]


def test_what_is_in_it(tmp_path):
    bundle.pack(fill(tmp_path / "in"), tmp_path / "x.tar.gz")
    with tarfile.open(tmp_path / "x.tar.gz") as tar:
        found = {info.name: info for info in tar.getmembers()}
    assert oct(found["python/bin/demo"].mode) == "0o755"
    assert oct(found["python/demo.py"].mode) == "0o644"
    assert {(info.uname, info.uid, info.mtime) for info in found.values()} == {("root", 0, 315532800)}


def test_file_hash(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert bundle.file_hash(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()
