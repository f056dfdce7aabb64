"""The report's page: what is on it, that nothing is put into it as markup, and that it has no secrets."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from provision.base.model import ClusterSpec, ImageSpec
from provision.model.cluster.resources import Floating, Network, ObservedCluster
from provision.model.view.report import clock, context, page, size, spec_text
from provision.model.view.timeline import BootTimes

from .boots import CREATED, KERNEL, LAUNCHED, MASTER, VERSIONS, WORKER, given, told

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>' style=x:url(//evil.example)"
CHECKS = {
    "passed": 1,
    "failed": 1,
    "seconds": 3.0,
    "checks": [
        {"name": "a-master hub: answers", "passed": True, "message": "", "seconds": 1.0},
        {"name": "a-worker-1 spark: unit runs", "passed": False, "message": HOSTILE, "seconds": 2.0},
    ],
}


class Elements(HTMLParser):
    """Collects a page's elements, with the names of their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def test_everything_is_on_the_page():
    text = Elements(page(given(checks=CHECKS))).text
    for words in (
        "Cluster a As it was on 2026-03-01 13:00 UTC. Made by provision 9.9.",
        "It does not work 1 of 2 workers are registered with the master. a-worker-2 is SHUTOFF.",
        "Cloud local https://cloud.example.org:5000/v3",
        "floating IP 192.0.2.10, to the master",
        "443 JupyterHub 192.0.2.0/24",
        "7100-7199 drivers",
        "a-master ACTIVE master 10.20.0.10 m1.small 2 2 GiB 8 GiB 5.4 GiB kvm",
        "a-worker-2 SHUTOFF not registered",
        "Its boot is not known: its server is SHUTOFF.",
        "spark-worker, until registered with the master 39 s",
        "spark-worker, until registered with the master : 39 s on a-worker-1.",
        "Image provision-golden Spark 4.3.0 Java 21.0.9 Python 3.13.5",
        "alice user bob admin of the Hub",
        "1 passed, 1 failed, in 3.0 s.",
        "spark.sql.shuffle.partitions: '8'",
    ):
        assert words in text, words


def problems(registered, wanted):
    """Return what is wrong where all answers, with two workers of which some are registered."""
    found = given()
    nodes = [each | {"status": "ACTIVE"} for each in found.status["nodes"]]
    nodes[2]["registered"] = registered
    spark = found.status["spark"] | {"workers_alive": 2, "workers_wanted": wanted}
    return context(replace(found, status=found.status | {"nodes": nodes, "spark": spark}))["state"]["problems"]


def test_a_cluster_that_does_not_work_has_a_reason():
    assert problems(registered=True, wanted=2) == []
    assert problems(registered=True, wanted=1) == ["It has 2 workers, and the spec asks for 1."]
    assert problems(registered=False, wanted=2) == ["a-worker-2 is not registered with the master."]


def test_where_nobody_was_asked_nothing_is_known_of_workers():
    found = given()
    nodes = [each | {"registered": None} for each in found.status["nodes"]]
    spark = found.status["spark"] | {"answers": False}
    text = Elements(page(replace(found, status=found.status | {"nodes": nodes, "spark": spark}))).text
    assert "a-worker-2 SHUTOFF unknown" in text
    assert "not registered" not in text


def test_the_time_from_the_request_is_of_nodes_that_have_not_been_started_again():
    again = told(kernel=KERNEL + 86400)
    both = (BootTimes(MASTER, CREATED, LAUNCHED, again), BootTimes(WORKER, CREATED, LAUNCHED, told()))
    assert "From request to ready 90 s" in Elements(page(given(boots=both))).text
    assert "From request to ready not known" in Elements(page(given(boots=both[:1]))).text


def test_a_network_and_a_router_that_were_there_before_are_named():
    before = given()
    observed = replace(before.observed, networks=(), routers=())
    network = replace(before.spec.network, existing="team", router="edge")
    spec = replace(before.spec, network=network)
    text = Elements(page(replace(before, observed=observed, spec=spec))).text
    assert "Network team" in text
    assert "Router edge" in text


def test_checks_that_were_not_run_say_so():
    assert "They were not run: provision report --verify runs them." in Elements(page(given())).text


def test_the_last_hour_is_shown_where_monitoring_is_on():
    found = {
        "figures": [{"what": "Cores in use", "least": "0", "mean": "1.5", "most": "4", "now": "2"}],
        "firing": [{"where": "spark-worker on <a>", "wrong": "is stopped", "do": "`provision up` starts it."}],
        "fired": [{"what": "UnitDown a-worker-1", "time": "3 min"}],
        "problem": "",
    }
    text = Elements(page(given(hour=found))).text
    assert "The last hour What Least Mean Most Now Cores in use 0 1.5 4 2" in text
    assert "spark-worker on <a> is stopped. provision up starts it." in text
    assert "Alerts of the hour: UnitDown a-worker-1 (3 min)." in text
    assert "No alert fires." in Elements(page(given(hour=found | {"firing": [], "fired": []}))).text
    quiet = Elements(page(given(hour=found | {"problem": "monitoring does not answer"}))).text
    assert "The last hour monitoring does not answer." in quiet
    assert "The last hour" not in Elements(page(given())).text


def hostile():
    node = replace(WORKER, name=HOSTILE, address=HOSTILE, status=HOSTILE)
    units = [{"unit": f"{HOSTILE}.service", "begin": 5.0, "end": 30.0}]
    versions = {HOSTILE: HOSTILE, "pyspark": HOSTILE}
    boots = (
        BootTimes(replace(MASTER, name=HOSTILE), CREATED, LAUNCHED, told(units=units, versions=versions)),
        BootTimes(node, CREATED, LAUNCHED, None, HOSTILE),
    )
    status = given().status | {
        "hub": {"url": HOSTILE, "well": False, "problem": HOSTILE},
        "nodes": [{"name": HOSTILE, "role": "worker", "status": HOSTILE, "flavor": HOSTILE, "registered": None}],
    }
    return given(
        spec=ClusterSpec(HOSTILE, cloud=HOSTILE, image=ImageSpec(HOSTILE)),
        status=status,
        observed=ObservedCluster(networks=(Network("n", HOSTILE),), floatings=(Floating("f", address=HOSTILE),)),
        boots=boots,
        checks=CHECKS,
        cloud=HOSTILE,
        image=HOSTILE,
        made=HOSTILE,
        version=HOSTILE,
    )


def test_no_value_becomes_markup():
    harmless, attacked = Elements(page(given(checks=CHECKS))), Elements(page(hostile()))
    assert {tag for tag, _ in attacked.elements} <= {tag for tag, _ in harmless.elements}
    names = {name for _, attributes in attacked.elements for name in attributes}
    assert names <= {name for _, attributes in harmless.elements for name in attributes} | {"colspan"}
    assert not names & {"src", "href", "onerror", "onclick"}
    styles = {attributes["style"] for _, attributes in attacked.elements if "style" in attributes}
    assert all(set(style) <= set("leftwidth0123456789.:;% ") for style in styles)
    assert attacked.text.count("alert(1)") > 10


def test_it_needs_nothing_from_elsewhere():
    text = page(given())
    for words in ("<script", "<link", "<img", "url(", "@import", "src=", "href="):
        assert words not in text
    assert "default-src 'none'" in text


def test_it_has_no_secrets():
    leaking = {**CHECKS, "checks": [CHECKS["checks"][1] | {"message": "the key is s3cr3t-s3cr3t, it says"}]}
    text = page(given(checks=leaking))
    assert "hidden-one" not in text
    assert "s3cr3t" not in text
    assert "spark.hadoop.fs.s3a.secret.key: '***'" in Elements(text).text


def test_versions_that_differ_name_their_nodes():
    other = BootTimes(WORKER, CREATED, LAUNCHED, told(versions=VERSIONS | {"Java": "17"}))
    found = {
        each["name"]: each
        for each in context(given(boots=(BootTimes(MASTER, CREATED, LAUNCHED, told()), other)))["versions"]
    }
    assert found["Java"]["version"] == "21.0.9 on a-master; 17 on a-worker-1"
    assert found["Java"]["differs"]
    assert not found["Python"]["differs"]


def test_a_spec_is_yaml_with_its_defaults():
    text = spec_text(ClusterSpec("a"))
    assert "name: a\ncloud: local\n" in text
    assert "defaults: {}" in text
    assert "null" not in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0.0 s"), (4.21, "4.2 s"), (58.4, "58 s"), (185, "3:05 min"), (7325, "2:02:05 h")]
)
def test_times_are_written_for_people(seconds, text):
    assert clock(seconds) == text


@pytest.mark.parametrize(("mib", "text"), [(None, ""), (512, "512 MiB"), (2048, "2 GiB"), (7985, "7.8 GiB")])
def test_sizes_are_written_for_people(mib, text):
    assert size(mib) == text
