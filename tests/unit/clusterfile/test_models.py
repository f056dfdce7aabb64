"""Types and the rules of single fields, and the plain data that becomes of them."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from provision.base.model import ClusterSpec, ImageSpec, Tls, User
from provision.clusterfile.models import ClusterModel, to_spec

# id: text of the file, line that is named, parts of the message, part of the hint
BAD = {
    "name is a number": ("name: 12", 1, ["name", "a number (12)"], "quotes"),
    "name nothing": ("name:", 1, ["name", "nothing"], "quotes"),
    "cloud empty": ('name: a\ncloud: ""', 2, ["cloud", "empty"], "default"),
    "image empty": ('name: a\nimage: ""', 2, ["image: it is empty"], "name"),
    "image nothing": ("name: a\nimage:", 2, ["image: nothing where text belongs"], "stock: true"),
    "image a list": ("name: a\nimage: [debian-13]", 2, ["image: a list"], "{name: debian-13, stock: true}"),
    "image true": ("name: a\nimage: true", 2, ["image: a true/false value"], "stock: true"),
    "image a number": ("name: a\nimage: 13", 2, ["image: a number (13)"], "stock: true"),
    "stock without a name": ("name: a\nimage: {stock: true}", 2, ["image.name", "missing"], "debian-13"),
    "stock is the name": (
        "name: a\nimage: {stock: debian-13}",
        2,
        ["2 problems", "image.stock: 'debian-13' is not true or false", "`image: {name: debian-13, stock: true}`"],
        "provision init",
    ),
    "stock is text": ('name: a\nimage: {name: d, stock: "yes"}', 2, ["image.stock"], "without quotes"),
    "stock image's name empty": ("name: a\nimage: {name: '', stock: true}", 2, ["image.name", "empty"], "name"),
    "stock image's name a number": ("name: a\nimage: {name: 13, stock: true}", 2, ["image.name", "number"], "quotes"),
    "unknown sources": (
        "name: a\nimage: {name: d, stock: true, sources: pypi}",
        2,
        ["image.sources", "'pypi'"],
        "`image` or `host`",
    ),
    "sources a list": ("name: a\nimage: {name: d, stock: true, sources: [host]}", 2, ["image.sources"], "`host`"),
    "unknown field of an image": ("name: a\nimage: {name: d, sauce: host}", 2, ["image.sauce"], "`sources`"),
    "section is a list": ("name: a\nworkers: [2]", 2, ["workers", "a list", "a map"], "workers:"),
    "section is a number": ("name: a\nworkers: 2", 2, ["workers", "a number (2)"], "workers:"),
    "access no list": ("name: a\nnetwork: {access: 1.2.3.0/24}", 2, ["network.access", "not a list"], "brackets"),
    "zero workers": ("name: a\nworkers: {count: 0}", 2, ["workers.count", "0 workers"], "at least 1"),
    "negative workers": ("name: a\nworkers: {count: -1}", 2, ["workers.count", "-1"], "at least 1"),
    "count is text": ('name: a\nworkers: {count: "2"}', 2, ["workers.count", "whole number"], "quotes"),
    "count is a fraction": ("name: a\nworkers: {count: 2.5}", 2, ["workers.count", "whole number"], "point"),
    "count is true": ("name: a\nworkers: {count: yes}", 2, ["workers.count", "whole number"], "quotes"),
    "flavor is a list": ("name: a\nmaster: {flavor: [m1]}", 2, ["master.flavor", "a list"], "quotes"),
    "too many workers": ("name: a\nworkers: {count: 10001}", 2, ["workers.count: 10001 workers"], "10000 or fewer"),
    "a list that has no value": ("name: a\nhub:\n  users:\n", 3, ["hub.users: it has no value"], "brackets"),
    "a word that has no value": ("name: a\nhub:\n  on:\n", 3, ["hub.on: it has no value"], "`master` or `node`"),
    "a word that is true": ("name: a\nhub: {on: true}", 2, ["hub.on: true is not one of its words"], "`master`"),
    "a list as YAML has it": ("name: a\nmaster: {flavor: [true, null]}", 2, ["a list ([true, null])"], "quotes"),
    "a long list is cut": ("name: a\nmaster: {flavor: [" + "a, " * 99 + "]}", 2, ['"a"…)'], "quotes"),
    "a range is not one address": ("name: a\nnetwork: {cidr: 10.20.0.7}", 2, ["no prefix"], "Write 10.20.0.0/24"),
    "an address to let in is": ("name: a\nnetwork: {access: [10.9.0.7]}", 2, ["no prefix"], "10.9.0.7/32 for one"),
    "a date as a name": ("name: 2026-01-01", 1, ["'2026-01-01' cannot be a cluster's name"], "start with a letter"),
    "zero cores of a user": (
        "name: a\nspark: {user_cores: 0}",
        2,
        ["spark.user_cores", "a user with 0 cores"],
        "at least 1",
    ),
    "zero cores": ("name: a\nspark: {app_cores: 0}", 2, ["spark.app_cores", "0 cores"], "at least 1"),
    "memory without unit": ("name: a\nspark: {executor_memory: 2048}", 2, ["executor_memory", "no unit"], "2048m"),
    "memory too small": ("name: a\nspark: {executor_memory: 100m}", 2, ["100 MiB"], "512m"),
    "defaults is a list": ("name: a\nspark: {defaults: [a]}", 2, ["spark.defaults", "not a map"], "indented"),
    "time without unit": ("name: a\nhub: {idle_timeout: 60}", 2, ["hub.idle_timeout", "no unit"], "60s"),
    "time too short": ("name: a\nhub: {idle_timeout: 5s}", 2, ["shorter than a minute"], "1m"),
    "users is text": ("name: a\nhub: {users: alice}", 2, ["hub.users", "not a list"], "brackets"),
    "user unknown key": ("name: a\nhub: {users: [{name: b, admn: true}]}", 2, ["users[0].admn"], "`admin`"),
    "must change is text": (
        'name: a\nhub: {users: [{name: b, must_change_password: "no"}]}',
        2,
        ["must_change", "true or false"],
        "quotes",
    ),
    "admin is text": ('name: a\nhub: {users: [{name: b, admin: "yes"}]}', 2, ["admin", "true or false"], "quotes"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_spec(case, refused):
    refused(*BAD[case])


def test_the_defaults_are_those_of_the_plain_data():
    assert to_spec(ClusterModel.model_validate({"name": "analytics"}), None) == ClusterSpec("analytics")


def test_fields_become_plain_data(tmp_path):
    tls = Tls(tmp_path / "c.pem", tmp_path / "c.key")
    model = ClusterModel.model_validate(
        {
            "name": "a",
            "network": {"access": ["192.0.2.0/24"]},
            "spark": {"executor_memory": "3g", "defaults": {"spark.y": "true", "spark.x": "64"}},
            "hub": {"idle_timeout": "1h30m", "users": ["alice", {"name": "bob", "admin": True, "groups": ["t", "a"]}]},
        }
    )
    spec = to_spec(model, tls)
    assert spec.network.access == (IPv4Network("192.0.2.0/24"),)
    assert spec.spark.executor_memory_mib == 3072
    assert spec.spark.defaults == (("spark.x", "64"), ("spark.y", "true"))
    assert spec.hub.idle_timeout == 5400
    assert spec.hub.users == (User("alice"), User("bob", admin=True, groups=("a", "t")))
    assert spec.hub.groups == ("a", "t")
    assert spec.hub.tls == tls


@pytest.mark.parametrize(("value", "seconds"), [(0, 0), ("0", 0), ("1m", 60), ("30m", 1800)])
def test_idle_timeout(value, seconds):
    assert ClusterModel.model_validate({"name": "a", "hub": {"idle_timeout": value}}).hub.idle_timeout == seconds


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("golden", ImageSpec()),
        ("ours", ImageSpec("ours")),
        ({"name": "ours"}, ImageSpec("ours")),
        ({"name": "debian-13", "stock": True}, ImageSpec("debian-13", stock=True)),
        ({"name": "d", "stock": True, "sources": "host"}, ImageSpec("d", stock=True, sources="host")),
    ],
)
def test_an_image_by_its_name_or_as_a_map(written, read):
    spec = to_spec(ClusterModel.model_validate({"name": "a", "image": written}), tls=None)
    assert spec.image == read
    assert spec.image.baked == (written == "golden")
