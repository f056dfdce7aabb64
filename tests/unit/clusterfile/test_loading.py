"""From a file to a ClusterSpec, or to one error that lists everything that is wrong with it."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from provision.base.errors import UsageError
from provision.base.model import ClusterSpec, User
from provision.clusterfile import load
from provision.clusterfile.loading import with_line

# id: text of the file, line that is named, parts of the message, part of the hint
BAD = {
    "unknown key": ("name: a\nclod: x\n", 2, ["clod", "no such field"], "Did you mean `cloud`?"),
    "unknown nested key": ("name: a\nworkers: {flavour: m1}", 2, ["workers.flavour", "no such field"], "`flavor`"),
    "unknown key, nothing near": ("name: a\nzzz: 1", 2, ["zzz"], "Fields here are: name, cloud"),
    "unknown key like a list": ("name: a\n'[': 1", 2, ["[: there is no such field"], "Fields here are: name, cloud"),
    "unknown key like a validator": (
        "name: a\nfunction-x: 1",
        2,
        ["function-x: there is no such field"],
        "Fields here",
    ),
    "a number that YAML reads as another is one problem": (
        "name: a\nhub: {idle_timeout: 1:30}",
        2,
        ["hub.idle_timeout: YAML reads 1:30 as another number, 90"],
        "1h30m",
    ),
    "no name": ("cloud: local", None, ["name", "missing"], "Add it"),
    "a list": ("- name: a", 1, ["a list, not a map"], "name: analytics"),
    "plain text": ("analytics", 1, ["plain text, not a map"], "name: analytics"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_spec(case, refused):
    refused(*BAD[case])


def test_all_problems_at_once(tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text("name: A\nworkers: {count: 0}\nhub:\n  port: 22\n  users: [root]\n")
    with pytest.raises(UsageError, match="4 problems") as caught:
        load(file)
    for part in ("cluster.yaml:1: name", "cluster.yaml:2: workers.count", "4: hub.port", "5: hub.users[0].name"):
        assert part in caught.value.message


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda path: path.mkdir(), "a folder"),
        (lambda path: None, "no such file"),
        (lambda path: path.write_bytes(b"name: a\ncloud: \xff\xfe"), "cluster.yaml:2: it is not UTF-8"),
        (lambda path: path.write_bytes(b"#" * (2 << 20)), "1 MiB"),
        (lambda path: path.symlink_to(path), "cannot be read"),
    ],
)
def test_no_file_of_text(make, part, tmp_path):
    file = tmp_path / "cluster.yaml"
    make(file)
    with pytest.raises(UsageError) as caught:
        load(file)
    assert part in caught.value.message
    assert caught.value.hint


def test_no_file_is_the_default_cluster(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load(None) == ClusterSpec("analytics")


def test_file_in_the_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cluster.yaml").write_text("name: other")
    assert load(None) == ClusterSpec("other")


def test_everything(tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text(
        """
name: analytics
cloud: elsewhere
image: trixie
network:
  cidr: 10.30.0.0/16
  external: ext
  access: [192.0.2.0/24]
master: {flavor: big}
workers: {count: 300, flavor: small}
spark:
  app_cores: 8
  executor_memory: 3g
  defaults: {spark.sql.shuffle.partitions: 64, spark.x: true}
hub:
  port: 8443
  idle_timeout: 1h30m
  tls: {cert: hub.pem, key: hub.key}
  users: [alice, {name: bob, admin: true}]
"""
    )
    spec = load(file, files=False)
    assert spec.network.cidr == IPv4Network("10.30.0.0/16")
    assert spec.network.access == (IPv4Network("192.0.2.0/24"),)
    assert (spec.workers.count, spec.workers.flavor, spec.master.flavor) == (300, "small", "big")
    assert spec.spark.executor_memory_mib == 3072
    assert spec.spark.defaults == (("spark.sql.shuffle.partitions", "64"), ("spark.x", "true"))
    assert spec.hub.idle_timeout == 5400
    assert spec.hub.tls is not None
    assert spec.hub.tls.cert == tmp_path / "hub.pem"
    assert spec.hub.users == (User("alice"), User("bob", admin=True))


def test_sections_without_fields_are_defaults(tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text("name: analytics\nhub:\nspark:\n")
    assert load(file) == ClusterSpec("analytics")


@pytest.mark.parametrize(
    ("rest", "line"),
    [
        ("workers.flavor: small", 3),
        ("spark.app_cores: 9 is more", None),
        ("workers.count: too many", 2),
        ("something: else", None),
    ],
)
def test_with_line(tmp_path, rest, line):
    file = tmp_path / "cluster.yaml"
    file.write_text("name: a\nworkers:\n  flavor: x\n")
    assert with_line(f"{file}: {rest}", file) == (f"{file}:{line}: {rest}" if line else f"{file}: {rest}")
    assert with_line(f"the cloud said: {rest}", file) == f"the cloud said: {rest}"
