"""A cluster that this machine does not reach by itself: another cluster's master leads to it.

By itself: `E2E_HOME=/tmp/e2e pytest tests/e2e/test_bastion.py -m e2e -x -s`; after an interrupted run it goes on.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.acceptance]

FLAVORS = "master: {flavor: m1.small}\nworkers: {count: 1, flavor: m1.small}\n"
OUTER = f"name: outer\nnetwork: {{cidr: 10.24.0.0/24}}\n{FLAVORS}"
INNER = (
    "name: inner\nnetwork: {{existing: outer, floating_ip: false, bastion: jump, access: [{address}/32]}}\n" + FLAVORS
)
LONG = 7200


@pytest.fixture(scope="module")
def inner(product) -> Path:
    """The file of a cluster behind a bastion, which is there."""
    product.run("cloud", "up")
    outer = product.folder / "outer.yaml"
    outer.write_text(OUTER)
    product.run("up", "--yes", "--file", str(outer), timeout=LONG)
    state = json.loads(product.run("status", "--json", "--file", str(outer)).stdout)
    address = next(node["address"] for node in state["nodes"] if node["role"] == "master")
    floating = state["hub"]["url"].removeprefix("https://")
    keys = product.home / "state/provision/clusters/outer"
    # The operator's own settings for SSH.
    home = product.home / "home"
    (home / ".ssh").mkdir(parents=True, exist_ok=True)
    (home / ".ssh/config").write_text(
        f"Host jump\n  HostName {floating}\n  HostKeyAlias outer-master\n  User provision\n"
        f"  IdentityFile {keys}/id_ed25519\n  UserKnownHostsFile {keys}/known_hosts\n"
    )
    product.env["HOME"] = str(home)
    file = product.folder / "inner.yaml"
    file.write_text(INNER.format(address=address))
    return file


def test_without_access_it_is_refused(product, inner) -> None:
    wrong = product.folder / "wrong.yaml"
    wrong.write_text("name: inner\nnetwork: {existing: outer, floating_ip: false, bastion: jump}\n")
    assert "has to be let in" in product.run("plan", "--file", str(wrong), code=2).output


def test_every_command_goes_by_the_bastion(product, inner) -> None:
    file = ("--file", str(inner))
    product.run("up", "--yes", *file, timeout=LONG)
    state = json.loads(product.run("status", "--json", *file).stdout)
    assert state["working"], state
    assert product.run("run", *file, "--", "hostname").stdout.split() == ["inner-master", "inner-worker-1"]
    assert product.run("ssh", *file, "worker-1", "--", "hostname").stdout.strip() == "inner-worker-1"
    product.run("users", "list", *file)
    product.run("doctor", *file, code=None)
    report = json.loads(product.run("verify", "--json", *file, code=None, timeout=LONG).stdout)
    assert report["failed"] == 0, [check for check in report["checks"] if not check["passed"]]


def test_a_second_up_changes_nothing(product, inner) -> None:
    assert product.run("up", "--yes", "--file", str(inner)).seconds < 60


def test_nothing_stays(product, inner) -> None:
    product.run("down", "--yes", "--file", str(inner))
    product.run("down", "--yes", "--file", str(product.folder / "outer.yaml"))
