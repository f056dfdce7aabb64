"""Docker Compose is called with a project's files and values, and its failures are explained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from provision.adapters.docker import compose
from provision.adapters.docker.compose import Compose
from provision.base.errors import ProvisionError, UsageError

PROJECT = Compose("p", (Path("a.yaml"), Path("b.yaml")), Path("compose.env"), {"TAG": "1"})
FIXED = "compose --ansi never -p p -f a.yaml -f b.yaml --env-file /dev/null"
DOCUMENT = {
    "services": {
        "api": {"image": "api:1", "environment": {"CONFIGURATION": "c1"}, "deploy": {"replicas": 3}},
        "db": {"image": "db:1", "environment": None, "scale": 2},
        "web": {"image": "web:1"},
    }
}


def test_compose_has_to_work(program):
    compose.require()
    program.write("exit 1")
    with pytest.raises(UsageError, match="does not work here"):
        compose.require()


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda p: p.up(), "up -d --no-build --pull never --remove-orphans"),
        (
            lambda p: p.up(["api"], no_deps=True, no_recreate=True),
            "up -d --no-build --pull never --no-deps --no-recreate --remove-orphans api",
        ),
        (
            lambda p: p.add({"api": 2, "db": 1}),
            "up -d --no-build --pull never --no-deps --no-recreate --scale api=2 --scale db=1 api db",
        ),
        (lambda p: p.create(["db"]), "--profile * create --no-build --pull never db"),
        (lambda p: p.run_once("m", "expand"), "--profile * run --rm --no-deps -T --name p-m m expand"),
        (lambda p: p.stop(["api"]), "stop api"),
        (lambda p: p.remove(["api"]), "rm --stop --force api"),
        (lambda p: p.down(volumes=False), "--profile * down --remove-orphans"),
        (lambda p: p.down(volumes=True), "--profile * down --remove-orphans --volumes"),
    ],
)
def test_commands(program, act, words):
    act(PROJECT)
    assert program.calls() == [f"{FIXED} {words}"]


def test_values_are_in_the_environment_and_some_can_be_replaced(program, tmp_path):
    program.write(f'echo "$TAG $REPLICA" >> {tmp_path}/values')
    PROJECT.up()
    PROJECT.with_values({"TAG": "2", "REPLICA": "7"}).up()
    assert (tmp_path / "values").read_text() == "1 \n2 7\n"


def test_the_users_own_variables_change_nothing(program, tmp_path, monkeypatch):
    monkeypatch.setenv("REGION", "us-east-1")
    monkeypatch.setenv("COMPOSE_PROFILES", "*")
    file = tmp_path / "compose.env"
    file.write_text("CONFIG=/a$b #c=d\nREGION=RegionOne\n")
    program.write(f'echo "$REGION $CONFIG ${{COMPOSE_PROFILES-none}}" >> {tmp_path}/values')
    replace(PROJECT, env_file=file).up()
    assert (tmp_path / "values").read_text() == "RegionOne /a$b #c=d none\n"


def test_what_the_files_say(program):
    program.write(f"cat <<'END'\n{json.dumps(DOCUMENT)}\nEND")
    assert PROJECT.document() == DOCUMENT
    assert PROJECT.made_from() == {"api": ("api:1", "c1"), "db": ("db:1", ""), "web": ("web:1", "")}
    assert PROJECT.replicas() == {"api": 3, "db": 2, "web": 1}
    assert program.calls() == [
        f"{FIXED} --profile * config --format json",
        f"{FIXED} config --format json",
        f"{FIXED} config --format json",
    ]
    program.write("printf 'api abc\\n\\ndb def\\n'")
    assert PROJECT.definitions() == {"api": "abc", "db": "def"}
    program.write("printf 'api\\ndb\\n'")
    assert PROJECT.services() == ["api", "db"]


@pytest.mark.parametrize(
    ("problem", "hint"),
    [
        ("Bind for 127.0.0.1:5000 failed: port is already allocated", "ss -ltnp"),
        ("Pool overlaps with other one on this address space", "docker network ls"),
        ("no such image", "Docker's own"),
    ],
)
def test_a_failed_start_is_explained(program, problem, hint):
    program.write(f"echo '{problem}' >&2; exit 1")
    with pytest.raises(ProvisionError, match="could not start the project p") as caught:
        PROJECT.up()
    assert hint in caught.value.hint
    assert caught.value.detail == f"{problem}\n"


def test_a_failed_run_says_its_last_lines(program):
    program.write("echo 'no such table' >&2; exit 3")
    with pytest.raises(ProvisionError, match="the one-shot run m failed") as caught:
        PROJECT.run_once("m")
    assert "no such table" in caught.value.detail


def test_a_network_that_docker_has_miscounted_is_no_failure_of_down(program):
    failing = (
        """case "$*" in *" down "*) echo "error while removing network: x has active endpoints" >&2; exit 1;; esac"""
    )
    program.write(failing)
    PROJECT.down(volumes=False)
    # A container that stays is a failure, and so is anything else.
    program.write(f"{failing}; echo id-of-a-container")
    with pytest.raises(ProvisionError, match="stopping the project"):
        PROJECT.down(volumes=False)
    program.write("echo other >&2; exit 1")
    with pytest.raises(ProvisionError, match="stopping the project"):
        PROJECT.down(volumes=False)
