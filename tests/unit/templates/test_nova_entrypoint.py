"""What Nova's entrypoint does by itself: forgets what was deleted long ago."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from provision.base import paths

PROGRAM = "nova-manage"


@pytest.fixture(name="forget")
def _forget(tmp_path):
    """Run `entrypoint forget` with a nova-manage that ends with a code; return the result and what it was asked."""
    common = (paths.COMPOSE / "base" / "common.sh").read_text()
    (tmp_path / "common.sh").write_text(
        common + "take() { :; }\nown() { :; }\nawait() { :; }\nas() { shift; \"$@\"; }\n"
    )
    script = (paths.COMPOSE / "nova" / "entrypoint").read_text()
    script = script.replace("/usr/local/lib/provision/common.sh", str(tmp_path / "common.sh"))

    def forget(code):
        program = tmp_path / PROGRAM
        program.write_text(f'#!/bin/sh\necho "$@"\nexit {code}\n')
        program.chmod(0o755)
        return subprocess.run(
            ["bash", "-c", script, "entrypoint", "forget"],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin", "MARIADB": "mariadb"},
            capture_output=True,
            text=True,
            check=False,
        )

    return forget


@pytest.mark.parametrize("code", [0, 1])
def test_rows_are_removed_for_good_and_none_is_no_error(forget, code):
    done = forget(code)
    assert done.returncode == 0
    words = done.stdout.split()
    assert words[:2] == ["db", "archive_deleted_rows"]
    assert {"--all-cells", "--until-complete", "--purge"} <= set(words)
    before = datetime.fromisoformat(words[words.index("--before") + 1]).replace(tzinfo=UTC)
    assert timedelta(days=29) < datetime.now(UTC) - before < timedelta(days=32)


@pytest.mark.parametrize("code", [3, 255])
def test_a_failure_is_one(forget, code):
    done = forget(code)
    assert done.returncode == 1
    assert f"stays in Nova's databases ({code})" in done.stderr
