"""What the daemons of a node answer: the Spark master and the drivers of its users, the Hub, the metadata service."""

from __future__ import annotations

import time
from typing import Any

from provision.adapters.onnode.contact import get, reach, served_certificate, why

TOGETHER = 60.0
"""Seconds that all drivers have for their answers: they are users' programs, and may be slow on purpose."""
PAGE = 200
"""Users in one answer of the Hub's: it gives no more at once."""
USERS_AT_MOST = 2000


def spark(url: str, drivers: list[tuple[str, int]]) -> dict[str, Any]:
    """Return the Spark master's account of itself; `problem` instead when it does not answer.

    `demands` has what applications without cores want, as far as the pages of their drivers say it: those are at some
    of `drivers`.
    """
    try:
        state: dict[str, Any] = get(f"{url}/json/", 45)
    except (OSError, ValueError) as error:
        return {"problem": why(error)}
    found = {key: state.get(key, []) for key in ("workers", "activeapps")} | {"status": state.get("status", "")}
    idle = [app["id"] for app in found["activeapps"] if not app["cores"]]
    return found | {"demands": demands(idle, drivers) if idle else {}}


def demands(apps: list[str], drivers: list[tuple[str, int]]) -> dict[str, Any]:
    """Ask drivers whether stages of theirs wait for executors: `wants` cores of executors with `unit` each.

    The master does not know: an application without cores may as well have nothing to compute.
    """
    found = {}
    end = time.monotonic() + TOGETHER

    def ask(url: str) -> Any:  # noqa: ANN401 - JSON
        return get(url, min(20.0, end - time.monotonic()))

    for target, answer in reach(drivers, 3).items():
        pages = f"http://{target}/api/v1/applications"
        try:
            for app in ask(pages) if answer == "open" else []:
                if app["id"] in apps:
                    stages = ask(f"{pages}/{app['id']}/stages?status=active")
                    settings = dict(ask(f"{pages}/{app['id']}/environment")["sparkProperties"])
                    unit = int(settings.get("spark.executor.cores", 1))
                    found[app["id"]] = {"wants": unit if stages else 0, "unit": unit}
        except (OSError, ValueError, LookupError, TypeError, ArithmeticError):
            continue  # another program's port, or a page that is not shown to everybody
    return found


def hub(api: str, token: str, port: int) -> dict[str, Any]:
    """Ask the Hub who has a server; return its certificate too, as it presents it."""
    found: dict[str, Any] = {"problem": "", "pending": {}, "certificate": ""}
    try:
        for user in hub_users(api, token):
            for server in (user.get("servers") or {}).values():
                if server.get("pending"):
                    found["pending"][user["name"]] = [server["pending"], str(server.get("started") or "")]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        found["problem"] = why(error)
    try:
        found["certificate"] = served_certificate("127.0.0.1", port, 20)
    except (OSError, ValueError) as error:
        found["problem"] = found["problem"] or f"port {port}: {why(error)}"
    return found


def hub_users(api: str, token: str) -> list[dict[str, Any]]:
    """Return the Hub's users, page by page."""
    users: list[dict[str, Any]] = []
    while len(users) < USERS_AT_MOST:
        page = get(f"{api}/hub/api/users?limit={PAGE}&offset={len(users)}", 30, token)
        users += page
        if len(page) < PAGE:
            break
    return users


def metadata(address: str) -> str:
    """Return why the metadata service does not answer; empty if it does."""
    try:
        get(f"http://{address}/openstack/", 20)
    except (OSError, ValueError) as error:
        return why(error)
    return ""
