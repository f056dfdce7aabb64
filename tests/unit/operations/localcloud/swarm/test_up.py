"""A stack file on its way to the hosts: in which order, and what happens when a copy does not work."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from provision.base.errors import ProvisionError
from provision.base.progress import Silent
from provision.model.localcloud.settings import CLUSTERED, MEMBERS, Settings
from provision.model.localcloud.swarm import Task
from provision.operations.localcloud.swarm import hosts, up

SETTINGS = Settings(ha=True, swarm=True)
NAMES = ["mariadb", "mariadb-2", "mariadb-3", "rabbitmq", "rabbitmq-2", "rabbitmq-3"]
NAMES += ["memcached", "memcached-2", "memcached-3"]
OVN = ["ovn", "ovn-2", "ovn-3"]


class FakeSwarm:
    """Deploys at once, or as `outcome` says."""

    def __init__(self):
        self.deployed, self.removed, self.running = [], [], {}
        self.states, self.outcome, self.fetched = {}, "complete", set()

    def deploy(self, document):
        self.deployed.append(tuple(document["services"]))
        for name, body in document["services"].items():
            self.running[name] = self.outcome if body.get("deploy", {}).get("mode", "").endswith("-job") else "running"

    def remove(self, services):
        for name in services:
            self.removed.append(name)
            self.running.pop(name, None)

    def tasks(self):
        return [Task(name, "host-1", state, True, problem="oom") for name, state in self.running.items()]

    def wanted(self):
        return dict.fromkeys(self.running, 1)

    def updates(self):
        return self.states

    def images(self):
        return self.fetched

    def address(self, service):
        return "192.0.2.1"

    def host_id(self):
        return "id1"

    def last_lines(self, service):
        return f"last lines of {service}"


NOVA = "127.0.0.1:5001/provision/nova:1@sha256:ab"
BODY = {"image": NOVA, "secrets": [], "volumes": [], "deploy": {}}
MIGRATION = {"image": "provision/nova:1", "profiles": ["migrate"], "volumes": []}
# The second one is for hypervisors, which are Compose's: each fetches it for itself.
IMAGES = {"provision/nova:1": NOVA, "provision/compute:1": "127.0.0.1:5001/provision/compute:1@sha256:cd"}
STACK = SimpleNamespace(
    etc="/etc",
    documents={},
    places={},
    images=IMAGES,
    compose={"services": {"nova-migrate": MIGRATION}, "volumes": {}},
    installation=SimpleNamespace(settings=SETTINGS, passwords={"admin": "x"}),
    file=lambda: {"services": dict.fromkeys([*NAMES, *OVN, "keystone"], BODY), "secrets": {}, "volumes": {}},
)


@pytest.fixture(name="swarm")
def _swarm(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(hosts.time, "sleep", lambda _: None)
    monkeypatch.setattr(up, "_LIMIT", 0.2)
    return FakeSwarm()


@pytest.fixture(name="deployment")
def _deployment(swarm):
    return up.Deployment(None, swarm, STACK, Silent())


def test_members_start_together_and_are_renewed_one_at_a_time(swarm, deployment, monkeypatch):
    serving = {}
    monkeypatch.setattr(hosts, "lacking", lambda *_: "" if serving else "mariadb (0 of 3 serve)")
    monkeypatch.setattr(
        swarm, "deploy", lambda document: serving.update(document["services"]) or FakeSwarm.deploy(swarm, document)
    )
    deployment._members()
    assert swarm.deployed == [tuple(NAMES)]
    deployment._members()
    assert swarm.deployed[1:] == [(name,) for name in NAMES]
    assert len(NAMES) == len(CLUSTERED) * MEMBERS


def test_ovn_s_members_begin_together_and_are_renewed_one_at_a_time(swarm, deployment):
    deployment._ovn()
    assert swarm.deployed == [tuple(OVN)]
    deployment._ovn()
    assert swarm.deployed[1:] == [(name,) for name in OVN]
    # One that is away may be the only one to begin with: all are told to start.
    del swarm.running["ovn-2"]
    deployment._ovn()
    assert swarm.deployed[-1] == tuple(OVN)


def test_members_that_do_not_serve_end_the_wait_in_words(swarm, deployment, monkeypatch):
    monkeypatch.setattr(hosts, "lacking", lambda *_: "mariadb (2 of 3 serve)")
    with pytest.raises(ProvisionError, match=r"mariadb \(2 of 3 serve\)"):
        deployment._members()


@pytest.mark.parametrize("word", ["rollback_completed", "rollback_started", "paused"])
def test_copies_that_do_not_work_end_the_deployment_with_their_last_lines(swarm, deployment, word):
    swarm.states = {"keystone": word}
    with pytest.raises(ProvisionError, match="new copies of keystone do not work") as caught:
        deployment._deploy("keystone")
    assert caught.value.detail == "last lines of keystone"


def test_a_deployment_waits_until_no_old_copy_is_left(swarm, deployment):
    swarm.states = {"keystone": "updating"}
    with pytest.raises(ProvisionError, match=r"keystone \(1 of 1\)"):
        deployment._deploy("keystone")
    swarm.states = {"keystone": "completed"}
    deployment._deploy("keystone")


def test_a_migration_is_a_job_that_leaves_nothing(swarm, deployment):
    deployment._migrate({"nova": "expand"})
    assert swarm.deployed == [("nova-migrate",)]
    assert swarm.running == {}


def test_a_migration_that_fails_shows_its_last_lines(swarm, deployment):
    swarm.outcome = "failed"
    with pytest.raises(ProvisionError, match="nova-migrate failed") as caught:
        deployment._migrate({"nova": "migrate"})
    assert caught.value.detail == "last lines of nova-migrate"


def test_hosts_fetch_every_image_before_it_is_needed_and_only_once(swarm, deployment):
    deployment._fetch()
    assert (swarm.deployed, swarm.running) == ([("fetch-nova",)], {})
    swarm.fetched = {NOVA}
    deployment._fetch()
    assert len(swarm.deployed) == 1


def test_a_host_that_cannot_fetch_is_named(swarm, deployment):
    swarm.outcome = "rejected"
    with pytest.raises(ProvisionError, match="host-1 cannot run") as caught:
        deployment._fetch()
    assert caught.value.detail == "oom"


def test_beginning_anew_removes_data_before_anything_starts(swarm, deployment, monkeypatch):
    monkeypatch.setitem(deployment._stack.images, "provision/registry:1", "127.0.0.1:5001/provision/registry:1")
    monkeypatch.setattr(
        up,
        "clear_jobs",
        lambda document, image, images: {"clear-mariadb": {"deploy": {"mode": "replicated-job"}, "image": image}},
    )
    steps = []
    monkeypatch.setattr(deployment, "_everywhere", lambda: steps.append(list(swarm.removed)))
    monkeypatch.setattr(deployment, "_members", lambda: steps.append("members"))
    deployment.begin_anew(images=False)
    assert swarm.deployed == [("clear-mariadb",)]
    assert steps == [["clear-mariadb", "clear-mariadb"], "members"]
