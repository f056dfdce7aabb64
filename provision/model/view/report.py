"""The report of a cluster: what its page shows, from what the cloud, the nodes and the spec say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml

from provision.base.constants import PORTS
from provision.model.cluster.resources import NODES
from provision.model.masking import MASK, SECRET_NAME, masked
from provision.model.templating import render_html
from provision.model.view.timeline import slowest, ticks, timelines

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from provision.base.model import ClusterSpec, Flavor
    from provision.model.cluster.resources import ObservedCluster, Rule
    from provision.model.view.timeline import BootTimes, NodeTimeline

TEMPLATE: Final = "report/report.html.j2"
PACKAGES: Final = ("pyspark", "jupyterhub", "jupyterlab", "ipykernel", "numpy", "pandas", "pyarrow", "scikit-learn")
"""Python packages whose versions are shown."""
_PORTS: Final = {
    PORTS.ssh: "SSH",
    PORTS.spark_master: "Spark master",
    PORTS.spark_master_ui: "Spark master's page",
    PORTS.spark_worker: "Spark worker",
    PORTS.spark_worker_ui: "Spark worker's page",
    PORTS.spark_history: "history server",
    PORTS.app_ui: "notebooks' Spark pages",
    PORTS.nfs: "homes and /shared",
    PORTS.node_metrics: "metrics, for the master",
    PORTS.driver: "drivers",
    PORTS.driver_block_manager: "drivers' blocks",
    PORTS.block_manager: "executors' blocks",
}
"""What is behind a port, by the first of a range."""


@dataclass(frozen=True, slots=True)
class ReportInput:
    """What is known of a cluster at the time of the report."""

    spec: ClusterSpec
    status: Mapping[str, Any]
    """As `status --json` prints it."""
    observed: ObservedCluster
    flavors: Mapping[str, Flavor]
    boots: Sequence[BootTimes]
    """The master's first."""
    cloud: str
    """The address of the cloud's API."""
    image: str
    """The image's name."""
    made: str
    """When the report is made, for people."""
    version: str
    """provision's own version."""
    secrets: frozenset[str] = frozenset()
    """The cluster's secrets, to leave them out."""
    checks: Mapping[str, Any] | None = None
    """As `verify --json` prints it; None if it was not run."""
    hour: Mapping[str, Any] | None = None
    """The last hour in figures (model/monitoring/cluster/hour.py); None where monitoring is off."""


def page(given: ReportInput) -> str:
    """Write the report as one HTML page that needs nothing else."""
    return render_html(TEMPLATE, **_masked(context(given), given.secrets))


def context(given: ReportInput) -> dict[str, Any]:
    """Return what the template shows; plain data."""
    boots = timelines(given.boots)
    length = max((each.end for each in boots), default=0.0)
    requested = [each.end for each in boots if each.from_request]
    return {
        "cluster": given.spec.name,
        "made": given.made,
        "version": given.version,
        "state": {**given.status, "problems": _problems(given.status)},
        "topology": _topology(given),
        "nodes": [_node(given, boot) for boot in given.boots],
        "versions": _versions(given),
        "timeline": {
            "length": length,
            "ticks": [{"left": _percent(at, length), "text": _tick(at)} for at in ticks(length)],
            "nodes": [_chart(each, length) for each in boots],
            "slowest": [{"what": what, "time": clock(seconds), "node": node} for what, seconds, node in slowest(boots)],
            "total": clock(max(requested)) if requested else "not known",
        },
        "checks": given.checks,
        "hour": given.hour,
        "users": [{"name": user.name, "admin": user.admin} for user in given.spec.hub.users],
        "spec": spec_text(given.spec),
    }


def _problems(status: Mapping[str, Any]) -> list[str]:
    """Say in sentences why the cluster does not work."""
    found = []
    hub, spark, nodes = status["hub"], status["spark"], status["nodes"]
    if not hub["well"]:
        found.append(f"The Hub is not well: {hub['problem']}.")
    if not spark["answers"]:
        found.append("The Spark master does not answer.")
    elif spark["workers_alive"] < spark["workers_wanted"]:
        found.append(f"{spark['workers_alive']} of {spark['workers_wanted']} workers are registered with the master.")
    else:
        # As many are registered as there ought to be, and other ones: the master forgets a lost one after a minute.
        found += [f"{node['name']} is not registered with the master." for node in nodes if node["registered"] is False]
    workers = sum(node["role"] == "worker" for node in nodes)
    if workers != spark["workers_wanted"]:
        found.append(f"It has {workers} workers, and the spec asks for {spark['workers_wanted']}.")
    found += [f"{node['name']} is {node['status']}." for node in nodes if node["status"] != "ACTIVE"]
    return found


def _topology(given: ReportInput) -> dict[str, Any]:
    observed = given.observed
    rules = [rule for group in observed.groups for rule, _ in group.rules if rule is not None]
    return {
        "cloud": given.spec.cloud,
        "address": given.cloud,
        "external": given.spec.network.external,
        "floating": [each.address for each in observed.floatings],
        # What was there before the cluster is not among what it owns.
        "router": [each.name for each in observed.routers] or [*filter(None, [given.spec.network.router])],
        "network": [each.name for each in observed.networks] or [*filter(None, [given.spec.network.existing])],
        "ranges": [each.cidr for each in observed.subnets],
        "open": _open([rule for rule in rules if rule.peer != NODES], given.spec.hub.port),
        "between": _open([rule for rule in rules if rule.peer == NODES], given.spec.hub.port),
    }


def _open(rules: Iterable[Rule], hub: int) -> list[dict[str, str]]:
    """List open ports, each with all peers that it is open to."""
    found: dict[tuple[int, int], list[Rule]] = {}
    for rule in sorted(rules):
        found.setdefault((rule.first, rule.last), []).append(rule)
    return [
        {
            "ports": same[0].ports,
            "what": _PORTS.get(first, "JupyterHub" if first == hub else ""),
            "peers": ", ".join(dict.fromkeys(rule.peer for rule in same)),
        }
        for (first, _), same in found.items()
    ]


def _node(given: ReportInput, boot: BootTimes) -> dict[str, Any]:
    node = boot.node
    status: Mapping[str, Any] = next((each for each in given.status["nodes"] if each["name"] == node.name), {})
    name = str(status.get("flavor") or "")
    flavor = given.flavors.get(name)
    machine = (boot.told or {}).get("machine") or {}
    return {
        "name": node.name,
        "role": node.role,
        "address": node.address,
        "status": node.status,
        "registered": status.get("registered"),
        "flavor": name,
        "cores": flavor.vcpus if flavor else machine.get("processors"),
        "memory": size(flavor.ram if flavor else machine.get("memory")),
        "disk": size(flavor.disk * 1024 if flavor and flavor.disk else machine.get("disk")),
        "disk_free": size(machine.get("disk_free")),
        "virtualisation": machine.get("virtualisation") or "",
        "problem": boot.problem,
    }


def _versions(given: ReportInput) -> list[dict[str, str]]:
    """List versions; where nodes differ, each with its nodes."""
    by_name: dict[str, dict[str, list[str]]] = {}
    for boot in given.boots:
        for name, version in ((boot.told or {}).get("versions") or {}).items():
            by_name.setdefault(name, {}).setdefault(str(version), []).append(boot.node.name)
    found = [{"name": "Image", "version": given.image or given.spec.image.name, "differs": ""}]
    names = {"pyspark": "Spark", "jupyterhub": "JupyterHub", "jupyterlab": "JupyterLab"}
    first = ["pyspark", "Java", "Python", "jupyterhub", "jupyterlab", "System", "Linux"]
    for name in [*(each for each in first if each in by_name), *(each for each in by_name if each not in first)]:
        versions = by_name[name]
        differs = "; ".join(f"{version} on {', '.join(nodes)}" for version, nodes in versions.items())
        shown = next(iter(versions)) if len(versions) == 1 else differs
        found.append({"name": names.get(name, name), "version": shown, "differs": "yes" if len(versions) > 1 else ""})
    return found


def _chart(timeline: NodeTimeline, length: float) -> dict[str, Any]:
    spans = [
        {
            "label": span.label,
            "part": span.part,
            "left": _percent(span.begin, length),
            "width": max(_percent(span.seconds, length), 0.3),
            "time": clock(span.seconds),
            "begin": clock(span.begin),
            "end": clock(span.end),
        }
        for span in timeline.spans
    ]
    return {"node": timeline.node, "note": timeline.note, "spans": spans, "end": clock(timeline.end)}


def _percent(seconds: float, length: float) -> float:
    return round(100 * min(max(seconds, 0.0), length) / length, 2) if length else 0.0


def _tick(seconds: float) -> str:
    whole = seconds >= 60 and seconds % 60 == 0
    return f"{seconds / 60:.0f} min" if whole else f"{seconds:.0f} s" if seconds else "0"


def clock(seconds: float) -> str:
    """Write a time for people: 4.2 s, 58 s, 3:05 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02} h" if hours else f"{rest // 60}:{rest % 60:02} min"


def size(mib: int | None) -> str:
    """Write a size for people."""
    if mib is None:
        return ""
    return f"{mib / 1024:.1f} GiB".replace(".0 ", " ") if mib >= 1024 else f"{mib} MiB"


def spec_text(spec: ClusterSpec) -> str:
    """Write a spec with all its defaults as YAML, without secrets."""
    return yaml.safe_dump(_plain(asdict(spec)), sort_keys=False, allow_unicode=True, width=100)


def _plain(value: Any, name: str = "") -> Any:  # noqa: ANN401 - YAML
    """Make plain data of a spec's; what has the name of a secret is masked."""
    if isinstance(value, Mapping):
        return {key: _plain(each, str(key)) for key, each in value.items() if each is not None}
    if isinstance(value, tuple | list):
        pairs = all(isinstance(each, tuple | list) and len(each) == 2 for each in value)
        if pairs and name == "defaults":
            return {str(key): _plain(each, str(key)) for key, each in value}
        return [_plain(each, name) for each in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return MASK if SECRET_NAME.search(name) else masked(str(value))


def _masked(value: Any, secrets: frozenset[str]) -> Any:  # noqa: ANN401 - the template's data
    """Mask secrets in every text of what a template shows."""
    if isinstance(value, str):
        return masked(value, secrets)
    if isinstance(value, Mapping):
        return {key: _masked(each, secrets) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [_masked(each, secrets) for each in value]
    return _masked(asdict(value), secrets) if is_dataclass(value) and not isinstance(value, type) else value
