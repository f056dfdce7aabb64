"""`python -m provision.cli.galera`: the program in MariaDB's container, configured by its environment.

MEMBER is this member's name, MEMBERS the names of all, CONSUL_HTTP_ADDR Consul's address, and CONSUL_HTTP_TOKEN_FILE a
file with the token for it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

from provision.adapters.mariadb import MariaDB
from provision.base.errors import ProvisionError

ACCOUNTS: Final = Path("/run/mysqld/init.sql")
"""The databases and accounts, one statement a line."""


def main() -> int:
    """Run one member and return the exit code."""
    name = os.environ.get("MEMBER", "mariadb-1")
    members = os.environ.get("MEMBERS", name).split(",")
    server = MariaDB(durable=len(members) > 1)
    try:
        if members == [name]:
            serve_alone(name, server)
        return serve(name, members, server)
    except ProvisionError as error:
        say(" - ".join(filter(None, (error.message, error.hint, error.detail))))
        return error.exit_code


def serve_alone(name: str, server: MariaDB) -> None:
    """Become the server: a single member needs no others, and no program that watches it."""
    position = server.position()
    if position is None:
        server.install()
    server.allow_start()
    # The accounts are made before the first connection, and are not replicated.
    server.become([*server.argv(name, "", position, ()), f"--init-file={ACCOUNTS}"])


def serve(name: str, members: list[str], server: MariaDB) -> int:
    """Run one of several members."""
    from provision.adapters.consul.catalogue import Catalogue
    from provision.adapters.consul.kv import ConsulKeys
    from provision.operations.galera import GaleraMember

    consul = os.environ["CONSUL_HTTP_ADDR"], Path(os.environ["CONSUL_HTTP_TOKEN_FILE"]).read_text().strip()
    keys, catalogue = ConsulKeys(*consul), Catalogue(*consul)
    member = GaleraMember(name, members, server, keys, catalogue, accounts=ACCOUNTS.read_text(), say=say)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: member.stop())
    return member.run()


def say(text: str) -> None:
    """Write one line into the container's log."""
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} galera: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
