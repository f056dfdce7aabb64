"""Answers of the store as people read them."""

from __future__ import annotations

import pytest

from provision.model.localcloud.monitoring.dashboards import CLOUD
from provision.model.monitoring.panels import (
    Dashboard,
    FigureUnit,
    Level,
    Panel,
    PanelLimits,
    PanelQuery,
    Section,
)
from provision.model.monitoring.readings import Reading, Series, TimeSpan, document, figure, lines, series_of

QUERY = PanelQuery("x", "{{proxy}} late")


def panel(limits=None):
    return Panel("Errors", "of all", FigureUnit.PER_SECOND, (QUERY,), limits)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, FigureUnit.COUNT, "0"),
        (3, FigureUnit.COUNT, "3"),
        (12345.6, FigureUnit.COUNT, "12,346"),
        (0.1234, FigureUnit.SHARE, "12.3 %"),
        (1, FigureUnit.SHARE, "100 %"),
        (0, FigureUnit.BYTES, "0 B"),
        (1023, FigureUnit.BYTES, "1,023 B"),
        (1.5 * 1024**3, FigureUnit.BYTES, "1.5 GiB"),
        (5 * 1024**5, FigureUnit.BYTES, "5,120 TiB"),
        (2048, FigureUnit.BYTES_PER_SECOND, "2 KiB/s"),
        (0.0421, FigureUnit.SECONDS, "42.1 ms"),
        (1.5, FigureUnit.SECONDS, "1.5 s"),
        (119, FigureUnit.SECONDS, "119 s"),
        (90 * 60, FigureUnit.SECONDS, "90 min"),
        (-10 * 86400, FigureUnit.SECONDS, "-10 d"),
        (0.25, FigureUnit.PER_SECOND, "0.25/s"),
        (0.00001, FigureUnit.PER_SECOND, "1e-05/s"),
    ],
)
def test_a_figure_is_short_and_has_its_unit(value, unit, text):
    assert figure(value, unit) == text


def test_series_are_called_by_their_labels_and_values_that_are_no_numbers_are_left_out():
    found = series_of(
        QUERY,
        [
            {"metric": {"proxy": "nova-api"}, "values": [[10, "1"], [20, "NaN"], [30, "3"]]},
            {"metric": {"proxy": "glance"}, "value": [30, "2.5"]},
            {"metric": {"proxy": "keystone"}, "value": [30, "NaN"]},
            {"metric": {}, "value": [30, "+Inf"]},
        ],
    )
    assert found == [Series("glance late", ((30, 2.5),)), Series("nova-api late", ((10, 1), (30, 3)))]
    assert found[1].last == 3


def test_the_worst_series_judges_its_panel():
    found = Reading(panel(PanelLimits(1, 5)), (Series("a", ((0, 9), (1, 0.5))), Series("b", ((1, 2),))))
    assert [found.level(series) for series in found.series] == [Level.GOOD, Level.WARN]
    assert found.worst is Level.WARN
    assert Reading(panel(), found.series).worst is None
    assert Reading(panel(PanelLimits(1, 5)), ()).worst is None


def test_what_is_gone_is_not_judged_by_what_it_was():
    left, here = Series("a", ((0, 9), (60, 9))), Series("b", ((0, 0), (90, 0)))
    found = Reading(panel(PanelLimits(1, 5)), (left, here), since=70)
    assert (found.gone(left), found.gone(here)) == (True, False)
    assert (found.level(left), found.worst) == (None, Level.GOOD)


@pytest.mark.parametrize(("name", "step", "window"), [("1h", 30, "60s"), ("1d", 720, "720s"), ("30d", 21600, "21600s")])
def test_rates_are_taken_over_all_that_lies_between_two_points(name, step, window):
    span = TimeSpan(name, 10**9)
    assert (span.step, span.window) == (step, window)
    assert span.end - span.start == span.length


def test_a_store_that_looks_seldom_has_fewer_points_and_longer_windows():
    span = TimeSpan("1h", 10**9, 60)
    assert (span.step, span.window) == (60, "240s")


def test_a_dashboard_is_text_and_plain_data():
    judged, empty = panel(PanelLimits(1, 5)), Panel("Other", "", FigureUnit.COUNT, (QUERY,))
    board = Dashboard("b", "B", (Section("One", (judged,)), Section("Two", (empty,))))
    found = {
        judged: Reading(judged, (Series("a", ((0, 0.5),)), Series("b", ((0, 7),)))),
        empty: Reading(empty, ()),
    }
    assert lines(board, found) == ["One:", "  Errors: a 0.5/s, b 7/s (bad)", "\nTwo:", "  Other: nothing to show"]
    assert document(board, found) == [
        {"section": "One", "panel": "Errors", "unit": "per second", "level": "bad", "series": {"a": 0.5, "b": 7}},
        {"section": "Two", "panel": "Other", "unit": "count", "level": None, "series": {}},
    ]


def test_each_unit_is_said():
    assert {panel.unit for panel in CLOUD.panels()} == set(FigureUnit)
    assert all(figure(1, unit) for unit in FigureUnit)
