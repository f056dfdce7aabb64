"""A stack file on its way to the hosts: in which order, and what happens when a copy does not work."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from provision.base.errors import ProvisionError, UsageError
from provision.base.poll import Pending
from provision.base.progress import Silent
from provision.model.localcloud.settings import CLUSTERED, MEMBERS, Settings
from provision.model.localcloud.swarm import Host, Task
from provision.operations.localcloud.shared.installation import load_settings
from provision.operations.localcloud.swarm import up

from ..fake_clock import use_clock

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

    def desired_replicas(self):
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
    use_clock(monkeypatch)
    monkeypatch.setattr(up.time, "sleep", lambda _: None)
    return FakeSwarm()


@pytest.fixture(name="deployment")
def _deployment(swarm):
    return up.Deployment(None, swarm, STACK, Silent())


def test_members_start_together_and_are_renewed_one_at_a_time(swarm, deployment, monkeypatch):
    serving = {}
    monkeypatch.setattr(up, "missing_members", lambda *_: None if serving else Pending("mariadb (0 of 3 serve)"))
    monkeypatch.setattr(
        swarm, "deploy", lambda document: serving.update(document["services"]) or FakeSwarm.deploy(swarm, document)
    )
    deployment._deploy_members()
    assert swarm.deployed == [tuple(NAMES)]
    deployment._deploy_members()
    assert swarm.deployed[1:] == [(name,) for name in NAMES]
    assert len(NAMES) == len(CLUSTERED) * MEMBERS


def test_ovn_s_members_begin_together_and_are_renewed_one_at_a_time(swarm, deployment):
    deployment._deploy_ovn()
    assert swarm.deployed == [tuple(OVN)]
    deployment._deploy_ovn()
    assert swarm.deployed[1:] == [(name,) for name in OVN]
    # One that is away may be the only one to begin with: all are told to start.
    del swarm.running["ovn-2"]
    deployment._deploy_ovn()
    assert swarm.deployed[-1] == tuple(OVN)


def test_members_that_do_not_serve_end_the_wait_in_words(swarm, deployment, monkeypatch):
    monkeypatch.setattr(up, "missing_members", lambda *_: Pending("mariadb (2 of 3 serve)"))
    with pytest.raises(ProvisionError, match=r"mariadb \(2 of 3 serve\)"):
        deployment._deploy_members()


@pytest.mark.parametrize("word", ["rollback_completed", "rollback_started", "paused"])
def test_replicas_that_do_not_work_end_the_deployment_with_their_last_lines(swarm, deployment, word):
    swarm.states = {"keystone": word}
    with pytest.raises(ProvisionError, match="new replicas of keystone do not work") as caught:
        deployment._deploy("keystone")
    assert caught.value.detail == "last lines of keystone"


def test_a_deployment_waits_until_no_old_replica_is_left(swarm, deployment):
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
    deployment._fetch_images()
    assert (swarm.deployed, swarm.running) == ([("fetch-nova",)], {})
    swarm.fetched = {NOVA}
    deployment._fetch_images()
    assert len(swarm.deployed) == 1


def test_a_host_that_cannot_fetch_is_named(swarm, deployment):
    swarm.outcome = "rejected"
    with pytest.raises(ProvisionError, match="host-1 cannot run") as caught:
        deployment._fetch_images()
    assert caught.value.detail == "oom"


def test_starting_empty_removes_data_before_anything_starts(swarm, deployment, monkeypatch):
    monkeypatch.setitem(deployment._stack.images, "provision/registry:1", "127.0.0.1:5001/provision/registry:1")
    monkeypatch.setattr(
        up,
        "clear_jobs",
        lambda document, image, images: {"clear-mariadb": {"deploy": {"mode": "replicated-job"}, "image": image}},
    )
    steps = []
    monkeypatch.setattr(deployment, "_deploy_everywhere", lambda: steps.append(list(swarm.removed)))
    monkeypatch.setattr(deployment, "_deploy_members", lambda: steps.append("members"))
    deployment.start_empty(images=False)
    assert swarm.deployed == [("clear-mariadb",)]
    assert steps == [["clear-mariadb", "clear-mariadb"], "members"]


@pytest.fixture(name="hosts")
def make_hosts(swarm, monkeypatch):
    """Run `up` on the first of three hosts; what deploys is left out."""
    swarm.steps, swarm.known = [], [Host(f"id{n}", f"host-{n}", f"192.0.2.{n}", True, n) for n in (1, 2, 3)]
    monkeypatch.setattr(swarm, "hosts", lambda: swarm.known, raising=False)
    monkeypatch.setattr(up, "Engine", lambda: None)
    monkeypatch.setattr(up.compose, "require", lambda: None)
    monkeypatch.setattr(up, "swarm_adapter", lambda settings: swarm)
    monkeypatch.setattr(up, "current_settings", lambda engine: SETTINGS)
    for name in ("ensure_networks", "bring_up", "ensure_clouds_yaml"):
        monkeypatch.setattr(up, name, lambda *_, _name=name: swarm.steps.append(_name) or STACK)
    monkeypatch.setattr(up.hypervisor, "ensure", lambda *_: swarm.steps.append("hypervisor"))
    return swarm


@pytest.mark.parametrize("vms", [True, False])
def test_a_host_becomes_a_hypervisor_after_the_control_plane_unless_it_shall_not(hosts, vms):
    up.hypervisor.choose(vms=vms)
    up.up(Silent(), {"nova-api": 3})
    middle = ["hypervisor"] if vms else []
    assert hosts.steps == ["ensure_networks", "bring_up", *middle, "ensure_clouds_yaml"]
    settings = load_settings()
    assert settings.replicas == {"nova-api": 3}
    assert settings.members == ("192.0.2.1", "192.0.2.2", "192.0.2.3")


def test_two_hosts_are_too_few(hosts):
    hosts.known.pop()
    with pytest.raises(UsageError, match="needs three: 1 more hosts have to join"):
        up.up(Silent())
    assert hosts.steps == []
