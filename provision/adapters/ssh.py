"""SSH to the nodes, with an ssh_config and a known_hosts of the cluster's own.

The same ssh_config serves OpenSSH (`provision ssh`), fabric (here), testinfra and Ansible. Host keys are read from the
nodes' consoles through the cloud's API (model/cluster/console.py); any other key is refused.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pwd
import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from provision.adapters.host.files import ensure_private
from provision.adapters.host.process import Result
from provision.base import paths
from provision.base.constants import OPERATOR, PORTS
from provision.base.errors import ProvisionError
from provision.base.model import Bastion, Node
from provision.base.roles import with_hub
from provision.base.threads import NODES_AT_ONCE, each

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONFIG: Final = "ssh_config"
KNOWN_HOSTS: Final = "known_hosts"
CONNECT_SECONDS: Final = 180
"""Timeout for a connection: a key exchange takes long on emulated nodes."""
SOCKET_LIMIT: Final = 107 - 17
"""Bytes of a Unix socket's path, less the suffix that OpenSSH adds while it creates the socket."""
PERSIST: Final = "2m"
"""How long a shared connection outlives its last use: of a thousand nodes one waits a minute for its next task."""
UNREACHABLE: Final = 255
"""Exit code for a node that could not be reached, as OpenSSH has it."""


@dataclass(frozen=True, slots=True)
class HostKeys:
    """The host keys of one server, as known_hosts holds them."""

    id: str
    """The server's id in the cloud."""
    keys: tuple[str, ...]


def known(folder: Path) -> dict[str, HostKeys]:
    """Read the known_hosts in a cluster's folder: host keys by node name, each valid for the server with that id."""
    found: dict[str, HostKeys] = {}
    try:
        lines = (folder / KNOWN_HOSTS).read_text().splitlines()
    except FileNotFoundError:
        return {}
    for line in lines:
        # As ssh itself: a line that is no host key says nothing, and the key is read from the console again.
        if len(line.split()) < 3:
            continue
        names, kind, data, *comment = line.split()
        name = names.partition(",")[0]
        before = found.get(name)
        keys = (*before.keys, f"{kind} {data}") if before else (f"{kind} {data}",)
        found[name] = HostKeys(comment[0] if comment else "", keys)
    return found


def keep_host_keys(folder: Path, nodes: Sequence[Node]) -> None:
    """Put the host keys of these nodes into known_hosts, and leave those of others as they are."""
    named = {node.name for node in nodes if node.host_keys}
    file = folder / KNOWN_HOSTS
    before = file.read_text().splitlines() if file.exists() else []
    lines = [line for line in before if line.partition(" ")[0].partition(",")[0] not in named]
    lines += [f"{node.name},{node.address} {key} {node.id}" for node in nodes for key in node.host_keys]
    ensure_private(file, "".join(f"{line}\n" for line in lines))


@dataclass(frozen=True, slots=True)
class KnownMaster:
    """A Spark master's node, and how it is reached."""

    node: Node
    by: str
    """The name of the node with the Hub, be it this one or not."""
    floating: str


def known_master(folder: Path, name: str) -> KnownMaster | None:
    """Return the master `name` as `write_config` last wrote it; None if it did not know all."""
    keys = known(folder).get(name)
    if keys is None:
        return None
    listed = [line.split()[0].split(",") for line in (folder / KNOWN_HOSTS).read_text().splitlines() if line.strip()]
    address = next((names[1] for names in listed if names[0] == name and len(names) > 1), "")
    by, floating = next(((names[0], names[2]) for names in listed if len(names) == 3), ("", ""))
    if not address or not floating:
        return None
    return KnownMaster(Node(name, "master", address, keys.id, host_keys=keys.keys), by, floating)


def config_texts(folder: Path) -> tuple[str, ...]:
    """Return all that decides where a connection to a node of a cluster ends: its ssh_config and known_hosts."""
    return tuple(file.read_text() if (file := folder / name).exists() else "" for name in (CONFIG, KNOWN_HOSTS))


def write_config(folder: Path, nodes: Sequence[Node], floating: str, bastion: Bastion | None = None) -> Path:
    """Write known_hosts and ssh_config for these nodes into the cluster's folder; return the ssh_config.

    The node with the Hub is reached at its floating IP, by way of the bastion if there is one, the others through it.
    Connections to a node without host keys fail without asking.
    """
    hosts, blocks = [], []
    gateway = with_hub(nodes)
    for node in nodes:
        first = node is gateway
        addresses = [node.address, *([floating] if first else [])]
        hosts += [f"{','.join([node.name, *addresses])} {key} {node.id}" for key in node.host_keys]
        block = [
            f"Host {node.name}",
            f"  HostName {floating if first else node.address}",
            f"  HostKeyAlias {node.name}",
        ]
        if not first:
            block += [f"  ProxyJump {gateway.name}"] if gateway else []
        elif bastion:
            block.append(f"  ProxyCommand {_by_bastion(bastion, f'{floating}:{PORTS.ssh}')}")
        socket = _socket(folder, node, floating, bastion)
        if socket:
            block += ["  ControlMaster auto", f"  ControlPersist {PERSIST}", f"  ControlPath {socket}"]
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


def _by_bastion(bastion: Bastion, to: str) -> str:
    """Return the ProxyCommand by which a node is reached: ssh as the operator would start it, but that it asks nothing.

    Not ProxyJump: fabric would speak to the bastion itself, and knows nothing of the operator's own settings. Nor with
    this ssh_config: OpenSSH hands it on to the machines by which the bastion itself is reached.
    """
    options = ["BatchMode=yes", "StrictHostKeyChecking=yes", f"ConnectTimeout={CONNECT_SECONDS}", "LogLevel=ERROR"]
    argv = ["ssh", *_own_config(), *(word for option in options for word in ("-o", option))]
    argv += ["-p", str(bastion.port)] if bastion.port else []
    argv += ["-W", to, f"{bastion.user}@{bastion.host}" if bastion.user else bastion.host]
    return shlex.join(argv).replace("%", "%%")


def _own_config() -> list[str]:
    """Name the operator's ssh_config where OpenSSH does not look for it: it goes by the account, and not by $HOME."""
    own = Path.home() / ".ssh/config"
    try:
        account = Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return []
    return ["-F", str(own)] if own.exists() and account.resolve() != Path.home().resolve() else []


def _socket(folder: Path, node: Node, floating: str, bastion: Bastion | None) -> str:
    """Return a short path for the socket of a node's shared connection; empty if the home folder's path is too long.

    The name is a hash of everything that decides where the connection ends: an open one is used without checking host
    keys again, so another node, or a later one of the same name, must never get it.
    """
    directory = paths.state_dir() / "ssh"
    through = [str(bastion)] if bastion else []
    identity = " ".join([str(folder), node.name, node.id, node.address, floating, *node.host_keys, *through])
    path = directory / hashlib.sha256(identity.encode()).hexdigest()[:12]
    if len(str(path)) > SOCKET_LIMIT or any(letter in str(path) for letter in ' "%'):
        return ""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return str(path)


class Fleet:
    """Runs commands on a cluster's nodes with fabric: one connection per node, kept until `close`."""

    def __init__(self, folder: Path, nodes: Sequence[Node]) -> None:
        self._folder = folder
        self._nodes = {node.name: node for node in nodes}
        self._open: dict[str, Any] = {}
        self._files: tuple[Any, Mapping[str, list[str]]] | None = None
        """What the folder's files say, read once: fabric's settings, and lines of known_hosts by each name in them."""

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(
        self, nodes: Sequence[Node], command: str | Sequence[str], *, timeout: float | None = None
    ) -> dict[str, Result]:
        """Run a command on nodes, many at once; every node has a result: 255 when unreachable, 124 after `timeout` s.

        A string goes to the node's shell as it is; an argument list is quoted.
        """
        line = command if isinstance(command, str) else shlex.join(command)
        self._open_gateway(nodes)
        # Made here: a connection is kept for the next command.
        connections = {node.name: self._connection(node.name) for node in nodes}

        def run(connection: Any) -> Any:  # noqa: ANN401 - fabric's Connection; its Result or an exception
            try:
                return connection.run(line, hide=True, warn=True, in_stream=False, timeout=timeout)
            except Exception as error:
                return error

        answers = each(run, connections.values(), at_once=NODES_AT_ONCE)
        return {name: _result(line, answer, timeout) for name, answer in zip(connections, answers, strict=True)}

    def _open_gateway(self, nodes: Sequence[Node]) -> None:
        """Connect to the node with the Hub before the others' threads would all try to."""
        gateway = with_hub(self._nodes.values())
        if gateway and any(node.name != gateway.name for node in nodes):
            # If it fails here, it fails for every other node too, and each of their results says so.
            with suppress(Exception):
                self._connection(gateway.name).open()

    def must(
        self, node: Node, command: str | Sequence[str], *, what: str, hint: str = "", timeout: float | None = None
    ) -> str:
        """Run a command on one node and return its stdout.

        Raises ProvisionError with the last lines of its output when it fails; `what` names the command there.
        """
        result = self.run([node], command, timeout=timeout)[node.name]
        if not result.ok:
            raise ProvisionError(
                f"{what} failed on {node.name}: exit code {result.code}", hint, result.stderr or result.stdout
            )
        return result.stdout

    def close(self) -> None:
        """Close the connections."""
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    def _connection(self, name: str) -> Any:  # noqa: ANN401 - fabric's Connection, which has no types
        if name not in self._open:
            self._open[name] = self._connect(name)
        return self._open[name]

    def _connect(self, name: str) -> Any:  # noqa: ANN401 - fabric's Connection, which has no types
        from fabric.connection import Connection
        from paramiko import RejectPolicy  # type: ignore[import-untyped]
        from paramiko.hostkeys import HostKeyEntry  # type: ignore[import-untyped]

        # Without a handler, paramiko's threads print tracebacks of errors that are results here.
        logging.getLogger("paramiko").addHandler(logging.NullHandler())
        gateway = with_hub(self._nodes.values())
        self._files = self._files or (_settings(self._folder / CONFIG), _lines_of(self._folder / KNOWN_HOSTS))
        config, lines = self._files
        connection: Any = Connection(  # type: ignore[no-untyped-call]
            name,
            config=config,
            gateway=self._connection(gateway.name) if gateway and gateway.name != name else None,
            connect_timeout=CONNECT_SECONDS,
            # Under emulation the banner alone may take longer than paramiko waits by default.
            connect_kwargs={
                "allow_agent": False,
                "look_for_keys": False,
                "banner_timeout": CONNECT_SECONDS,
                "auth_timeout": CONNECT_SECONDS,
            },
        )
        # fabric accepts unknown host keys by default; here all keys are known. Not load_host_keys, for which ten times
        # the lines take a hundred times as long, a third of a second of a thousand: a connection needs a few of them.
        for line in lines.get(connection.host, ()):
            if entry := HostKeyEntry.from_line(line):
                connection.client.get_host_keys().add(connection.host, entry.key.get_name(), entry.key)
        connection.client.set_missing_host_key_policy(RejectPolicy())
        return connection


def _settings(config: Path) -> Any:  # noqa: ANN401 - fabric's Config, which has no types
    from fabric.config import Config
    from paramiko import SSHConfig

    return Config(ssh_config=SSHConfig.from_path(str(config)))  # type: ignore[no-untyped-call]


def _lines_of(known_hosts: Path) -> dict[str, list[str]]:
    """Read known_hosts: the lines with a host key, by each name and address that it is for."""
    found: dict[str, list[str]] = {}
    for line in known_hosts.read_text().splitlines():
        if len(line.split()) >= 3:
            for name in line.split()[0].split(","):
                found.setdefault(name, []).append(line)
    return found


def _result(line: str, answer: Any, timeout: float | None) -> Result:  # noqa: ANN401 - fabric's Result or an exception
    from invoke.exceptions import CommandTimedOut

    if isinstance(answer, CommandTimedOut):
        return Result((line,), 124, answer.result.stdout, f"no end after {timeout:.0f} s")
    if isinstance(answer, BaseException):
        return Result((line,), UNREACHABLE, "", str(answer) or type(answer).__name__)
    return Result((line,), answer.exited, answer.stdout, answer.stderr)
