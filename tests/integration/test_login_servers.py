"""Logins by OIDC and LDAP for real: a Hub with the rendered configuration, an OIDC server, a directory, and useradd."""

from __future__ import annotations

import dataclasses
import stat
import time

import pytest
from directory import READER, SUFFIX, directory, group_dn
from oidc_server import CLIENT, oidc_server

from provision.adapters.host.certificates import ensure_certificate
from provision.base.model import ClusterSpec, HubSpec, Ldap, Login, Oidc, SecretSource, User

from .hub_process import TIMEOUT, hub, said

pytestmark = [pytest.mark.integration, pytest.mark.acceptance]
SECRET = SecretSource("hub.login.oidc.client_secret_env", variable="UNUSED")


def until(question, seconds=200):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if question():
            return True
        time.sleep(0.5)
    return False


def test_oidc_makes_accounts_and_refuses_in_words(tmp_path):
    with oidc_server(tmp_path) as server:
        login = Login(
            Oidc(server.issuer, CLIENT, SECRET),
            ca=server.ca.read_text(),
            allowed_users=("Alice.Smith", "carol", "d" * 32, "root-ish"),
            allowed_groups=("lab",),
            admin_groups=("ops",),
            denied_users=("mallory",),
        )
        spec = ClusterSpec("a", hub=HubSpec(login=login, users=(User("bob"),)))
        folder = tmp_path / "hub"
        folder.mkdir()
        people = {
            "1": {"preferred_username": "Alice.Smith"},
            "2": {"preferred_username": "alice-smith", "groups": ["lab"]},
            "3": {"preferred_username": "erin", "groups": ["staff"]},
            "4": {"preferred_username": "frank", "groups": ["lab", "ops"]},
            "5": {"preferred_username": "mallory", "groups": ["lab"]},
            "6": {"preferred_username": "frank@example.org", "groups": ["lab"]},
            "7": {"preferred_username": "x" * 33, "groups": ["lab"]},
            "8": {"preferred_username": "daemon", "groups": ["lab"]},
            "9": {"preferred_username": "\u212aate", "groups": ["lab"]},
            "10": {"email": "nameless@example.org"},
            "11": {"preferred_username": "carol"},
            "12": {"preferred_username": "carol"},
            "13": {"preferred_username": "D" * 32},
        }
        for subject, claims in people.items():
            server.knows(subject, **claims)
        with hub(folder, spec) as running:
            alice = running.browser()
            page = alice.log_in_at(server, "1")
            assert page.status_code == 200, said(page)
            assert page.url == f"{running.url}/hub/token"
            account = running.accounts()["alice-smith"]
            assert account[2:5] == ["20001", "20001", "Notebook user by login"]
            home = (folder / "home/alice-smith").stat()
            assert (home.st_uid, stat.S_IMODE(home.st_mode)) == (20001, 0o700)
            assert (folder / "etc/shadow").read_text().count("alice-smith:*:") == 1
            groups = [line for line in (folder / "etc/group").read_text().splitlines() if "alice-smith" in line]
            assert {line.split(":")[0] for line in groups} == {"alice-smith", "spark", "notebook"}
            assert not running.ask("/users/alice-smith")["admin"]

            # Each in words, on the login page.
            for subject, words in {
                "2": "the account alice-smith belongs to alice.smith",
                "3": "Erin is not on the list of those who may use this cluster",
                "5": "Mallory is not on the list",
                "6": "is an e-mail address",
                "7": "has 33 letters, and 32 is the most",
                "8": "is one of the system's own",
                "9": "letters that are not of the English alphabet",
                "10": "does not say your preferred_username",
            }.items():
                page = running.browser().log_in_at(server, subject)
                assert page.status_code == 403, (subject, page.url)
                assert words.lower() in said(page).lower(), (subject, said(page))
            assert "erin" not in running.accounts()

            assert running.browser().log_in_at(server, "11").status_code == 200
            assert "somebody who was called carol before" in said(running.browser().log_in_at(server, "12"))
            assert running.browser().log_in_at(server, "13").status_code == 200
            assert "d" * 32 in running.accounts()
            assert running.browser().log_in_at(server, "4").status_code == 200
            assert running.ask("/users/frank")["admin"]

            # A server.
            assert alice.start_server("alice-smith").status_code in (201, 202)
            assert until(lambda: running.server_of("alice-smith"))
            # Whoever is logged in elsewhere has no page for passwords to change.
            assert "change-password" not in running.browser().get(f"{running.url}/hub/login", timeout=TIMEOUT).text

        # Off the list: the server that goes on ends, and the browser's cookie is good for nothing.
        fewer = dataclasses.replace(login, allowed_users=("carol",))
        with hub(folder, ClusterSpec("a", hub=HubSpec(login=fewer, users=()))) as running:
            assert until(lambda: not running.server_of("alice-smith"))
            alice.hub = running.url
            page = alice.get(f"{running.url}/hub/token", timeout=TIMEOUT)
            assert "/hub/login" in page.url
            assert "is not on the list" in said(running.browser().log_in_at(server, "1"))
            assert "alice-smith" in running.accounts()


def test_an_oidc_server_that_is_not_there_is_said_on_the_page(tmp_path):
    login = Login(Oidc("https://127.0.0.1:9", CLIENT, SECRET), allow_all=True)
    folder = tmp_path / "hub"
    folder.mkdir()
    with hub(folder, ClusterSpec("a", hub=HubSpec(login=login, users=()))) as running:
        page = running.browser().get(f"{running.url}/hub/oauth_login", timeout=TIMEOUT)
        assert page.status_code == 503
        assert "The login server https://127.0.0.1:9 does not answer as it should" in said(page)


@pytest.mark.parametrize("tls", ["ldaps", "starttls"])
def test_ldap_makes_accounts_and_refuses_in_words(tmp_path, tls):
    people = {"alice.smith": "right one", "bob": "bobs own", "erin": "erins own", "frank": "franks own"}
    groups = {"lab": ["alice.smith", "frank"], "ops": ["frank"]}
    folder = tmp_path / "hub"
    folder.mkdir()
    with directory(tmp_path, people, groups) as found:
        port = found.ldaps if tls == "ldaps" else found.ldap
        searching = Ldap(
            found.host, port, tls, search_base=f"ou=people,{SUFFIX}", bind_dn=READER,
            secret=SecretSource("hub.login.ldap.bind_password_env", variable="UNUSED"),
        )  # fmt: skip
        named = Ldap(found.host, port, tls, user_dn=f"uid={{username}},ou=people,{SUFFIX}")
        login = Login(
            searching if tls == "ldaps" else named,
            ca=found.ca.read_text(),
            allowed_users=("bob",),
            allowed_groups=(group_dn("lab"),),
            admin_groups=(group_dn("ops"),),
        )
        with hub(folder, ClusterSpec("a", hub=HubSpec(login=login, users=()))) as running:
            assert running.browser().log_in("Alice.Smith", "right one").status_code == 200
            assert running.accounts()["alice-smith"][2] == "20001"
            page = running.browser().log_in("alice.smith", "wrong one")
            assert (page.status_code, said(page)) == (403, "Invalid username or password")
            assert said(running.browser().log_in("nobody-there", "x")) == "Invalid username or password"
            assert "Erin is not on the list" in said(running.browser().log_in("erin", "erins own"))
            assert "is an e-mail address" in said(running.browser().log_in("bob@example.org", "bobs own"))
            assert said(running.browser().log_in("*", "x")) == "Invalid username or password"
            assert running.browser().log_in("bob", "bobs own").status_code == 200
            assert running.browser().log_in("frank", "franks own").status_code == 200
            assert running.ask("/users/frank")["admin"]
            for _ in range(5):
                running.browser().log_in("bob", "wrong")
            assert "Too many wrong passwords" in said(running.browser().log_in("bob", "bobs own"))

        # Another authority: its certificate is not believed, and no password goes there.
        (tmp_path / "other").mkdir()
        authority = ensure_certificate(tmp_path / "other", "x", "another authority", (), ("127.0.0.1",)).authority
        other = dataclasses.replace(login, ca=authority)
        with hub(folder, ClusterSpec("a", hub=HubSpec(login=other, users=()))) as running:
            page = running.browser().log_in("bob", "bobs own")
            assert page.status_code == 503
            assert f"The directory {found.host} does not answer as it should" in said(page)
