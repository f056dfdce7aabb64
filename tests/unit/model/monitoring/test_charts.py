"""Charts: well-formed SVG of pygal's, without scripts, with gaps where nothing was measured."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from provision.model.monitoring.charts import LINES_AT_MOST, chart, shown
from provision.model.monitoring.panels import FigureUnit, Panel, PanelQuery
from provision.model.monitoring.readings import Reading, Series, TimeSpan

PANEL = Panel("Requests", "", FigureUnit.PER_SECOND, (PanelQuery("x", "{{proxy}}"),))
SPAN = TimeSpan("1h", 1_800_000_000)


def series(name, *values, start=SPAN.start):
    return Series(name, tuple((start + SPAN.step * at, value) for at, value in enumerate(values) if value is not None))


def drawn(*lines, span=SPAN):
    return ET.fromstring(chart(Reading(PANEL, lines), span))


def strokes(root):
    """Return the pieces of each series' line, as SVG's path commands."""
    groups = [each for each in root.iter("g") if each.get("class", "").startswith("series ")]
    return [found for each in groups if (found := [path.get("d") for path in each.iter("path")])]


def test_it_has_a_line_for_each_series_and_no_script_or_colour_of_its_own():
    text = chart(Reading(PANEL, (series("a", 1, 2, 3), series("<b>", 0, 0, 0))), SPAN)
    root = ET.fromstring(text)
    assert len(strokes(root)) == 2
    assert not any(each.tag in ("script", "style") for each in root.iter())
    assert "<b>" not in text
    assert root.get("viewBox")
    assert root.get("width") is None


def test_a_gap_in_what_was_measured_is_a_gap_in_the_line():
    (whole,) = strokes(drawn(series("a", 1, 2, 3, 4, 5)))
    (broken,) = strokes(drawn(series("a", 1, 2, None, None, 5, 6)))
    assert (len(whole), len(broken)) == (1, 2)


def test_axes_say_times_and_units():
    texts = {each.text for each in drawn(series("a", 0, 4)).iter("text")}
    assert {"07:00", "07:30", "08:00"} <= texts
    assert {"0/s", "4/s"} <= texts
    assert "15 Jan" in {each.text for each in drawn(series("a", 1), span=TimeSpan("7d", SPAN.end)).iter("text")}


@pytest.mark.parametrize("values", [(0, 0, 0), (5,), (1e12, 1e-9)])
def test_every_line_can_be_drawn(values):
    assert drawn(series("a", *values)).tag == "svg"


def test_of_many_lines_the_largest_are_shown_in_the_order_of_their_names():
    many = tuple(series(f"queue-{number:02}", 30 - number) for number in range(20))
    assert [each.name for each in shown(Reading(PANEL, many))] == [f"queue-{n:02}" for n in range(LINES_AT_MOST)]
