"""A program in a container, and an engine that loses the end of its output."""

from __future__ import annotations

import subprocess

import pytest

from provision.adapters.docker import programs
from provision.adapters.docker.programs import Program, run_program
from provision.base.errors import ProvisionError

MARK = programs._MARK.encode()


class Api:
    """An engine whose answers to one program after the other are given: pieces of output, and exit codes."""

    def __init__(self, *runs):
        self.runs = list(runs)
        self.asked = []

    def exec_create(self, container, argv):
        self.asked.append((container, argv))
        self.pieces, *self.codes = self.runs.pop(0)
        return {"Id": "1"}

    def exec_start(self, id_, *, stream, demux):
        assert (id_, stream, demux) == ("1", True, True)
        return iter(self.pieces)

    def exec_inspect(self, id_):
        return {"ExitCode": self.codes.pop(0)}


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_the_output_comes_without_its_mark_in_whatever_pieces(size):
    text = b"a\nb" + MARK
    pieces = [(text[start : start + size], None) for start in range(0, len(text), size)]
    api = Api(([*pieces, (None, b"warning")], 3))
    assert run_program(api, "c", ["cat", "x"]) == programs.Output(3, b"a\nb", b"warning")
    assert api.asked == [("c", ["sh", "-c", programs._SCRIPT, "sh", "cat", "x"])]


def test_output_that_lost_its_end_is_asked_for_again():
    api = Api(([(b"a", None)], 0), ([], 0), ([(b"a\nb" + MARK, None)], 0))
    assert run_program(api, "c", ["cat"]).out == b"a\nb"


def test_an_engine_that_loses_the_output_each_time_is_named():
    with pytest.raises(ProvisionError, match="lost a part of what cat printed, 3 times"):
        run_program(Api(*[([(b"a", None)], 0)] * 3), "c", ["cat"])


def test_a_program_that_still_runs_when_its_stream_ends_is_waited_for(monkeypatch):
    monkeypatch.setattr(programs.time, "sleep", lambda _seconds: None)
    program = Program(Api(([(b"part", None)], None, None, 4)), "c", ["dump"])
    assert list(program.output()) == [b"part"]
    assert (program.code, program.complete) == (4, False)


def test_a_program_that_never_ends(monkeypatch):
    monkeypatch.setattr(programs, "_ENDS", -1)
    with pytest.raises(ProvisionError, match="still runs"):
        list(Program(Api(([], None)), "c", ["dump"]).output())


def test_the_shell_keeps_arguments_and_the_exit_code():
    argv = ["sh", "-c", programs._SCRIPT, "sh", "sh", "-c", 'printf "%s|" "$@"; exit 7', "x", "a b", "$HOME", ""]
    done = subprocess.run(argv, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (7, b"a b|$HOME||" + MARK)
