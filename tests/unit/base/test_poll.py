from __future__ import annotations

from contextlib import suppress

import pytest

from provision.base.errors import ProvisionError
from provision.base.poll import LONGEST_REST, REST, Pace, Pending, until


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def wait(answers, *, timeout=10, every=1):
    clock = Clock()
    answers = iter(answers)
    answer = until(
        lambda: next(answers),
        timeout=timeout,
        every=every,
        too_late=lambda reason: ProvisionError(f"still without {reason}"),
        clock=clock,
        sleep=clock.sleep,
    )
    return answer, clock.now


def test_the_first_answer_is_returned_without_a_pause():
    assert wait(["there"]) == ("there", 0)


@pytest.mark.parametrize("answer", [None, "", 0, ()])
def test_an_empty_answer_is_an_answer(answer):
    assert wait([Pending("x"), answer]) == (answer, 1)


def test_it_asks_in_the_rhythm_that_is_given():
    assert wait([Pending("x")] * 4 + ["there"], every=2.5) == ("there", 10)


def test_the_error_names_what_was_missing_last():
    with pytest.raises(ProvisionError, match="still without the second"):
        wait([Pending("the first"), *[Pending("the second")] * 20])


@pytest.mark.parametrize(("took", "rest"), [(0, 0), (0.3, 3), (2, 2 * REST), (50, LONGEST_REST)])
def test_a_question_rests_the_longer_it_takes(took, rest):
    clock = Clock()
    pace = Pace(clock)
    assert pace.due()
    with pace.asked():
        clock.sleep(took)
    if rest:
        clock.sleep(rest * 0.9)
        assert not pace.due()
    clock.sleep(rest * 0.1 + 1e-9)
    assert pace.due()


def test_a_question_that_failed_may_be_asked_again_at_once():
    clock = Clock()
    pace = Pace(clock)
    with suppress(KeyError), pace.asked():
        clock.sleep(5)
        raise KeyError
    assert pace.due()
