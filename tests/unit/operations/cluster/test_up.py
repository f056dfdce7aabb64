"""`up` on a fake cloud: from nothing, after changes, refused, and killed at every single request."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from provision.adapters.host.certificates import last_day
from provision.adapters.openstack.cloud import TransientError
from provision.base.errors import ProvisionError, UsageError
from provision.base.model import (
    HubSpec,
    ImageSpec,
    MasterSpec,
    NetworkSpec,
    PackagesSpec,
    SparkSpec,
    Tls,
    User,
    WorkersSpec,
)
from provision.clusterfile.loading import DEFAULT_SOURCE
from provision.model.cluster.render import USER_DATA_LIMIT, fitting_user_data, packed, user_data
from provision.model.cluster.resources import META_ACCOUNTS, META_MONITORED, META_ROLE
from provision.operations.cluster.ansible import PlaybookError
from provision.operations.cluster.apply import ATTEMPTS
from provision.operations.cluster.up import REBUILDS
from provision.operations.cluster.wait import ReadinessWait, UnbuiltError

KILLS = [(number, late) for number in range(1, 60) for late in (False, True)]


def requests_of(make_site, act):
    site = make_site()
    act(site)
    return site.cloud.calls


def images(site):
    return {server.image for server in site.cloud.observe(site.spec.name).servers}


def test_from_nothing(make_site):
    site = make_site()
    summary = site.up()
    site.assert_complete()
    assert summary.changed
    assert summary.hub_url == "https://172.29.0.100"
    assert summary.job == "499500"
    assert summary.passwords.read_text().startswith("alice ")
    assert summary.passwords.stat().st_mode & 0o777 == 0o600
    site.assert_nothing_to_do()


def test_the_job_does_not_wait_for_the_hub(make_site):
    site = make_site()
    site.hub_problem = lambda: "" if site.jobs else "it does not answer"
    assert site.up().job == "499500"
    assert len(site.jobs) == 1


def test_a_job_that_fails_before_the_hub_answers_ends_up(make_site):
    site = make_site()
    site.job_failure = ProvisionError("no part of the PySpark job ran on a-worker-1")
    with pytest.raises(ProvisionError, match="no part"):
        site.up()
    site.job_failure = None
    site.up()
    site.assert_complete()


def test_the_job_waits_for_what_has_to_be_done_on_the_nodes(make_site, with_packages):
    site, done = make_site(), []
    site.spec = replace(site.spec, packages=with_packages)
    site.hub_problem = lambda: done.append(len(site.jobs)) or ""
    site.up()
    assert not any(done)
    assert (len(site.delivered), len(site.jobs)) == (1, 1)


def test_what_needs_no_image_is_made_while_the_image_is(make_site):
    site = make_site()
    site.bakes = True
    site.up()
    site.assert_complete()
    ((*done,),) = site.before_image
    assert {"create_network", "add_interface", "create_port", "create_floating", "create_key"} <= {*done}
    assert "create_servers" not in done
    assert images(site) == {site.cloud.default_image}
    site.assert_nothing_to_do()


@pytest.mark.parametrize(("number", "late"), KILLS)
def test_killed_anywhere_while_the_image_is_made(make_site, number, late):
    site = make_site()
    site.bakes = True
    with site.killed_at(number, late=late):
        site.up()
    site.up()
    site.assert_complete()
    site.assert_nothing_to_do()


def test_what_a_newer_image_changes_is_planned_when_it_is_there(make_site):
    site = make_site()
    site.up()
    site.cloud.default_image, site.bakes = "img-newer", True
    before = site.cloud.writes
    site.up(replace=True)
    assert site.before_image == [before]
    assert images(site) == {"img-newer"}


def test_the_number_of_requests_does_not_grow_with_workers(make_site):
    few, many = make_site(workers=2), make_site(workers=150)
    few.up(), many.up()
    assert len(few.cloud.writes) == len(many.cloud.writes)
    many.assert_complete(150)


def test_one_worker_has_its_number(make_site):
    site = make_site(workers=1)
    site.up()
    site.assert_complete(1)


@pytest.mark.parametrize(("number", "late"), KILLS)
def test_killed_anywhere_then_up_then_down(make_site, number, late):
    site = make_site()
    before = site.cloud.lists()
    with site.killed_at(number, late=late):
        site.up()
    site.up()
    site.assert_complete()
    site.assert_nothing_to_do()
    assert site.down()
    assert site.cloud.lists() == before
    assert not site.cluster_dir.folder.exists()


@pytest.mark.parametrize(("number", "late"), KILLS)
def test_down_killed_anywhere_then_up(make_site, number, late):
    site = make_site()
    site.up()
    with site.killed_at(number, late=late):
        site.down()
    site.up()
    site.assert_complete()
    site.assert_nothing_to_do()


@pytest.mark.parametrize(("number", "late"), KILLS)
def test_replacement_killed_anywhere_then_up(make_site, number, late):
    site = make_site()
    site.up()
    larger = replace(site.spec, workers=WorkersSpec(count=3, flavor="m1.medium"))
    with site.killed_at(number, late=late):
        site.up(spec=larger, replace=True)
    site.spec = larger
    site.up(replace=True)
    seen = site.assert_complete(3)
    assert {server.flavor for server in seen.nodes[1:]} == {"m1.medium"}
    site.assert_nothing_to_do()


@pytest.mark.parametrize("late", [False, True])
def test_a_change_that_the_cloud_failed_to_answer_is_looked_into(make_site, late):
    """One failure (HTTP 500 and above) of any change, done or not: `up` looks again and ends well by itself."""
    usual = make_site()
    usual.up()
    changes = [place for place, call in enumerate(usual.cloud.log, start=1) if call in usual.cloud.writes]
    # The last one only notes that the job has run.
    for number in changes[:-1]:
        site = make_site()
        site.cloud.death = TransientError("the cloud failed")
        site.cloud.die_at, site.cloud.die_late = number, late
        site.up()
        site.assert_complete()
        site.assert_nothing_to_do()


def test_a_build_that_failed_is_done_again_once(make_site):
    site = make_site()
    site.cloud.unbuildable = 1
    site.up()
    site.assert_complete()
    other = make_site()
    other.cloud.unbuildable = 99
    with pytest.raises(ProvisionError, match="No valid host"):
        other.up()
    assert other.cloud.log.count("create_servers") == 4, "all of them once more, and no fewer have failed"


def test_builds_that_fail_are_done_again_while_fewer_fail(make_site, monkeypatch):
    site = make_site(workers=13)
    site.up()
    site.cloud.unbuildable = 6 + 3 + 1
    site.up(spec=replace(site.spec, workers=replace(site.spec.workers, count=19)))
    site.assert_complete(19)
    site.cloud.unbuildable = 99
    with pytest.raises(ProvisionError, match="analytics-worker-23 and 4 more went into ERROR: No valid host"):
        site.up(spec=replace(site.spec, workers=replace(site.spec.workers, count=27)))


def test_builds_are_done_again_some_times(make_site, monkeypatch):
    site, runs = make_site(), []

    def run(_):
        runs.append(1)
        error = UnbuiltError("they went into ERROR")
        error.count = 99 - len(runs)
        raise error

    monkeypatch.setattr(ReadinessWait, "run", run)
    with pytest.raises(UnbuiltError):
        site.up()
    assert len(runs) == 1 + REBUILDS


def test_a_build_that_failed_is_done_again_where_its_console_cannot_be_read(make_site, monkeypatch):
    site = make_site()
    site.cloud.unbuildable = 1
    read = site.cloud.console

    def console(server):
        if site.cloud.vms[server]["status"] == "ERROR":
            raise TransientError("reading a console: the cloud failed")
        return read(server)

    monkeypatch.setattr(site.cloud, "console", console)
    site.up()
    site.assert_complete()
    site.cloud.unbuildable = 99
    with pytest.raises(ProvisionError, match="No valid host"):
        site.up(spec=replace(site.spec, workers=replace(site.spec.workers, count=3)))


def test_a_cloud_that_keeps_failing_is_given_up(make_site, monkeypatch):
    site = make_site()

    def fail(*arguments):
        raise TransientError("the cloud failed")

    monkeypatch.setattr(site.cloud, "create_router", fail)
    with pytest.raises(TransientError):
        site.up()
    assert len(site.plans) == 1
    # The first try has made the network, and does not count.
    assert site.naps == [TransientError.pause] * ATTEMPTS
    assert len(site.cloud.of("router")) == 1, "only the other one's"


def test_a_cloud_that_limits_requests_gets_the_pause_that_it_asks_for_and_each_step_its_tries(make_site, monkeypatch):
    site = make_site()
    limited = TransientError("too many requests")
    limited.pause = 17
    for name in ("create_network", "create_router", "create_group", "create_floating", "create_servers"):
        act, failures = getattr(site.cloud, name), [limited] * 2

        def fail(*arguments, _act=act, _failures=failures, **options):
            if _failures:
                raise _failures.pop()
            return _act(*arguments, **options)

        monkeypatch.setattr(site.cloud, name, fail)
    site.up()
    site.assert_complete()
    assert site.naps == [17] * 10, "more than all tries of one step"


def test_the_kills_reach_past_the_last_request(make_site):
    """The ranges above must cover every request of each of these runs."""

    def replacing(site):
        site.up()
        site.cloud.calls = 0
        site.up(spec=replace(site.spec, workers=WorkersSpec(count=3, flavor="m1.medium")), replace=True)

    def removing(site):
        site.up()
        site.cloud.calls = 0
        site.down()

    for act in (lambda site: site.up(), replacing, removing):
        assert 10 < requests_of(make_site, act) < len(KILLS) // 2


def test_more_workers(make_site):
    site = make_site()
    site.up()
    site.spec = replace(site.spec, workers=WorkersSpec(count=4))
    site.up()
    site.assert_complete(4)
    creates = [step for step in site.plans[-1].steps if step.verb == "create"]
    assert [step.name for step in creates] == ["analytics-worker-3", "analytics-worker-4"]


def test_monitoring_is_told_which_nodes_there_are_and_after_a_kill_too(make_site):
    site = make_site()
    site.up()
    assert site.told == []
    site.spec = replace(site.spec, monitoring=True)
    site.up()
    assert [node.name for node in site.told[-1].nodes] == [
        "analytics-master",
        "analytics-worker-1",
        "analytics-worker-2",
    ]
    assert {step.name for step in site.plans[-1].of("configure")} == {node.name for node in site.told[-1].nodes}
    site.up()
    assert len(site.told) == 1, "nothing to do"
    site.spec = replace(site.spec, workers=WorkersSpec(count=3))
    site.up()
    assert len(site.told[-1].nodes) == 4
    master = next(vm for vm in site.cloud.vms.values() if vm["metadata"][META_ROLE] == "master")
    del master["metadata"][META_MONITORED]
    site.up()
    assert len(site.told) == 3


def test_fewer_workers(make_site):
    site = make_site(workers=4)
    site.up()
    site.spec = replace(site.spec, workers=WorkersSpec(count=2))
    with pytest.raises(UsageError, match="would remove workers or users: server analytics-worker-3"):
        site.up()
    site.up(remove=True)
    site.assert_complete(2)


def test_a_removed_user_is_named(make_site):
    site = make_site()
    with_two = replace(site.spec, hub=HubSpec(users=(User("alice"), User("bob"))))
    site.up(spec=with_two)
    with pytest.raises(UsageError, match="would remove workers or users: user bob"):
        site.up()
    site.up(remove=True)
    site.assert_nothing_to_do()


def test_a_certificate_that_ends_soon_is_renewed_once(make_site, monkeypatch):
    site = make_site()
    with monkeypatch.context() as patch:
        patch.setattr("provision.adapters.host.certificates.CERTIFICATE_DAYS", 29)
        site.up()
    old = last_day((site.cluster_dir.folder / "hub.pem").read_text())
    site.up()
    (step,) = site.plans[-1].steps
    assert (step.verb, step.name, step.why) == (
        "configure", "analytics-master", f"the Hub's certificate is valid until {old}"
    )  # fmt: skip
    assert last_day((site.cluster_dir.folder / "hub.pem").read_text()) > old
    site.assert_nothing_to_do()


@pytest.fixture
def rendered(monkeypatch):
    """The real user-data, which most tests here do without."""
    monkeypatch.setattr("provision.operations.cluster.resolve.fitting_user_data", fitting_user_data)
    monkeypatch.setattr("provision.operations.cluster.apply.user_data", user_data)


@pytest.mark.usefixtures("rendered")
def test_user_data_that_nova_would_not_take_is_refused_before_anything_is_made(make_site, tmp_path):
    site = make_site()
    tls = Tls(tmp_path / "chain.pem", tmp_path / "key.pem")
    tls.cert.write_text(random.Random(1).randbytes(40_000).hex() + "\n")
    with pytest.raises(UsageError, match=r"cluster\.yaml: the user-data of a master takes \d+ bytes") as caught:
        site.up(spec=replace(site.spec, hub=HubSpec(tls=tls)))
    assert "certificate chain" in caught.value.hint
    assert site.cloud.writes == []


def with_users(site, count):
    """The spec with so many users in two groups, and with monitoring."""
    users = tuple(User(f"user-{number}", groups=("team", "staff")) for number in range(count))
    return replace(site.spec, hub=HubSpec(users=users), monitoring=True)


@pytest.mark.usefixtures("rendered")
def test_users_that_have_no_room_in_user_data_get_their_accounts_afterwards(make_site, monkeypatch):
    site = make_site()
    site.spec = with_users(site, 250)
    create, given = site.cloud.create_servers, []

    def create_servers(name, names, **words):
        given.append((words["role"], words["user_data"], words["metadata"].get(META_ACCOUNTS)))
        create(name, names, **words)

    monkeypatch.setattr(site.cloud, "create_servers", create_servers)
    site.up()
    site.assert_complete()
    (master, text, accounts), *_ = given
    assert (master, accounts) == ("master", "")
    assert len(packed(text)) < USER_DATA_LIMIT
    assert "groupadd" in text
    assert "user-7" not in text
    (step,) = site.plans[0].of("configure")
    assert (step.name, step.why) == ("analytics-master", "its user-data has no room for hub.users")
    assert site.named == [("analytics-master",)]
    site.assert_nothing_to_do()


@pytest.mark.usefixtures("rendered")
def test_accounts_that_an_interruption_has_left_out_are_made_by_the_next_run(make_site):
    site = make_site()
    site.spec = with_users(site, 250)
    site.failure = ProvisionError("playbooks/users.yml failed")
    with pytest.raises(ProvisionError, match=r"users\.yml failed"):
        site.up()
    assert site.jobs == []
    site.failure = None
    site.up()
    assert [step.name for step in site.plans[-1].of("configure")] == ["analytics-master"]
    assert len(site.configured) == 1
    site.assert_nothing_to_do()


@pytest.mark.usefixtures("rendered")
def test_a_cluster_whose_users_have_become_too_many_gets_a_new_master(make_site):
    site = make_site()
    site.up()
    on_master = with_data(site)
    site.spec = replace(with_users(site, 250), master=MasterSpec("m1.medium"))
    site.up(replace=True, remove=True)
    verbs = [step.verb for step in site.plans[-1].steps if step.name == "analytics-master"]
    assert verbs == ["carry", "delete", "create", "configure", "restore"]
    assert on_master() == "homes"
    site.assert_nothing_to_do()


def test_where_nothing_is_created_no_user_data_is_made_up(make_site, monkeypatch):
    site = make_site()
    site.up()
    monkeypatch.setattr("provision.operations.cluster.resolve.example.secrets_of_full_size", pytest.fail)
    site.assert_nothing_to_do()


@pytest.mark.usefixtures("rendered")
def test_200_users_are_no_problem(make_site):
    site = make_site()
    site.up(spec=replace(site.spec, hub=HubSpec(users=tuple(User(f"user-{number}") for number in range(200)))))
    site.assert_complete()


def test_the_default_spec_is_refused_for_a_cluster_from_a_file(make_site):
    site = make_site(workers=5)
    site.up()
    writes = len(site.cloud.writes)
    default = replace(site.spec, workers=WorkersSpec(count=2))
    with pytest.raises(UsageError, match=r"analytics was made from cluster\.yaml") as caught:
        site.up(spec=default, remove=True, source=DEFAULT_SOURCE)
    assert "with -f" in caught.value.hint
    assert len(site.cloud.writes) == writes


def test_a_lost_worker_is_made_again(make_site):
    site = make_site()
    site.up()
    lost = next(vm["id"] for vm in site.cloud.vms.values() if vm["name"] == "analytics-worker-2" and vm["id"] != "vm-x")
    site.cloud.vanish(lost)
    site.up()
    site.assert_complete()


def test_a_worker_that_is_off_is_started(make_site):
    site = make_site()
    site.up()
    site.cloud.vms[site.cloud.observe("analytics").nodes[2].id]["status"] = "SHUTOFF"
    site.up()
    site.assert_complete()
    assert [(step.verb, step.name) for step in site.plans[-1].steps] == [("start", "analytics-worker-2")]


def test_a_worker_that_could_not_be_built_is_made_again(make_site):
    site = make_site()
    site.up()
    vm = site.cloud.vms[site.cloud.observe("analytics").nodes[1].id]
    vm.update(status="ERROR", launched=False, fault="No valid host was found.")
    site.up()
    site.assert_complete()
    assert "No valid host" in site.plans[-1].steps[0].why


def test_a_working_node_in_error_is_replaced_only_when_asked(make_site):
    site = make_site()
    site.up()
    site.cloud.vms[site.cloud.observe("analytics").nodes[0].id].update(status="ERROR")
    writes = len(site.cloud.writes)
    with pytest.raises(UsageError, match="analytics-master: it is in ERROR") as caught:
        site.up()
    assert "--replace" in caught.value.hint
    assert len(site.cloud.writes) == writes
    with pytest.raises(UsageError, match=r"data on analytics-master would be lost: .* is ERROR") as caught:
        site.up(replace=True)
    assert "--without-data" in caught.value.hint
    assert len(site.cloud.writes) == writes
    site.up(replace=True, without_data=True)
    site.assert_complete()


def test_another_flavor_is_refused_without_replace(make_site):
    site = make_site()
    site.up()
    site.spec = replace(site.spec, master=MasterSpec("m1.medium"))
    writes = len(site.cloud.writes)
    with pytest.raises(UsageError, match=r"analytics-master: it is a m1\.small, and the spec asks for m1\.medium"):
        site.up()
    assert len(site.cloud.writes) == writes
    site.up(replace=True)
    assert site.assert_complete().nodes[0].flavor == "m1.medium"


def with_data(site):
    """A cluster on whose master people have data; return what the disk of the present master holds."""
    site.up()
    site.data.disks[site.cloud.observe("analytics").nodes[0].id] = "homes"

    def on_master():
        return site.data.disks.get(site.cloud.observe("analytics").nodes[0].id)

    return on_master


def test_data_is_carried_over_to_a_new_master(make_site):
    site = make_site()
    on_master = with_data(site)
    site.spec = replace(site.spec, master=MasterSpec("m1.medium"))
    with pytest.raises(UsageError, match="people's files are carried over, and what else is on them would be lost"):
        site.up()
    site.up(replace=True)
    assert site.assert_complete().nodes[0].flavor == "m1.medium"
    assert on_master() == "homes"
    assert site.data.here == {}
    site.assert_nothing_to_do()


def test_nothing_is_deleted_when_the_data_cannot_be_read(make_site):
    site = make_site()
    on_master = with_data(site)
    site.data.unreachable = True
    site.spec = replace(site.spec, master=MasterSpec("m1.medium"))
    writes = len(site.cloud.writes)
    with pytest.raises(ProvisionError, match="cannot be carried over"):
        site.up(replace=True)
    assert len(site.cloud.writes) == writes
    assert on_master() == "homes"
    site.up(replace=True, without_data=True)
    site.assert_complete()
    assert on_master() is None


@pytest.mark.parametrize(("number", "late"), KILLS)
def test_a_masters_replacement_killed_anywhere_keeps_the_data(make_site, number, late):
    site = make_site()
    on_master = with_data(site)
    site.spec = replace(site.spec, master=MasterSpec("m1.medium"))
    with site.killed_at(number, late=late):
        site.up(replace=True)
    site.up(replace=True)
    site.assert_complete()
    assert on_master() == "homes"
    assert site.data.here == {}
    site.assert_nothing_to_do()


def test_a_master_that_stays_after_all_goes_on(make_site):
    site = make_site()
    on_master = with_data(site)
    # Killed between taking the data and deleting the master.
    master = site.cloud.observe("analytics").nodes[0].id
    site.data.here[master] = "homes"
    site.up()
    assert site.data.resumed == [master]
    assert site.data.here == {}
    assert on_master() == "homes"
    site.data.here[master] = "homes"
    site.cloud.vms[master]["status"] = "SHUTOFF"
    site.up()
    assert site.data.resumed == [master], "its start starts the Hub"
    assert site.data.here == {}


def test_a_newer_golden_image_disturbs_nobody(make_site):
    site = make_site()
    site.up()
    site.cloud.default_image = "img-newer"
    site.assert_nothing_to_do()
    site.spec = replace(site.spec, workers=WorkersSpec(count=3))
    site.up()
    assert {server.image for server in site.assert_complete(3).nodes} == {"img-golden"}
    site.up(replace=True)
    assert {server.image for server in site.assert_complete(3).nodes} == {"img-newer"}


def test_a_changed_setting_is_configured_not_rebuilt(make_site):
    site = make_site()
    site.up()
    ids = {server.id for server in site.cloud.observe("analytics").nodes}
    site.spec = replace(site.spec, hub=HubSpec(users=(User("alice"), User("bob"))))
    site.up()
    site.assert_complete()
    assert len(site.configured) == 1
    assert {server.id for server in site.cloud.observe("analytics").nodes} == ids
    site.assert_nothing_to_do()


@pytest.fixture
def with_packages():
    return PackagesSpec(requirements=("polars>=1",))


def test_packages_are_brought_to_live_nodes_and_taken_away(make_site, with_packages):
    site = make_site()
    site.up()
    assert site.delivered == []
    without = site.spec
    site.spec = replace(site.spec, packages=with_packages)
    site.up()
    steps = [(step.verb, step.kind, step.why) for step in site.plans[-1].steps]
    assert steps == [("install", "packages", "they are not those of the spec")] * 3
    assert (len(site.delivered), len(site.configured)) == (1, 0)
    assert site.assert_complete().nodes[0].packages
    site.assert_nothing_to_do()
    site.spec = without
    site.up()
    assert len(site.delivered) == 2
    assert site.plans[-1].steps[0].why == "the spec has none any more"
    assert not site.assert_complete().nodes[0].packages
    site.assert_nothing_to_do()


@pytest.mark.parametrize("what", ["settings", "packages"])
def test_what_fails_on_one_node_is_noted_of_the_others(make_site, monkeypatch, with_packages, what):
    site = make_site(workers=199)
    site.up()
    names = [server.name for server in site.cloud.observe("analytics").nodes]
    lost = PlaybookError("playbooks/site.yml failed on analytics-worker-7")
    lost.clean = frozenset(names) - {"analytics-worker-7"}
    site.failure = lost
    packages = with_packages if what == "packages" else site.spec.packages
    site.spec = replace(site.spec, monitoring=what == "settings", packages=packages)
    with pytest.raises(PlaybookError, match="analytics-worker-7"):
        site.up()
    site.failure = None
    site.up()
    verb = "configure" if what == "settings" else "install"
    assert [step.name for step in site.plans[-1].of(verb)] == ["analytics-worker-7"]
    site.assert_nothing_to_do()


def test_a_new_worker_gets_the_packages(make_site, with_packages):
    site = make_site()
    site.spec = replace(site.spec, packages=with_packages)
    site.up()
    site.spec = replace(site.spec, workers=WorkersSpec(count=3))
    site.up()
    assert len(site.delivered) == 2
    assert len(site.delivered[-1].nodes) == 4
    site.assert_complete(3)


@pytest.mark.parametrize(("number", "late"), [(number, late) for number in range(1, 30) for late in (False, True)])
def test_a_worker_that_lacks_the_packages_is_found_after_a_kill(make_site, with_packages, number, late):
    site = make_site()
    site.spec = replace(site.spec, packages=with_packages)
    site.up()
    larger = replace(site.spec, workers=WorkersSpec(count=3))
    delivered = len(site.delivered)
    with site.killed_at(number, late=late):
        site.up(spec=larger)
    site.spec = larger
    site.up()
    site.assert_complete(3)
    assert len(site.delivered) > delivered
    site.assert_nothing_to_do()


def test_a_new_floating_ip_reaches_the_certificate(make_site):
    site = make_site()
    site.up()
    seen = site.cloud.observe("analytics")
    certificate = site.cluster_dir.folder / "hub.pem"
    before = certificate.read_text()
    del site.cloud.things[seen.floatings[0].id]
    site.cloud.add("floating IP", "", "somebody took it", address="172.29.0.100", port="")
    site.up()
    site.assert_complete()
    (cluster,) = site.configured
    assert cluster.addresses.floating == site.cloud.observe("analytics").floatings[0].address
    cluster.inventory()
    assert certificate.read_text() != before


def test_nodes_are_reached_by_what_is_known_of_them(make_site):
    """The smoke test's cluster: no further look at the cloud, and one ssh_config for all."""
    site = make_site()
    site.up()
    (cluster,) = site.jobs
    assert [node.name for node in cluster.nodes] == ["analytics-master", "analytics-worker-1", "analytics-worker-2"]
    assert all(node.host_keys for node in cluster.nodes)
    assert cluster.addresses.floating == "172.29.0.100"
    assert cluster.ssh_config.read_text().count("\nHost ") == 3
    last_look = len(site.cloud.log) - site.cloud.log[::-1].index("servers")
    assert "observe" not in site.cloud.log[last_look:]


def test_another_machine_is_stopped(make_site, monkeypatch, tmp_path):
    site = make_site()
    site.up()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    other = type(site)(site.cloud, site.spec)
    writes = len(site.cloud.writes)
    with pytest.raises(ProvisionError, match="its keys are not in") as caught:
        other.up()
    assert "copy that folder here" in caught.value.hint
    assert len(site.cloud.writes) == writes


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("network", "create_network"),
        ("subnet", "create_subnet"),
        ("router", "create_router"),
        ("security group", "create_group"),
        ("port", "create_port"),
        ("floating IP", "create_floating"),
    ],
)
def test_a_second_up_that_makes_the_same_at_the_same_time_stops(make_site, kind, method):
    site = make_site()
    create = getattr(site.cloud, method)
    setattr(site.cloud, method, lambda *words, **more: (create(*words, **more), create(*words, **more))[1])
    with pytest.raises(ProvisionError, match=f"another `provision up` of cluster analytics is .* made a {kind} too"):
        site.up()
    assert len(site.cloud.holds(kind, "analytics")) == 1
    setattr(site.cloud, method, create)
    site.up()
    site.assert_complete()


def test_workers_that_two_runs_make_at_once_are_one_each_after_the_next(make_site):
    site = make_site()
    create = site.cloud.create_servers

    def create_twice(name, names, **words):
        create(name, names, **words)
        if words["role"] == "worker":
            create(name, names, **words)

    site.cloud.create_servers = create_twice
    with pytest.raises(ProvisionError, match="has 5 servers instead of 3 by now: another `provision up`"):
        site.up()
    site.cloud.create_servers = create
    site.up()
    site.assert_complete()


def test_renamed_nodes_are_the_same_nodes(make_site):
    site = make_site()
    site.up()
    nodes = site.cloud.observe("analytics").nodes
    for server in nodes[:2]:
        site.cloud.vms[server.id]["name"] = "renamed in Horizon"
    site.assert_nothing_to_do()
    assert [server.id for server in site.assert_complete().nodes] == [server.id for server in nodes]


def test_two_at_once_on_one_machine(make_site):
    site = make_site()
    with site.cluster_dir.locked(), pytest.raises(ProvisionError, match="another `provision` is at work"):
        site.up()


def test_a_changed_range_is_refused(make_site):
    site = make_site()
    site.up()
    site.spec = replace(site.spec, network=NetworkSpec(cidr=IPv4Network("10.30.0.0/24")))
    with pytest.raises(UsageError, match=r"network\.cidr: the cluster lives in 10\.20\.0\.0/24"):
        site.up()


def test_changed_access_changes_the_rules_only(make_site):
    site = make_site()
    site.up()
    site.spec = replace(site.spec, network=NetworkSpec(access=(IPv4Network("172.29.0.0/24"),)))
    site.up()
    rules = {str(rule) for rule, _ in site.cloud.observe("analytics").groups[0].rules}
    assert "443 from 172.29.0.0/24" in rules
    assert "443 from 172.29.0.1/32" not in rules
    assert "7077 from nodes" in rules


REFUSED = {
    "flavor missing": ({"workers": WorkersSpec(flavor="m9.huge")}, "workers.flavor: the cloud has no flavor 'm9.huge'"),
    "master's flavor missing": ({"master": MasterSpec("nope")}, "master.flavor: the cloud has no flavor 'nope'"),
    "worker too small": ({"workers": WorkersSpec(flavor="m1.tiny")}, "workers.flavor: m1.tiny has 512 MiB"),
    "master too small": ({"master": MasterSpec("m1.tiny")}, "master.flavor: m1.tiny has 512 MiB"),
    "memory above the worker's": (
        {"spark": SparkSpec(executor_memory_mib=3072)},
        "spark.executor_memory: 3072 MiB is more than any worker can give",
    ),
    "cores above the cluster's": ({"spark": SparkSpec(app_cores=9)}, "spark.app_cores: 9 is more"),
    "external network missing": ({"network": NetworkSpec(external="nope")}, "network.external: cloud 'local' has no"),
    "range of the external network": (
        {"network": NetworkSpec(cidr=IPv4Network("172.29.0.0/25"))},
        "network.cidr: 172.29.0.0/25 overlaps",
    ),
    "image missing": ({"image": ImageSpec("nope")}, "image: cloud 'local' has no image 'nope'"),
    "access without this machine": (
        {"network": NetworkSpec(access=(IPv4Network("192.0.2.0/24"),))},
        "network.access: this machine is 172.29.0.1",
    ),
    "quota": ({"workers": WorkersSpec(count=50)}, "workers.count: the quota of this project is too small"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_any_change(make_site, case):
    changes, message = REFUSED[case]
    site = make_site()
    site.cloud.limits = {"instances": 10, "cores": 20}
    with pytest.raises(UsageError) as caught:
        site.up(spec=replace(site.spec, **changes))
    assert f"cluster.yaml: {message}" in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 2
    assert site.cloud.writes == []
    assert not site.cluster_dir.folder.exists()


def others_things(cloud):
    """Put a network with a router, and a floating IP, there, as somebody else would; return what they are."""
    network = cloud.add("network", "team")
    cloud.add("subnet", "team", network=network, cidr="172.30.0.0/24")
    router = cloud.add("router", "edge", external="ext")
    cloud.add_port(network, device=router, owner="network:router_interface")
    cloud.add("router", "spare", external="ext")
    cloud.add("floating IP", "", address="172.29.0.77", port="")
    return list(map(repr, cloud.things.values()))


@pytest.mark.parametrize(
    "network",
    [
        NetworkSpec(existing="team"),
        NetworkSpec(existing="team", floating_ip=False),
        NetworkSpec(floating_ip="172.29.0.77"),
    ],
)
def test_what_was_there_before_is_used_and_stays_as_it_was(make_site, network):
    up_and_down_with_others_things(make_site(network=network))


@pytest.mark.parametrize(
    "network", [NetworkSpec(existing="team", floating_ip="172.29.0.77"), NetworkSpec(router="spare", floating_ip=False)]
)
def test_killed_anywhere_what_was_there_before_stays_as_it_was(make_site, network):
    for number in itertools.count(1):
        site = make_site(network=network)
        if up_and_down_with_others_things(site, die_at=number) < number:
            break


def up_and_down_with_others_things(site, die_at=0):
    """Kill `up` at a request, run it again, then `down`; return how many requests the first one sent."""
    cloud, network = site.cloud, site.spec.network
    before = others_things(cloud)
    with site.killed_at(die_at, late=die_at % 2):
        site.up()
    sent = cloud.calls
    summary = site.up()
    seen = cloud.observe(site.spec.name)
    assert summary.hub_url == f"https://{seen.address}"
    assert len(seen.networks) == (0 if network.existing else 1)
    assert len(seen.routers) == (0 if network.existing or network.router else 1)
    assert len(seen.nodes) == 3
    assert not site.up().changed
    site.down()
    assert list(map(repr, cloud.things.values())) == before
    assert [*cloud.vms] == ["vm-x"]
    return sent


WRONG_THERE = [
    (NetworkSpec(existing="none"), "has no network 'none'", "team"),
    (NetworkSpec(existing="two"), "2 IPv4 subnets (a (10.1.0.0/24), b (10.2.0.0/24))", "as network.subnet"),
    (NetworkSpec(existing="two", subnet="c"), "no IPv4 subnet 'c'", "a (10.1.0.0/24), b (10.2.0.0/24)"),
    (NetworkSpec(router="none"), "no router 'none'", "router list"),
    (NetworkSpec(floating_ip="172.29.0.9"), "no floating IP 172.29.0.9", "floating ip list"),
    (NetworkSpec(floating_ip="172.29.0.78"), "leads to another port", "one that is free"),
]


@pytest.mark.parametrize(("network", "message", "hint"), WRONG_THERE)
def test_what_is_not_there_or_cannot_be_used_is_refused_before_anything_is_made(make_site, network, message, hint):
    site = make_site(network=network)
    others_things(site.cloud)
    two = site.cloud.add("network", "two")
    for name, cidr in (("a", "10.1.0.0/24"), ("b", "10.2.0.0/24")):
        site.cloud.add("subnet", name, network=two, cidr=cidr)
    site.cloud.add("floating IP", "", address="172.29.0.78", port=site.cloud.add_port(two))
    with pytest.raises(UsageError) as caught:
        site.up()
    assert message in caught.value.message
    assert "network." in caught.value.message
    assert hint in caught.value.hint
    assert not site.cloud.writes


def test_nodes_are_put_into_their_zones_and_a_change_replaces_them(make_site):
    site = make_site()
    spec = replace(site.spec, master=replace(site.spec.master, zone="hall-2"))
    with pytest.raises(UsageError, match="no availability zone 'hall-3'") as caught:
        site.up(spec=replace(spec, workers=replace(spec.workers, zone="hall-3")))
    assert "hall-2, nova" in caught.value.hint
    assert not site.cloud.writes
    site.up(spec=spec)
    assert sorted(vm["zone"] for vm in site.cloud.vms.values() if "zone" in vm) == ["hall-2", "nova", "nova"]
    assert not site.up(spec=spec).changed
    # A spec that names no zone leaves nodes where they are.
    site.assert_nothing_to_do()
    with pytest.raises(UsageError, match="it is in availability zone nova, and the spec asks for hall-2"):
        site.up(spec=replace(spec, workers=replace(spec.workers, zone="hall-2")))
