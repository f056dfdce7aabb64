"""What the master knows of its notebook users, and their passwords, as root."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

PAGE = 200
"""Users in one answer of the Hub's API: no Hub gives more."""
SECONDS = 60
"""How long the Hub may take to answer."""


class Accounts:
    """The notebook users' accounts: the members of a group. `root` is another folder than / in tests only."""

    def __init__(self, group: str, admins: str, root: str = "/") -> None:
        self.group = group
        self.admins = admins
        self.etc = Path(root) / "etc"

    def _lines(self, name: str) -> list[list[str]]:
        return [line.split(":") for line in (self.etc / name).read_text().splitlines() if ":" in line]

    def describe(self) -> list[dict[str, Any]]:
        """Describe each account: its groups beside those of the cluster's own, and the state of its password.

        `password` is ok, `locked` (no login), or `must_change`.
        """
        groups = {line[0]: (int(line[2]), line[3].split(",")) for line in self._lines("group") if len(line) > 3}
        shadow = {line[0]: line for line in self._lines("shadow")}
        found = []
        for line in self._lines("passwd"):
            name = line[0]
            mine = sorted(group for group, (_, members) in groups.items() if name in members)
            if self.group in mine:
                found.append(
                    {
                        "name": name,
                        "uid": int(line[2]),
                        "admin": self.admins in mine,
                        # The system's groups, Spark's and the Hub's among them, have small numbers.
                        "groups": [group for group in mine if groups[group][0] >= 1000],
                        "password": _state(shadow.get(name, [])),
                    }
                )
        return found


def _state(shadow: list[str]) -> str:
    if len(shadow) < 3 or shadow[1].startswith(("!", "*")):
        return "locked"
    return "must_change" if shadow[2] == "0" else "ok"


def hub_users(url: str, token: str) -> list[dict[str, Any]]:
    """Return what the Hub's API says of each user: whether a server runs, and when there was any activity."""
    found: list[dict[str, Any]] = []
    while True:
        # The Hub's own address, on this node.
        request = urllib.request.Request(f"{url}/users?offset={len(found)}&limit={PAGE}")  # noqa: S310
        request.add_header("Authorization", f"token {token}")
        # Not through a proxy that this node may have.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=SECONDS) as answer:
            page = json.load(answer)
        found += [
            {
                "name": user["name"],
                # The Hub's own field is empty while a server starts or stops.
                "server": "running" if user["server"] else user["pending"] or "",
                "last_activity": user["last_activity"],
            }
            for user in page
        ]
        if len(page) < PAGE:
            return found


def set_password(name: str, hashed: str, *, must_change: bool) -> None:
    """Give an account the password of a crypt(3) hash; this also unlocks it."""
    subprocess.run(["chpasswd", "--encrypted"], input=f"{name}:{hashed}\n", text=True, check=True)
    if must_change:
        subprocess.run(["chage", "--lastday", "0", name], check=True)


def main(order: dict[str, Any]) -> int:
    """List the accounts as JSON on stdout (`do` is list), or set a password; return 3 if there is no such user."""
    accounts = Accounts(order["group"], order["admins"], order.get("root", "/"))
    listed = accounts.describe()
    if order["do"] == "password":
        if order["user"] not in [each["name"] for each in listed]:
            return 3
        set_password(order["user"], order["hash"], must_change=order["must_change"])
        return 0
    hub, problem = [], ""
    try:
        hub = hub_users(order["api"], Path(order["token"]).read_text().strip())
    except (OSError, urllib.error.URLError, ValueError) as error:
        problem = str(error)
    sys.stdout.write(json.dumps({"accounts": listed, "hub": hub, "problem": problem}))
    return 0
