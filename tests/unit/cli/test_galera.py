"""What MariaDB's container runs: alone, it becomes the server at once; with others, it is one of several members."""

from __future__ import annotations

import pytest

from provision.base.errors import ProvisionError
from provision.cli import galera
from provision.model.galera.bootstrap import Position


class Becomes(Exception):  # noqa: N818 - the process is another program from here on
    pass


class FakeMariaDB:
    def __init__(self, position=None, *, durable=False):
        self.durable = durable
        self.done = []
        self._position = position

    def position(self):
        return self._position

    def install(self):
        self.done.append("install")

    def allow_start(self):
        self.done.append("allow start")

    def argv(self, member, bootstrap_id, position, peers):
        return ["mariadbd", member, bootstrap_id, str(position), *peers]

    def become(self, argv):
        self.done.append(argv)
        raise Becomes


@pytest.mark.parametrize(("position", "first"), [(None, ["install"]), (Position("c", 7), [])])
def test_a_single_member_asks_nobody(position, first, monkeypatch):
    server = FakeMariaDB(position)
    monkeypatch.setattr(galera, "MariaDB", lambda *, durable: server)
    monkeypatch.delenv("MEMBERS", raising=False)
    monkeypatch.setenv("MEMBER", "mariadb-1")
    with pytest.raises(Becomes):
        galera.main()
    command = ["mariadbd", "mariadb-1", "", str(position), f"--init-file={galera.ACCOUNTS}"]
    assert server.done == [*first, "allow start", command]


def test_one_of_several_waits_for_the_disk_and_serves_with_the_others(monkeypatch):
    made, served = [], []
    monkeypatch.setattr(galera, "MariaDB", lambda *, durable: made.append(durable) or "server")
    monkeypatch.setattr(galera, "serve", lambda *words: served.append(words) or 3)
    monkeypatch.setenv("MEMBER", "mariadb-2")
    monkeypatch.setenv("MEMBERS", "mariadb-1,mariadb-2,mariadb-3")
    assert galera.main() == 3
    assert made == [True]
    assert served == [("mariadb-2", ["mariadb-1", "mariadb-2", "mariadb-3"], "server")]


def test_a_failure_is_one_line_of_the_log_and_its_code(monkeypatch, capsys):
    def fail(*_):
        raise ProvisionError("the data is of another cluster", "Remove the volume.")

    monkeypatch.setattr(galera, "MariaDB", lambda *, durable: None)
    monkeypatch.setattr(galera, "serve", fail)
    monkeypatch.setenv("MEMBERS", "mariadb-1,mariadb-2")
    assert galera.main() == 1
    assert "galera: the data is of another cluster - Remove the volume." in capsys.readouterr().err
