"""What is sent to a master for a job, and what is made of its answers."""

from __future__ import annotations

import io
import json

import pytest

from provision.adapters.host.process import Result
from provision.base.errors import ProvisionError, UsageError
from provision.operations.jobs.submit import Submission, kill, list_jobs, logs, submit, unit_limits

JOB = {"job": "count-1", "user": "alice", "script": "count.py", "arguments": [], "started": 1.0}
ENDED = JOB | {"state": "failed", "code": 7, "seconds": 2.0}


def frame(letter, data):
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    return letter.encode() + len(data).to_bytes(4, "big") + data


class Master:
    """A Remote whose programs answer with what they are given, one after the other."""

    name = "a-master"

    def __init__(self, *answers, code=0):
        self.answers = list(answers)
        self.code = code
        self.orders, self.feeds = [], []

    def start(self, module, order):
        self.orders.append(order)
        self.feeds.append(io.BytesIO())
        answer = self.answers.pop(0)
        output = Broken() if answer is None else io.BytesIO(answer)
        return Answer(self.feeds[-1], output, self.code)


class Broken:
    """The output of a program while somebody presses Ctrl-C."""

    def __init__(self):
        self.parts = [frame("j", JOB)[:5], frame("j", JOB)[5:]]

    def read(self, _):
        if self.parts:
            return self.parts.pop(0)
        raise KeyboardInterrupt


class Answer:
    """A program on the master."""

    def __init__(self, feed, output, code):
        self.feed, self.output, self.code = feed, output, code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def finish(self):
        return Result((), self.code, "", "why")


@pytest.fixture
def script(tmp_path):
    (tmp_path / "My Count.py").write_text("print(1)\n")
    (tmp_path / "more.zip").write_bytes(b"zip")
    return tmp_path / "My Count.py"


def run(master, program, output=True):
    out, errors, told = io.BytesIO(), io.BytesIO(), []
    job = submit(master, program, {"MemoryMax": "9M"}, told.append, (out, errors) if output else None)
    return job, out.getvalue(), errors.getvalue(), told


def test_a_job_is_sent_shown_and_its_code_returned(script):
    master = Master(frame("j", JOB) + frame("o", b"1\n") + frame("e", b"oh\n") + frame("o", b"2\n") + frame("x", ENDED))
    program = Submission(script, "alice", ("-n", "1"), (script.parent / "more.zip",), ("spark.a=b",))
    job, out, errors, told = run(master, program)
    assert (job.name, job.state, job.code) == ("count-1", "failed", 7)
    assert (out, errors, told) == (b"1\n2\n", b"oh\n", ["count-1"])
    (order,) = master.orders
    assert order["stem"] == "my-count"
    assert order["files"] == [{"name": "My Count.py", "size": 9}, {"name": "more.zip", "size": 3}]
    assert order["runner"] == ["spark-submit"]
    assert (order["options"], order["arguments"]) == (["--conf", "spark.a=b"], ["-n", "1"])
    assert (order["user"], order["attached"], order["before"][-1]) == ("alice", True, "alice")
    assert master.feeds[0].getvalue() == b"print(1)\nzip"


def test_another_program_runs_it_under_another_name(script):
    master = Master(frame("j", JOB) + frame("x", ENDED))
    run(master, Submission(script, "alice", runner=("/opt/python",), name="An Example"))
    assert (master.orders[0]["runner"], master.orders[0]["stem"]) == (["/opt/python"], "an-example")


def test_nobody_waits_for_a_detached_job(script):
    job, _, _, told = run(Master(frame("j", JOB)), Submission(script, "alice"), output=False)
    assert job is None
    assert told == ["count-1"]


def test_ctrl_c_ends_the_job_before_it_returns(script):
    master = Master(None, frame("x", JOB | {"state": "ended", "code": None, "seconds": 1.0}))
    with pytest.raises(KeyboardInterrupt):
        run(master, Submission(script, "alice"))
    assert [order["do"] for order in master.orders] == ["start", "kill"]
    assert master.orders[1]["job"] == "count-1"


@pytest.mark.parametrize(
    ("answer", "words"), [(b"", "did not start the job"), (frame("j", JOB), "the connection to a-master was lost")]
)
def test_what_breaks_off_is_said(script, answer, words):
    with pytest.raises(ProvisionError, match=words) as raised:
        run(Master(answer, code=255), Submission(script, "alice"))
    assert raised.value.detail == "why"


def test_what_cannot_be_submitted_is_refused_before_anything_is_sent(script, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "more.zip").touch()
    (tmp_path / "job.jar").touch()
    master = Master()
    for program, words in (
        (Submission(tmp_path / "no.py", "alice"), "is no file"),
        (Submission(tmp_path / "job.jar", "alice"), "no Python program"),
        (Submission(script, "alice", (), (tmp_path / "more.zip", tmp_path / "d" / "more.zip")), "are called more.zip"),
        (Submission(script, "alice", conf=("spark.a",)), "no setting of Spark's"),
    ):
        with pytest.raises(UsageError, match=words):
            run(master, program)
    assert master.orders == []


def test_jobs_logs_and_kill():
    master = Master(frame("x", [ENDED]), frame("o", b"out") + frame("x", ENDED), frame("x", ENDED))
    assert [job.name for job in list_jobs(master)] == ["count-1"]
    out = io.BytesIO()
    assert logs(master, "count-1", (out, out), to_the_end=True).code == 7
    assert out.getvalue() == b"out"
    assert kill(master, "count-1").state == "failed"
    assert [order["do"] for order in master.orders] == ["list", "follow", "kill"]


def test_a_job_that_is_not_there_is_named():
    with pytest.raises(UsageError, match="there is no job 'x-1'"):
        kill(Master(b"", code=3), "x-1")


def test_a_job_has_the_limits_of_a_notebook():
    limits = {"memory": 700, "tasks": 500, "cores": 1.5}
    properties = unit_limits({"hub": {"limits": limits}})
    assert (properties["MemoryMax"], properties["TasksMax"], properties["CPUQuota"]) == ("700M", "500", "150%")
    assert "CPUQuota" not in unit_limits({"hub": {"limits": limits | {"cores": None}}})
