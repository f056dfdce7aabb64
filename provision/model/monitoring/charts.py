"""Charts as SVG, drawn by pygal without any script. Colours and fonts are the page's: they follow light and dark."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

import pygal

from provision.model.monitoring.readings import figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.model.monitoring.readings import Reading, Series, TimeSpan

LINES_AT_MOST: Final = 8
"""Lines in a chart, and colours of the page; the largest ones are shown."""
_WIDTH, _HEIGHT = 400, 170
"""In the chart's own measure. On a phone one of them is about a point, so that its text is as large as other text."""
_TIMES: Final = 4
_DAY: Final = 86400
_DIGITS: Final = re.compile(r"(\d\.\d)\d+")


def shown(reading: Reading) -> list[Series]:
    """Choose the lines that have the largest values, in the order of their names."""
    largest = sorted(reading.series, key=lambda series: max(value for _, value in series.points), reverse=True)
    return sorted(largest[:LINES_AT_MOST], key=lambda series: series.name)


def chart(reading: Reading, span: TimeSpan) -> str:
    """Draw a panel's lines; where one has no value for longer than a step, it has a gap."""
    lines = shown(reading)
    most = max((value for series in lines for _, value in series.points), default=0.0)
    drawn = pygal.DateTimeLine(
        width=_WIDTH,
        height=_HEIGHT,
        explicit_size=False,
        margin=2,
        # Half of the last time is right of the chart.
        margin_right=16,
        show_legend=False,
        show_dots=False,
        allow_interruptions=True,
        css=[],
        js=[],
        no_prefix=True,
        xrange=(_time(span.start), _time(span.end)),
        x_labels=[_time(span.start + span.length * part / _TIMES) for part in range(_TIMES + 1)],
        x_value_formatter=lambda time: _clock(time, span.length),
        value_formatter=lambda value: figure(value, reading.panel.unit),
        # Also where all is 0: such a line lies at the bottom.
        range=(0, most or 1),
        min_scale=2,
        max_scale=4,
    )
    for series in lines:
        drawn.add(series.name, _with_gaps(series.points, span.step))
    # pygal writes with whichever XML library there is; this one reads it, whoever has written it.
    root = ET.fromstring(drawn.render(is_unicode=True, disable_xml_declaration=True))  # noqa: S314 - our own text
    for each in root.iter():
        # In a page of HTML an element's name is enough.
        each.tag = each.tag.rpartition("}")[2]
    # Its own style, script and names: the page has the style, and there is no script.
    for parent in [*root.iter()]:
        for each in [*parent]:
            if each.tag in ("defs", "title"):
                parent.remove(each)
    for path in root.iter("path"):
        # A tenth of a point is enough, and half of the page's size.
        path.set("d", _DIGITS.sub(r"\1", path.get("d", "")))
    return ET.tostring(root, encoding="unicode")


def _with_gaps(points: Sequence[tuple[float, float]], step: float) -> list[tuple[datetime, float | None]]:
    found: list[tuple[datetime, float | None]] = []
    before = points[0][0]
    for time, value in points:
        if time - before > 1.5 * step:
            found.append((_time(before + step), None))
        found.append((_time(time), value))
        before = time
    return found


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _clock(time: Any, length: float) -> str:  # noqa: ANN401 - pygal gives a datetime
    return str(time.strftime("%H:%M" if length <= _DAY else "%d %b"))
