"""The kernel that begins with its user's notebook server (templates/hub/early_kernel.py), with programs that pretend."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
import types

import pytest

from provision.base.paths import TEMPLATES

PROGRAM = TEMPLATES / "hub/early_kernel.py"
SETTINGS = "~/.config/spark/spark-defaults.conf"
# Says where it listens, a part first, as ipykernel does, and what it was given; then waits to be ended.
KERNEL = """
import json, os, sys, time
connection = {"shell_port": 7, "key": "secret", "given": [os.getcwd(), os.environ["SPARK_HOME"]]}
with open(sys.argv[2], "w") as file:
    file.write(json.dumps(connection)[:9])
    file.flush()
    time.sleep(0.2)
    file.write(json.dumps(connection)[9:])
time.sleep(600)
"""
ENDS = "raise SystemExit(3)"


@pytest.fixture
def early(monkeypatch, tmp_path):
    """The module, in a home of its own."""
    for name in ("home/notes", "memory"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.chdir(tmp_path / "home")
    spec = importlib.util.spec_from_file_location("early_kernel", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.site, "getusersitepackages", lambda: str(tmp_path / "home/packages"))
    monkeypatch.setattr(module, "MEMORY", tmp_path / "memory")
    memory(tmp_path, "max", 0)
    return module


def memory(tmp_path, most, taken):
    (tmp_path / "memory/memory.max").write_text(f"{most}\n")
    (tmp_path / "memory/memory.stat").write_text(f"anon {taken}\nfile 999999\n")


@pytest.fixture
def begin(early, tmp_path):
    """A function that begins one; it ends with the test."""
    begun = []

    def one(program=KERNEL):
        spec = tmp_path / "kernel.json"
        argv = [sys.executable, "-c", program, "-f", "{connection_file}"]
        spec.write_text(json.dumps({"argv": argv, "env": {"SPARK_HOME": "/opt/spark"}}))
        (tmp_path / "defaults").touch()
        given = json.dumps({"spec": str(spec), "read": [str(tmp_path / "defaults"), str(tmp_path / "none")]})
        begun.append(early.begin(given))
        return begun[-1]

    yield one
    for each in begun:
        if each:
            each.process.kill()
            each.process.wait()


def take(one, folder, **changes):
    names = {"connection_file": "/run/kernel-1.json", "environment": {"JPY_SESSION_NAME": "a.ipynb"}}
    return asyncio.run(one.take(types.SimpleNamespace(**(one.spec | changes)), folder, names))


def test_the_first_kernel_is_the_early_one(begin, tmp_path):
    one = begin()
    found = take(one, str(tmp_path / "home"))
    assert found == {"shell_port": 7, "key": b"secret", "given": [str(tmp_path / "home"), "/opt/spark"]}
    assert json.loads((tmp_path / "runtime/early-kernel-names.json").read_text()) == {
        "connection_file": "/run/kernel-1.json",
        "environment": {"JPY_SESSION_NAME": "a.ipynb"},
    }
    one.end()
    assert one.process.poll() is None, "what is somebody's is not ended when the time is over"


def user_settings(tmp_path):
    path = tmp_path / "home/.config/spark/spark-defaults.conf"
    path.parent.mkdir(parents=True)
    path.write_text("spark.driver.memory 2g\n")


def startup_file(tmp_path):
    path = tmp_path / "home/.ipython/profile_default/startup/mine.ipy"
    path.parent.mkdir(parents=True)
    path.touch()


def renewed(tmp_path):
    os.utime(tmp_path / "defaults", (1, 1))


@pytest.mark.parametrize(
    "meanwhile",
    [
        user_settings,
        startup_file,
        renewed,
        lambda tmp_path: (tmp_path / "none").touch(),
        lambda tmp_path: (tmp_path / "home/packages").mkdir(),
    ],
)
def test_one_that_has_read_other_settings_is_ended(begin, tmp_path, meanwhile):
    one = begin()
    meanwhile(tmp_path)
    assert take(one, str(tmp_path / "home")) is None
    assert one.process.wait(10) < 0


def test_what_ipython_makes_at_its_first_start_changes_nothing(begin, tmp_path):
    one = begin()
    (tmp_path / "home/.ipython/profile_default/startup").mkdir(parents=True)
    (tmp_path / "home/.ipython/profile_default/startup/README").touch()
    assert take(one, str(tmp_path / "home"))


@pytest.mark.parametrize("changes", [{"argv": ["python", "-m", "other"]}, {"env": {"PROVISION_KERNEL": "connect"}}])
def test_one_of_another_kind_is_ended(begin, tmp_path, changes):
    one = begin()
    assert take(one, str(tmp_path / "home"), **changes) is None
    assert one.process.wait(10) < 0
    # Another kind's folder says nothing of where PySpark's will be.
    assert not (tmp_path / "home/.local").exists()


def test_the_next_one_begins_in_the_folder_of_the_last(begin, tmp_path):
    one = begin()
    assert take(one, str(tmp_path / "home/notes")) is None
    assert one.process.wait(10) < 0
    two = begin()
    assert take(two, str(tmp_path / "home/notes"))["given"][0] == str(tmp_path / "home/notes")
    three = begin()
    # Of a folder that has gone.
    (tmp_path / "home/notes").rmdir()
    assert take(three, str(tmp_path / "home")) is None
    (tmp_path / "home/.local/share/jupyter/pyspark-folder").write_text(str(tmp_path / "home/notes"))
    assert begin().folder == str(tmp_path / "home")


def test_where_there_is_no_room_for_its_names_it_is_taken_without(begin, tmp_path):
    one = begin()
    (tmp_path / "runtime/early-kernel-names.new").mkdir()
    assert take(one, str(tmp_path / "home"))["shell_port"] == 7


def test_one_that_has_ended_is_not_taken(begin, tmp_path):
    one = begin(ENDS)
    assert take(one, str(tmp_path / "home")) is None


def test_nobody_wants_it(begin, early, tmp_path, monkeypatch):
    monkeypatch.setattr(early, "UNUSED", 0.1)
    one = begin()
    assert one.process.wait(10) < 0
    assert take(one, str(tmp_path / "home")) is None


@pytest.mark.parametrize(("most", "taken", "begins"), [("max", 9, True), (100, 49, True), (100, 50, False)])
def test_others_who_work_come_first(begin, tmp_path, most, taken, begins):
    memory(tmp_path, most, taken)
    assert bool(begin()) is begins


@pytest.mark.parametrize("file", ["kernel.json", "memory/memory.stat"])
def test_where_it_cannot_begin_there_is_none(begin, early, tmp_path, file):
    begin()
    (tmp_path / file).unlink()
    assert early.begin(json.dumps({"spec": str(tmp_path / "kernel.json"), "read": []})) is None


def test_jupyters_first_kernel_is_offered_it(begin, early, tmp_path, monkeypatch):
    class LocalProvisioner:
        async def launch_kernel(self, cmd, **kwargs):
            return f"started {cmd}"

    monkeypatch.setitem(sys.modules, "jupyter_client", types.ModuleType("jupyter_client"))
    monkeypatch.setitem(
        sys.modules, "jupyter_client.provisioning", types.SimpleNamespace(LocalProvisioner=LocalProvisioner)
    )
    one = begin()
    early.offer(one)
    first, second = LocalProvisioner(), LocalProvisioner()
    for each in (first, second):
        each.kernel_spec = types.SimpleNamespace(**one.spec)
        each.parent = types.SimpleNamespace(connection_file="/run/kernel-1.json")
    given = {"cwd": str(tmp_path / "home"), "env": {**os.environ, "JPY_SESSION_NAME": "a.ipynb"}}
    assert asyncio.run(first.launch_kernel("python", **given))["shell_port"] == 7
    assert (first.process, first.pid, first.pgid) == (one.process, one.process.pid, one.process.pid)
    # Its restart, and other kernels, are started as ever.
    assert asyncio.run(first.launch_kernel("python", **given)) == "started python"
    assert asyncio.run(second.launch_kernel("R", **given)) == "started R"


def test_the_users_own_settings_are_the_file_that_the_kernel_reads(early, kernel):
    assert kernel("launch").OWN_FILE == SETTINGS
    assert SETTINGS in early.OWN
