"""The page of a dashboard: one document without anything from outside, that asks for itself anew every few seconds."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from provision.model.monitoring.charts import LINES_AT_MOST, chart, shown
from provision.model.monitoring.panels import EVERY
from provision.model.monitoring.readings import SPANS, figure
from provision.model.templating import render_html

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from provision.base.errors import ProvisionError
    from provision.model.finding import Finding
    from provision.model.monitoring.panels import Dashboard, Panel, Section
    from provision.model.monitoring.readings import Reading, TimeSpan

TEMPLATE: Final = "monitoring/page.html.j2"
_SCRIPT: Final = (
    """
async function refresh() {
  const stale = document.getElementById("stale");
  if (!document.hidden) try {
    const answer = await fetch(location.href, {cache: "no-store"});
    // The login has ended: the browser is shown where the answer came from.
    if (answer.redirected) return location.reload();
    const found = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = found.querySelector("main");
    if (!next) throw Error("this is another page, as a proxy's of an error");
    document.querySelector("main").replaceWith(next);
    document.title = found.title;
    stale.hidden = true;
  } catch { stale.hidden = false; }
  setTimeout(refresh, MS);
}
setTimeout(refresh, MS);
"""
).replace("MS", str(EVERY * 1000))
_SCRIPT_HASH: Final = f"sha256-{base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()}"


def page(
    dashboard: Dashboard, span: TimeSpan, readings: Mapping[Panel, Reading], alerts: Sequence[Finding], home: str
) -> str:
    """Write the page; `home` is the path of the site that it belongs to."""
    title = f"{len(alerts)} firing - {dashboard.title}" if alerts else dashboard.title
    return _document(
        title,
        dashboard,
        home=home,
        site=dashboard.site,
        time=datetime.fromtimestamp(span.end, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        every=EVERY,
        spans=[{"name": name, "chosen": name == span.name} for name in SPANS],
        alerts=alerts,
        sections=[_section(section, span, readings) for section in dashboard.sections],
    )


def problem_page(dashboard: Dashboard, problem: ProvisionError) -> str:
    """Write the page where there is nothing to show."""
    hint = f"{dashboard.turn_on} {problem.hint}".strip()
    return _document(dashboard.title, dashboard, problem={"message": problem.message, "hint": hint})


def _document(title: str, dashboard: Dashboard, **context: object) -> str:
    script = {"script": Markup(_SCRIPT), "script_hash": _SCRIPT_HASH}  # noqa: S704 - our own text
    common = {"title": title, "heading": dashboard.title, "colours": LINES_AT_MOST, "problem": None}
    return render_html(TEMPLATE, **(common | script | context))


def _section(section: Section, span: TimeSpan, readings: Mapping[Panel, Reading]) -> dict[str, Any]:
    return {
        "title": section.title,
        "figures": section.figures,
        "panels": [_panel(readings[panel], span, drawn=not section.figures) for panel in section.panels],
    }


def _panel(reading: Reading, span: TimeSpan, *, drawn: bool) -> dict[str, Any]:
    panel, lines = reading.panel, shown(reading)
    return {
        "title": panel.title,
        "meaning": panel.meaning,
        "level": reading.worst.value if reading.worst else "",
        "lines": [
            {"name": line.name, "value": "gone" if reading.gone(line) else figure(line.last, panel.unit)}
            for line in lines
        ],
        "more": len(reading.series) - len(lines),
        # pygal escapes what is in it.
        "svg": Markup(chart(reading, span)) if drawn and lines else "",  # noqa: S704
    }
