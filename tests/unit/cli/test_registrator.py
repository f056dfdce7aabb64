"""The command's own part: bad options are refused before anything is touched, and the log is one line each."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from provision.base.errors import UsageError
from provision.cli.registrator import log, registrator


@pytest.mark.parametrize("url", ["", "consul:8500", "ftp://consul"])
def test_a_consul_that_is_no_url_is_bad_usage(url):
    with pytest.raises(UsageError, match="--consul"):
        CliRunner().invoke(registrator, ["--consul", url, "--docker", "unix:///nowhere"], catch_exceptions=False)


def test_a_token_file_that_is_not_there_is_bad_usage(tmp_path):
    asked = ["--consul-token-file", str(tmp_path / "none"), "--docker", "unix:///nowhere"]
    with pytest.raises(UsageError, match="--consul-token-file"):
        CliRunner().invoke(registrator, asked, catch_exceptions=False)


@pytest.mark.parametrize("resync", ["0", "-1", "soon"])
def test_a_resync_without_a_pause_is_bad_usage(resync):
    assert CliRunner().invoke(registrator, ["--resync", resync]).exit_code == 2


@pytest.mark.parametrize(
    "options", [["--reserve", "a"], ["--reserve-for", "a=b"], ["--reserve", "a", "--reserve-for", "b"]]
)
def test_names_are_reserved_for_a_label_or_not_at_all(options):
    with pytest.raises(UsageError, match="--reserve"):
        CliRunner().invoke(registrator, [*options, "--docker", "unix:///nowhere"], catch_exceptions=False)


def test_the_log_is_one_line_whatever_is_said(capsys):
    log("away", level="warning", reason='a "quoted"\nlast line', empty="", plain="x=1")
    out = capsys.readouterr().err
    assert out.count("\n") == 1
    assert 'level=warning event=away reason="a \\"quoted\\"\\nlast line" empty="" plain="x=1"' in out
