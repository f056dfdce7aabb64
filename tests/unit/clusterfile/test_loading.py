"""Every bad spec gives one UsageError that names file, line, field, what is wrong and what to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from provision.base.errors import UsageError
from provision.base.model import ClusterSpec, User
from provision.clusterfile import load
from provision.clusterfile.loading import with_line

# id: text of the file, line that is named, parts of the message, part of the hint
BAD = {
    "unknown key": ("name: a\nclod: x\n", 2, ["clod", "no such field"], "Did you mean `cloud`?"),
    "unknown nested key": ("name: a\nworkers: {flavour: m1}", 2, ["workers.flavour", "no such field"], "`flavor`"),
    "unknown key, nothing near": ("name: a\nzzz: 1", 2, ["zzz"], "Known here: name, cloud"),
    "no name": ("cloud: local", None, ["name", "missing"], "Add it"),
    "empty": ("", None, ["empty"], "name: analytics"),
    "only comments": ("# nothing\n\n", None, ["empty"], "name: analytics"),
    "not YAML": ("name: [a\ncloud: b", None, ["not YAML"], "line"),
    "tabs": ("name: a\nhub:\n\tport: 1", 3, ["not YAML"], "spaces"),
    "control characters": ("name: a\x00b", None, ["not YAML"], "UTF-8"),
    "a list": ("- name: a", 1, ["a list, not a map"], "name: analytics"),
    "plain text": ("analytics", 1, ["plain text, not a map"], "name: analytics"),
    "two documents": ("name: a\n---\nname: b", None, ["2 documents"], "Keep one"),
    "duplicate key": ("name: a\ncloud: x\ncloud: y", 3, ["cloud", "twice", "line 2"], "Keep one"),
    "duplicate nested key": ("name: a\nhub:\n  port: 443\n  port: 444", 4, ["hub.port", "twice"], "Keep one"),
    "merge key": ("x: &x {port: 1}\nname: a\nhub: {<<: *x}", None, ["merge keys", "x: there is no such"], "Correct"),
    "name is a number": ("name: 12", 1, ["name", "a number (12)"], "quotes"),
    "name has capitals": ("name: Analytics", 1, ["name", "'Analytics'"], "a-z"),
    "name starts with a digit": ("name: 1a", 1, ["'1a'"], "start with a letter"),
    "name ends with a dash": ("name: a-", 1, ["'a-'"], "end with"),
    "name too long": ("name: " + "a" * 41, 1, ["name"], "at most 40"),
    "name with a path": ("name: ../x", 1, ["name"], "a-z"),
    "name nothing": ("name:", 1, ["name", "nothing"], "quotes"),
    "cloud empty": ('name: a\ncloud: ""', 2, ["cloud", "empty"], "default"),
    "section is a list": ("name: a\nworkers: [2]", 2, ["workers", "a list", "a map"], "workers:"),
    "section is a number": ("name: a\nworkers: 2", 2, ["workers", "a number (2)"], "workers:"),
    "bad CIDR": ("name: a\nnetwork: {cidr: 10.20.0.0/33}", 2, ["network.cidr", "no address range"], "10.20.0.0/24"),
    "CIDR is a word": ("name: a\nnetwork: {cidr: big}", 2, ["network.cidr", "'big'"], "10.20.0.0/24"),
    "CIDR without prefix": ("name: a\nnetwork: {cidr: 10.20.0.0}", 2, ["network.cidr", "no prefix"], "/24"),
    "an address that is none": (
        "name: a\nnetwork: {access: [192.0.2.300]}",
        2,
        ["network.access[0]", "no address range"],
        "Write an IPv4 range",
    ),
    "half of a certificate": ("name: a\nhub: {tls: {cert: a}}", 2, ["hub.tls.key", "missing"], "both"),
    "CIDR is IPv6": ('name: a\nnetwork: {cidr: "fd00::/64"}', 2, ["network.cidr", "IPv6"], "IPv4"),
    "host bits": ("name: a\nnetwork:\n  cidr: 10.20.0.1/24", 3, ["network.cidr", "host bits"], "10.20.0.0/24"),
    "loopback": ("name: a\nnetwork: {cidr: 127.0.0.0/24}", 2, ["network.cidr", "loopback"], "private"),
    "metadata range": ("name: a\nnetwork: {cidr: 169.254.0.0/16}", 2, ["network.cidr", "metadata"], "private"),
    "multicast": ("name: a\nnetwork: {cidr: 224.1.0.0/24}", 2, ["multicast"], "private"),
    "too small": ("name: a\nnetwork: {cidr: 10.0.0.0/29}", 2, ["room for 2 nodes", "has 3"], "/28"),
    "too small for many": (
        "name: a\nnetwork: {cidr: 10.0.0.0/24}\nworkers: {count: 300}",
        2,
        ["room for 250 nodes", "has 301"],
        "/23",
    ),
    "access empty": ("name: a\nnetwork: {access: []}", 2, ["network.access", "nobody"], "192.0.2.0/24"),
    "access no list": ("name: a\nnetwork: {access: 1.2.3.0/24}", 2, ["network.access", "not a list"], "brackets"),
    "access host bits": ("name: a\nnetwork: {access: [1.2.3.4/24]}", 2, ["network.access[0]"], "1.2.3.0/24"),
    "access twice": ("name: a\nnetwork: {access: [1.2.3.0/24, 1.2.3.0/24]}", 2, ["access[1]", "twice"], "wider"),
    "access overlapping": ("name: a\nnetwork: {access: [1.2.3.0/24, 1.2.0.0/16]}", 2, ["overlaps"], "wider"),
    "access inside cidr": ("name: a\nnetwork: {access: [10.20.0.8/29]}", 2, ["inside network.cidr"], "outside"),
    "zero workers": ("name: a\nworkers: {count: 0}", 2, ["workers.count", "0 workers"], "at least 1"),
    "negative workers": ("name: a\nworkers: {count: -1}", 2, ["workers.count", "-1"], "at least 1"),
    "count is text": ('name: a\nworkers: {count: "2"}', 2, ["workers.count", "whole number"], "quotes"),
    "count is a fraction": ("name: a\nworkers: {count: 2.5}", 2, ["workers.count", "whole number"], "point"),
    "count is true": ("name: a\nworkers: {count: yes}", 2, ["workers.count", "whole number"], "quotes"),
    "flavor is a list": ("name: a\nmaster: {flavor: [m1]}", 2, ["master.flavor", "a list"], "quotes"),
    "zero cores": ("name: a\nspark: {app_cores: 0}", 2, ["spark.app_cores", "0 cores"], "at least 1"),
    "memory without unit": ("name: a\nspark: {executor_memory: 2048}", 2, ["executor_memory", "no unit"], "2048m"),
    "memory nonsense": ("name: a\nspark: {executor_memory: lots}", 2, ["executor_memory", "'lots'"], "512m"),
    "memory too small": ("name: a\nspark: {executor_memory: 100m}", 2, ["100 MiB"], "512m"),
    "spark.master": (
        "name: a\nspark: {defaults: {spark.master: x}}",
        2,
        ["spark.defaults.spark.master", "the cluster itself"],
        "Remove",
    ),
    "spark.driver.host": ("name: a\nspark: {defaults: {spark.driver.host: x}}", 2, ["reach the driver"], "Remove"),
    "spark.authenticate": (
        "name: a\nspark:\n  defaults:\n    spark.authenticate: false",
        4,
        ["spark.authenticate", "authenticates"],
        "Remove",
    ),
    "spark.executor.memory twice": (
        "name: a\nspark: {defaults: {spark.executor.memory: 1g}}",
        2,
        ["field of its own"],
        "spark.executor_memory",
    ),
    "no Spark setting": ("name: a\nspark: {defaults: {sql.x: 1}}", 2, ["no Spark setting"], "spark."),
    "setting is a list": ("name: a\nspark: {defaults: {spark.x: [1]}}", 2, ["no text"], "quotes"),
    "setting of two lines": ('name: a\nspark: {defaults: {spark.x: "a\\nb"}}', 2, ["more than one line"], "one line"),
    "setting that opens a port": (
        "name: a\nspark: {defaults: {spark.shuffle.service.enabled: true}}",
        2,
        ["spark.shuffle.service.enabled", "firewall"],
        "Remove",
    ),
    "setting of the pinned folder": (
        "name: a\nspark: {defaults: {spark.local.dir: /tmp}}",
        2,
        ["this place"],
        "Remove",
    ),
    "setting with an escape in its name": (
        'name: a\nspark: {defaults: {"spark.au\\\\u0074henticate": "false"}}',
        2,
        ["no Spark setting"],
        "letters",
    ),
    "setting without a value": ("name: a\nspark:\n  defaults:\n    spark.x:", 4, ["no value"], "remove"),
    "defaults is a list": ("name: a\nspark: {defaults: [a]}", 2, ["spark.defaults", "not a map"], "indented"),
    "port of SSH": ("name: a\nhub: {port: 22}", 2, ["hub.port", "SSH"], "443"),
    "port of Spark": ("name: a\nhub: {port: 7077}", 2, ["hub.port", "Spark master"], "443"),
    "port of Spark's UI": ("name: a\nhub: {port: 8080}", 2, ["hub.port", "UI"], "443"),
    "port of notebooks' UIs": ("name: a\nhub: {port: 4045}", 2, ["hub.port", "notebooks' Spark UIs"], "443"),
    "port of drivers": ("name: a\nhub: {port: 7110}", 2, ["hub.port", "drivers"], "443"),
    "port out of range": ("name: a\nhub: {port: 70000}", 2, ["hub.port", "no port"], "65535"),
    "time without unit": ("name: a\nhub: {idle_timeout: 60}", 2, ["hub.idle_timeout", "no unit"], "60s"),
    "time nonsense": ("name: a\nhub: {idle_timeout: soon}", 2, ["hub.idle_timeout", "'soon'"], "1h30m"),
    "time too short": ("name: a\nhub: {idle_timeout: 5s}", 2, ["shorter than a minute"], "1m"),
    "no users": ("name: a\nhub: {users: []}", 2, ["hub.users", "nobody could log in"], "[alice]"),
    "users is text": ("name: a\nhub: {users: alice}", 2, ["hub.users", "not a list"], "brackets"),
    "user twice": ("name: a\nhub: {users: [bob, {name: bob}]}", 2, ["hub.users[1]", "twice"], "Keep one"),
    "user root": ("name: a\nhub: {users: [root]}", 2, ["hub.users[0].name", "'root'"], "another name"),
    "user provision": ("name: a\nhub: {users: [provision]}", 2, ["'provision'"], "another name"),
    "user spark": ("name: a\nhub: {users: [spark]}", 2, ["'spark'"], "another name"),
    "user daemon": ("name: a\nhub: {users: [daemon]}", 2, ["'daemon'"], "another name"),
    "user with a space": ("name: a\nhub: {users: [a b]}", 2, ["'a b'"], "at most 32"),
    "user with capitals": ("name: a\nhub: {users: [Bob]}", 2, ["'Bob'"], "a-z"),
    "user unknown key": ("name: a\nhub: {users: [{name: b, admn: true}]}", 2, ["users[0].admn"], "`admin`"),
    "admin is text": ('name: a\nhub: {users: [{name: b, admin: "yes"}]}', 2, ["admin", "true or false"], "quotes"),
    "half of tls": ("name: a\nhub: {tls: {cert: a.pem}}", 2, ["hub.tls.key", "missing"], "both"),
    "unreadable tls": ("name: a\nhub: {tls: {cert: no.pem, key: no.key}}", None, ["cannot be read"], "Correct"),
    "too deep": ("name: a\nhub: " + "[" * 30 + "]" * 30, 2, ["nested"], "init"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_spec(case, tmp_path):
    text, line, parts, hint = BAD[case]
    file = tmp_path / "cluster.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        load(file)
    error = caught.value
    assert error.exit_code == 2
    assert str(file) in error.message
    if line:
        assert f"{file}:{line}:" in error.message
    for part in parts:
        assert part in error.message
    assert hint in error.hint


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


def test_aliases_cannot_grow(tmp_path):
    file = tmp_path / "cluster.yaml"
    rows = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    rows += [f"{n}: &{n} [{', '.join(['*' + p] * 9)}]" for p, n in zip("abcdefgh", "bcdefghi", strict=True)]
    file.write_text("\n".join(rows))
    with pytest.raises(UsageError, match="aliases"):
        load(file)


def test_no_file_is_the_default_cluster(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load(None) == ClusterSpec("analytics")


def test_file_in_the_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cluster.yaml").write_text("name: other")
    assert load(None) == ClusterSpec("other")


def test_everything(tmp_path):
    cert, key = certificate()
    (tmp_path / "hub.pem").write_bytes(cert)
    (tmp_path / "hub.key").write_bytes(key)
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
    spec = load(file)
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


def certificate(start: int = -1, end: int = 10, secret: bytes | None = None) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hub.example.org")])
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=start))
        .not_valid_after(now + timedelta(days=end))
        .sign(key, hashes.SHA256())
    )
    lock = BestAvailableEncryption(secret) if secret else NoEncryption()
    return (
        cert.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock),
    )


GOOD = certificate()
BAD_TLS = {
    "expired": (*certificate(-10, -1), "hub.tls.cert", "expired on"),
    "not yet": (*certificate(5, 10), "hub.tls.cert", "is valid from"),
    "another key": (GOOD[0], certificate()[1], "hub.tls.key", "is not the key of"),
    "locked key": (*certificate(secret=b"x"), "hub.tls.key", "passphrase"),
    "no certificate": (b"hello", GOOD[1], "hub.tls.cert", "no PEM certificate"),
    "no key": (GOOD[0], b"hello", "hub.tls.key", "no PEM private key"),
    "key and certificate swapped": (GOOD[1], GOOD[0], "hub.tls.cert", "no PEM certificate"),
}


@pytest.mark.parametrize("case", BAD_TLS)
def test_bad_tls(case, tmp_path):
    cert, key, field, part = BAD_TLS[case]
    (tmp_path / "hub.pem").write_bytes(cert)
    (tmp_path / "hub.key").write_bytes(key)
    file = tmp_path / "cluster.yaml"
    file.write_text("name: a\nhub:\n  tls: {cert: hub.pem, key: hub.key}\n")
    with pytest.raises(UsageError) as caught:
        load(file)
    assert f"{file}:3: {field}" in caught.value.message
    assert part in caught.value.message
    assert load(file, files=False).name == "a"


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


# YAML 1.1 would make 18 of 022, 3600 of 1:00:00, true of on, 1000 of 1_000.
AS_WRITTEN = [
    "022",
    "1:00:00",
    "on",
    "yes",
    "True",
    "1e3",
    "0x10",
    "1_000",
    "2026-11-27",
    "+5",
    ".5",
    "~/jars",
    "'64'",
    '"022"',
]


@pytest.mark.parametrize("written", AS_WRITTEN)
def test_sparks_own_values_reach_it_as_they_are_written(written, tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text(f"name: a\nspark:\n  defaults:\n    spark.x: {written}\n")
    spec = load(file)
    assert spec.spark.defaults == (("spark.x", written.strip("'\"")),)
