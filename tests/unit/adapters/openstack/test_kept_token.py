"""The token that is kept between commands: for whom, until when, and what becomes of one that is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from keystoneauth1 import noauth
from keystoneauth1.identity import v3
from keystoneauth1.identity.generic import Password

from provision.adapters.openstack.kept_token import KeptToken, forget_all
from provision.base import paths

LOGIN = {
    "auth_url": "https://cloud.example.org/v3",
    "username": "alice",
    "password": "p",
    "project_name": "one",
    "user_domain_id": "default",
    "project_domain_id": "default",
}


def body(lives):
    ends = datetime.now(UTC) + timedelta(seconds=lives)
    return {"token": {"expires_at": ends.isoformat().replace("+00:00", "Z"), "methods": ["password"], "catalog": []}}


def logged_in(lives=3600, **changes):
    """A plugin with a token, and its file."""
    auth = Password(**LOGIN | changes)
    auth.set_auth_state(json.dumps({"auth_token": "secret", "body": body(lives)}))
    kept = KeptToken(auth)
    kept.keep()
    return auth


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return paths.state_dir() / "tokens"


def loaded(auth):
    return KeptToken(auth).load()


def test_the_next_command_has_it(folder):
    logged_in()
    (file,) = folder.iterdir()
    assert (folder.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
    assert "secret" in file.read_text()
    assert '"p"' not in file.read_text()
    auth = Password(**LOGIN)
    assert loaded(auth)
    assert auth.get_token(None) == "secret"


@pytest.mark.parametrize(
    "other",
    [
        {"username": "bob"},
        {"password": "another"},
        {"project_name": "two"},
        {"auth_url": "https://other.example.org/v3"},
        {"user_domain_id": "d"},
    ],
)
def test_nobody_else_gets_it(other):
    logged_in()
    assert not loaded(Password(**LOGIN | other))
    assert loaded(Password(**LOGIN))


def test_each_kind_of_login_has_its_own():
    logged_in()
    assert not loaded(v3.Password(**LOGIN))
    assert loaded(Password(**LOGIN))


def test_one_that_is_about_to_end_is_not_used(folder):
    logged_in(lives=100)
    auth = Password(**LOGIN)
    assert not loaded(auth)
    assert auth.auth_ref is None
    assert not [*folder.iterdir()]


def test_those_that_have_ended_are_removed(folder):
    logged_in(lives=-1, username="bob")
    logged_in()
    assert len([*folder.iterdir()]) == 1


def test_a_file_that_others_can_read_or_have_made_is_not_used(folder):
    logged_in()
    (file,) = folder.iterdir()
    file.chmod(0o644)
    assert not loaded(Password(**LOGIN))
    assert not file.exists()
    logged_in()
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")
    assert not loaded(Password(**LOGIN))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"auth_token": "a", "body": {}}', "\0"])
def test_a_broken_file_is_none(folder, text):
    logged_in()
    (file,) = folder.iterdir()
    file.write_text(text)
    assert not loaded(Password(**LOGIN))
    assert not file.exists()


def test_it_is_written_when_it_is_new_and_gone_when_it_is_forgotten(folder):
    auth = logged_in()
    kept = KeptToken(auth)
    kept.load()
    (file,) = folder.iterdir()
    before = file.stat().st_ino
    kept.keep()
    assert file.stat().st_ino == before
    auth.set_auth_state(json.dumps({"auth_token": "new", "body": body(3600)}))
    kept.keep()
    assert "new" in file.read_text()
    kept.forget()
    assert not file.exists()
    kept.forget()


def test_a_folder_that_cannot_be_written_costs_a_login_and_nothing_else(folder):
    folder.parent.mkdir(parents=True)
    folder.write_text("a file where the folder should be")
    logged_in()
    assert not loaded(Password(**LOGIN))


def test_of_a_login_without_an_identity_nothing_is_kept(folder):
    kept = KeptToken(noauth.NoAuth())
    assert not kept.load()
    kept.keep()
    kept.forget()
    assert not folder.exists()


def test_of_all_logins_nothing_is_left(folder):
    logged_in()
    logged_in(username="bob")
    forget_all()
    assert not folder.exists()
    forget_all()
