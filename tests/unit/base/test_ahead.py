"""Questions that are asked before their answers are wanted."""

from __future__ import annotations

import threading

import pytest

from provision.base.ahead import Asker, askable


class Oracle(Asker):
    """Counts how often it was asked, and can be held up."""

    def __init__(self):
        super().__init__()
        self.asked = []
        self.may_answer = threading.Event()

    @askable
    def say(self, word):
        self.asked.append(word)
        self.may_answer.wait(5)
        if word == "bad":
            raise ValueError(word)
        return f"{word} {len(self.asked)}"


def test_the_answer_is_on_its_way_when_it_is_wanted_and_is_given_once():
    oracle = Oracle()
    oracle.ask_ahead(Oracle.say, "a")
    oracle.ask_ahead(Oracle.say, "b")
    oracle.may_answer.set()
    assert {oracle.say("a")[0], oracle.say("b")[0]} == {"a", "b"}
    assert sorted(oracle.asked) == ["a", "b"]
    assert oracle.say("a") == "a 3"


def test_another_question_is_asked_by_itself():
    oracle = Oracle()
    oracle.may_answer.set()
    oracle.ask_ahead(Oracle.say, "a")
    assert oracle.say("c").startswith("c")


def test_a_failure_is_raised_where_the_answer_is_wanted():
    oracle = Oracle()
    oracle.may_answer.set()
    oracle.ask_ahead(Oracle.say, "bad")
    with pytest.raises(ValueError, match="bad"):
        oracle.say("bad")
