"""Users, and the secrets that they must not read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Cluster, Probe


def test_notebook_users_have_accounts(cluster: Cluster, hub_probe: Probe) -> None:
    context = cluster.context(cluster.hub["role"])
    accounts = {line.split()[0]: line.split() for line in hub_probe["accounts"]}
    for user in context["hub"]["users"]:
        name, password, shell, mode, owner, *groups = accounts[user["name"]]
        assert password == "P", f"{name} has no usable password ({password})"
        assert shell == f"/home/{name}:/bin/bash", f"{name}: {shell}"
        assert (mode, owner) == ("700", name), f"/home/{name} is {mode} of {owner}: others may look in"
        named = context["accounts"]
        wanted = {name, named["spark"], named["hub"], *user["groups"]}
        wanted |= {named["hub_admin"]} if user["admin"] else set()
        assert set(groups) == wanted, f"{name} is in {groups}, and should be in {sorted(wanted)}"


def test_users_read_no_secret(cluster: Cluster, probe: Probe) -> None:
    """The notebook users, the account of their executors, and nobody; the first two have to know the Spark secret."""
    node = cluster.context(probe.role)["node"]
    users = (
        {user["name"] for user in cluster.context(probe.role)["hub"]["users"]}
        if probe.role == cluster.hub["role"]
        else set()
    )
    fine = {f"{user} {node['spark_defaults']}" for user in users | {"spark"}} | {
        f"{user} /home/{user}" for user in users
    }
    leaks = sorted(set(probe["readable"]) - fine)
    assert not leaks, f"{probe.name}: who can read what: {leaks}"


def test_drivers_know_the_spark_secret(cluster: Cluster, hub_probe: Probe) -> None:
    node = cluster.context(cluster.hub["role"])["node"]
    for user in cluster.context(cluster.hub["role"])["hub"]["users"]:
        line = f"{user['name']} {node['spark_defaults']}"
        assert line in hub_probe["readable"], (
            f"{user['name']} cannot read {node['spark_defaults']}: no notebook of theirs starts"
        )


def test_no_secret_in_process_arguments(probe: Probe) -> None:
    assert probe["secret-in-arguments"] == [], f"{probe.name}: {probe['secret-in-arguments']}"
