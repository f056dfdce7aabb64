"""`provision tunnel`: what it prints, and that Ctrl-C is its ordinary end."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from provision.base.errors import ProvisionError
from provision.cli.view import tunnel as module
from provision.operations import tunnel as operation
from provision.operations.tunnel import Forward


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    """A function that runs the command, whose tunnel ends with an exception."""
    monkeypatch.chdir(tmp_path)
    cluster = SimpleNamespace(ssh_config="/state/ssh_config", hub=SimpleNamespace(name="a-master", address="10.0.0.1"))
    monkeypatch.setattr(module, "_cluster", lambda file: cluster)
    monkeypatch.setattr(operation, "choose", lambda cluster, names, _: [Forward(names[0], "10.0.0.1", 8080, 50000)])

    def invoke(ending):
        @contextmanager
        def opened(cluster, forwards):
            def hold():
                raise ending

            yield hold

        monkeypatch.setattr(operation, "opened", opened)
        return CliRunner().invoke(module.tunnel, ["master"], catch_exceptions=False)

    return invoke


def test_it_prints_addresses_and_ends_with_ctrl_c(invoke):
    done = invoke(KeyboardInterrupt())
    assert (done.exit_code, done.stdout) == (0, "http://127.0.0.1:50000  master\n")
    assert "Ctrl-C" in done.stderr


def test_a_lost_connection_is_a_failure(invoke):
    with pytest.raises(ProvisionError):
        invoke(ProvisionError("the connection to a-master was lost"))
