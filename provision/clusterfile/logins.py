"""hub.login: logins by a server of the user's own (OIDC, LDAP). Who may log in, and the files that it names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from cryptography import x509

from provision.base.model import Ldap, Login, Oidc, SecretSource
from provision.clusterfile import units
from provision.clusterfile.document import Path, Problem
from provision.clusterfile.units import Wrong

if TYPE_CHECKING:
    from pathlib import Path as FilePath

    from provision.clusterfile.models import HubModel, LdapModel, LoginModel, OidcModel

_LOGIN: Final = ("hub", "login")
_LISTS: Final = ("allowed_users", "denied_users", "admin_users")
_DOMAIN: Final = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
_HOST: Final = re.compile(r"[A-Za-z0-9.-]+|[0-9a-fA-F:]+")


def login_name(given: str, domain: str = "") -> str:
    """Return a login in the one way to write it, as the Hub does (templates/image/files, logins.py). Raises Wrong."""
    text = given.strip()
    if not text or not text.isascii() or not text.isprintable():
        raise Wrong(f"{given!r} cannot be an account", "Use letters of the English alphabet.")
    text = text.lower()
    if "@" not in text:
        return text
    name, _, place = text.rpartition("@")
    if not domain:
        fix = f"Write `email_domain: {place}` if its addresses are people: the name before the @ is then the login."
        raise Wrong(f"{given!r} is an e-mail address, and hub.login.email_domain is not set", fix)
    if place != domain.lower():
        raise Wrong(
            f"{given!r} is not an address of {domain}", f"Use addresses of {domain}: their names are the logins."
        )
    return name


def account_name(login: str) -> str:
    """Return the name of a login's account, as the Hub does: dots become dashes. Raises Wrong."""
    return units.user_name(login.replace(".", "-"))


def issuer(text: str) -> str:
    """Check the address of an OIDC server."""
    parts = urlsplit(text)
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
        fix = "Write what the server calls its issuer, as https://login.example.org/realms/ours."
        raise Wrong(f"{text!r} is not the address of a login server", fix)
    return text


def host(text: str) -> str:
    """Check a directory's host."""
    if not _HOST.fullmatch(text):
        raise Wrong(
            f"{text!r} is not a host", "Write its name alone, as ldap.example.org; `port` and `tls` say the rest."
        )
    return text


def user_dn(text: str) -> str:
    """Check the pattern of an entry's name."""
    if text.count("{username}") != 1 or set(text.replace("{username}", "")) & set("{}"):
        fix = "Write {username} once where the name belongs: uid={username},ou=people,dc=example,dc=org."
        raise Wrong(f"{text!r} does not say where the user's name is", fix)
    return text


def email_domain(text: str) -> str:
    """Check a domain of addresses."""
    if not _DOMAIN.fullmatch(text.lower()):
        raise Wrong(f"{text!r} is not a domain", "Write what is behind the @, as example.org.")
    return text.lower()


def problems(hub: HubModel) -> list[Problem]:
    """List what is wrong with hub.login, whose single fields are right."""
    login = hub.login
    if login is None:
        return []
    found = [*_servers(login), *_lists(login)]
    for place, user in enumerate(hub.users):
        if user.must_change_password:
            wrong = "it is for logins by PAM, and hub.login is set: passwords are the login server's"
            found.append(Problem(("hub", "users", place, "must_change_password"), wrong, "Remove it."))
    return found


def _servers(login: LoginModel) -> list[Problem]:
    if (login.oidc is None) == (login.ldap is None):
        wrong = "it names no login server" if login.oidc is None else "it names two login servers"
        return [Problem(_LOGIN, wrong, "Write `oidc:` or `ldap:` below it; without hub.login, logins are by PAM.")]
    if login.oidc:
        return _oidc(login.oidc)
    return _ldap(login.ldap) if login.ldap else []


def _oidc(oidc: OidcModel) -> list[Problem]:
    where: Path = (*_LOGIN, "oidc")
    found = []
    if (oidc.client_secret_file is None) == (oidc.client_secret_env is None):
        wrong = "it needs the client's secret, once"
        fix = "Write `client_secret_file: FILE`, beside this file, or `client_secret_env: VARIABLE` of the environment."
        found.append(Problem(where, wrong, fix))
    if "openid" not in oidc.scopes:
        found.append(Problem((*where, "scopes"), "`openid` is missing", "Add it: without it this is no OIDC."))
    return found


def _ldap(ldap: LdapModel) -> list[Problem]:
    where: Path = (*_LOGIN, "ldap")
    secret = ldap.bind_password_file is not None or ldap.bind_password_env is not None
    if (ldap.user_dn is None) == (ldap.search_base is None):
        fix = "Write `user_dn`, if all entries are called alike, or `search_base`, below which they are searched."
        return [Problem(where, "it does not say how a user's entry is found, or says it twice", fix)]
    if ldap.user_dn and (ldap.bind_dn or secret):
        fix = "Remove `bind_dn` and its password, or use `search_base`."
        return [Problem(where, "an account that searches is of no use with `user_dn`", fix)]
    if bool(ldap.bind_dn) != secret or (ldap.bind_password_file and ldap.bind_password_env):
        fix = "Write `bind_dn` and one of `bind_password_file` and `bind_password_env`; or none, if anybody may search."
        return [Problem(where, "the account that searches needs a name and a password", fix)]
    return []


def _lists(login: LoginModel) -> list[Problem]:
    found: list[Problem] = []
    listed = [*login.allowed_users, *login.allowed_groups]
    if not login.allow_all and not listed:
        wrong = "it does not say who may log in: nobody could"
        fix = (
            "Name `allowed_users` or `allowed_groups`, or write `allow_all: true` for everybody whom the server knows."
        )
        found.append(Problem(_LOGIN, wrong, fix))
    if login.allow_all and listed:
        fix = "Remove it, or the lists of those who may; `denied_users` says who may not."
        found.append(Problem((*_LOGIN, "allow_all"), "with it, the lists of those who may say nothing", fix))
    domain = login.email_domain or ""
    for field in _LISTS:
        for place, given in enumerate(getattr(login, field)):
            try:
                account_name(login_name(given, domain))
            except Wrong as error:
                found.append(Problem((*_LOGIN, field, place), error.wrong, error.fix))
    return found


def read(login: LoginModel, folder: FilePath, *, files: bool) -> tuple[Login, list[Problem]]:
    """Return the checked fields as plain data, and what is wrong with the files that they name."""
    found: list[Problem] = []
    ca = ""
    if login.ca_file and files:
        ca, wrong = _certificates(folder / login.ca_file)
        found += wrong
    server, sources = _server(login, folder)
    for source in sources:
        if files and source.file:
            found += _unreadable(source)
    made = Login(
        server,
        ca=ca,
        email_domain=login.email_domain or "",
        allow_all=login.allow_all,
        allowed_users=tuple(login.allowed_users),
        allowed_groups=tuple(login.allowed_groups),
        denied_users=tuple(login.denied_users),
        admin_users=tuple(login.admin_users),
        admin_groups=tuple(login.admin_groups),
    )
    return made, found


def _server(login: LoginModel, folder: FilePath) -> tuple[Oidc | Ldap, list[SecretSource]]:
    if oidc := login.oidc:
        secret = _source("hub.login.oidc.client_secret", oidc.client_secret_file, oidc.client_secret_env, folder)
        made = Oidc(
            issuer=oidc.issuer,
            client_id=oidc.client_id,
            secret=secret,
            username_claim=oidc.username_claim,
            groups_claim=oidc.groups_claim,
            scopes=tuple(oidc.scopes),
            claims=oidc.claims,
            title=oidc.title or "",
        )
        return made, [secret]
    ldap = login.ldap
    if ldap is None:
        raise ValueError("checks.py demands one of the two")
    bind = None
    if ldap.bind_dn:
        bind = _source("hub.login.ldap.bind_password", ldap.bind_password_file, ldap.bind_password_env, folder)
    directory = Ldap(
        server=ldap.server,
        port=ldap.port,
        tls=ldap.tls,
        user_dn=ldap.user_dn or "",
        search_base=ldap.search_base or "",
        user_attribute=ldap.user_attribute,
        bind_dn=ldap.bind_dn or "",
        secret=bind,
    )
    return directory, [bind] if bind else []


def _source(field: str, file: str | None, variable: str | None, folder: FilePath) -> SecretSource:
    if file:
        return SecretSource(f"{field}_file", file=folder / file)
    return SecretSource(f"{field}_env", variable=variable or "")


def _unreadable(source: SecretSource) -> list[Problem]:
    where, path = tuple(source.field.split(".")), source.file
    fix = (
        "Write the secret there, and nothing else, for your own eyes alone (chmod 600); paths are relative to the spec."
    )
    try:
        text = path.read_text().strip() if path else ""
    except OSError as error:
        return [Problem(where, f"{path} cannot be read: {error.strerror or error}", fix)]
    except UnicodeDecodeError:
        return [Problem(where, f"{path} is not UTF-8 text", fix)]
    if not text or not text.isprintable():
        return [Problem(where, f"{path} {'has several lines' if text else 'is empty'}", fix)]
    return []


def _certificates(path: FilePath) -> tuple[str, list[Problem]]:
    where, fix = (
        (*_LOGIN, "ca_file"),
        "Name a PEM file with the certificate of the authority that the server's is from.",
    )
    try:
        text = path.read_text()
        x509.load_pem_x509_certificates(text.encode())
    except OSError as error:
        return "", [Problem(where, f"{path} cannot be read: {error.strerror or error}", fix)]
    except ValueError:
        return "", [Problem(where, f"{path} contains no PEM certificate", fix)]
    return text, []
