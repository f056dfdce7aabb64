"""What a node says of itself: how the output of its programs and its files are read."""

from __future__ import annotations

import http.client
import json
import os
import time
from types import SimpleNamespace

import pytest

from provision.adapters.onnode import contact, daemons, journal, look
from provision.adapters.remote import Remote

SHOWN = """\
Id=spark-master.service
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
Result=success
ExecMainStatus=0
NRestarts=2
ConditionResult=yes
ActiveEnterTimestamp=@1795851519
InactiveEnterTimestamp=@1795851500

Id=home.automount
LoadState=masked
ActiveState=inactive
SubState=dead
UnitFileState=masked
Result=success
ConditionResult=no
ActiveEnterTimestamp=
InactiveEnterTimestamp=
"""
EXECUTOR = "26/11/28 07:41:45 INFO Worker: Executor app-2026-0000/{} finished with state {}"


def entry(message, unit="spark-worker.service", **more):
    return json.dumps({"MESSAGE": message, "_SYSTEMD_UNIT": unit, "__REALTIME_TIMESTAMP": "5000000", **more})


@pytest.fixture
def says(monkeypatch):
    """A function that lets programs print what it is given: the first one whose words begin so."""
    answers = {}
    asked = []

    def run(argv, seconds=20):
        asked.append(argv)
        line = " ".join(argv)
        return next((text for start, text in answers.items() if line.startswith(start)), "")

    monkeypatch.setattr(look, "run", run)

    def set_answers(**given):
        answers.update({name.replace("_", " "): text for name, text in given.items()})
        return asked

    return set_answers


def test_units_are_read(says):
    says(systemctl=SHOWN)
    found = look.units(["spark-master", "home.automount"])
    assert found["spark-master"] == {
        "load": "loaded", "active": "active", "sub": "running", "file": "enabled", "result": "success", "code": 0,
        "restarts": 2, "condition": True, "since": 1795851519.0,
    }  # fmt: skip
    assert (found["home.automount"]["load"], found["home.automount"]["condition"]) == ("masked", False)
    assert found["home.automount"]["since"] == 0.0
    assert look.unwell(found) == ["spark-master", "home.automount"]


def test_the_journal_is_read_line_by_line(says):
    lines = [entry("one\n\ntwo " + "x" * 400), entry([104, 255, 105], UNIT="jupyterhub.service"), "no JSON"]
    lines.append(entry(["one field", "and another", [104, 105]]))
    says(journalctl="\n".join(lines))
    found = look.journal("--unit", "x")
    assert [(at, unit) for at, unit, _ in found] == [(5.0, "spark-worker")] * 2 + [(5.0, "jupyterhub")] + [
        (5.0, "spark-worker")
    ] * 3
    assert found[0][2] == "one"
    assert len(found[1][2]) == look.LINE_AT_MOST
    assert [text for _, _, text in found[2:]] == ["h\ufffdi", "one field", "and another", "hi"]


def test_what_an_executor_printed_last_may_be_in_the_file_before(tmp_path):
    (tmp_path / "stderr").write_text("")
    (tmp_path / "stderr--2026-11-30--10-00-00--0000").write_text("older")
    (tmp_path / "stderr--2026-11-30--11-00-00--0000").write_text("x" * 100 + "\nthe reason\n")
    assert look._end(str(tmp_path / "stderr"), 20) == "xxxxxxxx\nthe reason\n"
    assert look._end(str(tmp_path / "none"), 20) == ""


def test_a_worker_tells_of_executors_that_failed_and_of_warnings(says, tmp_path):
    (tmp_path / "app-2026-0000/1").mkdir(parents=True)
    (tmp_path / "app-2026-0000/1/stderr").write_text(
        "Caused by: x: /10.0.0.1:7100\n\tat a.b.C(D.java:1)\n\t... 4 more\n\n"
    )
    told = [
        EXECUTOR.format(0, "EXITED message Command exited with code 1 exitStatus 1"),
        EXECUTOR.format(1, "EXITED message Command exited with code 1 exitStatus 1"),
        EXECUTOR.format(2, "KILLED message Runner thread interrupted exitStatus 143"),
        EXECUTOR.format(3, "EXITED message Command exited with code 0 exitStatus 0"),
        "26/11/28 07:38:29 WARN Worker: Failed to connect to master 10.0.0.1:7077",
        "\tat java.base/java.lang.Thread.run(Thread.java:840)",
    ]
    asked = says(journalctl="\n".join(map(entry, told)))
    found = look.log(1800, str(tmp_path), hub=False, worker=True)
    assert asked[0][-4:] == ["--lines=4000", "_TRANSPORT=kernel", "+", "_SYSTEMD_UNIT=spark-worker.service"]
    assert [each["id"] for each in found["executors"]] == ["0", "1"]
    assert found["executors"][0] == {
        "at": 5.0, "app": "app-2026-0000", "id": "0", "why": "Command exited with code 1", "code": "1"
    }  # fmt: skip
    assert found["executors"][1]["stderr"] == ["Caused by: x: /10.0.0.1:7100"]
    assert found["worker_log"] == [told[4]]


def test_the_master_tells_of_the_hub_of_kernels_and_of_what_the_kernel_ended(says):
    oom = (
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=notebook-alice.service,mems_allowed=0,"
        "oom_memcg=/notebooks.slice/notebook-alice.service,task_memcg=/notebooks.slice/notebook-alice.service,"
        "task=python,pid=812,uid=2001"
    )
    lines = [
        entry(oom, unit=""),
        entry(
            "[E 2026-11-28 07:00:00 JupyterHub user:1073] Unhandled error starting alice's server: x",
            "jupyterhub.service",
        ),
        entry("[I 2026-11-28 07:00:00 JupyterHub log:192] 200 GET /hub/health", "jupyterhub.service"),
        entry("[W x] AsyncIOLoopKernelRestarter: restarting kernel (1/5), keep random ports", "notebook-alice.service"),
        entry("[I x] Saving file at /Untitled.ipynb", "notebook-alice.service"),
    ]
    says(journalctl="\n".join(lines))
    found = look.log(1800, "", hub=True, worker=False)
    (killed,) = found["killed"]
    assert (killed["at"], killed["program"], killed["unit"]) == (5.0, "python", "notebook-alice.service")
    assert killed["limit"] == "/notebooks.slice/notebook-alice.service"
    assert [text[:20] for _, _, text in found["hub_log"]] == ["[E 2026-11-28 07:00:"]
    assert [unit for _, unit, _ in found["servers"]] == ["notebook-alice"]


def test_accounts_are_told_without_their_hashes(monkeypatch):
    texts = {
        "/etc/group": "notebook:x:990:root,daemon,bin,sys\nother:x:991:games\n",
        "/etc/shadow": "root:$6$a$b:20000:0:99999:7:::\ndaemon:!$6$a$b:20000:0:99999:7:::\n"
        "bin:$6$a$b:20000:0:99999:7::100:\nsys:*:20000:0:99999:7:::\n",
    }
    monkeypatch.setattr(look, "read", lambda path: texts[path])
    assert look.accounts("notebook", ["nobody-of-ours"]) == {
        "nobody-of-ours": "missing", "root": "well", "daemon": "locked", "bin": "expired", "sys": "locked"
    }  # fmt: skip


def test_an_account_of_a_login_is_well_without_a_password(monkeypatch):
    texts = {
        "/etc/group": "notebook:x:990:dora,sys\n",
        "/etc/shadow": "dora:*:20000:0:99999:7:::\nsys:*:20000:0:99999:7:::\n",
    }
    monkeypatch.setattr(look, "read", lambda path: texts[path])
    comments = {"dora": "Notebook user by login", "sys": "sys"}
    monkeypatch.setattr(look.pwd, "getpwnam", lambda name: SimpleNamespace(pw_gecos=comments[name]))
    assert look.accounts("notebook", []) == {"dora": "well", "sys": "locked"}


def test_software_is_read_without_starting_any(tmp_path):
    site = tmp_path / "lib/python3.13/site-packages"
    for name in ("numpy-2.3.1", "Jupyter_Server-2.21.1"):
        (site / f"{name}.dist-info").mkdir(parents=True)
    assert look.packages(str(tmp_path)) == {"numpy": "2.3.1", "jupyter-server": "2.21.1"}
    assert look.own_packages(str(tmp_path / "current")) == ""
    (tmp_path / "current").symlink_to("abc123")
    assert look.own_packages(str(tmp_path / "current")) == "abc123"


def test_kernel_specs_that_start_nothing_are_named(tmp_path):
    texts = {
        "good": '{"argv": ["/bin/sh", "-c", "x"]}',
        "named": '{"argv": ["python", "-m", "x"]}',
        "gone": '{"argv": ["/no/such/python"]}',
        "none": "{",
        "empty": '{"argv": []}',
        "deep": "[" * 200000,
    }
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "kernel.json").write_text(text)
    # To open a pipe waits for whoever writes into it.
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe/kernel.json")
    found = {each["path"].split("/")[-2]: each["problem"] for each in look.kernel_specs([str(tmp_path)])}
    assert set(found) == {"gone", "none", "empty", "deep", "pipe"}
    assert found["gone"] == "/no/such/python is no program"


def test_secrets_can_be_compared_with_the_same_salt_only(tmp_path):
    for name, text in (("one", "spark.authenticate.secret abc"), ("two", "x 1\nspark.authenticate.secret=abc\n")):
        (tmp_path / name).write_text(text)
    one, two = (look.secret(str(tmp_path / name), "00")["hash"] for name in ("one", "two"))
    assert one == two
    assert "abc" not in one
    assert look.secret(str(tmp_path / "one"), "01")["hash"] != one


def test_shares_are_read_and_links_are_not_followed(tmp_path):
    (tmp_path / "app-1").write_text('{"wants": 2}')
    (tmp_path / "app-2").write_text("{")
    (tmp_path / "app-3").symlink_to("app-1")
    assert look.shares(str(tmp_path)) == {"app-1": {"wants": 2}}


def test_a_disk_and_a_folder_that_is_no_mount_are_told(tmp_path):
    (disk,) = look.disks([str(tmp_path)])
    assert disk["size"] > disk["free"] > 0
    found = look.mounts([str(tmp_path), str(tmp_path / "missing")])
    assert found == {str(tmp_path): "", str(tmp_path / "missing"): "unreadable: No such file or directory"}


ORDER = {
    "hub": False, "worker": True, "units": ["x"], "salt": "00", "recent": 60, "disks": ["/"], "mounts": ["/"],
    "paths": {"venv": "/nowhere", "packages": "/nowhere", "spark_defaults": "/nowhere", "spark_work": "/nowhere"},
    "metadata": "127.0.0.1:9", "resolv": ["/nowhere"], "names": ["localhost"], "reach": [["127.0.0.1", 9]],
    "patience": 1,
}  # fmt: skip


def test_the_program_runs_by_itself_and_says_what_it_could_not_see():
    with Remote("here", ("sh", "-c"), sudo=False).start(look, ORDER, needs=[contact, daemons, journal]) as piped:
        assert piped.output.readline() == b"ready\n"
        piped.feed.write(b"\n")
        piped.feed.flush()
        assert abs(json.loads(piped.output.readline())["now"] - time.time()) < 60
        facts = json.loads(piped.output.readline())
    assert facts["reach"] == {"127.0.0.1:9": "refused"}
    assert facts["names"] == {"localhost": "127.0.0.1"}
    assert "refused" in facts["metadata"]
    assert "No such file" in facts["missing"]["secret"]
    assert set(facts["missing"]) >= {"secret"}


def test_a_program_without_an_end_is_left_out():
    with pytest.raises(OSError, match="no end after 0 s"):
        look.run(["sleep", "60"], 0.1)
    assert look.run(["echo", "x"]) == "x\n"


def test_what_cannot_be_seen_for_a_reason_nobody_thought_of_hides_nothing_else(monkeypatch, says):
    says(**{"systemctl_list-units": "x.service\ny.service\n"}, journalctl=entry("its end"))
    real = look.last_lines

    def last_lines(unit, count):
        if unit == "x":
            raise RuntimeError("odd")
        return real(unit, count)

    def broken(_):
        raise http.client.BadStatusLine("hello")

    monkeypatch.setattr(look, "last_lines", last_lines)
    monkeypatch.setattr(look, "metadata", broken)
    found = look.facts(ORDER)
    assert (found["logs"]["y"], "x" in found["logs"]) == (["its end"], False)
    assert found["missing"]["log of x"] == "RuntimeError: odd"
    assert found["missing"]["metadata"].startswith("BadStatusLine")
    assert found["reach"] == {"127.0.0.1:9": "refused"}
