"""Grafana's folder: its files are what the SDK reads back, and ask what the definition asks."""

from __future__ import annotations

import json

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard as GrafanaDashboard

from provision.model.localcloud.monitoring.dashboards import CLOUD, DASHBOARDS
from provision.model.monitoring.grafana import SECRETS, MetricsSource, _thresholds, dashboard_json, documents
from provision.model.monitoring.panels import FIRING, PanelLimits

URL = "http://127.0.0.1:8428"
WRITTEN = documents(DASHBOARDS, MetricsSource(URL, "provision", "the-SECRET"), "the-SECRET")


@pytest.fixture(name="board", scope="module")
def _board():
    return json.loads(dashboard_json(CLOUD))


def test_the_sdk_s_schema_reads_what_was_written():
    for each in DASHBOARDS:
        text = WRITTEN[f"dashboards/{each.name}.json"]
        again = GrafanaDashboard.from_json(json.loads(text))
        assert json.loads(json.dumps(again, cls=JSONEncoder)) == json.loads(text)


def test_each_panel_is_there_with_its_questions_in_rows_by_section(board):
    rows = [panel["title"] for panel in board["panels"] if panel["type"] == "row"]
    assert rows == [section.title for section in CLOUD.sections]
    asked = [[target["expr"] for target in panel["targets"]] for panel in board["panels"] if panel["type"] != "row"]
    assert asked == [[FIRING], *([query.expr for query in panel.queries] for panel in CLOUD.panels())]
    sources = {panel["datasource"]["uid"] for panel in board["panels"] if panel["type"] != "row"}
    assert sources == {yaml.safe_load(WRITTEN["provisioning/datasources/provision.yaml"])["datasources"][0]["uid"]}


def test_panels_have_numbers_of_their_own_and_do_not_overlap(board):
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    taken = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


@pytest.mark.parametrize(
    ("limits", "steps"),
    [
        (None, [(None, "green")]),
        (PanelLimits(1, 5), [(None, "green"), (1, "orange"), (5, "red")]),
        (PanelLimits(1, 1), [(None, "green"), (1, "red")]),
        (PanelLimits(0.2, 0.1, falling=True), [(None, "red"), (0.1, "orange"), (0.2, "green")]),
        (PanelLimits(1, 1, falling=True), [(None, "red"), (1, "green")]),
    ],
)
def test_limits_are_grafana_s_steps(limits, steps):
    assert [(step.value, step.color) for step in _thresholds(limits).build().steps] == steps


def test_the_password_is_in_one_file_and_the_source_is_the_store():
    assert [name for name, text in WRITTEN.items() if "SECRET" in text] == [SECRETS]
    (source,) = yaml.safe_load(WRITTEN["provisioning/datasources/provision.yaml"])["datasources"]
    assert source["url"] == URL
    variable = source["secureJsonData"]["basicAuthPassword"].removeprefix("$")
    assert f"{variable}=the-SECRET\n" in WRITTEN[SECRETS]


def test_a_store_without_an_account_is_asked_without_one():
    written = documents(DASHBOARDS, MetricsSource(URL), "for-the-login")
    (source,) = yaml.safe_load(written["provisioning/datasources/provision.yaml"])["datasources"]
    assert not {"basicAuth", "basicAuthUser", "secureJsonData"} & set(source)
    assert written[SECRETS] == "GF_SECURITY_ADMIN_PASSWORD=for-the-login\n"


def test_what_is_provisioned_is_what_the_container_is_given():
    service = yaml.safe_load(WRITTEN["compose.yaml"])["services"]["grafana"]
    mounted = dict(each.split(":")[:2] for each in service["volumes"])
    (provider,) = yaml.safe_load(WRITTEN["provisioning/dashboards/provision.yaml"])["providers"]
    assert provider["options"]["path"] == mounted["./dashboards"]
    assert service["env_file"] == [SECRETS]
