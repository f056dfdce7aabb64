"""Test a live cluster: run tests/live (testinfra, by pytest) and report every check, named by its node."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from provision.base import paths
from provision.base.errors import ProvisionError
from provision.model.cluster.render import ROLES, node_files, secret_context, units
from provision.operations.cluster.status import hub_url

if TYPE_CHECKING:
    import pytest

    from provision.base.progress import Progress
    from provision.operations.cluster.nodes import Live


@dataclass(frozen=True, slots=True)
class VerifyCheck:
    """One check: what it is about, whether it holds, and what is wrong if not; `seconds` with its preparation."""

    name: str
    passed: bool
    message: str
    seconds: float


@dataclass(slots=True)
class VerifyReport:
    """What all the checks said."""

    checks: list[VerifyCheck] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def passed(self) -> list[VerifyCheck]:
        """The checks that hold."""
        return [check for check in self.checks if check.passed]

    @property
    def failed(self) -> list[VerifyCheck]:
        """The checks that do not."""
        return [check for check in self.checks if not check.passed]

    def as_data(self) -> dict[str, Any]:
        """Give the report as `verify --json` prints it."""
        return {
            "passed": len(self.passed),
            "failed": len(self.failed),
            "seconds": round(self.seconds, 1),
            "checks": [
                {"name": one.name, "passed": one.passed, "message": one.message, "seconds": round(one.seconds, 2)}
                for one in self.checks
            ],
        }


def verify(live: Live, progress: Progress, *, only: str = "") -> VerifyReport:
    """Run the suite against the live cluster; `only` is a pytest -k expression.

    Raises ProvisionError when the suite itself cannot run. A check that fails is in the report.
    """
    import pytest

    listener = _Listener(progress)
    with tempfile.TemporaryDirectory(prefix="provision-verify-") as folder:
        file = Path(folder) / "cluster.json"
        file.write_text(json.dumps(description(live)))
        argv = ["-c", str(paths.LIVE_TESTS / "pytest.ini"), "-p", "no:terminal", "--cluster", str(file)]
        if only:
            argv += ["-k", only]
        began = time.monotonic()
        with progress.phase("Run the checks"):
            code = pytest.main([*argv, str(paths.LIVE_TESTS)], plugins=[listener])
    listener.report.seconds = time.monotonic() - began
    # 0 and 1: tests ran; 5: none was chosen. Anything else is the suite's own failure.
    if code not in (0, 1, 5):
        raise ProvisionError(
            "the test suite could not run", "", "\n".join(listener.trouble) or f"pytest ended with {code}"
        )
    return listener.report


def description(live: Live) -> dict[str, Any]:
    """Return what the suite has to know of the cluster; hashes of what secret files hold, no secrets."""
    secrets = live.cluster_dir.ensure_secrets(live.spec, live.addresses)
    files, running = {}, {}
    for role in ROLES:
        context = live.contexts[role] | {"secrets": secret_context(secrets)}
        running[role] = units(context)
        files[role] = [
            {
                "path": one.path,
                "owner": one.owner,
                "group": one.group,
                "mode": one.mode,
                "sha256": hashlib.sha256(one.content.encode()).hexdigest(),
            }
            for one in node_files(context)
        ]
    software = yaml.safe_load((paths.TEMPLATES / "image" / "software.yaml").read_text())
    proxy = json.loads((paths.TEMPLATES / "image" / software["proxy"]["folder"] / "package.json").read_text())
    return {
        "name": live.spec.name,
        "nodes": [{"name": node.name, "role": node.role, "address": node.address} for node in live.nodes],
        "contexts": live.contexts,
        "units": running,
        "files": files,
        "ssh_config": str(live.ssh_config),
        "hub_url": hub_url(live.addresses.floating, live.spec.hub.port),
        "hub_pinned": live.spec.hub.tls is not None,
        "hub_ca": str(live.spec.hub.tls.cert if live.spec.hub.tls else live.cluster_dir.authority),
        "software": {
            "packages": software["packages"],
            "python": software["python"]["requirements"],
            "proxy": proxy["dependencies"]["configurable-http-proxy"],
        },
    }


class _Listener:
    """A pytest plugin that hears of every check."""

    def __init__(self, progress: Progress) -> None:
        self.report = VerifyReport()
        self.trouble: list[str] = []
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
            self.trouble.append(str(report.longrepr))

    def pytest_internalerror(self, excrepr: object) -> None:
        self.trouble.append(str(excrepr))


def title(nodeid: str) -> str:
    """Make a check's name readable: `…::test_unit_runs[a-worker-1 spark]` -> `a-worker-1 spark: unit runs`."""
    name = nodeid.rpartition("::test_")[2].replace("\n", " ")
    found = re.fullmatch(r"(\w+)\[(.*)\]", name)
    return f"{found[2]}: {found[1].replace('_', ' ')}" if found else name.replace("_", " ")


def _message(report: pytest.TestReport) -> str:
    if report.passed:
        return ""
    crash = getattr(report.longrepr, "reprcrash", None)
    said = str(crash.message if crash else report.longrepr)
    return said.removeprefix("AssertionError: ").partition("\nassert ")[0].strip()
