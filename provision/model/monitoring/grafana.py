"""The dashboards for Grafana: a folder from which its image runs as it is, with the store of metrics as data source."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import yaml
from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueTextMode, GraphThresholdsStyleMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
)

from provision.model.monitoring.panels import FIRING, FigureUnit, Level

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.model.monitoring.panels import Dashboard, Panel, PanelLimits

# The SDK is made for one version of Grafana each; pyproject.toml pins that of this one. Later versions read it too.
IMAGE: Final = "grafana/grafana:11.6.0"
SECRETS: Final = "grafana.env"
"""File with passwords: it is for its owner alone."""
_SOURCE: Final = DataSourceRef(type_val="prometheus", uid="provision")
_UNITS: Final = {
    FigureUnit.COUNT: "short",
    FigureUnit.SHARE: "percentunit",
    FigureUnit.BYTES: "bytes",
    FigureUnit.BYTES_PER_SECOND: "Bps",
    FigureUnit.SECONDS: "s",
    FigureUnit.PER_SECOND: "cps",
}
_COLOURS: Final = {Level.GOOD: "green", Level.WARN: "orange", Level.BAD: "red"}
_COLUMNS: Final = 24
"""Width of a dashboard, in Grafana's own measure."""
_PROVISIONING: Final = "/etc/grafana/provisioning"
_DASHBOARDS: Final = "/var/lib/grafana/dashboards"
_LOGIN: Final = "GF_SECURITY_ADMIN_PASSWORD"
_PASSWORD: Final = "METRICS_PASSWORD"  # noqa: S105 - a variable's name


@dataclass(frozen=True, slots=True)
class MetricsSource:
    """Where Grafana asks the store of metrics, and with which account, if it wants one."""

    url: str
    user: str = ""
    password: str = field(default="", repr=False)


def documents(boards: Sequence[Dashboard], source: MetricsSource, login: str) -> dict[str, str]:
    """Return the folder's files by their paths; `login` is the password of Grafana's first login."""
    every = max(each.every for each in boards)
    found: dict[str, object] = {
        "name": "provision",
        "uid": _SOURCE.uid,
        "type": _SOURCE.type_val,
        "access": "proxy",
        "url": source.url,
        "isDefault": True,
        "jsonData": {"httpMethod": "POST", "prometheusType": "Prometheus", "timeInterval": f"{every}s"},
    }
    secrets = f"{_LOGIN}={login}\n"
    if source.user:
        # Grafana fills it in.
        account = {"basicAuthPassword": f"${_PASSWORD}"}
        found |= {"basicAuth": True, "basicAuthUser": source.user, "secureJsonData": account}
        secrets = f"{_PASSWORD}={source.password}\n{secrets}"
    provider = {"name": "provision", "type": "file", "options": {"path": _DASHBOARDS}}
    service = {
        "image": IMAGE,
        # The store of metrics is there for this machine alone.
        "network_mode": "host",
        "restart": "unless-stopped",
        "env_file": [SECRETS],
        "environment": {"GF_SERVER_HTTP_ADDR": "127.0.0.1", "GF_ANALYTICS_REPORTING_ENABLED": "false"},
        "volumes": [f"./provisioning:{_PROVISIONING}:ro", f"./dashboards:{_DASHBOARDS}:ro", "data:/var/lib/grafana"],
    }
    return {
        "compose.yaml": _yaml({"services": {"grafana": service}, "volumes": {"data": {}}}),
        SECRETS: secrets,
        "provisioning/datasources/provision.yaml": _yaml({"apiVersion": 1, "datasources": [found]}),
        "provisioning/dashboards/provision.yaml": _yaml({"apiVersion": 1, "providers": [provider]}),
        **{f"dashboards/{each.name}.json": dashboard_json(each) for each in boards},
    }


def login_of(text: str) -> str:
    """Return the password of Grafana's first login from the text of SECRETS; empty if it has none."""
    lines = dict(line.partition("=")[::2] for line in text.splitlines())
    return lines.get(_LOGIN, "")


def _yaml(document: object) -> str:
    return yaml.safe_dump(document, sort_keys=False)


def dashboard_json(given: Dashboard) -> str:
    """Write a dashboard in Grafana's own format."""
    made = (
        dashboard.Dashboard(given.title)
        .uid(given.name)
        .tags(["provision"])
        .refresh("10s")
        .time("now-1h", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
    )
    ids = itertools.count(1)
    for section in given.sections:
        made.with_row(dashboard.Row(section.title).id(next(ids)))
        # As many of the same width as fit into a line; a figure needs half as much as a chart.
        width = _COLUMNS // (4 if section.figures else 2)
        if section.figures:
            made.with_panel(_firing(given.alerts).id(next(ids)).span(_COLUMNS).height(3))
        for panel in section.panels:
            made.with_panel((_figure(panel) if section.figures else _chart(panel)).id(next(ids)).span(width))
    return json.dumps(made.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _firing(command: str) -> stat.Panel:
    """Name the alerts that fire, by what their labels say; `command` says what to do."""
    legend = "{{alertname}} {{instance}} {{host}} {{queue}}"
    return (
        stat.Panel()
        .title("Alerts that fire")
        .description(f"`{command}` says what to do.")
        .datasource(_SOURCE)
        .with_target(prometheus.Dataquery().expr(FIRING).legend_format(legend).instant().ref_id("A"))
        .text_mode(BigValueTextMode.NAME)
        .no_value("none")
        .thresholds(_thresholds(None, bad=True))
    )


def _figure(panel: Panel) -> stat.Panel:
    made = stat.Panel().title(panel.title).description(panel.meaning).datasource(_SOURCE).height(4)
    for query in panel.queries:
        made.with_target(prometheus.Dataquery().expr(query.expr).instant().ref_id("A"))
    return made.unit(_UNITS[panel.unit]).thresholds(_thresholds(panel.limits))


def _chart(panel: Panel) -> timeseries.Panel:
    made = timeseries.Panel().title(panel.title).description(panel.meaning).datasource(_SOURCE).height(8)
    for letter, query in zip("ABCDEF", panel.queries, strict=False):
        made.with_target(prometheus.Dataquery().expr(query.expr).legend_format(query.legend).range().ref_id(letter))
    made.unit(_UNITS[panel.unit]).axis_soft_min(0).fill_opacity(10)
    made.color_scheme(dashboard.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
    if panel.limits:
        dashed = common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        made.thresholds(_thresholds(panel.limits)).thresholds_style(dashed)
    return made


def _thresholds(limits: PanelLimits | None, *, bad: bool = False) -> dashboard.ThresholdsConfig:
    """Write limits as Grafana's steps: each holds from its value on, and the first from the lowest figure on."""
    steps: list[tuple[float | None, Level]] = [(None, Level.BAD if bad else Level.GOOD)]
    if limits and limits.falling:
        steps = [(None, Level.BAD), (limits.bad, Level.WARN), (limits.warn, Level.GOOD)]
    elif limits:
        steps += [(limits.warn, Level.WARN), (limits.bad, Level.BAD)]
    # Of two that begin at the same figure the later one holds.
    kept = [step for step, after in zip(steps, [*steps[1:], None], strict=True) if after is None or after[0] != step[0]]
    return (
        dashboard.ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=_COLOURS[level]) for value, level in kept])
    )
