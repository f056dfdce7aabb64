import threading

import pytest

from provision.base.parallel import in_order

NEEDS = {"base": "debian", "consul": "base", "os": "base", "nova": "os", "compute": "nova", "mariadb": "base"}


def test_each_comes_after_the_one_that_it_needs_and_those_that_others_need_come_first():
    done = []
    in_order(NEEDS, done.append, at_once=1)
    assert done == ["base", "os", "nova", "consul", "mariadb", "compute"]


def test_as_many_run_at_once_as_are_asked_for():
    three = threading.Barrier(3, timeout=10)
    in_order({"a": "", "b": "", "c": ""}, lambda _name: three.wait(), at_once=3)


def test_never_more_than_that():
    running, most, lock = [], [], threading.Lock()

    def work(name):
        with lock:
            running.append(name)
            most.append(len(running))
        threading.Event().wait(0.01)
        with lock:
            running.remove(name)

    in_order(dict.fromkeys("abcdefgh", ""), work, at_once=2)
    assert max(most) == 2


def test_the_first_error_is_raised_though_other_work_goes_on():
    never, begun = threading.Event(), []

    def work(name):
        begun.append(name)
        if name == "broken":
            raise ValueError(name)
        never.wait(30)

    with pytest.raises(ValueError, match="broken"):
        in_order({"slow": "", "broken": "", "child": "broken"}, work, at_once=2)
    never.set()
    assert "child" not in begun


def test_no_work_is_no_error():
    in_order({}, pytest.fail, at_once=2)
