"""Fields that are not there: a mistyped name is suggested, and a secret has another place."""

from __future__ import annotations

import pytest

# id: text of the file, line that is named, parts of the message, part of the hint
BAD = {
    "a password of a user": (
        "name: a\nhub:\n  users: [{name: alice, password: hunter22}]",
        3,
        ["hub.users[0].password: there is no such field: a spec holds no secrets"],
        "`provision users passwd`",
    ),
    "a password of the Hub": ("name: a\nhub: {password: hunter22}", 2, ["holds no secrets"], "a first password"),
    "a client's secret": (
        "name: a\nhub: {login: {oidc: {client_secret: z}}}",
        2,
        ["client_secret: there is no such field: a spec holds no secrets", "`client_secret_file: FILE`"],
        "",
    ),
    "a directory's password": (
        "name: a\nhub: {login: {ldap: {server: a.b, bind_password: z}}}",
        2,
        ["holds no secrets"],
        "`bind_password_env: VARIABLE`",
    ),
    "a secret beside the login servers": (
        "name: a\nhub: {login: {client_secret: z}}",
        2,
        ["holds no secrets"],
        "`oidc.client_secret_file`",
    ),
    "a cloud's password": ("name: a\npassword: z", 2, ["holds no secrets"], "clouds.yaml"),
    "a mistyped field of a secret": (
        "name: a\nhub: {login: {ldap: {server: a.b, bind_pasword_file: z}}}",
        2,
        ["there is no such field"],
        "Did you mean `bind_password_file`?",
    ),
    "a mistyped field that has password in its name": (
        "name: a\nhub: {users: [{name: b, must_change_passwords: true}]}",
        2,
        ["there is no such field"],
        "Did you mean `must_change_password`?",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_spec(case, refused):
    error = refused(*BAD[case])
    assert "hunter22" not in error.message + error.hint
