"""Grafana's folder on disk: who may read what, and what is refused."""

from __future__ import annotations

import pytest

from provision.base.errors import UsageError
from provision.model.localcloud.monitoring.dashboards import DASHBOARDS
from provision.model.localcloud.settings import Settings
from provision.model.monitoring.grafana import SECRETS, MetricsSource, documents
from provision.operations.localcloud.shared.installation import save_settings
from provision.operations.localcloud.single import grafana, monitoring


@pytest.fixture(autouse=True)
def _state(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(monitoring, "read_passwords", lambda: {"monitoring": "the-SECRET"})
    save_settings(Settings(monitoring=True))


def test_grafana_reads_its_files_and_nobody_else_the_password(tmp_path):
    folder = tmp_path / "grafana"
    grafana.write_grafana(folder)
    written = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert set(written) == set(documents(DASHBOARDS, MetricsSource("http://x"), "x"))
    for name, path in written.items():
        assert path.stat().st_mode & 0o777 == (0o600 if name == SECRETS else 0o644)
    (folder / "own").write_text("kept")
    grafana.write_grafana(folder)
    assert (folder / "own").read_text() == "kept"


def test_without_monitoring_there_is_nothing_to_show(tmp_path):
    save_settings(Settings())
    with pytest.raises(UsageError, match="monitoring is off"):
        grafana.write_grafana(tmp_path / "grafana")
    assert not (tmp_path / "grafana").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        grafana.write_grafana(tmp_path / "file")
