"""`provision cloud up` on a fake host: what is started in which order, and that a second call changes nothing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from provision.base import paths
from provision.base.errors import ProvisionError, UsageError
from provision.model.localcloud.replicas import SCALABLE_SERVICES
from provision.model.localcloud.settings import EARLY, MIGRATED, GivenTls, Settings
from provision.operations.localcloud.shared import installation
from provision.operations.localcloud.shared.hypervisors import AGENTS
from provision.operations.localcloud.single import rolling, up
from provision.operations.localcloud.single.rolling import ReplicaSet

from ..fake_clock import use_clock
from .replicas_world import FakeCompose, Machine

HYPERVISOR = "provision-compute-1"
SERVICES = {each.service: each.least for each in SCALABLE_SERVICES}


class FakeAdmin:
    """OpenStack as its administrator sees it."""

    connection = None

    def __init__(self, machine):
        self.machine = machine
        self.silent = set()

    def api_problem(self, url):
        return "no connection" if any(f":{port}/" in url for port in self.silent) else ""

    def missing_services(self, hypervisors, replicas):
        return {}

    def forget_services(self, replicas):
        self.machine.log.append("forget services")

    def renew(self):
        self.machine.log.append("renew login")


@pytest.fixture
def machine(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    machine = Machine()
    machine.ensure_bridge = lambda bridge: None
    machine.admin = FakeAdmin(machine)
    machine.settled = False
    machine.installation = SimpleNamespace(
        settings=Settings(),
        passwords={"admin": "a", "provision": "p"},
        inputs=dict.fromkeys(MIGRATED, "new"),
        control=FakeCompose(machine),
        hypervisors=(FakeCompose(machine, project=HYPERVISOR),),
        has_new_passwords=False,
        replicas=SERVICES,
        configurations=frozenset(),
    )
    use_clock(monkeypatch, machine)
    monkeypatch.setattr(rolling, "time", machine)
    for name, value in {
        "Engine": lambda: machine,
        "Admin": lambda login: machine.admin,
        "ensure_images": lambda *_: {},
        "ensure_files": lambda tags: machine.installation,
        "is_settled": lambda progress, ha: machine.settled,
        "record": lambda installation, tags: machine.log.append("record"),
        "replica_set": lambda control, *_: ReplicaSet(control, machine, machine, machine, machine),
    }.items():
        monkeypatch.setattr(up, name, value)
    monkeypatch.setattr(up.preflight, "require", lambda progress: None)
    monkeypatch.setattr(up.compose, "require", lambda: None)
    monkeypatch.setattr(up.tls, "hand_over", lambda engine, settings: None)
    monkeypatch.setattr(up.members, "start_infrastructure", lambda *_: machine.log.append("infrastructure"))

    def make(what):
        def made(connection, settings, *rest):
            machine.log.append(what)
            if not machine.migrated.get("known") and what == "accounts":
                rest[-1]("user nova")

        return made

    monkeypatch.setattr(up, "ensure_accounts", make("accounts"))
    monkeypatch.setattr(up, "ensure_resources", make("resources"))
    monkeypatch.setattr(up, "reset_passwords", make("passwords"))
    return machine


def steps(machine, *words):
    """Return the effects that begin with one of these words."""
    return [line for line in machine.log if line.split()[0] in words]


def everything(machine, tag):
    for service, least in SERVICES.items():
        for number in range(1, least + 1):
            machine.put(service, number, tag)


def test_an_empty_machine_gets_all_in_its_order(machine):
    up.up(machine, checked=lambda: machine.log.append("checked"))
    log = machine.log
    assert log[0] == "checked"
    assert sorted(steps(machine, "run")) == sorted(f"run {family}-migrate migrate" for family in MIGRATED)
    assert {line.split()[1] for line in steps(machine, "start")} == {name for name, least in SERVICES.items() if least}
    place = log.index
    assert place("infrastructure") < place("run keystone-migrate migrate") < place("start keystone 1 new")
    # Keystone's data may be older than the passwords. What logs in waits for its account (compose/nova/entrypoint).
    assert place("start keystone 1 new") < place("passwords") < place("accounts")
    # Agents come when the APIs answer.
    assert place("accounts") < place(f"up {HYPERVISOR} {' '.join(AGENTS)}") < place("resources")
    assert place(f"up {HYPERVISOR} {' '.join(EARLY)}") < place(f"up {HYPERVISOR} {' '.join(AGENTS)}")
    assert "renew login" in log
    assert "local" in paths.clouds_yaml().read_text()


def test_a_second_call_changes_nothing(machine):
    everything(machine, "new")
    machine.migrated = dict.fromkeys(MIGRATED, "new") | {"known": "1"}
    up.up(machine)
    assert steps(machine, "run", "start", "end", "leave", "passwords", "renew") == []
    before = list(machine.lines)
    up.up(machine)
    assert not [line for line in machine.lines[len(before) :] if "wrote the entry" in line]


def test_nothing_is_worked_out_where_one_look_tells_that_all_is_as_it_was_left(machine):
    machine.settled = True
    up.up(machine, checked=lambda: machine.log.append("checked"))
    assert machine.log == ["checked"]


def test_what_is_left_is_noted_at_the_end_alone(machine):
    up.up(machine)
    assert machine.log[-1] == "record"
    machine.admin.silent = {Settings().ports.keystone}
    machine.log.clear()
    with pytest.raises(ProvisionError):
        up.up(machine)
    assert "record" not in machine.log


def test_what_runs_and_is_out_of_date_is_replaced_while_it_serves(machine):
    everything(machine, "old")
    machine.migrated = dict.fromkeys(MIGRATED, "old") | {"known": "1"}
    serving = []
    machine.watch.append(lambda: serving.append(machine.serving("nova-api")))
    up.up(machine)
    assert {line.rpartition(" ")[2] for line in steps(machine, "run")} == {"expand", "contract"}
    assert [line for line in steps(machine, "start", "leave") if "nova-api" in line] == [
        "start nova-api 1 new", "leave nova-api 1 old",
    ]  # fmt: skip
    # The old images were in use until now.
    assert machine.superseded == [{}]
    assert min(serving) == 1


def test_what_has_lost_its_passwords_is_removed_first(machine):
    everything(machine, "new")
    machine.installation.has_new_passwords = True
    up.up(machine)
    first = machine.log.index("infrastructure")
    assert {line.split()[1] for line in machine.log[:first] if line.startswith("end ")} >= {"keystone", "nova-api"}


def test_the_choice_of_three_members_is_kept(machine):
    up.up(machine, ha=True)
    assert installation.load_settings().ha


@pytest.mark.parametrize("on", [False, True])
def test_monitoring_is_started_last_where_it_is_on(machine, monkeypatch, on):
    monkeypatch.setattr(up.monitoring, "start", lambda *_: machine.log.append("monitoring works"))
    machine.installation.settings = Settings(monitoring=on)
    up.up(machine)
    assert ("monitoring works" in machine.log) == on
    assert not on or machine.log[-2:] == ["monitoring works", "record"]


def test_an_api_that_never_answers_is_named(machine):
    machine.admin.silent = {Settings().ports.keystone}
    with pytest.raises(ProvisionError, match="still lacks: keystone"):
        up.up(machine)
    assert "accounts" not in machine.log
    assert not paths.clouds_yaml().exists()


def test_a_certificate_that_cannot_be_used_is_refused_before_members_go_and_images_are_baked(machine, tmp_path):
    given = GivenTls("cloud.example.org", tmp_path / "moved.pem", tmp_path / "key.pem")
    installation.save_settings(Settings(ha=True, tls=given))
    with pytest.raises(UsageError, match=r"moved\.pem cannot be read"):
        up.up(machine, ha=False, checked=lambda: machine.log.append("checked"))
    assert machine.log == []
    assert installation.load_settings().ha
