"""What restic says, in the words of two versions; operations/data/test_backup.py runs it for real."""

from __future__ import annotations

import pytest

from provision.adapters import restic
from provision.adapters.host.process import Result
from provision.adapters.restic import Repository
from provision.base.errors import ProvisionError, UsageError


@pytest.mark.parametrize(
    ("code", "said", "kind", "message"),
    [
        (1, "Fatal: wrong password or no key found", UsageError, "the password is wrong"),
        (12, "Fatal: something newer", UsageError, "the password is wrong"),
        (1, "Fatal: Is there a repository at the following location?\n/x", UsageError, "there is no repository at /x"),
        (10, "Fatal: repository does not exist", UsageError, "there is no repository at /x"),
        (1, "connection refused", ProvisionError, "repository /x cannot be read"),
    ],
)
def test_failures_in_words(code, said, kind, message):
    error = Repository("/x", None).failure(Result((), code, "", said), "cannot be read")
    assert type(error) is kind
    assert message in error.message
    assert error.hint


def test_a_machine_without_restic(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="restic is not installed") as caught:
        restic.require()
    assert "apt-get install restic" in caught.value.hint


@pytest.mark.parametrize(("version", "good"), [("0.9.6", False), ("0.14.0", True), ("0.18.0", True)])
def test_versions(monkeypatch, tmp_path, version, good):
    script = tmp_path / "restic"
    script.write_text(f"#!/bin/sh\necho restic {version} compiled with go\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    if good:
        restic.require()
    else:
        with pytest.raises(UsageError, match=r"this is restic 0\.9\.6, which is too old"):
            restic.require()


def test_a_summary_that_is_missing_is_no_success(tmp_path):
    from provision.adapters.host.process import Piped

    with pytest.raises(ProvisionError, match="which snapshot"):
        Repository("/x", None).finish_backup(Piped(["true"]))
