"""Other programs, run for real."""

from __future__ import annotations

import os
import signal
import time

import pytest

from provision.adapters.host.process import Piped, Process, run, run_checked, stream
from provision.base.errors import ProvisionError


def test_a_result_is_a_result_whatever_it_is(tmp_path):
    done = run(["sh", "-c", "cat; echo $X; pwd; echo bad >&2; exit 3"], cwd=tmp_path, env={"X": "x"}, stdin="in ")
    assert (done.code, done.ok, done.stdout, done.stderr) == (3, False, f"in x\n{tmp_path}\n", "bad\n")
    assert run(["true"]).ok


def test_a_program_that_does_not_exist_and_one_that_does_not_end():
    assert run(["no-such-program"]).code == 127
    late = run(["sleep", "5"], timeout=0.05)
    assert (late.code, late.stderr) == (124, "sleep: no end after 0 s")


def test_a_program_that_has_to_succeed():
    assert run_checked(["echo", "fine"], what="speaking") == "fine\n"
    with pytest.raises(ProvisionError) as caught:
        run_checked(["sh", "-c", "echo bad >&2; exit 3"], what="speaking", hint="Speak up.")
    assert caught.value.message == "speaking failed: `sh -c echo bad >&2; exit 3…` ended with 3"
    assert (caught.value.hint, caught.value.detail) == ("Speak up.", "bad\n")


def test_lines_come_one_by_one_from_both_outputs():
    lines = []
    assert stream(["sh", "-c", "echo one; echo two >&2; printf '\\377'; exit 4"], lines.append) == 4
    assert lines == ["one", "two", "\N{REPLACEMENT CHARACTER}"]


def test_a_program_whose_lines_are_read_has_nothing_to_read():
    """Ansible refuses a stdin that does not block."""
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing):
        kept = os.dup(0)
        try:
            os.dup2(reading, 0)
            lines = []
            assert stream(["readlink", "/proc/self/fd/0"], lines.append) == 0
        finally:
            os.dup2(kept, 0)
            os.close(kept)
    assert lines == [os.devnull]


def test_a_program_beside_this_one():
    process = Process(["sleep", "30"])
    assert process.wait(0.01) is None
    process.terminate()
    assert process.wait(5) == -signal.SIGTERM
    process.terminate()


def test_a_program_beside_this_one_that_ends_by_itself():
    assert Process(["sh", "-c", "exit 3"]).wait(5) == 3


def test_bytes_go_through_a_program():
    with Piped(["tr", "a", "b"]) as piped:
        piped.feed.write(b"aha")
        result = piped.finish()
    assert (result.code, result.stdout) == (0, "bhb")


def test_a_program_that_is_stopped_does_not_see_the_end(tmp_path):
    """It would take the end of half its input for the end."""
    script = f"trap 'exit 3' INT; cat > /dev/null; touch {tmp_path}/ended"
    with Piped(["bash", "-c", script]) as piped:
        piped.feed.write(b"half")
        piped.feed.flush()
    assert not (tmp_path / "ended").exists()


def test_a_program_that_reports_while_it_is_fed_needs_no_reader():
    # It writes a line for each that it reads: much more than a pipe holds, before the end of its input.
    with Piped(["sed", "s/^/read /"], kept=True) as piped:
        for _ in range(20_000):
            piped.feed.write(b"a line\n")
        result = piped.finish()
    assert result.ok
    assert result.stdout == "read a line\n" * 20_000


def test_a_program_whose_output_is_kept_can_be_stopped():
    with Piped(["sh", "-c", "echo begun; echo why >&2; exec sleep 60"], kept=True) as piped:
        time.sleep(0.2)
        result = piped.stop()
    assert not result.ok
    assert result.stderr == "why\n"


def test_errors_are_kept_from_their_end():
    with Piped(["sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x >&2; echo last >&2; exit 4"]) as piped:
        result = piped.finish()
    assert result.code == 4
    assert result.stderr.endswith("last\n")
    assert len(result.stderr) == 8192


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(ProvisionError, match="no-such-program is not installed"):
        Piped(["no-such-program"])
