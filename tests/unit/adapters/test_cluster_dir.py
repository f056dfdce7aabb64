"""The cluster's folder: made once, kept, private, and never half-written."""

from __future__ import annotations

import json
import shutil
import ssl
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from cryptography import x509

from provision.adapters.cluster_dir import ClusterDir
from provision.base.errors import ProvisionError, UsageError
from provision.base.model import Addresses, CloudProject, ClusterSpec, HubSpec, Login, Oidc, SecretSource, Tls, User

SPEC = ClusterSpec("analytics", hub=HubSpec(users=(User("alice"), User("bob", admin=True))))
HERE = Addresses("10.20.0.10", "172.29.0.100")


@pytest.fixture
def cluster_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return ClusterDir("analytics")


def test_the_secret_of_the_nodes_is_known_once_it_is_made(cluster_dir):
    assert cluster_dir.spark_secret() == ""
    made = cluster_dir.ensure_secrets(SPEC, HERE)
    assert cluster_dir.spark_secret() == made.spark_secret


def test_everything_is_made_once_and_private(cluster_dir):
    one = cluster_dir.ensure_secrets(SPEC, HERE)
    files = {path.name: path.read_bytes() for path in cluster_dir.folder.iterdir()}
    assert cluster_dir.ensure_secrets(SPEC, HERE) == one
    assert {path.name: path.read_bytes() for path in cluster_dir.folder.iterdir()} == files
    assert set(files) == {
        "id_ed25519",
        "id_ed25519.pub",
        "secrets.json",
        "passwords",
        "ca.pem",
        "ca.key",
        "hub.pem",
        "hub.key",
    }
    assert cluster_dir.folder.stat().st_mode & 0o777 == 0o700
    for path in cluster_dir.folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path.name


def login(**source):
    server = Oidc("https://x.org", "hub", SecretSource("hub.login.oidc.client_secret", **source))
    return replace(SPEC, hub=replace(SPEC.hub, login=Login(server, allow_all=True)))


def test_the_login_servers_secret_is_read_once_and_kept(cluster_dir, monkeypatch):
    monkeypatch.setenv("OURS", "from the environment\n")
    assert cluster_dir.ensure_secrets(login(variable="OURS"), HERE).login_secret == "from the environment"
    assert "from the environment" in cluster_dir.secret_values()
    # A later command, in another shell.
    monkeypatch.delenv("OURS")
    assert cluster_dir.ensure_secrets(login(variable="OURS"), HERE).login_secret == "from the environment"
    assert cluster_dir.ensure_secrets(SPEC, HERE).login_secret == ""
    with pytest.raises(UsageError, match="the variable OURS is empty"):
        cluster_dir.ensure_secrets(login(variable="OURS"), HERE)


def test_the_login_servers_secret_may_be_in_a_file(cluster_dir, tmp_path):
    file = tmp_path / "secret"
    with pytest.raises(UsageError, match="cannot be read"):
        cluster_dir.ensure_secrets(login(file=file), HERE)
    file.write_text("s3cret\n")
    assert cluster_dir.ensure_secrets(login(file=file), HERE).login_secret == "s3cret"
    file.write_text("another\n")
    assert cluster_dir.ensure_secrets(login(file=file), HERE).login_secret == "another"


def test_secrets(cluster_dir):
    made = cluster_dir.ensure_secrets(SPEC, HERE)
    plain = dict(line.split() for line in cluster_dir.passwords.read_text().splitlines())
    assert set(plain) == {"alice", "bob"}
    assert all(len(password) == 16 for password in plain.values())
    hashes = dict(made.password_hashes)
    assert set(hashes) == {"alice", "bob"}
    assert all(one.startswith("$6$") for one in hashes.values())
    for password in plain.values():
        assert password not in (cluster_dir.folder / "secrets.json").read_text()
    assert len(made.spark_secret) == 64
    assert made.operator_public_key.startswith("ssh-ed25519 AAAA")
    assert made.spark_secret not in repr(made)


def test_a_new_user_gets_a_password_and_the_others_keep_theirs(cluster_dir):
    before = dict(cluster_dir.ensure_secrets(SPEC, HERE).password_hashes)
    spec = replace(SPEC, hub=HubSpec(users=(User("alice"), User("carol"))))
    after = dict(cluster_dir.ensure_secrets(spec, HERE).password_hashes)
    assert after["alice"] == before["alice"]
    assert set(after) == {"alice", "carol"}
    assert "carol " in cluster_dir.passwords.read_text()


def test_handed_out_passwords_may_be_removed(cluster_dir):
    before = cluster_dir.ensure_secrets(SPEC, HERE)
    cluster_dir.passwords.unlink()
    assert cluster_dir.ensure_secrets(SPEC, HERE).password_hashes == before.password_hashes
    assert not cluster_dir.passwords.exists()


def test_a_kill_between_password_and_hash_keeps_the_password(cluster_dir):
    cluster_dir.ensure_secrets(SPEC, HERE)
    plain = cluster_dir.passwords.read_text()
    (cluster_dir.folder / "secrets.json").unlink()
    cluster_dir.ensure_secrets(SPEC, HERE)
    assert cluster_dir.passwords.read_text() == plain


def test_the_certificate_is_trusted_by_its_authority_and_names_the_addresses(cluster_dir):
    made = cluster_dir.ensure_secrets(SPEC, HERE)
    cert = x509.load_pem_x509_certificate(made.hub_cert.encode())
    authority = x509.load_pem_x509_certificate(made.authority.encode())
    cert.verify_directly_issued_by(authority)
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {IPv4Address("172.29.0.100"), IPv4Address("10.20.0.10")} <= set(names.get_values_for_type(x509.IPAddress))
    assert "analytics-master" in names.get_values_for_type(x509.DNSName)
    context = ssl.create_default_context(cadata=made.authority)
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_the_certificate_follows_the_floating_ip_and_the_authority_stays(cluster_dir):
    one = cluster_dir.ensure_secrets(SPEC, HERE)
    two = cluster_dir.ensure_secrets(SPEC, Addresses("10.20.0.10", "172.29.0.101"))
    assert one.hub_cert != two.hub_cert
    assert one.authority == two.authority
    assert one.spark_secret == two.spark_secret


def test_a_certificate_that_nears_its_end_is_made_anew(cluster_dir, monkeypatch):
    monkeypatch.setattr("provision.adapters.host.certificates.CERTIFICATE_DAYS", 20)
    one = cluster_dir.ensure_secrets(SPEC, HERE)
    monkeypatch.setattr("provision.adapters.host.certificates.CERTIFICATE_DAYS", 397)
    assert cluster_dir.ensure_secrets(SPEC, HERE).hub_cert != one.hub_cert


def test_the_users_own_certificate_is_passed_on(cluster_dir, tmp_path):
    (tmp_path / "c.pem").write_text("CERT")
    (tmp_path / "c.key").write_text("KEY")
    spec = replace(SPEC, hub=replace(SPEC.hub, tls=Tls(tmp_path / "c.pem", tmp_path / "c.key")))
    made = cluster_dir.ensure_secrets(spec, HERE)
    assert (made.hub_cert, made.hub_key, made.authority) == ("CERT", "KEY", "CERT")
    assert not cluster_dir.authority.exists()
    (tmp_path / "c.key").unlink()
    with pytest.raises(UsageError, match=r"hub\.tls\.key"):
        cluster_dir.ensure_secrets(spec, HERE)


def test_no_key_yet_changes_nothing(cluster_dir):
    assert cluster_dir.public_key() == ""
    assert not cluster_dir.folder.exists()


@pytest.mark.parametrize("file", ["id_ed25519", "secrets.json"])
def test_a_damaged_file_is_named(cluster_dir, file):
    cluster_dir.ensure_secrets(SPEC, HERE)
    (cluster_dir.folder / file).write_text("garbage")
    with pytest.raises(ProvisionError, match=file):
        cluster_dir.ensure_secrets(SPEC, HERE)


def test_the_lock_outlives_the_folder(cluster_dir):
    with cluster_dir.locked():
        cluster_dir.ensure_key()
        cluster_dir.remove()
        with pytest.raises(ProvisionError, match="another"), ClusterDir("analytics").locked():
            pass
    with cluster_dir.locked():
        shutil.rmtree(cluster_dir.folder, ignore_errors=True)


def test_uids_never_change_hands(cluster_dir):
    def uids(*names: str) -> dict[str, int]:
        spec = replace(SPEC, hub=HubSpec(users=tuple(User(name) for name in names)))
        return dict(cluster_dir.ensure_secrets(spec, HERE).uids)

    assert uids("bob", "alice") == {"bob": 2001, "alice": 2002}
    assert uids("alice") == {"alice": 2002}
    assert uids("alice", "carol", "bob") == {"alice": 2002, "carol": 2003, "bob": 2001}


def test_a_folder_of_an_earlier_version_gets_the_missing_secrets(cluster_dir):
    one = cluster_dir.ensure_secrets(SPEC, HERE)
    file = cluster_dir.folder / "secrets.json"
    file.write_text(json.dumps({"spark_secret": one.spark_secret, "password_hashes": dict(one.password_hashes)}))
    two = cluster_dir.ensure_secrets(SPEC, HERE)
    assert two.spark_secret == one.spark_secret
    assert len(two.executor_key) == 64
    assert dict(two.uids).keys() == dict(one.uids).keys()


def test_each_project_has_its_folder_whatever_the_cloud_is_called(cluster_dir):
    here = CloudProject("company", "https://a.example.org", "1234", "RegionOne")
    found = ClusterDir.at("analytics", here, str)
    assert found.folder == cluster_dir.folder
    found.claim(here)
    renamed = replace(here, cloud="firm", auth_url="https://b.example.org", region="")
    assert ClusterDir.at("analytics", renamed, str).folder == found.folder
    for other in (replace(here, project="5678"), replace(here, region="RegionTwo")):
        second = ClusterDir.at("analytics", other, str)
        assert second.folder.name == "analytics@company"
        with pytest.raises(ProvisionError, match="belongs to cloud 'company'"):
            found.claim(other)
    second.claim(other)
    assert ClusterDir.at("analytics", replace(here, project="9"), str).folder.name == "analytics@company-2"
    assert ClusterDir.at("analytics", other, str).folder == second.folder


def test_a_folder_of_an_older_release_belongs_to_the_project_that_has_its_key(cluster_dir):
    key = cluster_dir.ensure_key()
    here = CloudProject("company", "", "1234")
    assert ClusterDir.at("analytics", here, lambda: key).folder == cluster_dir.folder
    assert ClusterDir.at("analytics", here, str).folder.name == "analytics@company"


def test_ids_are_never_given_twice(cluster_dir):
    def ids(*users):
        made = cluster_dir.ensure_secrets(ClusterSpec("analytics", hub=HubSpec(users=users)), HERE)
        return dict(made.uids), dict(made.gids)

    assert ids(User("alice", groups=("lab", "team"))) == ({"alice": 2001}, {"lab": 10001, "team": 10002})
    assert ids(User("bob", groups=("new",))) == ({"bob": 2002}, {"new": 10003})
    assert ids(User("alice", groups=("team",))) == ({"alice": 2001}, {"team": 10002})


def test_an_operators_password_replaces_the_first(cluster_dir):
    cluster_dir.ensure_secrets(SPEC, HERE)
    cluster_dir.note_password("alice", "$6$new")
    assert "alice" not in cluster_dir.passwords.read_text()
    assert "bob" in cluster_dir.passwords.read_text()
    assert dict(cluster_dir.ensure_secrets(SPEC, HERE).password_hashes)["alice"] == "$6$new"


def test_who_comes_back_gets_another_first_password(cluster_dir):
    one = cluster_dir.ensure_secrets(SPEC, HERE)
    cluster_dir.forget_passwords(["alice", "zed"])
    assert "alice" not in cluster_dir.passwords.read_text()
    two = cluster_dir.ensure_secrets(SPEC, HERE)
    assert dict(two.password_hashes)["alice"] != dict(one.password_hashes)["alice"]
    assert dict(two.password_hashes)["bob"] == dict(one.password_hashes)["bob"]
    assert two.uids == one.uids


@pytest.mark.parametrize(
    "text",
    ["{bad", "", "[1]", "null", '{"password_hashes": ["a"]}', '{"uids": 1}', '{"gids": []}'],
)
def test_damaged_secrets_are_one_message_that_names_the_file(cluster_dir, text):
    cluster_dir.ensure_secrets(SPEC, HERE)
    (cluster_dir.folder / "secrets.json").write_text(text)
    with pytest.raises(ProvisionError) as refused:
        cluster_dir.ensure_secrets(SPEC, HERE)
    assert refused.value.message.startswith(str(cluster_dir.folder / "secrets.json"))
    assert refused.value.hint == "Restore it from a backup."


@pytest.mark.parametrize("text", ["[]", '{"cloud": 1}'])
def test_a_damaged_note_of_the_project_is_named_too(cluster_dir, text):
    cluster_dir.folder.mkdir(parents=True)
    (cluster_dir.folder / "cloud.json").write_text(text)
    with pytest.raises(ProvisionError, match=r"cloud\.json"):
        cluster_dir.place()


def test_a_line_of_the_passwords_that_is_none_is_named(cluster_dir):
    cluster_dir.ensure_secrets(SPEC, HERE)
    cluster_dir.passwords.write_text("alice secret-1\nbob\n")
    with pytest.raises(ProvisionError, match=r"passwords:2: the line is not a user and a password"):
        cluster_dir.secret_values()
