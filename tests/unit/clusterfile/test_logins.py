"""hub.login in cluster.yaml: what is read, what is refused in words, and that the Hub reads names by the same rule."""

from __future__ import annotations

import importlib.util

import pytest

from provision.base.model import Ldap, Oidc, SecretSource
from provision.base.paths import TEMPLATES
from provision.clusterfile import load
from provision.clusterfile.logins import account_name, login_name
from provision.clusterfile.units import Wrong, reserved_users

OIDC = "oidc: {issuer: https://login.example.org, client_id: hub, client_secret_env: SECRET}"
LDAP = "ldap: {server: ldap.example.org, user_dn: 'uid={username},dc=example'}"

# id: what is below `hub: {login: {`, the field that is named, a part of the message, a part of the hint
BAD = {
    "nobody may": (f"{OIDC}", "hub.login", "nobody could", "allow_all: true"),
    "everybody and a list": (f"{OIDC}, allow_all: true, allowed_users: [a]", "allow_all", "say nothing", "denied"),
    "no server": ("allow_all: true", "hub.login", "names no login server", "`oidc:` or `ldap:`"),
    "two servers": (f"{OIDC}, {LDAP}, allow_all: true", "hub.login", "two login servers", "`oidc:` or `ldap:`"),
    "no TLS": (
        "oidc: {issuer: 'http://x', client_id: a, client_secret_env: S}, allow_all: true",
        "hub.login.oidc.issuer", "not the address of a login server", "https://login",
    ),
    "no secret": (
        "oidc: {issuer: 'https://x', client_id: a}, allow_all: true",
        "hub.login.oidc", "needs the client's secret", "client_secret_file",
    ),
    "a secret in the spec": (
        "oidc: {issuer: 'https://x', client_id: a, client_secret: s3cret}, allow_all: true",
        "hub.login.oidc.client_secret", "no such field", "client_secret_",
    ),
    "no file": (
        "oidc: {issuer: 'https://x', client_id: a, client_secret_file: none-there}, allow_all: true",
        "hub.login.oidc.client_secret_file", "No such file", "chmod 600",
    ),
    "no client": (
        "oidc: {issuer: 'https://x', client_secret_env: S}, allow_all: true",
        "hub.login.oidc.client_id", "missing", "gave you",
    ),
    "no openid": (
        "oidc: {issuer: 'https://x', client_id: a, client_secret_env: S, scopes: [email]}, allow_all: true",
        "hub.login.oidc.scopes", "`openid` is missing", "Add it",
    ),
    "a word that there is not": (
        "ldap: {server: x, tls: plain, user_dn: 'uid={username}'}, allow_all: true",
        "hub.login.ldap.tls", "'plain' is not one of its words", "`ldaps` or `starttls`",
    ),
    "a URL as host": (
        "ldap: {server: 'ldaps://x', user_dn: 'uid={username}'}, allow_all: true",
        "hub.login.ldap.server", "is not a host", "name alone",
    ),
    "no name in the pattern": (
        "ldap: {server: x, user_dn: 'uid={user}'}, allow_all: true",
        "hub.login.ldap.user_dn", "does not say where", "{username}",
    ),
    "found in two ways": (
        "ldap: {server: x, user_dn: 'uid={username}', search_base: dc=x}, allow_all: true",
        "hub.login.ldap", "twice", "search_base",
    ),
    "a searcher without a password": (
        "ldap: {server: x, search_base: dc=x, bind_dn: cn=hub}, allow_all: true",
        "hub.login.ldap", "a name and a password", "bind_password_file",
    ),
    "a searcher who does not search": (
        "ldap: {server: x, user_dn: 'uid={username}', bind_dn: cn=hub, bind_password_env: P}, allow_all: true",
        "hub.login.ldap", "of no use", "search_base",
    ),
    "an address": (f"{OIDC}, allowed_users: [a@x.org]", "hub.login.allowed_users[0]", "e-mail", "email_domain: x.org"),
    "another address": (
        f"{OIDC}, email_domain: y.org, allowed_users: [a@x.org]",
        "hub.login.allowed_users[0]", "not an address of y.org", "y.org",
    ),
    "the system's own": (f"{OIDC}, admin_users: [ROOT], allow_all: true", "admin_users[0]", "system", "another name"),
    "too long": (f"{OIDC}, denied_users: [{'a' * 33}], allow_all: true", "denied_users[0]", "cannot be", "at most 32"),
    "no domain": (f"{OIDC}, email_domain: '@x', allow_all: true", "email_domain", "not a domain", "behind the @"),
    "no CA": (f"{OIDC}, ca_file: none.pem, allow_all: true", "hub.login.ca_file", "cannot be read", "PEM"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_logins(case, refused):
    text, field, part, hint = BAD[case]
    refused(f"name: a\nhub: {{login: {{{text}}}}}\n", 2, [field, part], hint)


def test_passwords_are_the_login_servers(refused):
    users = "[{name: bob, must_change_password: true}]"
    text = f"name: a\nhub:\n  login: {{{OIDC}, allow_all: true}}\n  users: {users}\n"
    refused(text, 4, ["hub.users[0].must_change_password", "hub.login is set"], "Remove it")


@pytest.mark.parametrize(("text", "part"), [("", "is empty"), ("a\nb\n", "several lines"), (b"\xff\xfe", "not UTF-8")])
def test_a_secret_is_one_line(tmp_path, refused, text, part):
    (tmp_path / "secret").write_bytes(text if isinstance(text, bytes) else text.encode())
    oidc = "oidc: {issuer: 'https://x', client_id: a, client_secret_file: secret}"
    refused(f"name: a\nhub: {{login: {{{oidc}, allow_all: true}}}}", 2, ["client_secret_file", part], "nothing else")


def test_what_is_no_certificate_is_no_authority(tmp_path, refused):
    (tmp_path / "ca.pem").write_text("hello")
    text = f"name: a\nhub: {{login: {{{OIDC}, allow_all: true, ca_file: ca.pem}}}}"
    refused(text, 2, ["hub.login.ca_file", "contains no PEM certificate"], "authority")


def test_oidc_as_plain_data(tmp_path):
    (tmp_path / "secret").write_text("s3cret\n")
    file = tmp_path / "cluster.yaml"
    file.write_text(
        "name: a\nhub:\n  login:\n    email_domain: Example.org\n    allowed_users: [Alice.Smith@example.org]\n"
        "    oidc: {issuer: https://x.org/realm, client_id: hub, client_secret_file: secret}\n"
    )
    hub = load(file).hub
    assert hub.users == ()
    assert hub.login is not None
    assert hub.login.server == Oidc(
        "https://x.org/realm", "hub", SecretSource("hub.login.oidc.client_secret_file", tmp_path / "secret")
    )
    assert (hub.login.email_domain, hub.login.allowed_users) == ("example.org", ("Alice.Smith@example.org",))
    # `down`, when the file is gone.
    (tmp_path / "secret").unlink()
    assert load(file, files=False).hub == hub


def test_ldap_as_plain_data(tmp_path):
    file = tmp_path / "cluster.yaml"
    ldap = "{server: ldap.x, search_base: dc=x, bind_dn: cn=hub, bind_password_env: PASSWORD}"
    file.write_text(f"name: a\nhub: {{users: [bob], login: {{allow_all: true, ldap: {ldap}}}}}\n")
    hub = load(file).hub
    assert hub.login is not None
    secret = SecretSource("hub.login.ldap.bind_password_env", variable="PASSWORD")
    assert hub.login.server == Ldap("ldap.x", search_base="dc=x", bind_dn="cn=hub", secret=secret)
    assert [user.name for user in hub.users] == ["bob"]
    assert not hub.alone


def test_without_it_logins_are_by_pam(tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text("name: a\nhub: {login: }\n")
    hub = load(file).hub
    assert (hub.login, [user.name for user in hub.users]) == (None, ["alice"])


# Names as login servers give them, with a domain or none, and the account; None where there is none.
NAMES = [
    ("alice", "", "alice"),
    (" Alice.Smith ", "", "alice-smith"),
    ("ALICE@Example.ORG", "example.org", "alice"),
    ("alice@example.org", "", None),
    ("alice@evil.org", "example.org", None),
    ("a@b@example.org", "example.org", None),
    ("@example.org", "example.org", None),
    ("x" * 32, "", "x" * 32),
    ("x" * 33, "", None),
    ("1234567", "", None),
    (".alice", "", None),
    ("o'neill", "", None),
    ("EXAMPLE\\alice", "", None),
    ("a b", "", None),
    ("\u212aate", "", None),
    ("müller", "", None),
    ("root", "", None),
    ("ROOT", "", None),
    ("systemd-x", "", None),
    ("admin", "", None),
    ("", "", None),
]


def _hubs():
    path = TEMPLATES / "image/files/usr/local/share/provision/hub/logins.py"
    spec = importlib.util.spec_from_file_location("hub_logins", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("given", "domain", "account"), NAMES)
def test_the_hub_reads_names_as_the_spec_does(given, domain, account):
    hub = _hubs()
    if account is None:
        with pytest.raises(Wrong):
            account_name(login_name(given, domain))
        with pytest.raises(hub.Refused):
            hub.account_name(hub.login_name(given, domain), reserved_users())
    else:
        assert account_name(login_name(given, domain)) == account
        assert hub.account_name(hub.login_name(given, domain), reserved_users()) == account
