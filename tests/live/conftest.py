"""Fixtures of the checks: the cluster's description (a JSON file of `provision verify`), and one probe of each node.

By hand: `pytest -c tests/live/pytest.ini tests/live --cluster FILE`.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import testinfra

PROBE = Path(__file__).with_name("probe.sh").read_text()
AT_ONCE = 32
"""Nodes that are probed at the same time: each takes two processes of ssh and three open files here."""
NEIGHBOURS = 3
"""Workers that each worker tries: not all, or a node would start thousands of programs. Each is tried by as many."""
BASE_UNITS = ("nftables", "ssh", "systemd-networkd", "systemd-resolved", "provision-jvm")


@dataclass(frozen=True)
class Probe:
    """What the probe found on one node: lines by section."""

    name: str
    role: str
    address: str
    sections: dict[str, list[str]]
    error: str = ""

    def __getitem__(self, section: str) -> list[str]:
        assert not self.error, f"{self.name} cannot be probed: {self.error}"
        return self.sections[section]


class Cluster:
    """The cluster as `provision verify` describes it, and how to reach its nodes."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data
        self.nodes: list[dict[str, str]] = data["nodes"]
        self.master = next(node for node in self.nodes if node["role"] == "master")
        # The node with the Hub: its own, or the master.
        self.hub = next((node for node in self.nodes if node["role"] == "hub"), self.master)
        self.workers = [node for node in self.nodes if node["role"] == "worker"]

    def context(self, role: str) -> dict[str, Any]:
        """The variables that this role's templates were rendered with."""
        return self.data["contexts"][role]

    def units(self, role: str) -> list[str]:
        """The units of a role, and those of every node."""
        return [*self.data["units"][role], *BASE_UNITS]

    def host(self, name: str, timeout: int = 180) -> Any:
        """testinfra's host for a node, over the cluster's ssh_config (host keys are checked)."""
        return testinfra.get_host(f"ssh://{name}", ssh_config=self.data["ssh_config"], timeout=timeout)

    def peers(self, node: dict[str, str]) -> list[str]:
        """Addresses that a node tries to connect to."""
        ports = self.context(node["role"])["ports"]
        if node["role"] != "worker":
            return sorted(self.needed(node["role"]))
        master = [(self.master, ports[name]) for name in ("spark_master", "spark_master_ui", "ssh")]
        hub = [(self.hub, ports[name]) for name in ("hub_api", "ssh", "spark_history", "nfs")]
        behind = self.workers.index(node) + 1
        ring = [*self.workers[behind:], *self.workers[: behind - 1]]
        others = [(other, ports[name]) for other in ring[:NEIGHBOURS] for name in ("ssh", "spark_worker")]
        return list(dict.fromkeys(f"{other['address']}:{port}" for other, port in [*master, *hub, *others]))

    def needed(self, role: str) -> set[str]:
        """Those of them that it has to reach."""
        ports = self.context(role)["ports"]
        found = []
        if role == "master":
            found += [(node, ports["spark_worker"]) for node in self.workers]
        if role == self.hub["role"]:
            found += [(node, ports["spark_worker_ui"]) for node in self.workers]
        if role == "hub":
            found += [(self.master, ports["spark_master"]), (self.master, ports["spark_master_ui"])]
        if role == "worker":
            found += [(self.master, ports["spark_master"]), (self.hub, ports["nfs"])]
        return {f"{node['address']}:{port}" for node, port in found}

    @cached_property
    def probes(self) -> dict[str, Probe]:
        """Probe all nodes, once: what came of it is kept, also of a node that could not be probed."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return {probe.name: probe for probe in pool.map(self._run_probe, self.nodes)}

    def _run_probe(self, node: dict[str, str]) -> Probe:
        role = node["role"]
        files = " ".join(file["path"] for file in self.data["files"][role])
        users = (
            " ".join(user["name"] for user in self.context(role)["hub"]["users"]) if role == self.hub["role"] else ""
        )
        arguments = (PROBE, files, " ".join(self.units(role)), users, " ".join(self.peers(node)))
        try:
            result = self.host(node["name"]).run("sudo bash -c %s probe %s %s %s %s", *arguments)
        except RuntimeError as error:
            # The error holds the command's result with the whole probe in it; what ssh printed is at its end.
            result = getattr(error.args[0], "stderr", "") if error.args else ""
            return Probe(node["name"], role, node["address"], {}, result.strip() or "no connection")
        except Exception as error:  # whatever it is: raised, it would have each check probe all nodes again
            return Probe(node["name"], role, node["address"], {}, f"{type(error).__name__}: {error}")
        sections: dict[str, list[str]] = {}
        lines: list[str] = []
        for line in result.stdout.splitlines():
            if line.startswith("@@ "):
                lines = sections.setdefault(line[3:], [])
            else:
                lines.append(line)
        error = "" if "end" in sections else f"the probe broke off: {result.stderr[-300:]}"
        return Probe(node["name"], role, node["address"], sections, error)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cluster", required=True, type=Path, help="JSON of the cluster, as `provision verify` writes it")


def _cluster(config: pytest.Config) -> Cluster:
    if not hasattr(config, "provision_cluster"):
        config.provision_cluster = Cluster(json.loads(config.getoption("--cluster").read_text()))  # type: ignore[attr-defined]
    return config.provision_cluster  # type: ignore[attr-defined,no-any-return]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize a check with every node (`probe`), that with the Hub or the workers, and with its units or files."""
    cluster = _cluster(metafunc.config)
    names = metafunc.fixturenames
    role = {"hub_probe": cluster.hub["role"], "worker_probe": "worker"}
    for fixture, only in {"probe": None, **role}.items():
        if fixture not in names:
            continue
        nodes = [node for node in cluster.nodes if only in (None, node["role"])]
        if "unit" in names:
            pairs = [(node["name"], unit) for node in nodes for unit in cluster.units(node["role"])]
            metafunc.parametrize((fixture, "unit"), pairs, indirect=[fixture], ids=[" ".join(pair) for pair in pairs])
        elif "file" in names:
            found = [(node["name"], file) for node in nodes for file in cluster.data["files"][node["role"]]]
            ids = [f"{name} {file['path']}" for name, file in found]
            metafunc.parametrize((fixture, "file"), found, indirect=[fixture], ids=ids)
        else:
            metafunc.parametrize(fixture, [node["name"] for node in nodes], indirect=True)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return _cluster(request.config)


@pytest.fixture
def probe(request: pytest.FixtureRequest, cluster: Cluster) -> Probe:
    """One node."""
    return cluster.probes[request.param]


@pytest.fixture
def hub_probe(request: pytest.FixtureRequest, cluster: Cluster) -> Probe:
    """The node with the Hub: the master, or one of its own."""
    return cluster.probes[request.param]


@pytest.fixture
def worker_probe(request: pytest.FixtureRequest, cluster: Cluster) -> Probe:
    """One worker."""
    return cluster.probes[request.param]
