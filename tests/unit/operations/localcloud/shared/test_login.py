from __future__ import annotations

from pathlib import Path

import pytest

from provision.model.localcloud.settings import GivenTls, Settings
from provision.operations.localcloud.shared import login

PUBLIC = GivenTls("cloud.example.org", Path("/c.pem"), Path("/k.pem"))


@pytest.mark.parametrize(
    ("log_in", "user", "project"), [(login.admin_login, "admin", "admin"), (login.user_entry, "provision", "provision")]
)
def test_each_logs_in_to_a_project_of_its_own(log_in, user, project, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    entry = log_in(Settings(), "secret")
    auth = entry["auth"]
    assert (auth["username"], auth["project_name"], auth["password"]) == (user, project, "secret")
    assert auth["auth_url"] == "https://127.0.0.1:5000/v3"
    assert entry["cacert"] == str(tmp_path / "provision/local/tls/ca.pem")


def test_a_certificate_that_everybody_trusts_needs_no_authority():
    entry = login.user_entry(Settings(tls=PUBLIC), "secret")
    assert entry["auth"]["auth_url"] == "https://cloud.example.org:5000/v3"
    assert "cacert" not in entry
