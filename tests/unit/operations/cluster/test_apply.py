"""Single steps on a fake cloud. Whole plans: test_up.py."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from provision.adapters.openstack.cloud import AT_ONCE
from provision.base.errors import ProvisionError
from provision.base.model import NetworkSpec
from provision.base.progress import Silent
from provision.model.cluster.steps import Plan, Step
from provision.operations.cluster import apply
from provision.operations.cluster.resolve import resolve


def make_apply(site):
    observed = site.cloud.observe(site.spec.name)
    resolved = resolve(site.cloud, site.spec, observed, "cluster.yaml")
    return apply.Apply(
        site.cloud,
        site.cluster_dir,
        Silent(),
        resolved=resolved,
        desired=resolved.desired_state("img"),
        observed=observed,
        sleep=lambda _: None,
    )


def test_what_is_created_is_tagged_and_known_to_the_next_step(make_site):
    site = make_site()
    steps = (Step("create", "network", "analytics", ""), Step("create", "subnet", "analytics", ""))
    make_apply(site).run(Plan("analytics", steps))
    assert site.cloud.writes == ["create_network", "tag", "create_subnet", "tag"]
    observed = site.cloud.observe("analytics")
    assert observed.subnets[0].network == observed.networks[0].id


def test_what_does_not_wait_for_another_is_made_at_the_same_time(make_site, monkeypatch):
    site = make_site()
    meet = threading.Barrier(4, timeout=10)

    def meeting(method):
        def made(*arguments):
            meet.wait()
            return method(*arguments)

        return made

    for name in ("create_network", "create_router", "create_group", "create_key"):
        monkeypatch.setattr(site.cloud, name, meeting(getattr(site.cloud, name)))
    site.up()
    site.assert_complete()


def test_only_rules_that_differ_are_changed(make_site):
    site = make_site()
    site.up()
    group = site.cloud.observe("analytics").groups[0]
    closed, opened = group.rules[0], group.rules[1:]
    site.cloud.delete_rule(closed[1])
    site.cloud.add_rules(group.id, {None})
    make_apply(site).run(Plan("analytics", (Step("update", "security group", "analytics", ""),)))
    rules = site.cloud.observe("analytics").groups[0].rules
    assert {rule for rule, _ in rules} == {rule for rule, _ in group.rules}
    assert set(opened) <= set(rules)


def test_a_cloud_that_is_too_old_for_the_key_is_said_and_one_of_another_type_is_taken(make_site):
    site = make_site()
    create, said = site.cloud.create_key, "registering the key pair: the cloud said: Keypair data is invalid: "

    def old(name, public_key):
        if public_key.startswith("ssh-ed25519"):
            raise ProvisionError(said + "failed to generate fingerprint")
        create(name, public_key)

    site.cloud.create_key = old
    with pytest.raises(ProvisionError, match=said) as caught:
        site.up()
    file = site.cluster_dir.private_key
    assert f"rm '{file}' && ssh-keygen -q -t rsa -b 4096 -N '' -f '{file}'" in caught.value.hint
    pem = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    file.write_bytes(pem)
    site.up()
    assert site.cloud.observe("analytics").keys[0].public_key.startswith("ssh-rsa ")
    site.assert_nothing_to_do()


def test_another_refusal_of_the_key_pair_stays_as_it_is(make_site):
    site = make_site()

    def refuse(name, public_key):
        raise ProvisionError("registering the key pair: the cloud said: Quota exceeded")

    site.cloud.create_key = refuse
    with pytest.raises(ProvisionError, match="Quota exceeded") as caught:
        site.up()
    assert not caught.value.hint


def test_name_servers_come_to_the_live_subnet_and_stay_when_the_spec_names_none(make_site):
    site = make_site(network=NetworkSpec(nameservers=("192.0.2.53",)))

    def now():
        return site.cloud.observe("analytics").subnets[0].nameservers

    site.up()
    assert now() == ("192.0.2.53",)
    assert "set_nameservers" not in site.cloud.log
    site.spec = replace(site.spec, network=NetworkSpec(nameservers=("192.0.2.54", "192.0.2.53")))
    site.up()
    assert now() == ("192.0.2.54", "192.0.2.53")
    assert not site.configured, "nodes learn it by DHCP"
    site.assert_nothing_to_do()
    site.spec = replace(site.spec, network=NetworkSpec())
    site.assert_nothing_to_do()


def test_configure_is_left_to_ansible(make_site):
    site = make_site()
    site.up()
    writes = len(site.cloud.writes)
    make_apply(site).run(Plan("analytics", (Step("configure", "server", "analytics-master", "", ("1",)),)))
    assert len(site.cloud.writes) == writes


def test_addresses_are_known_once_port_and_floating_ip_exist(make_site):
    site = make_site()
    with pytest.raises(ProvisionError, match="no address yet"):
        _ = make_apply(site).addresses
    site.up()
    observed = site.cloud.observe("analytics")
    addresses = make_apply(site).addresses
    assert (addresses.master, addresses.floating) == (observed.master_port.address, observed.floatings[0].address)


def test_a_master_is_told_the_floating_ip_that_its_certificate_is_for(make_site):
    site = make_site()
    site.up()
    master, worker, _ = site.cloud.observe("analytics").nodes
    assert master.floating == "172.29.0.100"
    assert worker.floating == ""


def test_servers_that_the_cloud_keeps_for_a_while_are_deleted_for_good(make_site):
    site = make_site()
    site.cloud.reclaims = True
    site.up()
    larger = replace(site.spec, master=replace(site.spec.master, flavor="m1.medium"))
    site.up(spec=larger, replace=True)
    assert "SOFT_DELETED" not in [vm["status"] for vm in site.cloud.vms.values()]
    assert site.cloud.log.count("server_status") == site.cloud.log.count("force_delete_server") + 1 == 2
    site.down()
    assert [*site.cloud.vms] == ["vm-x"]
    # Each is asked for once when it has left the list, and once when it was deleted for good.
    assert site.cloud.log.count("server_status") == 2 + 3 * 2


@pytest.mark.parametrize("late", [False, True])
def test_what_a_killed_run_has_left_hidden_gives_its_port_back(make_site, late):
    for number in itertools.count(1):
        site = make_site()
        site.cloud.reclaims = True
        site.up()
        site.spec = replace(site.spec, master=replace(site.spec.master, flavor="m1.medium"))
        before = site.cloud.calls
        with site.killed_at(number, late=late):
            site.up(replace=True)
        sent = site.cloud.calls - before
        site.up(replace=True)
        site.assert_complete()
        if sent < number:
            break


def scaled(make_site, before, after):
    """Grow or shrink a cluster; return the requests of that, and how often its user-data was rendered."""
    site = make_site(workers=before)
    site.up()
    sent, rendered = len(site.cloud.log), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apply, "user_data", lambda context, **_: rendered.append(context) or "#cloud-config")
        site.up(spec=replace(site.spec, workers=replace(site.spec.workers, count=after)), remove=True)
    return Counter(site.cloud.log[sent:]), len(rendered)


def test_what_each_worker_costs_when_a_cluster_grows_and_shrinks(make_site):
    grown, rendered = scaled(make_site, 2, 40)
    assert (grown["create_servers"], grown["console"], rendered) == (38, 38, 1)
    shrunk, rendered = scaled(make_site, 40, 2)
    assert (shrunk["delete_server"], shrunk["server_status"], rendered) == (38, 38, 0)
    more, _ = scaled(make_site, 2, 80)
    assert sum(more.values()) - sum(grown.values()) == 2 * 40, "each further worker's creation, and its console"


def test_workers_are_made_and_removed_some_at_the_same_time(make_site, monkeypatch):
    site = make_site()
    site.up()
    running, most, lock = [], [], threading.Lock()

    def beside(method):
        def run(*words, **options):
            with lock:
                running.append(method)
                most.append(len(running))
            time.sleep(0.01)
            answer = method(*words, **options)
            with lock:
                running.remove(method)
            return answer

        return run

    larger = replace(site.spec, workers=replace(site.spec.workers, count=20))
    for name, spec in (
        ("create_servers", larger),
        ("set_metadata", replace(larger, monitoring=True)),
        ("delete_server", site.spec),
        ("server_status", larger),
    ):
        most.clear()
        with monkeypatch.context() as patch:
            patch.setattr(site.cloud, name, beside(getattr(site.cloud, name)))
            site.up(spec=spec, remove=True)
            if name == "server_status":
                site.down()
        assert 1 < max(most) <= AT_ONCE, name
