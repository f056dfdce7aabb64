"""When Neutron's workers write OVN anew from Neutron's database: while others change networks, it would undo that."""

from __future__ import annotations

import pytest

EMPTY, KNOWS = '[{"rows":[]}]', '[{"rows":[{"name":"neutron-1"}]}]'


@pytest.fixture(name="workers")
def _workers(run_entrypoint):
    """Start the workers, with an OVN that gives an answer and what tells how many networks Neutron's database has."""

    def run(ovn, networks):
        asks = f'[ "$DATABASE_URL" = "a URL" ] && {networks}'
        return run_entrypoint(
            "neutron",
            "workers",
            functions="await_api() { echo waits for $1; }\nbecome() { echo $*; }\n"
            'connection() { echo "a URL"; }\n',
            programs={"ovsdb-client": f"echo '{ovn}'", "python3": asks, "sed": "echo ssl:ovn:6641"},
            environment={"MARIADB": "db", "KEYSTONE_INTERNAL_URL": "keystone"},
        )

    return run


def test_ovn_that_has_lost_its_data_is_written_anew_at_once(workers, tmp_path):
    done = workers(EMPTY, "echo 2")
    assert done.returncode == 0, done.stderr
    assert "waits" not in done.stdout
    assert done.stdout.rstrip().endswith(f"--config-file {tmp_path}/repair.conf")
    assert "neutron_sync_mode = repair" in (tmp_path / "repair.conf").read_text()


@pytest.mark.parametrize(
    ("ovn", "networks"),
    [
        pytest.param(EMPTY, "echo 0", id="a new cloud"),
        pytest.param(KNOWS, "echo 2", id="one that was stopped"),
        # Whatever the database says.
        pytest.param(KNOWS, "exit 1", id="OVN knows"),
    ],
)
def test_else_the_apis_start_first_and_nothing_is_undone(workers, tmp_path, ovn, networks):
    done = workers(ovn, networks)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "waits for keystone"
    assert "repair" not in done.stdout
    assert not (tmp_path / "repair.conf").exists()


def test_a_database_that_cannot_be_read_ends_it(workers):
    done = workers(EMPTY, "exit 1")
    assert done.returncode == 1
    assert "cannot read Neutron's database" in done.stderr
    assert "workers.py" not in done.stdout
