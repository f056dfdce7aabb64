"""Grafana's folder on disk: who may read what, and what is refused."""

from __future__ import annotations

import pytest

from provision.base.errors import UsageError
from provision.model.localcloud.monitoring.dashboards import DASHBOARDS
from provision.model.monitoring.grafana import SECRETS
from provision.operations.grafana import write_folder


def test_its_owner_alone_reads_the_passwords(tmp_path):
    write_folder(tmp_path, DASHBOARDS, "http://127.0.0.1:8429", login="for-the-login")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()}
    assert modes.pop(SECRETS) == 0o600
    assert set(modes.values()) == {0o644}


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        write_folder(tmp_path / "file", DASHBOARDS, "http://127.0.0.1:8429", login="x")
