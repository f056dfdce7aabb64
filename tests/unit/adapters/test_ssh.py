from __future__ import annotations

import base64
import stat
import struct
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from provision.adapters import ssh
from provision.adapters.host import process
from provision.base.model import Bastion, Node

if TYPE_CHECKING:
    from pathlib import Path

NODES = (
    Node("a-master", "master", "10.20.0.10", "id-m", host_keys=("ssh-ed25519 AAAAm", "ssh-rsa AAAAr")),
    Node("a-worker-1", "worker", "10.20.0.21", "id-1", host_keys=("ssh-ed25519 AAAA1",)),
    Node("a-worker-2", "worker", "10.20.0.22", "id-2"),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
    return tmp_path / "c"


def told(config: Path, node: str) -> dict[str, str]:
    """What OpenSSH itself makes of the file."""
    said = process.run(["ssh", "-F", str(config), "-G", node])
    assert said.ok, said.stderr
    return dict(line.split(maxsplit=1) for line in said.stdout.splitlines() if " " in line)


def test_openssh_reads_what_we_write(folder: Path) -> None:
    config = ssh.write_config(folder, NODES, "192.0.2.7")
    master, worker = told(config, "a-master"), told(config, "a-worker-1")
    assert (master["hostname"], master["user"], master.get("proxyjump", "none")) == ("192.0.2.7", "provision", "none")
    assert (worker["hostname"], worker["proxyjump"]) == ("10.20.0.21", "a-master")
    for node in (master, worker):
        assert node["stricthostkeychecking"] in ("yes", "true")
        assert node["userknownhostsfile"] == str(folder / "known_hosts")
        assert node["identityfile"] == str(folder / "id_ed25519")
        assert node["identitiesonly"] == "yes"
    assert master["hostkeyalias"] == "a-master"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600


def test_known_hosts_knows_names_addresses_and_the_vm(folder: Path) -> None:
    ssh.write_config(folder, NODES, "192.0.2.7")
    assert ssh.known(folder) == {
        "a-master": ssh.HostKeys("id-m", ("ssh-ed25519 AAAAm", "ssh-rsa AAAAr")),
        "a-worker-1": ssh.HostKeys("id-1", ("ssh-ed25519 AAAA1",)),
    }
    assert (folder / "known_hosts").read_text().startswith("a-master,10.20.0.10,192.0.2.7 ssh-ed25519 AAAAm id-m\n")


def test_known_hosts_that_is_not_there_knows_nobody(folder: Path) -> None:
    assert ssh.known(folder) == {}


def test_a_line_of_known_hosts_that_is_no_key_says_nothing(folder: Path) -> None:
    ssh.write_config(folder, NODES, "192.0.2.7")
    whole, master = ssh.known(folder), ssh.known_master(folder, "a-master")
    with (folder / "known_hosts").open("a") as file:
        file.write("\n\nhalf a-line\n")
    assert ssh.known(folder) == whole
    assert ssh.known_master(folder, "a-master") == master


def test_a_home_with_no_room_for_sockets_goes_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / ("x" * 90)))
    config = ssh.write_config(tmp_path / "c", NODES, "192.0.2.7")
    assert "ControlPath" not in config.read_text()


def test_every_node_has_a_result_even_when_none_is_reached(folder: Path) -> None:
    nodes = (Node("a-master", "master", "127.0.0.1", "id-m"), Node("a-worker-1", "worker", "127.0.0.2", "id-1"))
    config = ssh.write_config(folder, nodes, "127.0.0.1")
    # Nobody listens there.
    config.write_text(config.read_text() + "  Port 1\n")
    with ssh.Fleet(folder, nodes) as fleet:
        results = fleet.run(nodes, "true")
    assert {name: result.code for name, result in results.items()} == {"a-master": 255, "a-worker-1": 255}


def key(number: int) -> str:
    data = struct.pack(">I", 11) + b"ssh-ed25519" + struct.pack(">I", 32) + number.to_bytes(32, "big")
    return f"ssh-ed25519 {base64.b64encode(data).decode()}"


def test_files_of_many_nodes_are_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from paramiko import SSHClient, SSHConfig

    roles = ("master", *["worker"] * 200)
    nodes = [Node(f"a-{n}", role, f"10.20.0.{n}", f"id-{n}", host_keys=(key(n + 1),)) for n, role in enumerate(roles)]
    ssh.write_config(folder, nodes, "192.0.2.7")
    parsed, real = [], SSHConfig.from_path
    monkeypatch.setattr(SSHConfig, "from_path", lambda path: parsed.append(path) or real(path))
    monkeypatch.setattr(SSHClient, "load_host_keys", lambda *_: pytest.fail("the whole known_hosts is read"))
    with ssh.Fleet(folder, nodes) as fleet:
        clients = {node.name: fleet._connection(node.name).client for node in nodes}
    assert len(parsed) == 1
    # paramiko looks keys up by the address.
    addresses = {"a-0": "192.0.2.7"} | {node.name: node.address for node in nodes[1:]}
    for place, (name, address) in enumerate(addresses.items(), 1):
        keys = clients[name].get_host_keys()
        assert list(keys) == [address]
        assert keys[address]["ssh-ed25519"].get_base64() == key(place).split()[1]


def test_a_command_runs_on_64_nodes_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [Node(f"a-{n}", "worker", f"10.20.0.{n}", f"id-{n}") for n in range(100)]
    running, most, lock = set(), [], threading.Lock()

    class Connection:
        def __init__(self, name: str) -> None:
            self.name = name

        def run(self, line: str, **_: object) -> SimpleNamespace:
            with lock:
                running.add(self.name)
                most.append(len(running))
            threading.Event().wait(0.02)
            running.discard(self.name)
            if self.name == "a-7":
                raise OSError("No route to host")
            return SimpleNamespace(exited=0, stdout=self.name, stderr="")

        def close(self) -> None:
            pass

    monkeypatch.setattr(ssh.Fleet, "_connect", lambda _, name: Connection(name))
    with ssh.Fleet(folder, nodes) as fleet:
        results = fleet.run(nodes, "hostname")
    assert list(results) == [node.name for node in nodes]
    assert {name: result.stdout for name, result in results.items() if result.ok} == {
        node.name: node.name for node in nodes if node.name != "a-7"
    }
    assert (results["a-7"].code, results["a-7"].stderr) == (255, "No route to host")
    assert max(most) <= 64


def test_a_shared_connection_stays_with_its_node_whatever_the_order(tmp_path: Path) -> None:
    def sockets(nodes: list[Node]) -> dict[str, str]:
        blocks = ssh.write_config(tmp_path, nodes, "172.29.0.10").read_text().split("\n\n")[:-1]
        return {block.split()[1]: block.split("ControlPath ")[1] for block in blocks}

    nodes = [
        Node(f"a-{n}", "worker" if n else "master", f"10.20.0.{n}", str(n), host_keys=(f"key {n}",)) for n in range(3)
    ]
    there = sockets(nodes)
    assert len(set(there.values())) == 3
    assert sockets(nodes[::-1]) == there
    assert (
        sockets([*nodes[:2], Node("a-2", "worker", "10.20.0.2", "new", host_keys=("other key",))])["a-2"]
        != there["a-2"]
    )


def test_the_master_as_it_was_written_last(folder: Path) -> None:
    assert ssh.known_master(folder, "a-master") is None
    assert ssh.config_texts(folder) == ("", "")
    ssh.write_config(folder, NODES, "192.0.2.7")
    assert ssh.known_master(folder, "a-master") == ssh.KnownMaster(NODES[0], "a-master", "192.0.2.7")
    assert ssh.known_master(folder, "b-master") is None
    before = ssh.config_texts(folder)
    ssh.write_config(folder, NODES, "192.0.2.8")
    assert ssh.config_texts(folder) != before
    ssh.write_config(folder, NODES, "")
    assert ssh.known_master(folder, "a-master") is None


def test_the_others_are_reached_by_way_of_the_hubs_own_node(folder: Path) -> None:
    hub = Node("a-hub", "hub", "10.20.0.11", "id-h", host_keys=("ssh-ed25519 AAAAh",))
    nodes = (NODES[0], hub, *NODES[1:])
    config = ssh.write_config(folder, nodes, "192.0.2.7")
    found = {node.name: told(config, node.name) for node in nodes}
    assert (found["a-hub"]["hostname"], found["a-hub"].get("proxyjump", "none")) == ("192.0.2.7", "none")
    assert (found["a-master"]["hostname"], found["a-master"]["proxyjump"]) == ("10.20.0.10", "a-hub")
    assert found["a-worker-1"]["proxyjump"] == "a-hub"
    assert ssh.known_master(folder, "a-master") == ssh.KnownMaster(NODES[0], "a-hub", "192.0.2.7")
    keyless = [replace(node, host_keys=()) for node in nodes]
    ssh.write_config(folder, keyless, "192.0.2.7")
    with ssh.Fleet(folder, keyless) as fleet:
        assert fleet._connect("a-master").gateway.host == "192.0.2.7"
        assert fleet._connect("a-hub").gateway is None


def account(monkeypatch, home) -> None:
    """Let the account's home, where OpenSSH looks, be another than $HOME."""
    monkeypatch.setattr("pwd.getpwuid", lambda number: SimpleNamespace(pw_dir=str(home)))


QUIETLY = "-o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=180 -o LogLevel=ERROR"


def test_a_bastion_is_reached_by_ssh_as_the_operator_has_it(folder, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    account(monkeypatch, tmp_path)
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").touch()
    config = ssh.write_config(folder, NODES, "10.20.0.10", Bastion("jump", "me", 2222))
    master, worker = told(config, "a-master"), told(config, "a-worker-1")
    # Without -F: /etc/ssh/ssh_config would not count, and the file would hold for machines on the way to the bastion.
    assert master["proxycommand"] == f"ssh {QUIETLY} -p 2222 -W 10.20.0.10:22 me@jump"
    assert worker["proxyjump"] == "a-master"
    assert master["userknownhostsfile"] == str(folder / "known_hosts")
    config = ssh.write_config(folder, NODES, "10.20.0.10", Bastion("jump.example.org"))
    assert told(config, "a-master")["proxycommand"] == f"ssh {QUIETLY} -W 10.20.0.10:22 jump.example.org"


def test_a_bastion_behind_another_machine_has_nothing_of_the_clusters(folder, tmp_path, monkeypatch) -> None:
    home = tmp_path / "elsewhere"
    monkeypatch.setattr("pathlib.Path.home", lambda: home)
    account(monkeypatch, tmp_path)
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh/config").write_text(
        "Host jump\n  HostName 192.0.2.5\n  ProxyJump gate\n"
        f"Host gate\n  User guard\n  ProxyCommand {tmp_path}/way %r@%n\n"
    )
    (tmp_path / "way").write_text(f"#!/bin/sh\necho $1 > {tmp_path}/gone\n")
    (tmp_path / "way").chmod(0o755)
    config = ssh.write_config(folder, NODES, "10.20.0.10", Bastion("jump"))
    command = told(config, "a-master")["proxycommand"]
    assert command.startswith(f"ssh -F {home}/.ssh/config -o BatchMode=yes")
    process.run(["sh", "-c", command], timeout=20)
    assert (tmp_path / "gone").read_text() == "guard@gate\n"


def test_fabric_goes_by_the_bastion_too(folder, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    nodes = [replace(node, host_keys=()) for node in NODES]
    ssh.write_config(folder, nodes, "10.20.0.10", Bastion("jump"))
    with ssh.Fleet(folder, nodes) as fleet:
        worker = fleet._connection("a-worker-1")
        assert worker.gateway.gateway == f"ssh {QUIETLY} -W 10.20.0.10:22 jump"
        assert worker.gateway.user == "provision"


def test_an_account_that_the_system_does_not_know_has_no_settings_elsewhere(folder, monkeypatch) -> None:
    def nobody(number):
        raise KeyError(number)

    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert ssh._own_config() == []


def test_another_way_is_another_connection(folder, monkeypatch) -> None:
    monkeypatch.setattr(ssh, "SOCKET_LIMIT", 1000)  # pytest's folders have long names

    def socket(bastion):
        return told(ssh.write_config(folder, NODES, "10.20.0.10", bastion), "a-master")["controlpath"]

    assert len({socket(None), socket(Bastion("one")), socket(Bastion("two")), socket(Bastion("one", "me"))}) == 4
