"""The door to the nodes: SSH by the cluster's own ssh_config and known_hosts, in which every host key was known before.

One ssh_config serves everyone: OpenSSH (`provision ssh`), fabric (here), testinfra and Ansible. Host keys come from the
nodes' consoles, through the cloud's API (model/cluster/console.py); one that was not announced there is never accepted.
"""

from __future__ import annotations

import hashlib
import logging
import shlex
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from provision.adapters.host.files import ensure_private
from provision.adapters.host.process import Result
from provision.base import paths
from provision.base.constants import OPERATOR
from provision.base.errors import ProvisionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from provision.base.model import Node

CONFIG: Final = "ssh_config"
KNOWN_HOSTS: Final = "known_hosts"
CONNECT_SECONDS: Final = 180
"""Emulated nodes take their time for a key exchange."""
SOCKET_LIMIT: Final = 107 - 17
"""What a Unix socket's path may hold, less the suffix that OpenSSH gives it while it is made."""
UNREACHABLE: Final = 255
"""The exit code of a node that could not be reached: OpenSSH's own."""


@dataclass(frozen=True, slots=True)
class HostKeys:
    """What known_hosts tells of a VM: its id in the cloud and the keys that it announced."""

    id: str
    keys: tuple[str, ...]


def known(folder: Path) -> dict[str, HostKeys]:
    """Read the known_hosts of a cluster's folder: node name -> keys; the VM's id says whether they still count."""
    found: dict[str, HostKeys] = {}
    try:
        lines = (folder / KNOWN_HOSTS).read_text().splitlines()
    except FileNotFoundError:
        return {}
    for line in lines:
        names, kind, data, *comment = line.split()
        name = names.partition(",")[0]
        before = found.get(name)
        keys = (*before.keys, f"{kind} {data}") if before else (f"{kind} {data}",)
        found[name] = HostKeys(comment[0] if comment else "", keys)
    return found


def write_config(folder: Path, nodes: Sequence[Node], floating: str) -> Path:
    """Write known_hosts and ssh_config for these nodes into the cluster's folder; return the ssh_config.

    The master is reached at its floating IP, the workers through it. A node without host keys cannot be reached: its
    connections fail, they don't ask.
    """
    hosts, blocks = [], []
    for node in nodes:
        master = node.role == "master"
        addresses = [node.address, *([floating] if master else [])]
        hosts += [f"{','.join([node.name, *addresses])} {key} {node.id}" for key in node.host_keys]
        block = [
            f"Host {node.name}",
            f"  HostName {floating if master else node.address}",
            f"  HostKeyAlias {node.name}",
        ]
        if not master:
            block += [f"  ProxyJump {leader.name}" for leader in nodes if leader.role == "master"][:1]
        socket = _socket(folder, node, floating)
        if socket:
            block += ["  ControlMaster auto", "  ControlPersist 60s", f"  ControlPath {socket}"]
        blocks.append("\n".join(block))
    everyone = [
        "Host *",
        f"  User {OPERATOR}",
        f'  IdentityFile "{folder / "id_ed25519"}"',
        "  IdentitiesOnly yes",
        f'  UserKnownHostsFile "{folder / KNOWN_HOSTS}"',
        "  GlobalKnownHostsFile none",
        "  StrictHostKeyChecking yes",
        "  UpdateHostKeys no",
        "  PasswordAuthentication no",
        f"  ConnectTimeout {CONNECT_SECONDS}",
        "  ServerAliveInterval 30",
        "  LogLevel ERROR",
    ]
    ensure_private(folder / KNOWN_HOSTS, "".join(f"{line}\n" for line in hosts))
    ensure_private(folder / CONFIG, "\n\n".join([*blocks, "\n".join(everyone)]) + "\n")
    return folder / CONFIG


def _socket(folder: Path, node: Node, floating: str) -> str:
    """Name a short path for the shared connection to a node; empty when the home folder leaves no room for one.

    The name holds all that decides where the connection ends: a live one is used without another look at host keys, so
    no other node, nor a later one of the same name, may ever come by it.
    """
    directory = paths.state_dir() / "ssh"
    identity = " ".join([str(folder), node.name, node.id, node.address, floating, *node.host_keys])
    path = directory / hashlib.sha256(identity.encode()).hexdigest()[:12]
    if len(str(path)) > SOCKET_LIMIT or any(letter in str(path) for letter in ' "%'):
        return ""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return str(path)


class Fleet:
    """Commands on a cluster's nodes, by fabric: one connection a node, kept until `close`."""

    def __init__(self, folder: Path, nodes: Sequence[Node]) -> None:
        self._folder = folder
        self._nodes = {node.name: node for node in nodes}
        self._open: dict[str, Any] = {}

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(
        self, nodes: Sequence[Node], command: str | Sequence[str], *, timeout: float | None = None
    ) -> dict[str, Result]:
        """Run a command on many nodes at once; every node has a result: 255 when unreachable, 124 after `timeout` s.

        A text goes to the node's shell as it is, an argument list is quoted.
        """
        from fabric.exceptions import GroupException
        from fabric.group import ThreadingGroup

        line = command if isinstance(command, str) else shlex.join(command)
        self._open_gateway(nodes)
        group: Any = ThreadingGroup.from_connections(  # type: ignore[no-untyped-call]
            [self._connection(node.name) for node in nodes]
        )
        try:
            answers = group.run(line, hide=True, warn=True, in_stream=False, timeout=timeout)
        except GroupException as failed:
            answers = failed.result
        results = {connection.original_host: _result(line, answer, timeout) for connection, answer in answers.items()}
        return {node.name: results[node.name] for node in nodes}

    def _open_gateway(self, nodes: Sequence[Node]) -> None:
        """Connect to the master before the workers' threads would all try to."""
        if any(node.role != "master" for node in nodes):
            for node in self._nodes.values():
                if node.role == "master":
                    # When it fails here, it fails for every worker in turn, and each of them says so.
                    with suppress(Exception):
                        self._connection(node.name).open()

    def must(
        self, node: Node, command: str | Sequence[str], *, what: str, hint: str = "", timeout: float | None = None
    ) -> str:
        """Run a command that has to succeed on one node and return its stdout.

        Raises ProvisionError with `what` failed and the last lines of its output.
        """
        result = self.run([node], command, timeout=timeout)[node.name]
        if not result.ok:
            raise ProvisionError(
                f"{what} failed on {node.name}: exit code {result.code}", hint, result.stderr or result.stdout
            )
        return result.stdout

    def close(self) -> None:
        """End the connections."""
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    def _connection(self, name: str) -> Any:  # noqa: ANN401 - fabric's Connection, which has no types
        if name not in self._open:
            self._open[name] = self._connect(name)
        return self._open[name]

    def _connect(self, name: str) -> Any:  # noqa: ANN401 - fabric's Connection, which has no types
        from fabric.config import Config
        from fabric.connection import Connection
        from paramiko import RejectPolicy, SSHConfig  # type: ignore[import-untyped]

        # Without a handler, paramiko's threads print tracebacks of what is a result here.
        logging.getLogger("paramiko").addHandler(logging.NullHandler())
        node = self._nodes[name]
        leader = next((one.name for one in self._nodes.values() if one.role == "master"), None)
        connection: Any = Connection(
            name,
            config=Config(  # type: ignore[no-untyped-call]
                ssh_config=SSHConfig.from_path(str(self._folder / CONFIG))
            ),
            gateway=self._connection(leader) if leader and node.role != "master" else None,
            connect_timeout=CONNECT_SECONDS,
            # Under emulation the banner alone may take longer than paramiko waits by itself.
            connect_kwargs={
                "allow_agent": False,
                "look_for_keys": False,
                "banner_timeout": CONNECT_SECONDS,
                "auth_timeout": CONNECT_SECONDS,
            },
        )
        # fabric trusts whoever answers first; we know who it has to be.
        connection.client.load_host_keys(str(self._folder / KNOWN_HOSTS))
        connection.client.set_missing_host_key_policy(RejectPolicy())
        return connection


def _result(line: str, answer: Any, timeout: float | None) -> Result:  # noqa: ANN401 - fabric's Result or an exception
    from invoke.exceptions import CommandTimedOut

    if isinstance(answer, CommandTimedOut):
        return Result((line,), 124, answer.result.stdout, f"no end after {timeout:.0f} s")
    if isinstance(answer, BaseException):
        return Result((line,), UNREACHABLE, "", str(answer) or type(answer).__name__)
    return Result((line,), answer.exited, answer.stdout, answer.stderr)


def worst(results: Mapping[str, Result]) -> int:
    """Return the highest exit code of a group's run."""
    return max((result.code for result in results.values()), default=0)
