"""Users are brought to a live cluster on a fake cloud, and `up` has nothing left to do afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provision.base.errors import ProvisionError
from provision.base.model import HubSpec, User
from provision.base.progress import Silent
from provision.model.cluster import resources
from provision.operations.cluster.ansible import PlaybookError
from provision.operations.users import change as module
from provision.operations.users.change import UserChange

PEOPLE = (User("alice"), User("bob"))


@pytest.fixture
def site(make_site):
    site = make_site()
    site.spec = replace(site.spec, hub=HubSpec(users=PEOPLE))
    site.up()
    return site


@pytest.fixture
def played(monkeypatch):
    """Stands for Ansible; returns the playbooks and options of each run."""
    runs = []
    monkeypatch.setattr(
        module, "run_playbooks", lambda _inventory, _progress, books, options: runs.append((books, options)) or 0
    )
    return runs


def with_users(spec, *users):
    return replace(spec, hub=replace(spec.hub, users=users))


def bring(site, spec, before=None, **options):
    seen = []
    operation = UserChange(site.cloud, spec, "cluster.yaml", Silent(), before or site.spec)
    return operation.run(seen.append, **options), seen


def master(site):
    return next(server for server in site.cloud.observe("analytics").nodes if server.role == "master")


def test_a_user_comes_and_up_has_nothing_to_do(site, played):
    spec = with_users(site.spec, *PEOPLE, User("carol", groups=("team",)))
    change, seen = bring(site, spec)
    assert seen == [change]
    assert (change.come, change.go, change.whole, change.pending) == (("carol",), (), False, False)
    assert played == [(("users.yml",), ())]
    assert master(site).users == ("alice", "bob", "carol")
    assert not site.up(spec=spec).changed


def test_a_user_goes_and_up_has_nothing_to_do(site, played):
    site.cluster_dir.ensure_secrets(site.spec, module.find_live_cluster(site.spec, "c", site.cloud).addresses)
    spec = with_users(site.spec, *PEOPLE[1:], User("carol"))
    change, _ = bring(site, spec, forgotten=("alice",))
    assert change.go == ("alice",)
    # Settings do not follow from who they are.
    assert played == [(("users.yml",), ("--extra-vars", "users_forgotten=alice"))]
    assert "alice" not in site.cluster_dir.passwords.read_text()
    assert not site.up(spec=spec).changed


def test_what_follows_from_the_number_of_users_is_configured_too(site, played):
    spec = with_users(site.spec, User("bob"))
    change, _ = bring(site, spec)
    assert change.whole
    assert played == [(("site.yml", "users.yml"), ())]
    assert not site.up(spec=spec).changed


def test_users_are_changed_on_nodes_of_a_retired_flavor(site, played):
    site.cloud.gone.add("m1.small")
    spec = with_users(site.spec, *PEOPLE, User("carol"))
    change, _ = bring(site, spec)
    assert (change.come, change.pending) == (("carol",), False)
    assert played == [(("users.yml",), ())]


def test_users_are_changed_when_the_key_pair_is_gone(make_site, played):
    site = make_site()
    site.cloud.keys["laptop"] = "ssh-ed25519 AAAAlaptop"
    site.spec = replace(site.spec, hub=HubSpec(users=PEOPLE), key_pair="laptop")
    site.up()
    del site.cloud.keys["laptop"]
    change, _ = bring(site, with_users(site.spec, User("bob")))
    assert (change.go, change.whole, change.pending) == (("alice",), False, True)
    assert played == [(("users.yml",), ())]


def test_other_changes_are_left_to_up(site, played):
    spec = replace(site.spec, hub=HubSpec(port=8443, users=(*PEOPLE, User("carol"))))
    change, _ = bring(site, spec, before=spec)
    assert (change.whole, change.pending) == (False, True)
    assert played == [(("users.yml",), ())]
    assert master(site).accounts == resources.users_hash(spec.hub.users)
    assert site.up(spec=spec).changed


def test_a_changed_right_alone(site, played):
    spec = with_users(site.spec, User("alice", admin=True), User("bob"))
    change, _ = bring(site, spec)
    assert (change.come, change.go, change.differ) == ((), (), True)
    assert not site.up(spec=spec).changed


def test_nothing_is_written_before_consent(site, played):
    written = []

    def refuse(_):
        raise ProvisionError("no")

    operation = UserChange(site.cloud, with_users(site.spec, User("bob")), "cluster.yaml", Silent(), site.spec)
    with pytest.raises(ProvisionError, match=r"^no$"):
        operation.run(refuse, lambda: written.append(1))
    assert written == played == []


def test_without_a_cluster_nothing_is_written(make_site, played):
    site = make_site()
    written = []
    with pytest.raises(ProvisionError, match="there is no cluster"):
        UserChange(site.cloud, site.spec, "cluster.yaml", Silent(), site.spec).run(
            written.append, lambda: written.append(1)
        )
    assert written == []


def test_what_breaks_off_is_noted_nowhere(site, monkeypatch):
    def fail(*_):
        raise ProvisionError("playbooks/users.yml failed")

    monkeypatch.setattr(module, "run_playbooks", fail)
    spec, written = with_users(site.spec, *PEOPLE, User("carol")), []
    with pytest.raises(ProvisionError, match="failed"):
        bring(site, spec, write=lambda: written.append(1))
    assert written == [1]
    assert master(site).users == ("alice", "bob")
    monkeypatch.setattr(module, "run_playbooks", lambda *_: 0)
    bring(site, spec, before=spec)
    assert not site.up(spec=spec).changed


def test_what_fails_on_one_worker_is_noted_of_the_other_nodes(site, monkeypatch):
    lost = PlaybookError("playbooks/site.yml failed on analytics-worker-2")
    lost.clean = frozenset({"analytics-master", "analytics-worker-1"})

    def fail(*_):
        raise lost

    monkeypatch.setattr(module, "run_playbooks", fail)
    # One who is alone has the memory of all: the nodes' settings change too.
    spec = with_users(site.spec, User("bob"))
    with pytest.raises(PlaybookError):
        bring(site, spec)
    assert master(site).users == ("bob",)
    site.up(spec=spec)
    assert [step.name for step in site.plans[-1].steps] == ["analytics-worker-2"]
