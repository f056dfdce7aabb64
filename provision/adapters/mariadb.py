"""The door to this container's own MariaDB: its data folder, the server process, and what the server says of itself."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from provision.adapters.host.process import must, run
from provision.base.errors import ProvisionError
from provision.model.galera.bootstrap import (
    Position,
    View,
    allow_start,
    read_recovered,
    read_state,
    read_view,
)
from provision.model.galera.status import STATUS_QUERY, MemberState, read_status

if TYPE_CHECKING:
    from collections.abc import Sequence

_SOCKET: Final = "/run/mysqld/mysqld.sock"
_NOTE_VIEW: Final = "/usr/local/sbin/note-view"
# A state transfer clears the folder, but leaves files of this ending.
_VIEW: Final = "galera-view.log"
_INSTALLING: Final = "installing"
# Left by a state transfer that was broken off: what lies there is no database.
_RECEIVING: Final = "sst_in_progress"


class MariaDB:
    """MariaDB on one data folder; `durable`: a commit is on the disk before it is acknowledged."""

    def __init__(self, data: Path = Path("/var/lib/mysql"), *, durable: bool = False) -> None:
        self._data = data
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None
        self._link: Any = None

    def position(self) -> Position | None:
        """Say how far the data goes, recovering it after a crash; None where there is none.

        Raises ProvisionError when the data can't be read: then nobody may take it for absent.
        """
        if not (self._data / "mysql").is_dir() or self._has(_INSTALLING) or self._has(_RECEIVING):
            return None
        state = self._state()
        position = read_state(state)
        if position.known or not state:
            return position
        result = run(["mariadbd", "--user=mysql", "--wsrep-recover"], timeout=600)
        found = read_recovered(result.stderr)
        if not found:
            raise ProvisionError(
                f"the position of the data in {self._data} cannot be recovered",
                "if this data is lost, remove this member's volume: it then takes the others'",
                result.stderr[-4000:],
            )
        return found

    def view(self) -> View:
        """Return the last Primary component that this member was in."""
        try:
            return read_view((self._data / _VIEW).read_text())
        except FileNotFoundError:
            return View()

    def install(self) -> None:
        """Make a new, empty database; what an earlier attempt has left is removed first."""
        for path in self._data.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        (self._data / _INSTALLING).touch()
        must(
            ["mariadb-install-db", "--user=mysql", f"--datadir={self._data}", "--skip-test-db",
             "--auth-root-authentication-method=socket", "--auth-root-socket-user=root"],
            what="making a new database",
            timeout=600,
        )  # fmt: skip
        (self._data / _INSTALLING).unlink()

    def argv(self, member: str, bootstrap_id: str, position: Position | None, peers: Sequence[str]) -> list[str]:
        """Write the command that runs the server: with these members' addresses, or as the first of a cluster."""
        options = [
            f"--wsrep-node-name={member}",
            f"--wsrep-notify-cmd={_NOTE_VIEW} {self._data / _VIEW} {member} {bootstrap_id or '-'}",
            f"--wsrep-cluster-address=gcomm://{','.join(peers)}",
        ]
        if self._durable:
            options.append("--innodb-flush-log-at-trx-commit=1")
        if not peers:
            options.append("--wsrep-new-cluster")
        if position and position.known:
            options.append(f"--wsrep-start-position={position}")
        return ["mariadbd", "--user=mysql", *options]

    def allow_start(self) -> None:
        """Let this member be the first of a cluster: Galera itself knows only of ordinary ends."""
        state = self._state()
        if state:
            (self._data / "grastate.dat").write_text(allow_start(state))

    def start(self, argv: Sequence[str]) -> None:
        """Start the server."""
        self._process = subprocess.Popen(list(argv))

    def become(self, argv: Sequence[str]) -> None:
        """Go on as the server, and nothing else: never returns."""
        os.execvp(argv[0], list(argv))  # noqa: S606 - that is its purpose

    def ended(self, seconds: float) -> int | None:
        """Wait at most so long; return the server's code when it has ended."""
        assert self._process is not None  # noqa: S101 - start() comes first
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        """Ask the server to end in order."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def state(self) -> MemberState | None:
        """Ask the server for its part in the cluster; None while it does not answer."""
        import pymysql

        try:
            # One connection for every question: they come each second.
            self._link = self._link or self._connect(3)
            with self._link.cursor() as cursor:
                cursor.execute(STATUS_QUERY)
                return read_status(dict(cursor.fetchall()))
        except (pymysql.err.MySQLError, OSError):
            self._link = None
            return None

    def ensure_accounts(self, statements: str) -> bool:
        """Carry out statements, one a line, unless the cluster has done the same; return whether that is settled."""
        import pymysql

        digest = hashlib.sha256(statements.encode()).hexdigest()
        try:
            with self._connect(60) as link, link.cursor() as cursor:
                with contextlib.suppress(pymysql.err.ProgrammingError):
                    if cursor.execute("SELECT 1 FROM provision.applied WHERE digest = %s", (digest,)):
                        return True
                for line in filter(None, statements.splitlines()):
                    cursor.execute(line)
                cursor.execute("REPLACE INTO provision.applied VALUES ('accounts', %s)", (digest,))
        except (pymysql.err.MySQLError, OSError):
            return False
        return True

    def _connect(self, seconds: int) -> Any:  # noqa: ANN401 - pymysql says nothing of its types
        import pymysql

        return pymysql.connect(
            unix_socket=_SOCKET, user="root", connect_timeout=3, read_timeout=seconds, autocommit=True
        )

    def _state(self) -> str:
        try:
            return (self._data / "grastate.dat").read_text()
        except FileNotFoundError:
            return ""

    def _has(self, name: str) -> bool:
        return (self._data / name).exists()
