"""The cluster's commands as a shell sees them: exit codes, and where what is printed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from provision.cli.cluster import lines
from provision.pure.plan import Plan, Step


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
        [sys.executable, "-m", "provision", *arguments], cwd=cwd, env=whole, capture_output=True, text=True, check=False
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
    done = run(command, cwd=tmp_path)
    assert done.returncode == 2
    assert "cluster.yaml:2: cloud: there is no usable cloud 'nowhere'" in done.stderr
    assert "Traceback" not in done.stderr


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


def test_one_reason_for_several_nodes_is_one_line():
    steps = [Step("configure", "server", name, "it changed", (name,)) for name in ("a-master", "a-worker-1")]
    steps.append(Step("start", "server", "a-worker-2", "it is SHUTOFF", ("c",)))
    assert lines(Plan("a", tuple(steps)))[1:] == [
        "~ configure server a-master, a-worker-1: it changed",
        "~ start server a-worker-2: it is SHUTOFF",
    ]


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
