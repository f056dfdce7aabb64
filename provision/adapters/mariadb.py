"""MariaDB in this container: its data folder, its process, and its own account of the cluster."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from provision.adapters.host.process import Process, run, run_checked
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
# A state transfer clears the folder, but keeps files with this ending.
_VIEW: Final = "galera-view.log"
_INSTALLING: Final = "installing"
# Left by a state transfer that was interrupted: the folder then holds no usable database.
_RECEIVING: Final = "sst_in_progress"


class MariaDB:
    """A MariaDB server on the folder `data`; if `durable`, a commit is on the disk before it is acknowledged."""

    def __init__(self, data: Path = Path("/var/lib/mysql"), *, durable: bool = False) -> None:
        self._data = data
        self._durable = durable
        self._process: Process | None = None
        self._link: Any = None

    def position(self) -> Position | None:
        """Return the position of the last transaction in the data, recovered after a crash; None without data.

        Raises ProvisionError when it cannot be read: such data must not be taken for none.
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
                "If this data is lost, remove this member's volume: it then gets the data from the other members.",
                result.stderr[-4000:],
            )
        return found

    def view(self) -> View:
        """Return the last Primary component that this member belonged to."""
        try:
            return read_view((self._data / _VIEW).read_text())
        except FileNotFoundError:
            return View()

    def install(self) -> None:
        """Create an empty database; what an earlier attempt has left is removed first."""
        for path in self._data.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        (self._data / _INSTALLING).touch()
        run_checked(
            ["mariadb-install-db", "--user=mysql", f"--datadir={self._data}", "--skip-test-db",
             "--auth-root-authentication-method=socket", "--auth-root-socket-user=root"],
            what="creating a new database",
            timeout=600,
        )  # fmt: skip
        (self._data / _INSTALLING).unlink()

    def argv(self, member: str, bootstrap_id: str, position: Position | None, peers: Sequence[str]) -> list[str]:
        """Return the command that runs the server: joining the members at `peers`, or (none) as a cluster's first."""
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
        """Mark the data as safe to bootstrap a cluster from: Galera does so itself only after an orderly shutdown."""
        state = self._state()
        if state:
            (self._data / "grastate.dat").write_text(allow_start(state))

    def start(self, argv: Sequence[str]) -> None:
        """Start the server."""
        self._process = Process(argv)

    def become(self, argv: Sequence[str]) -> None:
        """Replace this process by the server: never returns."""
        os.execvp(argv[0], list(argv))  # noqa: S606 - no shell is wanted

    def ended(self, seconds: float) -> int | None:
        """Wait up to `seconds` for the server to end; return its exit code, or None while it runs."""
        assert self._process is not None  # noqa: S101 - start() comes first
        return self._process.wait(seconds)

    def stop(self) -> None:
        """Request an orderly shutdown, without waiting for it."""
        if self._process:
            self._process.terminate()

    def state(self) -> MemberState | None:
        """Ask the server for its part in the cluster; None while it does not answer."""
        import pymysql

        try:
            # One connection for all questions: there is one every second.
            self._link = self._link or self._connect(3)
            with self._link.cursor() as cursor:
                cursor.execute(STATUS_QUERY)
                return read_status(dict(cursor.fetchall()))
        except (pymysql.err.MySQLError, OSError):
            self._link = None
            return None

    def ensure_accounts(self, statements: str) -> bool:
        """Run SQL statements, one a line, unless the cluster has run the same before; return whether that succeeded."""
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

    def _connect(self, seconds: int) -> Any:  # noqa: ANN401 - pymysql has no types
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
