"""Which pages are opened, at which ports, and what happens to the connection; a program stands for ssh."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest

from provision.adapters.host.process import Result
from provision.base.errors import ProvisionError, UsageError
from provision.base.model import ClusterSpec, Node
from provision.operations import tunnel
from provision.operations.tunnel import Application, Forward

NODES = [
    Node("a-master", "master", "10.20.0.10", "1", "ACTIVE", ()),
    Node("a-worker-1", "worker", "10.20.0.11", "2", "ACTIVE", ()),
    Node("a-worker-2", "worker", "10.20.0.12", "3", "ACTIVE", ()),
]
CLUSTER = SimpleNamespace(
    spec=ClusterSpec("a"), master=NODES[0], hub=NODES[0], workers=tuple(NODES[1:]), ssh_config="/state/ssh_config"
)
APPS = [Application(4040, "app-1", "PySparkShell", "alice"), Application(4042, "app-2", "count", "bob")]


def chosen(*names, apps=APPS, busy=()):
    asked = []

    def applications():
        asked.append(True)
        return apps

    others = iter(range(50000, 50010))
    forwards = tunnel.choose(CLUSTER, names, applications, lambda port: next(others) if port in (0, *busy) else port)
    return [(each.address, each.port, each.local) for each in forwards], bool(asked)


CASES = {
    (): [("10.20.0.10", 8080, 8080), ("10.20.0.10", 18080, 18080)],
    ("history",): [("10.20.0.10", 18080, 18080)],
    # Both workers' pages have the same port.
    ("worker-1", "a-worker-2"): [("10.20.0.11", 8081, 8081), ("10.20.0.12", 8081, 50000)],
    ("worker-1", "a-worker-1"): [("10.20.0.11", 8081, 8081)],
    ("apps",): [("10.20.0.10", 4040, 4040), ("10.20.0.10", 4042, 4042)],
    ("app-2", "apps"): [("10.20.0.10", 4042, 4042), ("10.20.0.10", 4040, 4040)],
}


def test_the_hub_is_a_page_too():
    (hub,) = tunnel.choose(CLUSTER, ["hub"], list, lambda port: port)
    assert (hub.address, hub.port, hub.url) == ("10.20.0.10", 443, "https://127.0.0.1:8443")


@pytest.mark.parametrize("names", CASES)
def test_what_the_services_are(names):
    forwards, asked = chosen(*names)
    assert forwards == CASES[names]
    # The nodes are asked for applications only where it matters.
    assert asked == any("app" in name for name in names)


def test_a_port_that_is_taken_here_is_replaced():
    assert chosen("master", busy=[8080])[0] == [("10.20.0.10", 8080, 50000)]


def test_a_name_that_is_no_service_is_refused_with_those_that_are():
    with pytest.raises(UsageError, match="there is no service 'spark'") as caught:
        chosen("spark")
    assert caught.value.hint == "It has: master, history, hub, apps, worker-1, worker-2, app-1, app-2."


def test_the_store_of_metrics_is_one_where_monitoring_is_on(monkeypatch):
    with pytest.raises(UsageError, match="there is no service 'metrics'"):
        chosen("metrics")
    monkeypatch.setattr(CLUSTER, "spec", ClusterSpec("a", monitoring=True))
    assert chosen("metrics")[0] == [("127.0.0.1", 8429, 8429)]


def test_no_application_is_no_page():
    with pytest.raises(UsageError, match="no application runs"):
        chosen("apps", apps=[])


class Master:
    """A Remote whose program has this result."""

    name = "a-master"

    def __init__(self, result):
        self.result, self.order = result, None

    def start(self, module, order, *, needs=()):
        self.order = order
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def finish(self):
        return self.result


def test_the_master_says_what_runs():
    said = [{"port": 4040, "id": "app-1", "name": "PySparkShell", "user": "alice"}]
    master = Master(Result((), 0, json.dumps(said), ""))
    assert tunnel.find_applications(master, "10.20.0.10") == APPS[:1]
    assert master.order == {"address": "10.20.0.10", "first": 4040, "last": 4139}


def test_a_master_that_cannot_be_asked():
    with pytest.raises(ProvisionError, match="cannot be asked") as caught:
        tunnel.find_applications(Master(Result((), 255, "", "no route")), "10.20.0.10")
    assert caught.value.detail == "no route"


FORWARDS = [Forward("Spark master", "10.20.0.10", 8080, 8080), Forward("a-worker-1", "10.20.0.11", 8081, 50000)]


@pytest.fixture
def ssh(tmp_path, monkeypatch):
    """A function that makes a Python program the `ssh` of this test."""

    def become(code):
        program = tmp_path / "ssh"
        program.write_text(f"#!{sys.executable}\nimport sys, time\n{code}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        return program

    return become


def test_the_command_line():
    argv = tunnel.ssh_argv(CLUSTER, FORWARDS)
    assert argv[:4] == ["ssh", "-F", "/state/ssh_config", "-N"]
    forwards = [argv[place + 1] for place, word in enumerate(argv) if word == "-L"]
    assert forwards == ["127.0.0.1:8080:10.20.0.10:8080", "127.0.0.1:50000:10.20.0.11:8081"]
    assert argv[-1] == "a-master"
    assert "ControlPath=none" in argv


def test_a_tunnel_is_there_until_it_breaks(ssh):
    ssh("print('ready', flush=True); time.sleep(0.1); sys.exit('Connection reset by peer')")
    with (
        pytest.raises(ProvisionError, match="the connection to a-master was lost") as caught,
        tunnel.opened(CLUSTER, FORWARDS) as hold,
    ):
        hold()
    assert "reset by peer" in caught.value.detail


def test_a_tunnel_that_cannot_be_made(ssh):
    ssh("sys.exit('bind: Address already in use')")
    with pytest.raises(ProvisionError, match="no tunnel to a-master") as caught, tunnel.opened(CLUSTER, FORWARDS):
        pass
    assert "already in use" in caught.value.detail


def test_the_history_server_is_started_where_its_page_is_asked_for(ssh, tmp_path):
    assert tunnel.asks_history([Forward("history server", "10.20.0.10", 18080, 50001)])
    assert not tunnel.asks_history(FORWARDS)
    asked = tmp_path / "asked"
    ssh(f"open({str(asked)!r}, 'w').write(' '.join(sys.argv[1:]))")
    tunnel.start_history(CLUSTER)
    words = asked.read_text()
    assert words.startswith("-F /state/ssh_config a-master -- sudo systemctl start spark-history && curl")
    assert words.endswith("http://10.20.0.10:18080/")


def test_a_history_server_that_does_not_start(ssh):
    ssh("sys.exit('Job for spark-history.service failed.')")
    with pytest.raises(ProvisionError, match="does not start") as caught:
        tunnel.start_history(CLUSTER)
    assert "Job for" in caught.value.detail
    assert "provision logs spark-history" in caught.value.hint


def test_it_ends_with_its_command(ssh, tmp_path):
    ended = tmp_path / "ended"
    ssh(
        "try:\n    print('ready', flush=True)\n    time.sleep(60)\nexcept KeyboardInterrupt:\n"
        f"    open({str(ended)!r}, 'w').close()"
    )
    with tunnel.opened(CLUSTER, FORWARDS):
        pass
    assert ended.exists()
