"""The page: alerts first and in words, nothing from outside, nothing of what is put into it is markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess

import pytest

from provision.base.errors import ProvisionError
from provision.model.finding import Finding
from provision.model.localcloud.monitoring.dashboards import CLOUD
from provision.model.monitoring.charts import LINES_AT_MOST
from provision.model.monitoring.page import page, problem_page
from provision.model.monitoring.panels import (
    Dashboard,
    FigureUnit,
    Panel,
    PanelLimits,
    PanelQuery,
    Section,
)
from provision.model.monitoring.readings import SPANS, Reading, Series, TimeSpan

SPAN = TimeSpan("6h", 1_800_000_000)
QUERY = PanelQuery("x", "{{queue}}")
FIGURE = Panel("Memory left", "on it", FigureUnit.SHARE, (QUERY,), PanelLimits(0.2, 0.1, falling=True))
CHART = Panel("Waiting", "in queues", FigureUnit.COUNT, (QUERY,), PanelLimits(1, 50))
EMPTY = Panel("Readers", "of queues", FigureUnit.COUNT, (QUERY,))
BOARD = Dashboard("b", "Cloud", (Section("Glance", (FIGURE,), figures=True), Section("Queues", (CHART, EMPTY))))
ALERT = Finding("r", "the queue <q>", "is read by nobody", "Check its reader.", ("since 11:00:15 UTC: x == 0",))


def readings(lines=2):
    drawn = tuple(Series(f"queue-{n}<i>", ((SPAN.start, n), (SPAN.end, n))) for n in range(lines))
    return {
        FIGURE: Reading(FIGURE, (Series("", ((SPAN.end, 0.05),)),)),
        CHART: Reading(CHART, drawn),
        EMPTY: Reading(EMPTY, ()),
    }


def body(html):
    return html.partition("<main>")[2].partition("</main>")[0]


def test_alerts_come_first_in_words_and_are_counted_in_the_title():
    html = page(BOARD, SPAN, readings(), [ALERT], "/")
    assert "<title>1 firing - Cloud</title>" in html
    assert "1 alert fires" in html
    text = body(html)
    assert text.index("the queue &lt;q&gt;</b> is read by nobody.<br>Check its reader.") < text.index("Glance")
    quiet = page(BOARD, SPAN, readings(), [], "/")
    assert "No alert fires." in quiet
    assert "<title>Cloud</title>" in quiet


def test_what_is_put_into_it_is_text():
    html = page(BOARD, SPAN, readings(), [ALERT], "/")
    assert "<q>" not in html
    assert "<i>" not in html


def test_figures_and_charts_say_their_newest_values_and_how_they_are_judged_in_words():
    text = body(page(BOARD, SPAN, readings(), [], "/"))
    assert re.search(r'<div class="bad"><dt>Memory left</dt>\s*<dd>5 % <span class="bad">bad</span></dd>', text)
    assert re.search(r'<h3>Waiting <span class="warn">warn</span></h3>', text)
    assert "queue-1&lt;i&gt; <b>1</b>" in text
    assert text.count("<svg") == 1
    assert "Nothing to show." in text


def test_a_line_that_has_ended_says_so():
    ended = Reading(CHART, (Series("queue-1", ((SPAN.start, 99),)),), since=SPAN.end - 1)
    text = body(page(BOARD, SPAN, readings() | {CHART: ended}, [], "/"))
    assert "queue-1 <b>gone</b>" in text
    assert "<h3>Waiting</h3>" in text


def test_lines_that_are_not_shown_are_counted():
    assert "and 3 smaller" in page(BOARD, SPAN, readings(lines=LINES_AT_MOST + 3), [], "/")


def test_other_spans_are_a_click_away():
    html = page(BOARD, SPAN, readings(), [], "/home/")
    assert "<b>6h</b>" in html
    assert [name for name in SPANS if f'href="?span={name}"' in html] == [name for name in SPANS if name != "6h"]
    assert 'href="/home/"' in html


@pytest.mark.parametrize(
    "html", [page(BOARD, SPAN, readings(), [ALERT], "/"), problem_page(BOARD, ProvisionError("x"))]
)
def test_nothing_comes_from_outside_and_no_script_runs_but_its_own(html):
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", html)
    assert not re.findall(r"url\(|@import", html)
    script = html.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in html or f"script-src 'sha256-{digest}'" in html
    assert html.count("<script") == 1
    assert "10000" in script


# What a browser gives the script: documents with and without <main>, one after the other.
BROWSER = """
const banner = {hidden: true}, shown = [], timers = [];
let now = {replaceWith(next) { now = next; shown.push(next.name); }};
Object.defineProperty(globalThis, "document", {value: {
  hidden: false, getElementById: () => banner, querySelector: () => now}});
globalThis.location = {href: "/"};
const texts = ["first", "", "second"];
globalThis.fetch = async () => ({redirected: false, text: async () => texts.shift()});
globalThis.DOMParser = class { parseFromString(name) {
  const main = name && {name, replaceWith(next) { now = next; shown.push(next?.name); }};
  return {title: name, querySelector: () => main || null}; } };
globalThis.setTimeout = (refresh) => timers.push(refresh);
SCRIPT
(async () => {
  const hidden = [];
  for (let i = 0; i < 3; i++) { await timers.pop()(); hidden.push(banner.hidden); }
  console.log(JSON.stringify({shown, hidden}));
})();
"""


@pytest.mark.skipif(not shutil.which("node"), reason="node is not there")
def test_an_answer_that_is_no_page_of_it_is_said_and_the_next_one_is_shown():
    script = page(BOARD, SPAN, readings(), [], "/").partition("<script>")[2].partition("</script>")[0]
    done = subprocess.run(["node", "-e", BROWSER.replace("SCRIPT", script)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"shown": ["first", "second"], "hidden": [True, False, True]}


def test_colours_are_there_for_each_line_in_light_and_dark():
    html = page(BOARD, SPAN, readings(), [], "/")
    light, _, dark = html.partition("prefers-color-scheme: dark")
    for number in range(LINES_AT_MOST):
        assert f"--c{number}: #" in light
        assert f"--c{number}: #" in dark.partition("</style>")[0]
        assert f".color-{number} path" in html


def test_a_problem_is_said_with_what_to_do():
    html = problem_page(CLOUD, ProvisionError("monitoring does not answer", "Look at its log."))
    assert "Nothing to show: monitoring does not answer" in html
    assert "<code>provision cloud enable monitoring</code> turns it on. Look at its log." in html
