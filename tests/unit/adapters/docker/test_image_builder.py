from __future__ import annotations

import os
import time
from contextlib import suppress

import pytest

from provision.adapters.docker import image_builder
from provision.base.errors import ProvisionError
from provision.model.image.recipe import ImagePaths


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """Put a `docker` first in the PATH that notes its arguments and does what its script says."""
    place = tmp_path / "bin"
    place.mkdir()
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")

    def make(script: str):
        (place / "docker").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n[ "$1" = run ] || exit 0\n{script}\n')
        (place / "docker").chmod(0o755)
        return tmp_path / "calls"

    return make


def bake(cache, line=lambda text: None):
    image_builder.bake(
        ImagePaths(cache / "downloads", cache / "software/a", cache / "images/b"),
        builder="provision/bake:1",
        labels=["a=b"],
        files={"image/files/x": b"data", "bake/entrypoint": b"no"},
        settings={"suite": "trixie"},
        cache=cache,
        line=line,
    )


def test_runs_the_bake_and_hands_over_its_lines(docker, tmp_path):
    calls = docker("echo 'bake: one (1 s)'; echo two >&2")
    lines = []
    bake(tmp_path / "cache", lines.append)
    assert lines == ["bake: one (1 s)", "two"]
    remove, run = calls.read_text().splitlines()[:2]
    assert remove == "rm --force provision-bake"
    assert run.endswith(" provision/bake:1 /out/software/a /out/images/b")
    assert f"--volume={tmp_path}/cache:/out" in run
    assert list((tmp_path / "cache").glob("bake-*")) == []


def test_a_proxys_password_is_in_no_list_of_processes(docker, tmp_path, monkeypatch):
    calls = docker("exit 0")
    monkeypatch.setenv("https_proxy", "http://me:hunter2@proxy.example")
    bake(tmp_path)
    assert "--env=https_proxy" in calls.read_text()
    assert "hunter2" not in calls.read_text()


def test_a_failed_bake_says_its_last_lines(docker, tmp_path):
    docker("seq 1 40; echo 'THESE PACKAGES DO NOT MATCH THE HASHES'; exit 1")
    with pytest.raises(ProvisionError, match="could not be baked") as caught:
        bake(tmp_path)
    assert caught.value.detail.splitlines()[-1] == "THESE PACKAGES DO NOT MATCH THE HASHES"
    assert len(caught.value.detail.splitlines()) == 25


def test_tidying_keeps_the_newest_and_removes_what_broke_off(tmp_path):
    for folder, names in (("images", "abc"), ("software", "de")):
        (tmp_path / folder).mkdir()
        for number, name in enumerate(names):
            suffix = "qcow2" if folder == "images" else "tar.zst"
            path = tmp_path / folder / f"{name}.{suffix}"
            path.touch()
            os.utime(path, (number, number))
            path.with_name(path.name + ".part").touch()
    (tmp_path / "bake-xyz/settings").mkdir(parents=True)
    (tmp_path / "bake-xyz/settings/pip.conf").touch()
    image_builder.tidy(tmp_path)
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["images/b.qcow2", "images/c.qcow2", "software/d.tar.zst", "software/e.tar.zst"]
    assert not (tmp_path / "bake-xyz").exists()


def test_a_bake_begins_when_the_one_before_is_removed(docker, tmp_path, monkeypatch):
    monkeypatch.setattr(image_builder.time, "sleep", lambda seconds: (tmp_path / "gone").touch())
    calls = docker("exit 0")
    script = tmp_path / "bin/docker"
    busy = f'[ "$1" = run ] || [ -e {tmp_path}/gone ] || {{ echo "removal is already in progress" >&2; exit 1; }}'
    script.write_text(script.read_text().replace('[ "$1" = run ] || exit 0', f'{busy}\n[ "$1" = run ] || exit 0'))
    bake(tmp_path / "cache")
    assert [line.split()[0] for line in calls.read_text().splitlines()[:3]] == ["rm", "rm", "run"]


@pytest.mark.parametrize("script", ["exit 0", "exit 1"])
def test_nobody_waits_until_the_container_is_removed(docker, tmp_path, script):
    docker(f"touch {tmp_path}/ran; {script}")
    program = tmp_path / "bin/docker"
    wait = f"for _ in $(seq 100); do [ -e {tmp_path}/returned ] && break; sleep 0.1; done"
    removal = f"[ -e {tmp_path}/ran ] || exit 0; {wait}; touch {tmp_path}/removed; exit 0"
    program.write_text(program.read_text().replace("|| exit 0", f"|| {{ {removal}; }}"))
    with suppress(ProvisionError):
        bake(tmp_path / "cache")
    assert not (tmp_path / "removed").exists()
    (tmp_path / "returned").touch()
    # Nothing is left running.
    while not (tmp_path / "removed").exists():
        time.sleep(0.05)


def test_what_python_has_compiled_is_no_input(tmp_path, monkeypatch):
    for name in ("bake/entrypoint", "bake/__pycache__/a.cpython-311.pyc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(image_builder.paths, "COMPOSE", tmp_path)
    found = image_builder.inputs()
    assert "bake/entrypoint" in found
    assert "image/setup/system" in found
    assert not [name for name in found if name.endswith(".pyc")]


def test_apt_in_the_bake_goes_by_this_machines_proxies_and_authorities(docker, tmp_path, monkeypatch):
    place = "$(ls -d */settings)"
    docker(
        f"cd {tmp_path}/cache && cat {place}/apt.conf && stat -c %a {place} {place}/authorities.pem {place}/apt.conf"
    )
    (tmp_path / "ca.pem").write_text("PEM")
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "ca.pem"))
    proxies = {"Acquire::http::Proxy": "http://me:hunter2@proxy:3128"}
    monkeypatch.setattr(image_builder, "apt_proxies", lambda: proxies)
    before, lines = os.umask(0o077), []
    try:
        bake(tmp_path / "cache", lines.append)
    finally:
        os.umask(before)
    assert lines == [
        'Acquire::https::CAInfo "/settings/authorities.pem";',
        'Acquire::http::Proxy "http://me:hunter2@proxy:3128";',
        # apt fetches as a user of its own.
        *("755", "644", "600"),
    ]
