"""Jobs in folders of this machine; systemd is a function that runs the unit's program at once."""

from __future__ import annotations

import getpass
import io
import re
import subprocess
import threading
from pathlib import Path

import pytest

from provision.adapters.onnode import jobs as module
from provision.adapters.onnode.jobs import KEPT, Jobs

SPARK_SUBMIT = """\
#!/bin/sh
for word; do case "$word" in */files/*.py) script=$word;; esac; done
exec sh "$script"
"""


class Systemd:
    """Starts a unit's program as systemd would, and has a control group for it while it runs."""

    def __init__(self, cgroup):
        self.cgroup = cgroup
        self.asked = []
        self.running = {}

    def __call__(self, argv):
        self.asked.append(list(argv))
        if argv[0] == "systemctl":
            self.running[argv[2].removesuffix(".service")].kill()
            self._ended(argv[2].removesuffix(".service"))
        elif argv[0] == "systemd-run":
            options = dict(word.removeprefix("--").split("=", 1) for word in argv if re.match("--unit=|--uid=", word))
            properties = dict(word.split("=", 2)[1:] for word in argv if word.startswith("--property="))
            program = [word.replace("$$", "$") for word in argv[argv.index("--") + 1 :]]
            names = ("StandardOutput", "StandardError")
            out, errors = (Path(properties[name].removeprefix("append:")) for name in names)
            (self.cgroup / f"{options['unit']}.service").mkdir(parents=True)
            with out.open("ab") as stdout, errors.open("ab") as stderr:
                self.running[options["unit"]] = subprocess.Popen(program, stdout=stdout, stderr=stderr)
            threading.Thread(target=self._ended, args=(options["unit"],), daemon=True).start()
        return ""

    def _ended(self, unit):
        self.running[unit].wait()
        group = self.cgroup / f"{unit}.service"
        if group.exists():
            group.rmdir()


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "spark-submit").write_text(SPARK_SUBMIT)
    (tmp_path / "bin" / "spark-submit").chmod(0o755)
    # A login shell sets PATH anew: this one does not.
    monkeypatch.setattr(module, "_WRAPPER", f"PATH={tmp_path}/bin:/bin; {module._WRAPPER}")
    return Jobs(str(tmp_path / "jobs"), str(tmp_path / "groups"), Systemd(tmp_path / "groups"))


def start(jobs, text, **order):
    content = text.encode()
    files = [{"name": "job.py", "size": len(content)}, {"name": "more.zip", "size": 2}]
    whole = {
        "user": getpass.getuser(),
        "stem": "job",
        "files": files,
        "runner": ["spark-submit"],
        "script": "job.py",
        "py_files": ["more.zip"],
        "options": [],
        "arguments": [],
        "limits": {},
        "before": ["true"],
    }
    return jobs.start(whole | order, io.BytesIO(content + b"zz"))


def follow(jobs, name, *, alive=lambda _: True):
    frames = {"o": b"", "e": b""}

    def frame(letter, data):
        frames[letter] += data

    return jobs.follow(name, frame, alive, to_the_end=True), frames


def test_what_a_job_prints_comes_whole_and_its_code_is_kept(jobs):
    name = start(jobs, "seq 100000; echo wrong >&2; exit 7")["job"]
    last, frames = follow(jobs, name)
    assert frames["o"] == b"".join(b"%d\n" % number for number in range(1, 100001))
    assert frames["e"] == b"wrong\n"
    assert (name, last["state"], last["code"]) == ("job-1", "failed", 7)
    assert (jobs.root / name / "files" / "more.zip").read_bytes() == b"zz"


def test_jobs_have_numbers_and_are_listed_in_order(jobs):
    names = [start(jobs, text, stem=stem)["job"] for stem, text in (("b", "exit 0"), ("a", "exit 1"))]
    assert names == ["b-1", "a-2"]
    for name in names:
        follow(jobs, name)
    assert [(job["job"], job["state"], job["code"]) for job in jobs.jobs()] == [
        ("b-1", "succeeded", 0),
        ("a-2", "failed", 1),
    ]


def test_a_job_that_is_killed_has_no_code(jobs):
    name = start(jobs, "exec sleep 600")["job"]
    assert jobs.describe(name)["state"] == "running"
    assert jobs.kill(name)["state"] == "ended"
    assert jobs.kill(name)["code"] is None


def test_nobody_waits_any_more(jobs):
    name = start(jobs, "exec sleep 600")["job"]
    last, _ = follow(jobs, name, alive=lambda _: False)
    assert last["state"] == "ended"


def test_files_that_break_off_leave_nothing(jobs):
    with pytest.raises(EOFError, match=r"job\.py broke off"):
        start(jobs, "exit 0", files=[{"name": "job.py", "size": 1000}])
    assert list(jobs.root.iterdir()) == []
    assert jobs.command.asked == []


def test_a_user_whom_the_master_does_not_have_is_named(jobs):
    with pytest.raises(ValueError, match="no user nobody-of-ours"):
        start(jobs, "exit 0", user="nobody-of-ours")
    assert not jobs.root.exists()


def test_a_unit_that_does_not_start_leaves_nothing(jobs):
    def fails(argv):
        raise subprocess.CalledProcessError(1, argv)

    jobs.command = fails
    with pytest.raises(subprocess.CalledProcessError):
        start(jobs, "exit 0")
    assert list(jobs.root.iterdir()) == []


def test_the_unit_has_the_users_rights_and_limits(jobs):
    start(jobs, "exit 0", limits={"MemoryMax": "9M"}, options=["--conf", "spark.a=$HOME"], arguments=["-x", "a b"])
    before, unit = jobs.command.asked
    assert before == ["true"]
    assert f"--uid={getpass.getuser()}" in unit
    assert "--slice=notebooks.slice" in unit
    assert "--property=MemoryMax=9M" in unit
    folder = f"{jobs.root}/job-1"
    assert unit[unit.index("spark-submit") :] == [
        "spark-submit",
        *("--conf", "spark.a=$$HOME", "--py-files", f"{folder}/files/more.zip", f"{folder}/files/job.py"),
        *("-x", "a b"),
    ]
    for name in ("stdout", "stderr", "code"):
        assert Path(folder, name).stat().st_mode & 0o077 == 0


def test_another_program_may_run_the_script(jobs):
    start(jobs, "exit 0", runner=["/opt/python", "-X"], py_files=[], arguments=["$a"])
    _, unit = jobs.command.asked
    assert unit[unit.index("/opt/python") :] == ["/opt/python", "-X", f"{jobs.root}/job-1/files/job.py", "$$a"]


def test_names_stay_in_the_folder(jobs):
    with pytest.raises(KeyError):
        jobs.describe("../../etc")


def test_the_oldest_go(jobs):
    names = [start(jobs, "exit 0")["job"] for _ in range(3)]
    for name in names:
        follow(jobs, name)
    for number in range(KEPT):
        folder = jobs.root / f"x-{number + 10}"
        folder.mkdir()
        (folder / "job.json").write_text(f'{{"job": "{folder.name}", "started": {number}}}')
        for name in ("stdout", "stderr", "code"):
            (folder / name).touch()
    start(jobs, "exit 0")
    left = {job["job"] for job in jobs.jobs()}
    assert "x-10" not in left
    assert {*names, "x-50"} <= left


@pytest.mark.parametrize(
    "content", [b"x" * 100_000, b"\xff\xfe", b"-1", b"1e3", b"1 2", "²".encode(), b"99999999999", b"256"]
)
def test_what_a_user_writes_for_a_code_stops_nobody(jobs, content):
    """The file is the user's own, and all jobs are read whenever one is started or listed."""
    name = start(jobs, "exit 0")["job"]
    follow(jobs, name)
    jobs.cgroup = jobs.root / "none"  # its unit may be there for a moment still
    (jobs.root / name / "code").write_bytes(content)
    assert [(job["state"], job["code"]) for job in jobs.jobs()] == [("ended", None)]
    assert start(jobs, "exit 0")["job"] == "job-2"


def test_a_job_with_a_code_of_its_users_own_is_ended_all_the_same(jobs):
    name = start(jobs, "exec sleep 600")["job"]
    (jobs.root / name / "code").write_text("0")
    jobs.kill(name)
    assert jobs.command.asked[-1] == ["systemctl", "stop", f"job-{name}.service"]


@pytest.mark.parametrize("text", ["", '{"job": "half'])
def test_a_job_that_cannot_be_read_hides_no_other(jobs, text):
    name = start(jobs, "exit 0")["job"]
    follow(jobs, name)
    (jobs.root / "half-9").mkdir()
    (jobs.root / "half-9" / "job.json").write_text(text)
    (jobs.root / "going-9").mkdir()
    (jobs.root / "going-9" / "job.json").write_text('{"job": "going-9", "started": 1}')
    assert [job["job"] for job in jobs.jobs()] == [name]
    with pytest.raises(KeyError):
        jobs.describe("half-9")
