"""What Nova's entrypoint does by itself: forgets what was deleted long ago."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from provision.base import paths

PROGRAM = "nova-manage"


@pytest.fixture(name="entrypoint")
def _entrypoint(run_entrypoint):
    """Run an entrypoint with a nova-manage that ends with a code; return the result and what it was asked.

    The service itself is a wait for what runs beside it, and a day's sleep ends that.
    """

    def run(*words, code=0, host="nova-conductor-1"):
        return run_entrypoint(
            "nova",
            *words,
            functions="await_api() { :; }\nbecome() { wait; }\n"
            'as() { shift; "$@"; }\nsleep() { echo "sleep $1"; [ "$1" != 1d ] || exit 0; }\n',
            programs={PROGRAM: f'echo "$@"\nexit {code}', "hostname": f"echo {host}", "python3": ":"},
            environment=dict.fromkeys(("MARIADB", "RABBITMQ", "KEYSTONE_INTERNAL_URL", "PLACEMENT_INTERNAL_URL"), "peer"),
        )

    return run


@pytest.mark.parametrize("code", [0, 1])
def test_rows_are_removed_for_good_and_none_is_no_error(entrypoint, code):
    done = entrypoint("forget", code=code)
    assert done.returncode == 0
    words = done.stdout.split()
    assert words[:2] == ["db", "archive_deleted_rows"]
    assert {"--all-cells", "--until-complete", "--purge"} <= set(words)
    before = datetime.fromisoformat(words[words.index("--before") + 1]).replace(tzinfo=UTC)
    assert timedelta(days=29) < datetime.now(UTC) - before < timedelta(days=32)


@pytest.mark.parametrize("code", [3, 255])
def test_a_failure_is_one(entrypoint, code):
    done = entrypoint("forget", code=code)
    assert done.returncode == 1
    assert f"stays in Nova's databases ({code})" in done.stderr


@pytest.mark.parametrize("code", [0, 255])
def test_the_first_conductor_alone_does_so_and_goes_on_when_it_fails(entrypoint, code):
    done = entrypoint("conductor", code=code)
    assert [line.partition(" --")[0] for line in done.stdout.splitlines()] == [
        "sleep 1h", "db archive_deleted_rows", "sleep 1d",
    ]  # fmt: skip
    for service, host in (("conductor", "nova-conductor-2"), ("scheduler", "nova-scheduler-1")):
        assert entrypoint(service, host=host).stdout == ""
