"""Monitoring on and off: what is started and removed, what is remembered, and who is told when it fails."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace

import pytest

from provision.base.errors import ProvisionError, UsageError
from provision.base.poll import Pending
from provision.base.progress import Silent
from provision.model.localcloud.monitoring.dashboards import DASHBOARDS
from provision.model.localcloud.settings import MONITORING, Settings
from provision.model.monitoring.grafana import SECRETS, MetricsSource, documents
from provision.operations.localcloud.shared import installation
from provision.operations.localcloud.shared.installation import load_settings, save_settings
from provision.operations.localcloud.single import monitoring


class Notes(Silent):
    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)


@pytest.fixture
def host(monkeypatch, tmp_path):
    """Have a cloud that runs; `log` holds the effects, `working` the services that work."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    host = SimpleNamespace(log=[], running=True, working=set(MONITORING), old=set(), notes=Notes())
    project = SimpleNamespace(
        project="provision",
        up=lambda services, *, no_deps: host.log.append(("up", services, no_deps)),
        remove=lambda services: host.log.append(("remove", services)),
    )
    engine = SimpleNamespace(
        states=lambda project: ["a container"] if host.running else [],
        remove_volumes=lambda names: host.log.append(("volumes", list(names))),
    )

    def until(ask, every=1):
        answer = ask()
        if isinstance(answer, Pending):
            raise ProvisionError(f"still lacks {answer.reason}")
        return answer

    for name, value in {
        "Engine": lambda: engine,
        "control": lambda: project,
        "is_installed": lambda: host.running,
        "ensure_images": lambda engine, progress, names: host.log.append(("images", names)) or {},
        "ensure_files": lambda tags: SimpleNamespace(control=project, passwords={"consul_monitoring": "t"}),
        "ensure_access": lambda url, passwords: host.log.append(("rights", sorted(passwords))),
        "Watch": lambda engine, progress: SimpleNamespace(until=until),
        "replica_set": lambda *_: None,
        "is_working": lambda engine, here, replicas, name: name in host.working,
        "is_outdated": lambda engine, here, name: name in host.old,
    }.items():
        monkeypatch.setattr(monitoring, name, value)
    monkeypatch.setattr(monitoring.compose, "require", lambda: None)
    return host


def test_it_is_built_gets_its_rights_and_is_started_beside_what_runs(host):
    monitoring.enable(host.notes)
    assert host.log == [
        ("images", {"monitoring"}),
        ("rights", ["consul_monitoring"]),
        ("up", MONITORING, True),
    ]
    assert load_settings().monitoring
    assert host.notes.said == []


def test_services_that_give_no_metrics_yet_are_named(host):
    host.old = {"rabbitmq", "consul", "glance"}
    monitoring.enable(host.notes)
    (said,) = host.notes.said
    assert said.startswith("Out of date: consul, rabbitmq. Until `provision cloud up`")


def test_one_that_does_not_work_is_removed_and_the_choice_is_what_it_was(host):
    host.working.remove("monitoring-alerts")
    with pytest.raises(ProvisionError, match="lacks monitoring-alerts"):
        monitoring.enable(host.notes)
    assert host.log[-1] == ("remove", MONITORING)
    assert not load_settings().monitoring


def test_a_cloud_that_does_not_run_keeps_the_choice_for_its_start(host):
    host.running = False
    monitoring.enable(host.notes)
    assert host.log == []
    assert load_settings().monitoring
    assert "`provision cloud up` will start it" in host.notes.said[-1]


@pytest.mark.parametrize("change", [monitoring.enable, partial(monitoring.disable, purge=False)])
def test_what_another_command_has_chosen_meanwhile_stays(host, monkeypatch, change):
    def lock(progress):
        save_settings(Settings(ha=True, replicas={"keystone": 2}))
        return nullcontext()

    monkeypatch.setattr(monitoring, "single_host_lock", lock)
    change(host.notes)
    assert (load_settings().ha, load_settings().replicas) == (True, {"keystone": 2})


@pytest.mark.parametrize("purge", [False, True])
def test_off_removes_the_services_and_on_wish_what_they_have_gathered(host, purge):
    save_settings(Settings(ha=True, monitoring=True))
    monitoring.disable(host.notes, purge=purge)
    assert host.log == [("remove", MONITORING), *([("volumes", ["provision_monitoring"])] if purge else [])]
    assert load_settings() == Settings(ha=True)
    host.log.clear()
    monitoring.disable(host.notes, purge=False)
    assert host.log == []


def test_compose_reads_its_file_where_it_is_on(host, monkeypatch):
    monkeypatch.setattr(installation, "_unwritten", dict)
    for settings, names in (
        (Settings(), ["stack.yaml"]),
        (Settings(monitoring=True), ["stack.yaml", "monitoring.yaml"]),
        (Settings(ha=True, monitoring=True), ["stack.yaml", "ha.yaml", "monitoring.yaml"]),
    ):
        save_settings(settings)
        assert [path.name for path in installation.control().files] == names


def test_it_can_be_asked_where_it_is_on(host, monkeypatch):
    with pytest.raises(UsageError, match="monitoring is off"):
        monitoring.metrics()
    save_settings(Settings(monitoring=True))
    monkeypatch.setattr(monitoring, "Metrics", SimpleNamespace(at=lambda *words: words))
    monkeypatch.setattr(monitoring, "read_passwords", lambda: {"monitoring": "secret"})
    assert monitoring.metrics() == ("http://127.0.0.1:8428", "provision", "secret")


@pytest.fixture
def grafana(monkeypatch, tmp_path):
    """Name a folder for Grafana, beside a cloud with monitoring."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(monitoring, "read_passwords", lambda: {"monitoring": "the-SECRET"})
    save_settings(Settings(monitoring=True))
    return tmp_path / "grafana"


def test_grafana_reads_its_files_and_nobody_else_the_password(grafana):
    monitoring.write_grafana(grafana)
    written = {path.relative_to(grafana).as_posix(): path for path in grafana.rglob("*") if path.is_file()}
    assert set(written) == set(documents(DASHBOARDS, MetricsSource("http://x"), "x"))
    for name, path in written.items():
        assert path.stat().st_mode & 0o777 == (0o600 if name == SECRETS else 0o644)
    (grafana / "own").write_text("kept")
    monitoring.write_grafana(grafana)
    assert (grafana / "own").read_text() == "kept"


def test_without_monitoring_there_is_nothing_to_show(grafana):
    save_settings(Settings())
    with pytest.raises(UsageError, match="monitoring is off"):
        monitoring.write_grafana(grafana)
    assert not grafana.exists()


def test_a_folder_that_cannot_be_written_is_named(grafana):
    grafana.write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        monitoring.write_grafana(grafana)
