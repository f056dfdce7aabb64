"""A stack file on its way to the hosts: in which order, and what happens when a copy does not work."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from provision.adapters.consul.http import ConsulUnavailableError
from provision.base.errors import ProvisionError, UsageError
from provision.base.poll import Pending
from provision.base.progress import Silent
from provision.model.localcloud.settings import CLUSTERED, MEMBERS, Settings
from provision.model.localcloud.swarm import TUNNEL, Host, Task
from provision.operations.localcloud.shared.installation import begin_restoring, load_settings, save_settings
from provision.operations.localcloud.swarm import up

from ..fake_clock import use_clock

SETTINGS = Settings(ha=True, swarm=True)
NAMES = ["mariadb", "mariadb-2", "mariadb-3", "rabbitmq", "rabbitmq-2", "rabbitmq-3"]
NAMES += ["memcached", "memcached-2", "memcached-3"]
OVN = ["ovn", "ovn-2", "ovn-3"]


class FakeSwarm:
    """Deploys at once, or as `outcome` says."""

    def __init__(self):
        self.deployed, self.removed, self.running, self.steps = [], [], {}, []
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
        return [
            Task(name, "host-1", state, True, f"{name:12} and more", problem="oom")
            for name, state in self.running.items()
        ]

    def desired_replicas(self):
        return dict.fromkeys(self.running, 1)

    def updates(self):
        return self.states

    def images(self):
        return self.fetched

    def jobs(self):
        return {name for name, state in self.running.items() if state != "running"}

    def address(self, service):
        return "192.0.2.1"

    def host_id(self):
        return "id1"

    def hosts(self):
        return [Host("id1", "host-1", "192.0.2.1", True, 1)]

    def state(self):
        return "active", True

    def take_lock(self):
        self.steps.append("lock")
        return self.host_id()

    def drop_lock(self, host):
        self.steps.append(f"unlock {host}")

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
    # One that is away comes first: those that run must not stop with it.
    del swarm.running["ovn-2"]
    deployment._deploy_ovn()
    assert swarm.deployed[4:] == [("ovn-2",), ("ovn",), ("ovn-3",)]


def test_members_that_serve_are_not_replaced_before_one_that_is_away(swarm, deployment, monkeypatch):
    swarm.running = dict.fromkeys([name for name in NAMES if not name.endswith("-2")], "running")
    monkeypatch.setattr(
        up, "missing_members", lambda *_: None if "rabbitmq-2" in swarm.running else Pending("rabbitmq")
    )
    monkeypatch.setattr(up.time, "sleep", lambda _: None)
    deployment._deploy_members()
    away = ("mariadb-2", "rabbitmq-2", "memcached-2")
    assert swarm.deployed == [away, *((name,) for name in NAMES if name not in away)]


def test_members_that_run_and_do_not_serve_are_replaced_and_no_others(swarm, deployment, monkeypatch):
    swarm.running = dict.fromkeys(NAMES, "running")
    monkeypatch.setattr(up, "missing_members", lambda *_: None if swarm.deployed else Pending("mariadb (1 of 3 serve)"))
    idle = ("mariadb-2", "mariadb-3")
    monkeypatch.setattr(up, "serving_containers", lambda _: {f"{name:12}" for name in set(NAMES) - set(idle)})
    deployment._deploy_members()
    assert swarm.deployed == [idle, *((name,) for name in NAMES if name not in idle)]


def test_members_of_which_nobody_knows_whether_they_serve_are_replaced_singly(swarm, deployment, monkeypatch):
    swarm.running = dict.fromkeys(NAMES, "running")
    answers = [Pending("Consul")] * 70
    monkeypatch.setattr(up, "missing_members", lambda *_: answers.pop() if answers else None)

    def away(_):
        raise ConsulUnavailableError("Consul does not answer")

    monkeypatch.setattr(up, "serving_containers", away)
    deployment._deploy_members()
    assert swarm.deployed == [(name,) for name in NAMES]


@pytest.mark.parametrize(
    ("image", "only", "families"),
    [(NOVA, (), []), ("old", (), None), ("old", ("mariadb",), []), ("old", ("keystone",), None)],
)
def test_a_host_without_members_brings_up_what_needs_no_database(swarm, monkeypatch, image, only, families):
    known = [Host(f"id{n}", f"host-{n}", f"192.0.2.{n}", True, n % 4) for n in (4, 2, 1, 3)]
    monkeypatch.setattr(swarm, "hosts", lambda: known)
    monkeypatch.setattr(swarm, "host_id", lambda: "id4")
    monkeypatch.setattr(
        swarm,
        "tasks",
        lambda: [Task("keystone", "host-1", "running", True, image=image), Task("horizon", "", "", True)],
    )
    made = up.Deployment(None, swarm, STACK, Silent(), only)
    if families is None:
        with pytest.raises(UsageError, match="no member of MariaDB") as caught:
            made.run()
        assert caught.value.hint == "Run the same command on host-1 or host-2 or host-3 first."
        assert swarm.deployed == []
    else:
        made._require_database()
        assert made._not_migrated() == families


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


def complete(monkeypatch, deployment):
    """Leave out all of a deployment but what it ends with."""
    for name in ("_require_database", "_deploy_everywhere", "_deploy_members", "_deploy_ovn", "_contract"):
        monkeypatch.setattr(deployment, name, lambda *_: None)
    for name in ("_not_migrated", "_deploy", "_await_apis"):
        monkeypatch.setattr(deployment, name, lambda *_: [])
    monkeypatch.setattr(up, "ensure_accounts", lambda *_: None)
    monkeypatch.setattr(up, "ensure_resources", lambda *_: None)
    nobody = SimpleNamespace(renew=lambda: None, forget_services=lambda replicas: None)
    monkeypatch.setattr(deployment, "_admin", nobody)
    monkeypatch.setattr(deployment._stack.installation, "replicas", {}, raising=False)


def test_one_shot_services_that_an_interruption_has_left_are_removed(swarm, deployment, monkeypatch):
    swarm.running = {"keystone": "running", "fetch-nova": "pending", "clear-mariadb": "complete"}
    monkeypatch.setattr(swarm, "drop_secrets", lambda kept: None, raising=False)
    complete(monkeypatch, deployment)
    deployment.run()
    assert swarm.running == {"keystone": "running"}


class FakeRegistry:
    def __init__(self, *old):
        self.old, self.kept = list(old), set()

    def drop_others(self, kept):
        self.kept = set(kept)
        return self.old


@pytest.mark.parametrize("old", [(), ("provision/nova:0",)])
def test_images_of_earlier_versions_leave_the_registry_where_it_runs(swarm, deployment, monkeypatch, old):
    registry = FakeRegistry(*old)
    monkeypatch.setattr(up, "registry_adapter", lambda settings: registry)
    monkeypatch.setitem(deployment._file["services"], "registry", BODY)
    swarm.running, swarm.fetched = {"registry": "running"}, {"127.0.0.1:5001/provision/ovn:0@sha256:ef"}
    documents = []
    monkeypatch.setattr(
        swarm, "deploy", lambda document: documents.append(document) or FakeSwarm.deploy(swarm, document)
    )
    deployment.drop_old_images()
    # A service of which no newer version was deployed keeps its image.
    assert registry.kept == {*IMAGES.values(), *swarm.fetched}
    assert [list(document["services"]) for document in documents] == [["registry-collect"]] * len(old)
    for document in documents:
        job = document["services"]["registry-collect"]
        assert job["deploy"]["placement"] == {"constraints": ["node.id == id1"]}
    assert swarm.running == {"registry": "running"}


@pytest.mark.parametrize("names", [("host-1", "host-1"), ("elsewhere",)])
def test_no_job_is_for_a_host_that_has_left_and_joined_again(swarm, deployment, monkeypatch, names):
    """Docker lists it under its old id too: a job for that one would be waited for in vain."""
    hosts = [Host(f"id{n}", name, f"192.0.2.{n}", n == 1) for n, name in enumerate(names, 1)]
    monkeypatch.setattr(swarm, "hosts", lambda: hosts)
    monkeypatch.setattr(up, "registry_adapter", lambda settings: FakeRegistry("provision/nova:0"))
    monkeypatch.setitem(deployment._file["services"], "registry", BODY)
    swarm.running, places = {"registry": "running"}, []
    monkeypatch.setattr(up, "collect_job", lambda document, host: places.append(host) or {})
    deployment.drop_old_images()
    assert places == (["id1"] if "host-1" in names else [])


def test_a_registry_that_cannot_be_tidied_fails_nothing(swarm, deployment, monkeypatch):
    class Broken:
        def drop_others(self, kept):
            raise ProvisionError("the registry does not answer as it should")

    class Notes(Silent):
        def note(self, text):
            said.append(text)

    said = []
    monkeypatch.setattr(deployment, "_progress", Notes())
    monkeypatch.setattr(up, "registry_adapter", lambda settings: Broken())
    deployment.drop_old_images()
    assert said == ["Old images stay in the registry: the registry does not answer as it should."]


@pytest.mark.parametrize("only", [(), ("keystone",)])
def test_only_what_all_services_have_left_behind_is_removed_from_the_registry(swarm, monkeypatch, only):
    steps = []
    made = SimpleNamespace(run=lambda: steps.append("run"), drop_old_images=lambda: steps.append("drop"))
    monkeypatch.setattr(swarm, "registry_answers", lambda: True, raising=False)
    monkeypatch.setattr(up, "ensure_built", lambda *_: ({}, {}))
    monkeypatch.setattr(up, "ensure_stack_files", lambda *_: STACK)
    monkeypatch.setattr(up, "Deployment", lambda *_: made)
    assert up.bring_up(None, swarm, Silent(), {"keystone"}, only) is STACK
    assert steps == (["run"] if only else ["run", "drop"])


@pytest.mark.parametrize("deployed", [True, False])
def test_what_others_have_changed_is_waited_for_right_after_this_host_s_start(swarm, monkeypatch, deployed):
    answers = [False, False, True]
    swarm.running = {"mirror": "running"} if deployed else {}
    monkeypatch.setattr(up, "swarm_adapter", lambda settings: swarm)
    monkeypatch.setattr(up, "read_shared", lambda engine, swarm: answers.pop(0))
    save_settings(SETTINGS)
    assert up.newest_settings(None) == SETTINGS
    assert len(answers) == (0 if deployed else 3)


def test_settings_that_this_host_cannot_read_are_not_replaced_by_its_own(swarm, monkeypatch):
    swarm.running = {"mirror": "running"}
    monkeypatch.setattr(up, "swarm_adapter", lambda settings: swarm)
    monkeypatch.setattr(up, "read_shared", lambda engine, swarm: False)
    with pytest.raises(ProvisionError, match="lacks: the local cloud's files, from the Swarm"):
        up.newest_settings(None)


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
    swarm.known = [Host(f"id{n}", f"host-{n}", f"192.0.2.{n}", True, n) for n in (1, 2, 3)]
    monkeypatch.setattr(swarm, "hosts", lambda: swarm.known, raising=False)
    monkeypatch.setattr(swarm, "network_mtu", lambda name: 1400 if name == TUNNEL else 0, raising=False)
    monkeypatch.setattr(up, "Engine", lambda: None)
    monkeypatch.setattr(up.compose, "require", lambda: None)
    monkeypatch.setattr(up, "swarm_adapter", lambda settings: swarm)
    monkeypatch.setattr(up, "newest_settings", lambda engine: SETTINGS)
    for name in ("ensure_networks", "bring_up", "drop_leftovers", "ensure_clouds_yaml"):
        monkeypatch.setattr(up, name, lambda *_, _name=name: swarm.steps.append(_name) or STACK)
    monkeypatch.setattr(up.hypervisor, "ensure", lambda *_: swarm.steps.append("hypervisor"))
    return swarm


@pytest.mark.parametrize("vms", [True, False])
def test_a_host_becomes_a_hypervisor_after_the_control_plane_unless_it_shall_not(hosts, vms):
    up.hypervisor.choose(vms=vms)
    up.up(Silent(), {"nova-api": 3})
    middle = ["hypervisor"] if vms else []
    middle += ["drop_leftovers", "unlock id1"]
    assert hosts.steps == ["lock", "ensure_networks", "bring_up", *middle, "ensure_clouds_yaml"]
    settings = load_settings()
    assert settings.replicas == {"nova-api": 3}
    assert settings.members == ("192.0.2.1", "192.0.2.2", "192.0.2.3")
    assert settings.overlay_mtu == 1400


def test_a_host_without_a_member_takes_that_of_one_that_is_gone(hosts, monkeypatch):
    hosts.known[2:] = [Host("id4", "host-4", "192.0.2.4", True)]
    monkeypatch.setattr(hosts, "host_id", lambda: "id4")

    def set_member(host, member):
        hosts.known[2] = Host(host, "host-4", "192.0.2.4", True, member)

    monkeypatch.setattr(hosts, "set_member", set_member, raising=False)
    up.up(Silent())
    assert load_settings().members == ("192.0.2.1", "192.0.2.2", "192.0.2.4")


def test_hosts_with_members_come_first_and_no_image_is_built_before(hosts, monkeypatch):
    hosts.known.append(Host("id4", "host-4", "192.0.2.4", True))
    monkeypatch.setattr(hosts, "host_id", lambda: "id4")
    with pytest.raises(UsageError, match="hosts with a member of MariaDB come first") as caught:
        up.up(Silent())
    assert caught.value.hint == "Run the same command on host-1 or host-2 or host-3 first."
    assert "bring_up" not in hosts.steps
    hosts.running["keystone"] = "running"
    up.up(Silent())
    assert "bring_up" in hosts.steps


def test_two_hosts_are_too_few(hosts):
    hosts.known.pop()
    with pytest.raises(UsageError, match="needs three: 1 more hosts have to join"):
        up.up(Silent())
    assert hosts.steps == ["lock", "unlock id1"]


def test_data_that_a_restore_has_left_incomplete_while_this_waited_is_not_gone_on_with(hosts, monkeypatch, tmp_path):
    def lock(swarm, progress):
        begin_restoring(tmp_path / "cloud.tar.gz")
        return nullcontext()

    monkeypatch.setattr(up, "swarm_lock", lock)
    with pytest.raises(UsageError, match="was interrupted"):
        up.up(Silent())
    assert hosts.steps == []
