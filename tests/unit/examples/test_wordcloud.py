"""A word cloud: no word on another, none outside."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from provision_data.wordcloud import place

sizes = st.lists(st.tuples(st.floats(1, 60), st.floats(1, 30)), max_size=12)


@given(sizes)
def test_no_word_is_on_another_or_outside(words):
    boxes = [box for box in place(words, 100, 50) if box]
    for number, (left, bottom, width, height) in enumerate(boxes):
        assert left >= 0
        assert bottom >= 0
        assert left + width <= 100.0001
        assert bottom + height <= 50.0001
        for x, y, w, h in boxes[:number]:
            assert left >= x + w or x >= left + width or bottom >= y + h or y >= bottom + height


def test_the_first_is_in_the_middle_and_what_is_too_large_is_left_out():
    assert place([(20, 10), (200, 10)], 100, 50) == [(40, 20, 20, 10), None]
