from __future__ import annotations

import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from provision.adapters import mariadb
from provision.adapters.host.process import Result
from provision.adapters.mariadb import MariaDB
from provision.base import paths
from provision.base.errors import ProvisionError
from provision.model.galera.bootstrap import NEVER, Position, View

CLUSTER = "1938a009-e6df-11f1-8853-13e0bc481b10"
GRASTATE = "# GALERA saved state\nversion: 2.1\nuuid:    {}\nseqno:   {}\nsafe_to_bootstrap: 0\n"


@pytest.fixture
def data(tmp_path):
    (tmp_path / "mysql").mkdir()
    return tmp_path


def recovering(monkeypatch, log):
    calls = []

    def run(argv, **_):
        calls.append(argv)
        return Result(tuple(argv), 0, "", log)

    monkeypatch.setattr(mariadb, "run", run)
    return calls


def test_an_ordinary_end_has_left_its_position(data, monkeypatch):
    calls = recovering(monkeypatch, "")
    (data / "grastate.dat").write_text(GRASTATE.format(CLUSTER, 12))
    assert MariaDB(data).position() == Position(CLUSTER, 12)
    assert not calls


def test_after_a_crash_it_is_recovered(data, monkeypatch):
    (data / "grastate.dat").write_text(GRASTATE.format(CLUSTER, -1))
    recovering(monkeypatch, f"[Note] WSREP: Recovered position: {CLUSTER}:77\n")
    assert MariaDB(data).position() == Position(CLUSTER, 77)


def test_data_that_cannot_be_read_is_not_taken_for_none(data, monkeypatch):
    (data / "grastate.dat").write_text(GRASTATE.format(CLUSTER, -1))
    recovering(monkeypatch, "[ERROR] InnoDB: corrupt")
    with pytest.raises(ProvisionError, match="cannot be recovered") as error:
        MariaDB(data).position()
    assert "corrupt" in error.value.detail


def test_data_from_before_there_was_a_cluster(data):
    assert MariaDB(data).position() == Position(NEVER)


@pytest.mark.parametrize("left", ["installing", "sst_in_progress"])
def test_half_of_a_database_is_none(data, left):
    (data / left).touch()
    assert MariaDB(data).position() is None
    (data / left).unlink()
    (data / "mysql").rmdir()
    assert MariaDB(data).position() is None


def test_a_new_database_takes_the_place_of_what_an_earlier_attempt_left(data, monkeypatch):
    (data / "mysql" / "half").touch()
    (data / "installing").touch()

    def install(argv, **_):
        assert not (data / "mysql").exists()
        assert (data / "installing").exists()
        (data / "mysql").mkdir()

    monkeypatch.setattr(mariadb, "run_checked", install)
    MariaDB(data).install()
    assert [path.name for path in data.iterdir()] == ["mysql"]


def test_the_first_member_is_told_apart_from_the_others(data):
    first = MariaDB(data).argv("mariadb-1", "e1", Position(CLUSTER, 5), ())
    assert "--wsrep-new-cluster" in first
    assert f"--wsrep-start-position={CLUSTER}:5" in first
    other = MariaDB(data).argv("mariadb-2", "e1", None, ("192.0.2.1", "192.0.2.3"))
    assert "--wsrep-new-cluster" not in other
    assert "--wsrep-cluster-address=gcomm://192.0.2.1,192.0.2.3" in other
    assert not any("start-position" in option for option in other)
    assert not any("start-position" in option for option in MariaDB(data).argv("m", "", Position(NEVER), ()))


def test_the_start_is_allowed_to_galera(data):
    MariaDB(data).allow_start()
    assert not (data / "grastate.dat").exists()
    (data / "grastate.dat").write_text(GRASTATE.format(CLUSTER, 5))
    MariaDB(data).allow_start()
    assert "safe_to_bootstrap: 1" in (data / "grastate.dat").read_text()


def note_view(file, *words):
    command = ["sh", str(paths.COMPOSE / "mariadb" / "note-view"), str(file), "mariadb-1", "e1", *words]
    subprocess.run(command, check=True)


def test_the_members_of_a_primary_component_are_noted_and_nothing_else(data):
    file = data / "galera-view.log"
    members = "aaaa/mariadb-2/192.0.2.2:0,bbbb/mariadb-1/192.0.2.1:0"
    note_view(file, "--status", "synced", "--uuid", CLUSTER, "--primary", "yes", "--index", "1", "--members", members)
    seen = View("e1", ("mariadb-1", "mariadb-2"))
    assert MariaDB(data).view() == seen
    note_view(file, "--status", "disconnected", "--primary", "no", "--members", "bbbb/mariadb-1/192.0.2.1:0")
    note_view(file, "--status", "disconnecting")
    note_view(file, "--status", "synced", "--primary", "yes", "--members", "aaaa/mariadb-2/192.0.2.2:0")
    assert MariaDB(data).view() == seen


def test_without_a_note_nobody_was_seen(data):
    assert MariaDB(data).view() == View()


def test_the_server_is_a_process_that_is_stopped_in_order(data):
    server = MariaDB(data)
    server.stop()
    server.start(["sleep", "30"])
    assert server.ended(0.01) is None
    server.stop()
    assert server.ended(5) == -signal.SIGTERM


class FakeLibrary:
    """Stand for pymysql, which is installed in MariaDB's image alone: one connection that answers, or refuses."""

    def __init__(self):
        self.err = SimpleNamespace(MySQLError=OSError, ProgrammingError=LookupError)
        self.refuses = False
        self.statements = []
        self.connections = 0
        self.applied = False

    def connect(self, **_):
        self.connections += 1
        return self

    cursor = connect

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def execute(self, statement, values=()):
        if self.refuses:
            raise self.err.MySQLError("gone")
        if statement.startswith("SELECT"):
            if not self.statements:
                raise self.err.ProgrammingError("no such table")
            return self.applied
        self.statements.append(statement)
        return 0

    def fetchall(self):
        return [("wsrep_cluster_status", "Primary"), ("wsrep_ready", "ON"), ("wsrep_cluster_size", "3")]


@pytest.fixture(name="library")
def _library(monkeypatch):
    made = FakeLibrary()
    monkeypatch.setitem(sys.modules, "pymysql", made)
    return made


def test_the_servers_state_is_asked_over_one_connection(data, library):
    server = MariaDB(data)
    assert (server.state().primary, server.state().size) == (True, 3)
    assert library.connections == 3  # with a cursor for each question
    library.refuses = True
    assert server.state() is None
    library.refuses = False
    assert server.state().ready
    assert library.connections == 6


def test_accounts_are_made_once(data, library):
    server = MariaDB(data)
    assert server.ensure_accounts("CREATE USER a\n\nCREATE USER b\n")
    assert library.statements[:2] == ["CREATE USER a", "CREATE USER b"]
    assert len(library.statements) == 3
    library.applied = True
    assert server.ensure_accounts("CREATE USER a\n\nCREATE USER b\n")
    assert len(library.statements) == 3
    library.refuses = True
    assert not server.ensure_accounts("CREATE USER c\n")
