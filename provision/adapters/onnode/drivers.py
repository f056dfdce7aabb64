"""The pages of running Spark applications on the master: each driver's own port answers what runs there."""

from __future__ import annotations

import json
from typing import Any

from provision.adapters.onnode.contact import get

SECONDS = 20
"""A driver that does not answer within this is passed over: it is starting, or has ended."""


def find(address: str, first: int, last: int) -> list[dict[str, Any]]:
    """Return the applications whose pages answer on a range of ports: port, id, name and user, as they say it."""
    found = []
    for port in range(first, last + 1):
        try:
            for app in get(f"http://{address}:{port}/api/v1/applications", SECONDS):
                user = app["attempts"][0]["sparkUser"]
                found.append({"port": port, "id": str(app["id"]), "name": str(app["name"]), "user": str(user)})
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return found


def main(order: dict[str, Any]) -> int:
    """Print the applications as JSON; `order`: address, first, last."""
    print(json.dumps(find(order["address"], order["first"], order["last"])))
    return 0
