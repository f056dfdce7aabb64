"""The door to Docker's Swarm: this host's part in it, its hosts, and the services that it keeps running."""

from __future__ import annotations

import base64
import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import requests
from docker.errors import APIError, ImageNotFound, NotFound
from docker.types import IPAMConfig, IPAMPool

from provision.adapters.docker.client import connect, engine_errors
from provision.adapters.host.process import must
from provision.base.errors import ProvisionError, UsageError
from provision.model.localcloud.settings import LABEL, PROJECT
from provision.model.localcloud.swarm import (
    MEMBER_LABEL,
    NETWORK,
    REGISTRY_USER,
    RESOLVER,
    SERVICE_LABEL,
    TUNNEL,
    Host,
    Task,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from ipaddress import IPv4Network

_STACK: Final = "com.docker.stack.namespace"
_ENDED: Final = ("complete", "shutdown", "failed", "rejected", "remove", "orphaned")
"""Docker's words for a copy that runs no more, and will not again."""
_DEMOTED: Final = 60
"""Seconds in which a host is a manager no more."""
_GATEWAY: Final = "docker_gwbridge"
"""The network by which a Swarm's container and its own host reach each other."""


class Swarm:
    """The Swarm of this machine's Docker engine; `password` is the registry's."""

    def __init__(self, registry: str, password: str = "") -> None:
        self._client: Any = connect(600)
        self._api: Any = self._client.api
        self._registry = registry
        self._password = password

    # --- this host ---

    def state(self) -> tuple[str, bool]:
        """Return Docker's word for this host's part (inactive, active, pending, error), and whether it manages."""
        with engine_errors():
            swarm = self._client.info()["Swarm"]
            return str(swarm["LocalNodeState"]), bool(swarm["ControlAvailable"])

    def host_id(self) -> str:
        """Return this host's id in the Swarm."""
        with engine_errors():
            return str(self._client.info()["Swarm"]["NodeID"])

    def begin(self, address: str) -> None:
        """Begin a Swarm with this host, which the others reach at `address`."""
        with engine_errors():
            self._client.swarm.init(advertise_addr=address)

    def token(self) -> str:
        """Return what a host has to show to join as a manager: whoever has it has all."""
        with engine_errors():
            self._client.swarm.reload()
            return str(self._client.swarm.attrs["JoinTokens"]["Manager"])

    def join(self, token: str, address: str, own: str) -> None:
        """Join the Swarm of the host at `address`; the others reach this one at `own` (empty: Docker finds out)."""
        with engine_errors():
            self._client.swarm.join([address], token, advertise_addr=own or None)

    def leave(self) -> None:
        """Leave the Swarm in order: as a manager no more, so that the others' majority is counted without it."""
        with engine_errors():
            managers = [each for each in self._api.nodes() if each["Spec"]["Role"] == "manager"]
            if len(managers) > 1:
                host = self.host_id()
                labels = self._api.inspect_node(host)["Spec"].get("Labels") or {}
                free = {key: value for key, value in labels.items() if key != MEMBER_LABEL}
                self._change(host, Role="worker", Labels=free)
                for _ in range(_DEMOTED):
                    if not self.state()[1]:
                        break
                    time.sleep(1)
            self._client.swarm.leave(force=len(managers) == 1)

    def prepare(self, image: str) -> None:
        """Have the file here that containers get as their resolv.conf: Swarm mounts nothing that is not there."""
        with engine_errors():
            self._client.containers.run(
                image, ["/host/resolv.conf"], entrypoint=["touch"], remove=True, network_mode="none",
                volumes={RESOLVER: {"bind": "/host", "mode": "rw"}},
            )  # fmt: skip

    def container(self, service: str) -> str:
        """Return the id of a service's container on this host, or an empty text."""
        with engine_errors():
            found = self._api.containers(filters={"label": f"{SERVICE_LABEL}={PROJECT}_{service}"})
            return str(found[0]["Id"]) if found else ""

    def address(self, service: str) -> str:
        """Return where this host reaches a service's container of its own, or an empty text."""
        container = self.container(service)
        with engine_errors():
            known = self._api.inspect_network(_GATEWAY).get("Containers") or {}
            return str(known.get(container, {}).get("IPv4Address", "")).partition("/")[0]

    # --- hosts and their network ---

    def hosts(self) -> tuple[Host, ...]:
        """List the hosts."""
        with engine_errors():
            return tuple(_host(each) for each in self._api.nodes())

    def give_member(self, host: str, member: int) -> None:
        """Have a host carry a member of what keeps state."""
        with engine_errors():
            labels = self._api.inspect_node(host)["Spec"].get("Labels") or {}
            self._change(host, Labels=labels | {MEMBER_LABEL: str(member)})

    def _change(self, host: str, **spec: object) -> None:
        node = self._api.inspect_node(host)
        self._api.update_node(host, node["Version"]["Index"], {**node["Spec"], **spec})

    def ensure_network(self, name: str, subnet: IPv4Network) -> None:
        """Have a network here that all hosts' containers share, those of the hosts' own among them."""
        with engine_errors():
            for there in self._networks(name):
                if not there.attrs.get("Attachable"):
                    raise UsageError(
                        f"an older version has made the network {name}, which no hypervisor can join",
                        f"`provision cloud down`, `docker network rm {name}` and `provision cloud up` make it anew",
                    )
                return
            self._client.networks.create(
                name,
                driver="overlay",
                attachable=True,
                ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=str(subnet))]),
                labels=dict([LABEL.split("=")]),
            )

    def _networks(self, name: str) -> list[Any]:
        # Not by a pattern: the Swarm takes none for a network that no container here is in.
        return [each for each in self._client.networks.list(names=[name]) if each.name == name]

    # --- images ---

    def push(self, name: str) -> str:
        """Put an image into the registry under its name here; return the name by which hosts get this very one."""
        remote = f"{self._registry}/{name}"
        repository, _, tag = remote.rpartition(":")
        with engine_errors():
            self._api.tag(name, repository, tag)
            digest = ""
            for event in self._api.push(repository, tag, stream=True, decode=True, auth_config=self._account()):
                if "error" in event:
                    raise ProvisionError(f"the image {name} did not reach the registry", detail=str(event["error"]))
                digest = (event.get("aux") or {}).get("Digest") or digest
        return f"{remote}@{digest}"

    def pull(self, name: str) -> bool:
        """Get an image from the registry and name it as if it were made here; return whether it was there."""
        repository, _, tag = name.rpartition(":")
        try:
            self._api.pull(f"{self._registry}/{repository}", tag, auth_config=self._account())
        except (NotFound, ImageNotFound):
            return False
        except APIError as error:
            # No registry answers yet: this is the host that begins.
            if "connection refused" in str(error) or "not found" in str(error) or "unknown" in str(error):
                return False
            raise ProvisionError(f"the image {name} cannot be had from the registry", detail=str(error)) from error
        with engine_errors():
            try:
                self._api.tag(f"{self._registry}/{name}", repository, tag)
            except NotFound:
                return False
        return True

    def registry_answers(self) -> bool:
        """Whether this host reaches the registry."""
        with requests.Session() as session:
            session.trust_env = False
            try:
                answer = session.get(f"http://{self._registry}/v2/", auth=(REGISTRY_USER, self._password), timeout=5)
            except requests.RequestException:
                return False
        return answer.ok

    def tag(self, name: str) -> None:
        """Give an image its name in the registry, without putting it there."""
        repository, _, tag = f"{self._registry}/{name}".rpartition(":")
        with engine_errors():
            self._api.tag(name, repository, tag)

    def _account(self) -> dict[str, str]:
        return {"username": REGISTRY_USER, "password": self._password, "serveraddress": self._registry}

    # --- services ---

    def deploy(self, document: Mapping[str, Any]) -> None:
        """Make services what a stack file says; those that it does not name stay as they are."""
        account = base64.b64encode(f"{REGISTRY_USER}:{self._password}".encode()).decode()
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "config.json").write_text(json.dumps({"auths": {self._registry: {"auth": account}}}))
            Path(folder, "stack.json").write_text(json.dumps(document))
            must(
                ["docker", "--config", folder, "stack", "deploy", "--with-registry-auth", "--resolve-image", "never",
                 "-c", str(Path(folder, "stack.json")), PROJECT],
                what=f"deploying {', '.join(document['services'])}",
                hint="the lines above are Docker's own; after mending the cause, run the same command again",
                env=dict(os.environ),
                timeout=300,
            )  # fmt: skip

    def tasks(self) -> tuple[Task, ...]:
        """List the copies of all services."""
        with engine_errors():
            services = {each["ID"]: each["Spec"]["Name"] for each in self._services()}
            hosts = {each.id: each.name for each in self.hosts()}
            found = self._api.tasks()
        return tuple(
            _task(each, services[each["ServiceID"]], hosts.get(each.get("NodeID", ""), ""))
            for each in found
            if each["ServiceID"] in services
        )

    def ending(self) -> str:
        """Name the hosts on which copies of services that were removed have yet to end; nothing when all have."""
        label, _, value = LABEL.partition("=")
        with engine_errors():
            there = {each["ID"] for each in self._services()}
            hosts = {each.id: each.name for each in self.hosts()}
            left = {
                hosts.get(each.get("NodeID", ""), "a host")
                for each in self._api.tasks()
                if each["ServiceID"] not in there
                and (each["Spec"].get("ContainerSpec", {}).get("Labels") or {}).get(label) == value
                and each["Status"]["State"] not in _ENDED
            }
        return ", ".join(sorted(left))

    def wanted(self) -> dict[str, int]:
        """Say how many copies of each service shall run."""
        with engine_errors():
            return {
                each["Spec"]["Name"].removeprefix(f"{PROJECT}_"): int(each["ServiceStatus"]["DesiredTasks"])
                for each in self._services()
            }

    def images(self) -> set[str]:
        """Name the images that services are made from."""
        with engine_errors():
            return {each["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"] for each in self._services()}

    def updates(self) -> dict[str, str]:
        """Say of each service that was changed how that goes: Docker's word (updating, completed, paused, …)."""
        with engine_errors():
            return {
                each["Spec"]["Name"].removeprefix(f"{PROJECT}_"): each["UpdateStatus"]["State"]
                for each in self._services()
                if (each.get("UpdateStatus") or {}).get("State")
            }

    def last_lines(self, service: str, count: int = 30) -> str:
        """Return the end of a service's log, of all its copies."""
        with engine_errors():
            chunks = self._client.services.get(f"{PROJECT}_{service}").logs(stdout=True, stderr=True, tail=count)
            return b"".join(chunks).decode(errors="replace")

    def remove(self, services: Iterable[str]) -> None:
        """Remove services; what is gone already is no problem."""
        with engine_errors():
            for name in services:
                try:
                    self._api.remove_service(f"{PROJECT}_{name}")
                except NotFound:
                    continue

    def drop_secrets(self, kept: Collection[str]) -> None:
        """Remove this stack's secrets but some: what a service still has stays."""
        with engine_errors():
            for secret in self._client.secrets.list(filters={"label": f"{_STACK}={PROJECT}"}):
                if secret.name in kept:
                    continue
                try:
                    secret.remove()
                except APIError as error:
                    if "in use" not in str(error):
                        raise

    def remove_networks(self) -> str:
        """Remove the networks that all hosts' containers share; return who still uses one, or an empty text."""
        with engine_errors():
            for network in (*self._networks(NETWORK), *self._networks(TUNNEL)):
                try:
                    network.remove()
                except APIError as error:
                    if "in use" not in str(error) and "active endpoints" not in str(error):
                        raise
                    return str(error)
        return ""

    def _services(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._api.services(filters={"label": f"{_STACK}={PROJECT}"}, status=True)
        return found


def _host(node: Mapping[str, Any]) -> Host:
    # Its leader knows of itself only that it listens everywhere.
    address = (node.get("ManagerStatus") or {}).get("Addr", "").rpartition(":")[0] or node["Status"].get("Addr", "")
    return Host(
        id=node["ID"],
        name=node["Description"]["Hostname"],
        address=address,
        ready=node["Status"]["State"] == "ready" and node["Spec"]["Availability"] == "active",
        member=int((node["Spec"].get("Labels") or {}).get(MEMBER_LABEL) or 0),
    )


def _task(task: Mapping[str, Any], service: str, host: str) -> Task:
    status = task["Status"]
    return Task(
        service=service.removeprefix(f"{PROJECT}_"),
        host=host,
        state=status["State"],
        wanted=task["DesiredState"] in ("running", "complete"),
        container=(status.get("ContainerStatus") or {}).get("ContainerID", ""),
        image=task["Spec"]["ContainerSpec"]["Image"],
        problem=status.get("Err", ""),
        id=task["ID"],
        changed=status.get("Timestamp", ""),
        slot=int(task.get("Slot") or 0),
    )
