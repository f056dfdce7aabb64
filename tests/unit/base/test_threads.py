"""Questions in threads: at the same time, in order, and without keeping the program alive."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from provision.base.threads import start, together


def test_they_do_not_wait_for_each_other():
    meet = threading.Barrier(3, timeout=5)
    assert sorted(together(*[meet.wait] * 3)) == [0, 1, 2]


def test_answers_come_in_the_order_of_the_questions():
    assert together(*(lambda number=number: number for number in range(20))) == list(range(20))
    assert together() == []


def test_the_first_failure_is_raised():
    def fail(name):
        raise LookupError(name)

    with pytest.raises(LookupError, match="first"):
        together(lambda: 1, lambda: fail("first"), lambda: fail("second"))
    assert isinstance(start(lambda: fail("alone")).exception(), LookupError)


def test_an_answer_that_nobody_wants_keeps_no_program_alive():
    program = "import time; from provision.base.threads import start; start(lambda: time.sleep(60)); print('done')"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, check=True).stdout
