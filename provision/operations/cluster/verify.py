"""Test a live cluster: run the suite in tests/live (pytest and testinfra), and report every check."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision.base import paths
from provision.base.constants import PASSING_UNITS
from provision.base.errors import ProvisionError, UsageError
from provision.model.cluster.render import hub_url, node_files, secret_context, units
from provision.model.image.recipe import read_software
from provision.operations import tunnel

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from provision.base.progress import Progress
    from provision.operations.cluster.nodes import LiveCluster


@dataclass(frozen=True, slots=True)
class VerifyCheck:
    """The result of one check."""

    name: str
    """What is checked, and on which node: `a-worker-1 spark: unit runs`."""
    passed: bool
    message: str
    """What is wrong; empty when it passed."""
    seconds: float
    """Its duration, with its fixtures."""


@dataclass(slots=True)
class VerifyReport:
    """The results of all checks."""

    checks: list[VerifyCheck] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def passed(self) -> list[VerifyCheck]:
        """The checks that passed."""
        return [check for check in self.checks if check.passed]

    @property
    def failed(self) -> list[VerifyCheck]:
        """The checks that failed."""
        return [check for check in self.checks if not check.passed]

    def as_data(self) -> dict[str, Any]:
        """Return the report as `verify --json` prints it."""
        return {
            "passed": len(self.passed),
            "failed": len(self.failed),
            "seconds": round(self.seconds, 1),
            "checks": [
                {
                    "name": check.name,
                    "passed": check.passed,
                    "message": check.message,
                    "seconds": round(check.seconds, 2),
                }
                for check in self.checks
            ],
        }


def verify(cluster: LiveCluster, progress: Progress, *, only: str = "") -> VerifyReport:
    """Run the suite against the live cluster; `only` is a pytest -k expression.

    Raises ProvisionError when the suite itself cannot run. A check that fails is in the report.
    """
    import pytest

    listener = _Listener(progress)
    with tempfile.TemporaryDirectory(prefix="provision-verify-") as folder, ExitStack() as stack:
        file = Path(folder) / "cluster.json"
        url = stack.enter_context(_hub_over_ssh(cluster)) if cluster.spec.network.bastion else ""
        file.write_text(json.dumps(description(cluster) | ({"hub_url": url} if url else {})))
        argv = ["-c", str(paths.LIVE_TESTS / "pytest.ini"), "-p", "no:terminal", "--cluster", str(file)]
        if only:
            argv += ["-k", only]
        began = time.monotonic()
        with progress.phase("Run the checks"), _own_options():
            code = pytest.main([*argv, str(paths.LIVE_TESTS)], plugins=[listener])
    listener.report.seconds = time.monotonic() - began
    # 0 and 1: checks ran; 5: none was selected. Any other code is a failure of the suite itself.
    if code not in (0, 1, 5):
        raise ProvisionError(
            "the test suite could not run", "", "\n".join(listener.errors) or f"pytest ended with {code}"
        )
    return listener.report


@contextmanager
def _own_options() -> Iterator[None]:
    """Keep from pytest what a person's shell has for other suites: options and plugins that this one does not know."""
    kept = {name: os.environ.pop(name) for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS") if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def check_expression(only: str) -> None:
    """Raise UsageError, before anybody is asked, for an expression that pytest -k cannot read."""
    if not only:
        return
    from _pytest.mark.expression import Expression

    try:
        Expression.compile(only)
    except Exception as error:  # which one it is depends on the version of pytest
        raise UsageError(
            f"-k {only!r} is no expression of pytest's: {str(error).splitlines()[0]}",
            "Write a part of names, or several with `and`, `or` and `not`: -k 'hub and not tls'.",
        ) from None


@contextmanager
def _hub_over_ssh(cluster: LiveCluster) -> Iterator[str]:
    """Lead a port of this machine to a Hub that it does not reach otherwise; give its URL there."""
    forwards = tunnel.choose(cluster, [tunnel.HUB], list)
    with tunnel.opened(cluster, forwards):
        yield forwards[0].url


def description(cluster: LiveCluster) -> dict[str, Any]:
    """Return what the suite needs to know about the cluster: hashes of the files on the nodes, no secrets."""
    secrets = cluster.cluster_dir.ensure_secrets(cluster.spec, cluster.addresses)
    files, running_units = {}, {}
    for role in cluster.spec.roles:
        context = cluster.contexts[role] | {"secrets": secret_context(secrets)}
        running_units[role] = units(context)
        files[role] = [
            {
                "path": file.path,
                "owner": file.owner,
                "group": file.group,
                "mode": file.mode,
                "sha256": hashlib.sha256(file.content.encode()).hexdigest(),
            }
            for file in node_files(context)
        ]
    software = read_software((paths.TEMPLATES / "image" / "software.yaml").read_text())
    proxy = json.loads((paths.TEMPLATES / "image" / software.proxy / "package.json").read_text())
    packages = software.common_stock_packages() if cluster.spec.image.stock else software.packages
    return {
        "name": cluster.spec.name,
        "nodes": [{"name": node.name, "role": node.role, "address": node.address} for node in cluster.nodes],
        "contexts": cluster.contexts,
        "units": running_units,
        "files": files,
        "ssh_config": str(cluster.ssh_config),
        "hub_url": hub_url(cluster.addresses.floating, cluster.spec.hub.port),
        "bastion": cluster.spec.network.bastion is not None,
        "hub_pinned": cluster.spec.hub.tls is not None,
        "hub_ca": str(cluster.spec.hub.tls.cert if cluster.spec.hub.tls else cluster.cluster_dir.authority),
        "packages": cluster.packages(),
        "passing_units": PASSING_UNITS,
        "software": {
            "packages": packages,
            "boot": () if cluster.spec.image.stock else software.boot,
            "python": software.python_requirements,
            "proxy": proxy["dependencies"]["configurable-http-proxy"],
        },
    }


class _Listener:
    """A pytest plugin that collects the results."""

    def __init__(self, progress: Progress) -> None:
        self.report = VerifyReport()
        self.errors: list[str] = []
        self._progress = progress
        self._seconds: dict[str, float] = {}

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._progress.update("verify", title(nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration
        if report.when == "call" or report.failed:
            check = VerifyCheck(title(report.nodeid), report.passed, _message(report), self._seconds[report.nodeid])
            self.report.checks.append(check)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(str(report.longrepr))

    def pytest_internalerror(self, excrepr: object) -> None:
        self.errors.append(str(excrepr))


def title(nodeid: str) -> str:
    """Make a check's name readable: `…::test_unit_runs[a-worker-1 spark]` -> `a-worker-1 spark: unit runs`."""
    name = nodeid.rpartition("::test_")[2].replace("\n", " ")
    match = re.fullmatch(r"(\w+)\[(.*)\]", name)
    return f"{match[2]}: {match[1].replace('_', ' ')}" if match else name.replace("_", " ")


def _message(report: pytest.TestReport) -> str:
    if report.passed:
        return ""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message if crash else report.longrepr)
    return text.removeprefix("AssertionError: ").partition("\nassert ")[0].strip()
