"""What `plan` shows for a cloud that answers, and for a local one that does not run."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from provision.adapters.openstack.cloud import Image
from provision.base.errors import ProvisionError, UsageError
from provision.base.model import (
    ClusterSpec,
    HubSpec,
    ImageSpec,
    MasterSpec,
    NetworkSpec,
    PackagesSpec,
    Tls,
    User,
    WorkersSpec,
)
from provision.model.cluster.render import fitting_user_data
from provision.operations.cluster import preview as module
from provision.operations.cluster.preview import check_before_start, plan_stopped, preview


@pytest.fixture
def site(make_site, monkeypatch):
    """A site whose cloud `connect` finds."""
    site = make_site()
    site.cloud.connection = None
    site.golden = None
    monkeypatch.setattr(module, "connect", lambda name, source: site.cloud)
    monkeypatch.setattr("provision.operations.image.bake.find_image", lambda connection: site.golden)
    return site


def test_nothing_is_changed(site):
    made = preview(site.spec, "cluster.yaml")
    assert len(made.steps) == 11
    assert site.cloud.writes == []
    assert made.notes == ("the golden image is not on the cloud: `up` bakes and uploads it first",)


def test_packages_that_are_not_resolved_yet(site):
    site.golden = "img"
    spec = replace(site.spec, packages=PackagesSpec(requirements=("polars>=1",)))
    assert preview(spec, "cluster.yaml").notes == (
        "the packages are not resolved yet: `up` does so before it changes anything",
    )
    assert not site.cluster_dir.folder.exists()


def test_the_golden_image_is_there(site):
    site.golden = "img"
    assert preview(site.spec, "cluster.yaml").notes == ()


def test_it_is_what_up_does(site):
    site.golden = site.cloud.default_image
    steps = preview(site.spec, "cluster.yaml").steps
    site.up()
    assert site.plans[0].steps == steps
    assert not preview(site.spec, "cluster.yaml")


def test_a_newer_golden_image_is_a_note(site):
    site.up()
    site.golden = "img-newer"
    made = preview(site.spec, "cluster.yaml")
    assert made.steps == ()
    assert "`up --replace`" in made.notes[0]


def test_another_image(site):
    site.up()
    made = preview(replace(site.spec, image=ImageSpec("other")), "cluster.yaml")
    assert [step.verb for step in made.destructive] == ["delete"] * 3
    assert made.notes == ()


def test_the_quotas_arithmetic_is_a_note(site):
    site.golden = site.cloud.default_image
    site.cloud.limits = {"instances": 9, "ports": 40, "routers": 3}
    (note,) = preview(site.spec, "cluster.yaml").notes
    assert note == "of what the project's quotas leave, this takes 1 of 3 routers, 3 of 40 ports, 3 of 9 instances"
    site.cloud.limits = {"floating IPs": 0}
    (note,) = preview(site.spec, "cluster.yaml").notes
    assert note.startswith("cluster.yaml: network.floating_ip: the quota of this project is too small: 1 floating IPs")
    assert note.endswith("`up` refuses it")
    site.cloud.limits = {}
    site.up()
    site.cloud.limits = {"instances": 9}
    assert preview(site.spec, "cluster.yaml").notes == ()


@pytest.fixture
def rendered(monkeypatch):
    """Have user-data rendered, as elsewhere in these tests it is not."""
    monkeypatch.setattr("provision.operations.cluster.resolve.fitting_user_data", fitting_user_data)


@pytest.fixture
def long_chain(tmp_path):
    """A Hub with a certificate chain that no user-data has room for."""
    tls = Tls(tmp_path / "chain.pem", tmp_path / "key.pem")
    tls.cert.write_text(random.Random(1).randbytes(40_000).hex() + "\n")
    return HubSpec(tls=tls)


@pytest.mark.usefixtures("rendered")
def test_user_data_that_is_too_large_is_refused_as_up_does(site, long_chain):
    with pytest.raises(UsageError, match=r"cluster\.yaml: the user-data of a master takes"):
        preview(replace(site.spec, hub=long_chain), "cluster.yaml")


@pytest.mark.usefixtures("rendered")
def test_users_that_user_data_has_no_room_for_are_a_step(site):
    many = HubSpec(users=tuple(User(f"user-{number}") for number in range(1000)))
    (step,) = preview(replace(site.spec, hub=many), "cluster.yaml").of("configure")
    assert (step.name, step.why) == ("analytics-master", "its user-data has no room for hub.users")


def test_hundreds_with_much_user_data_are_not_all_asked_for_in_one_request(site, monkeypatch):
    much = random.Random(1).randbytes(45_000).hex()
    monkeypatch.setattr("provision.operations.cluster.resolve.fitting_user_data", lambda context: (much, True))
    spec = replace(site.spec, workers=WorkersSpec(count=300), master=MasterSpec(flavor="m1.medium"))
    made = [step for step in preview(spec, "cluster.yaml").of("create") if step.kind == "server"]
    many, rest = made[1].ids, [step.ids for step in made[2:]]
    assert many[0] == "analytics-worker-1"
    assert 1 < len(many) < 300
    assert rest == [(f"analytics-worker-{number}",) for number in range(len(many) + 1, 301)]


@pytest.mark.parametrize("runs", [True, False])
def test_sources_that_nodes_would_not_reach_are_refused_as_up_does(site, monkeypatch, runs):
    def connect(name, source):
        raise ProvisionError("it cannot be reached")

    if not runs:
        monkeypatch.setattr(module, "connect", connect)
    monkeypatch.setattr("provision.operations.image.delivery.apt_proxies", dict)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:3128")
    site.cloud.image = lambda name: Image("img-debian")
    large = {"master": MasterSpec("m1.medium"), "workers": WorkersSpec(flavor="m1.medium")}
    spec = replace(site.spec, image=ImageSpec("debian-13", stock=True, sources="host"), **large)
    with pytest.raises(UsageError, match=r"(?i)http_proxy \(127\.0\.0\.1:3128\) is on this machine itself"):
        preview(spec, "cluster.yaml")
    assert preview(replace(spec, image=replace(spec.image, sources="image")), "cluster.yaml")


def test_a_cluster_of_another_machine_is_refused(site, monkeypatch, tmp_path):
    site.up()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(ProvisionError, match="its keys are not in"):
        preview(site.spec, "cluster.yaml")


def test_a_local_cloud_that_does_not_run_is_empty(site, monkeypatch):
    def connect(name, source):
        raise ProvisionError("it cannot be reached")

    monkeypatch.setattr(module, "connect", connect)
    spec = replace(site.spec, network=NetworkSpec(access=(IPv4Network("192.0.2.0/24"),)))
    made = preview(spec, "cluster.yaml")
    assert len(made.steps) == 11
    assert made.notes == ("the local cloud does not answer (it cannot be reached): `up` starts it first",)
    assert any("192.0.2.0/24" in step.why for step in made.steps)
    with pytest.raises(ProvisionError, match="it cannot be reached"):
        preview(replace(spec, cloud="elsewhere"), "cluster.yaml")


SPEC = ClusterSpec("a")
# id: fields, message, hint
BAD = {
    "a flavor that it has not": (
        {"workers": WorkersSpec(flavor="m1.smal")},
        "c.yaml: workers.flavor: the cloud has no flavor 'm1.smal'",
        "It has: m1.large, m1.medium, m1.small, m1.tiny. What somebody has made there",
    ),
    "a flavor that is too small": (
        {"master": MasterSpec("m1.tiny")},
        "c.yaml: master.flavor: m1.tiny has 512",
        "Choose",
    ),
    "its own network": (
        {"network": NetworkSpec(cidr=IPv4Network("172.29.0.0/24"))},
        "c.yaml: network.cidr: 172.29.0.0/24 overlaps 172.29.0.0/24 of external network 'public'",
        "another range",
    ),
    "a range with its own network": (
        {"network": NetworkSpec(cidr=IPv4Network("172.16.0.0/12"))},
        "c.yaml: network.cidr: 172.16.0.0/12 overlaps 172.29.0.0/24",
        "another range",
    ),
    "an external network that it has not": (
        {"network": NetworkSpec(external="publik")},
        "c.yaml: network.external: cloud 'local' has no external network 'publik'",
        "It has: public.",
    ),
}


@pytest.fixture
def answers(monkeypatch):
    """Have the local cloud answer or not; returns who was asked."""
    asked = []

    def set_(*, runs):
        def connect(name, source):
            asked.append(name)
            if not runs:
                raise ProvisionError("it cannot be reached")

        monkeypatch.setattr(module, "connect", connect)
        return asked

    return set_


@pytest.mark.parametrize("case", BAD)
def test_what_it_cannot_fulfil_is_refused_while_it_does_not_run(case, answers):
    fields, message, hint = BAD[case]
    spec = replace(SPEC, **fields)
    answers(runs=False)
    for refuse in (lambda: plan_stopped(spec, "c.yaml"), lambda: check_before_start(spec, "c.yaml", new=True)):
        with pytest.raises(UsageError) as refused:
            refuse()
        assert refused.value.message.startswith(message)
        assert hint in refused.value.hint


@pytest.mark.parametrize(
    "fields",
    [{"workers": WorkersSpec(flavor="own.big")}, {"network": NetworkSpec(external="own")}],
)
def test_a_cluster_that_is_there_may_have_what_the_user_has_made_in_a_stopped_cloud(fields, answers):
    answers(runs=False)
    check_before_start(replace(SPEC, **fields), "c.yaml", new=False)
    with pytest.raises(UsageError, match="overlaps"):
        check_before_start(replace(SPEC, network=NetworkSpec(cidr=IPv4Network("172.29.0.0/24"))), "c.yaml", new=False)


@pytest.mark.parametrize("case", BAD)
def test_a_cloud_that_runs_is_asked_itself(case, answers):
    asked = answers(runs=True)
    check_before_start(replace(SPEC, **BAD[case][0]), "c.yaml", new=True)
    assert asked == ["local"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"network": NetworkSpec(existing="there", external="publik")},
        {"network": NetworkSpec(router="there", external="publik")},
        {"cloud": "elsewhere", "workers": WorkersSpec(flavor="c5")},
    ],
)
def test_what_it_can_fulfil_asks_nobody(fields, answers):
    asked = answers(runs=False)
    check_before_start(replace(SPEC, **fields), "c.yaml", new=True)
    assert asked == []


@pytest.mark.usefixtures("rendered")
def test_user_data_that_is_too_large_is_refused_where_all_of_a_cluster_is_made(answers, long_chain):
    answers(runs=False)
    spec = replace(SPEC, hub=long_chain)
    with pytest.raises(UsageError, match="the user-data of a master takes"):
        plan_stopped(spec, "c.yaml")
    with pytest.raises(UsageError, match="the user-data of a master takes"):
        check_before_start(spec, "c.yaml", new=True)
    check_before_start(spec, "c.yaml", new=False)
