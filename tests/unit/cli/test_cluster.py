"""The cluster's commands as a shell sees them: exit codes, and where what is printed."""

from __future__ import annotations

import copy
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from provision.adapters.cluster_dir import ClusterDir
from provision.base.errors import UsageError
from provision.cli.cluster import lines, show_summary, status, up
from provision.cli.entry import main
from provision.cli.terminal import TerminalProgress
from provision.model.cluster.resources import ObservedCluster
from provision.model.cluster.steps import Plan, Step
from provision.operations.cluster.up import Summary
from provision.operations.image import beside
from provision.operations.packages import resolution


def run(*arguments, cwd, **environment):
    whole = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(cwd),
        # This checkout, wherever the installed one is.
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "OS_CLIENT_CONFIG_FILE": str(cwd / "clouds.yaml"),
        **environment,
    }
    return subprocess.run(
        [sys.executable, "-m", "provision", *arguments],
        cwd=cwd,
        env=whole,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", ["plan", "up", "status", "down", "render"])
def test_a_bad_spec_ends_every_command_with_2(tmp_path, command):
    (tmp_path / "cluster.yaml").write_text("name: a\nworkers: {count: 0}\n")
    done = run(command, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "cluster.yaml:2: workers.count: 0 workers cannot compute" in done.stderr
    assert "What to do: Ask for at least 1." in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".local").exists()


@pytest.mark.parametrize("command", ["plan", "up", "status", "down"])
def test_an_unknown_cloud_ends_with_2(tmp_path, command):
    (tmp_path / "cluster.yaml").write_text("name: a\ncloud: nowhere\n")
    done = run(command, *(["--yes"] if command == "up" else []), cwd=tmp_path)
    assert done.returncode == 2
    assert "cluster.yaml:2: cloud: there is no usable cloud 'nowhere'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("terminal", "code", "said"), [(False, 2, "--yes"), (True, 1, "Nothing was changed.")])
def test_down_removes_nothing_unless_somebody_says_so(terminal, code, said, *, tmp_path, monkeypatch, capsys):
    """Neither without a terminal nor after a no."""
    removed = []

    def remove(cloud, cluster_dir, progress, agree, *, foreign):
        agree(ObservedCluster())
        removed.append(cluster_dir.name)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("provision.adapters.openstack.cloud.connect", lambda name, source: None)
    monkeypatch.setattr("provision.operations.cluster.down.down", remove)
    monkeypatch.setattr("provision.operations.cluster.resolve.find_cluster_dir", lambda cloud, name: ClusterDir(name))
    answers = io.StringIO("n\n")
    monkeypatch.setattr(answers, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(sys, "stdin", answers)
    monkeypatch.setattr(sys, "argv", ["provision", "down"])
    # The console keeps the stream that it was made with: show_error would write past capsys.
    monkeypatch.setattr("provision.cli.terminal.STDERR", Console(stderr=True))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    told = capsys.readouterr().err
    assert said in told
    assert "Stopped" not in told
    assert removed == []


@pytest.mark.parametrize("changed", [True, False])
def test_where_to_log_in_is_said_each_time(changed, tmp_path, capsys):
    summary = Summary(
        changed,
        "https://192.0.2.1",
        "https://192.0.2.1/services/spark/",
        ("alice", "bob"),
        tmp_path / "passwords",
        tmp_path / "ca",
    )
    show_summary(summary, TerminalProgress())
    told = capsys.readouterr().out
    assert ("Nothing to do: https://192.0.2.1 works." in told) != changed
    assert "Hub:        https://192.0.2.1\n" in told
    assert f"Users:      alice, bob (first passwords in {tmp_path / 'passwords'})" in told
    assert f"Authority:  {tmp_path / 'ca'}" in told
    assert "Spark UI:   https://192.0.2.1/services/spark/" in told
    assert "First job" not in told


def test_plan_before_the_local_cloud_runs(tmp_path):
    done = run("plan", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["cluster"] == "analytics"
    assert len(told["steps"]) == 11
    assert "`up` starts it first" in told["notes"][0]


def test_render(tmp_path):
    listed = run("render", cwd=tmp_path).stdout.split()
    assert "master/user-data.yaml" in listed
    assert run("render", "worker/user-data.yaml", cwd=tmp_path).stdout.startswith("#cloud-config\n")
    wrong = run("render", "nothing", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "worker/user-data.yaml" in wrong.stderr


def test_lines_of_a_master_whose_data_is_carried_over():
    steps = (
        Step("carry", "data", "a-master", "it moves", ("1",)),
        Step("delete", "server", "a-master", "another flavor", ("1",), destructive=True),
        Step("restore", "data", "a-master", "it comes back", ("1",)),
    )
    assert lines(Plan("a", steps))[1:] == [
        "< carry data a-master: it moves",
        "- delete server a-master: another flavor  [needs --replace]",
        "> restore data a-master: it comes back",
    ]
    lost = Step("lose", "data", "a-master", "it cannot be read", ("1",), destructive=True)
    assert lines(Plan("a", (lost, steps[1])))[1:] == [
        "- lose data a-master: it cannot be read  [needs --without-data]",
        "- delete server a-master: another flavor  [loses what is on it: needs --replace]",
    ]


def test_lines():
    made = Plan(
        "a",
        (
            Step("delete", "server", "a-master", "another flavor", ("1",), destructive=True),
            Step("create", "server", "a-master", "in place of the old one", ("a-master",)),
        ),
        ("look here",),
    )
    assert lines(made) == [
        "Cluster a: 2 steps.",
        "- delete server a-master: another flavor  [loses what is on it: needs --replace]",
        "+ create server a-master: in place of the old one",
        "Note: look here.",
    ]
    assert lines(Plan("a")) == ["Cluster a: nothing to do."]


def test_one_step():
    assert lines(Plan("a", (Step("start", "server", "a-master", "it is SHUTOFF", ("1",)),)))[0] == "Cluster a: 1 step."


STATE = {
    "cluster": "a",
    "cloud": "local",
    "exists": True,
    "working": True,
    "hub": {
        "url": "https://192.0.2.1",
        "well": True,
        "problem": None,
        "certificate_ends": None,
        "certificate_ends_soon": False,
    },
    "spark": {
        "ui": "https://192.0.2.1/services/spark/",
        "answers": True,
        "problem": None,
        "workers_alive": 1,
        "workers_wanted": 1,
        "cores": 1,
        "memory_mib": 1536,
        "applications": 0,
    },
    "nodes": [
        {
            "name": "a-master",
            "role": "master",
            "status": "ACTIVE",
            "address": "10.0.0.1",
            "flavor": "m1",
            "registered": None,
        },
        {
            "name": "a-worker-1",
            "role": "worker",
            "status": "ACTIVE",
            "address": "10.0.0.2",
            "flavor": "m1",
            "registered": True,
        },
    ],
    "resources": [],
}


@pytest.fixture
def state(tmp_path, monkeypatch):
    """What the operation `status` returns."""
    made = copy.deepcopy(STATE)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("provision.adapters.openstack.cloud.connect", lambda name, source: None)
    monkeypatch.setattr("provision.operations.cluster.resolve.find_cluster_dir", lambda cloud, name: ClusterDir(name))
    monkeypatch.setattr("provision.operations.cluster.status.status", lambda cloud, spec, cluster_dir: made)
    return made


def ask_status(*arguments):
    result = CliRunner().invoke(status, arguments, standalone_mode=False, catch_exceptions=False)
    return result.return_value, result.stdout


def test_status_of_a_cluster_that_works(state):
    code, told = ask_status()
    assert code == 0
    assert "Hub:        https://192.0.2.1 (healthy)" in told
    assert "Spark UI:   https://192.0.2.1/services/spark/ (1 of 1 workers alive, 1 cores)" in told
    assert [line.split()[-1] for line in told.splitlines()[1:3]] == ["master", "registered"]


def test_status_of_a_cluster_that_does_not_work(state):
    state.update(working=False)
    state["hub"].update(well=False, problem="it does not answer yet")
    state["spark"].update(answers=False, problem="it does not answer")
    state["nodes"][1]["registered"] = None
    code, told = ask_status()
    assert code == 1
    assert [line.split()[-1] for line in told.splitlines()[1:3]] == ["master", "unknown"]
    assert "(it does not answer yet)" in told
    assert "(it does not answer)" in told


def test_status_warns_of_a_certificate_that_ends_soon(state):
    state["hub"].update(certificate_ends="2026-12-01", certificate_ends_soon=True)
    _, told = ask_status()
    assert "its certificate ends on 2026-12-01. `provision up` renews it." in told


def test_status_of_no_cluster(state):
    state.update(exists=False, working=False)
    assert ask_status() == (1, "There is no cluster a on cloud 'local'.\n")


def test_status_as_json(state):
    code, told = ask_status("--json")
    assert code == 0
    assert json.loads(told) == STATE


def test_one_reason_for_several_nodes_is_one_line():
    steps = [Step("configure", "server", name, "it changed", (name,)) for name in ("a-master", "a-worker-1")]
    steps.append(Step("start", "server", "a-worker-2", "it is SHUTOFF", ("c",)))
    assert lines(Plan("a", tuple(steps)))[1:] == [
        "~ configure server a-master, a-worker-1: it changed",
        "~ start server a-worker-2: it is SHUTOFF",
    ]


def test_all_users_of_a_small_cluster_who_would_go_are_named():
    users = [f"user-{number}" for number in range(6)]
    made = Plan("a", tuple(Step("remove", "user", user, "hub.users does not name this user") for user in users))
    assert ", ".join(users) in lines(made)[1]


def test_of_hundreds_of_nodes_a_few_are_named_and_json_names_all():
    names = [f"a-worker-{number}" for number in range(11, 1001)]
    made = Plan("a", tuple(Step("remove", "server", name, "the spec asks for 10 workers", (name,)) for name in names))
    assert lines(made)[1:] == [
        "- remove server a-worker-11, a-worker-12, a-worker-13, a-worker-14 and 986 more: the spec asks for 10 workers"
        "  [with --yes: needs --remove]"
    ]
    assert len(made.as_data()["steps"]) == 990


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\nspark:\n  executor_memory: 64g\n", "cluster.yaml:3: spark.executor_memory: 65536 MiB is more"),
        ("name: a\nspark:\n  app_cores: 99\n", "cluster.yaml:3: spark.app_cores: 99 is more"),
        (
            "name: a\nspark:\n  defaults:\n    spark.executor.cores: 64\n",
            "cluster.yaml:4: spark.defaults.spark.executor.cores: 64 is more",
        ),
    ],
)
def test_what_the_cloud_judges_names_the_line_too(tmp_path, text, said):
    (tmp_path / "cluster.yaml").write_text(text)
    done = run("render", cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize(("typed", "said"), [("stauts", "Did you mean 'status'?"), ("zzz", "No such command 'zzz'.")])
def test_a_mistyped_command(tmp_path, typed, said):
    done = run(typed, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_package_that_cannot_be_had_starts_no_cloud(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    Path("cluster.yaml").write_text("name: analytics\npackages: [nonesuch==1]\n")

    def refuse(*_arguments):
        raise UsageError("packages: nonesuch cannot be had", "Correct it.")

    monkeypatch.setattr(resolution, "ensure_bundle", refuse)
    monkeypatch.setattr(beside, "ensure_cloud", lambda *_, new: pytest.fail(f"the cloud was started, {new}"))
    with pytest.raises(UsageError, match="nonesuch cannot be had"):
        up.callback(file=None, yes=True, timeout=1, replace=False, remove=False, without_data=False)


def test_a_spec_that_the_local_cloud_cannot_fulfil_starts_no_cloud(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    Path("clouds.yaml").write_text("clouds: {}\n")
    Path("cluster.yaml").write_text("name: analytics\nnetwork: {cidr: 172.29.0.0/24}\n")
    monkeypatch.setattr(beside, "ensure_cloud", lambda *_, new: pytest.fail(f"the cloud was started, {new}"))
    with pytest.raises(UsageError, match=r"cluster\.yaml: network\.cidr: 172\.29\.0\.0/24 overlaps"):
        up.callback(file=None, yes=True, timeout=1, replace=False, remove=False, without_data=False)
