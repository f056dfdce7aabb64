"""Tables as text."""

from __future__ import annotations

from provision.model.columns import columns


def test_each_column_is_as_wide_as_its_widest_text():
    assert columns([("job", "state"), ("spark-master", "answers")]) == ["job           state", "spark-master  answers"]
    assert columns([]) == []
