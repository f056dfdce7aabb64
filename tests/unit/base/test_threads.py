"""Questions in threads: at the same time, in order, and without keeping the program alive."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from provision.base.threads import Turns, each, start, together


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


def test_some_of_many_run_at_the_same_time_and_never_more():
    running, most, lock, meet = [], [], threading.Lock(), threading.Barrier(3, timeout=5)

    def work(number):
        with lock:
            running.append(number)
            most.append(len(running))
        meet.wait()
        with lock:
            running.remove(number)
        return number * 2

    assert each(work, iter(range(12)), at_once=3) == [2 * number for number in range(12)]
    assert max(most) == 3
    assert each(work, [], at_once=3) == []


def test_after_a_failure_nothing_more_is_begun_and_what_is_under_way_ends():
    begun, ended, failed = [], [], threading.Event()

    def work(number):
        begun.append(number)
        if number == 1:
            failed.set()
            raise LookupError(number)
        failed.wait(5)
        time.sleep(0.05)
        ended.append(number)

    with pytest.raises(LookupError, match="1"):
        each(work, range(100), at_once=2)
    assert 0 in ended
    assert len(begun) < 4


def test_ctrl_c_ends_it_at_once_and_nothing_more_is_begun(monkeypatch):
    begun, go_on = [], threading.Event()

    def interrupted(*questions):
        for question in questions:
            start(question)
        while not begun:
            time.sleep(0.01)
        raise KeyboardInterrupt

    def work(number):
        begun.append(number)
        go_on.wait(5)

    monkeypatch.setattr("provision.base.threads.together", interrupted)
    with pytest.raises(KeyboardInterrupt):
        each(work, range(100), at_once=1)
    go_on.set()
    time.sleep(0.1)
    assert begun == [0]


def test_threads_take_turns():
    turns, begun = Turns(100), time.monotonic()
    threads = [threading.Thread(target=turns.wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - begun >= 0.05
