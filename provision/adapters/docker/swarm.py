"""Docker Swarm: this host's part in it, its hosts, and the services that it keeps running."""

from __future__ import annotations

import base64
import json
import os
import re
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import requests
from docker.errors import APIError, ImageNotFound, NotFound
from docker.types import IPAMConfig, IPAMPool

from provision.adapters.docker.client import OUTPUT_HINT, OWN_LABELS, connect, engine_errors, ignore_missing
from provision.adapters.host.process import run_checked
from provision.base.errors import ProvisionError, UsageError
from provision.model.localcloud.settings import LABEL, PROJECT, USUAL_MTU, VXLAN_BYTES
from provision.model.localcloud.swarm import (
    MEMBER_LABEL,
    MTU_OPTION,
    NETWORK,
    REGISTRY_USER,
    RESOLVER,
    SERVICE_LABEL,
    TUNNEL,
    Host,
    Task,
    renewal_hint,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from ipaddress import IPv4Network

LOCK: Final = f"{PROJECT}_lock"
"""Docker config that exists while a command changes the control plane; its label names the host."""
_HOLDER: Final = "provision.host"
_STACK: Final = "com.docker.stack.namespace"
_ENDED: Final = ("complete", "shutdown", "failed", "rejected", "remove", "orphaned")
"""Docker's states of a task that has ended for good."""
_DEMOTION_TIMEOUT: Final = 60
"""Seconds that a host may take to become a worker."""
_LOG_HINT: Final = "See Docker's own log (`journalctl -u docker`), then run the same command again."
_GATEWAY: Final = "docker_gwbridge"
"""The network on which a Swarm's container and its host reach each other."""


class Swarm:
    """The Swarm of this machine's Docker engine; `registry` is its registry's address, `password` is for that."""

    def __init__(self, registry: str, password: str = "") -> None:
        self._client: Any = connect(600)
        self._api: Any = self._client.api
        self._registry = registry
        self._password = password

    # --- this host ---

    def state(self) -> tuple[str, bool]:
        """Return this host's state (Docker's: inactive, active, pending, locked, error), and whether it manages."""
        with engine_errors():
            swarm = self._client.info()["Swarm"]
            return str(swarm["LocalNodeState"]), bool(swarm["ControlAvailable"])

    def host_id(self) -> str:
        """Return this host's id in the Swarm."""
        with engine_errors():
            return str(self._client.info()["Swarm"]["NodeID"])

    def begin(self, address: str) -> None:
        """Create a Swarm with this host, which the others reach at `address`."""
        with engine_errors():
            self._client.swarm.init(advertise_addr=address)

    def token(self) -> str:
        """Return the token for hosts that join as managers: a secret that gives full control."""
        with engine_errors():
            self._client.swarm.reload()
            return str(self._client.swarm.attrs["JoinTokens"]["Manager"])

    def join(self, token: str, address: str, own: str) -> None:
        """Join the Swarm of the host at `address`; the others reach this one at `own` (empty: Docker finds out)."""
        with engine_errors():
            self._client.swarm.join([address], token, advertise_addr=own or None)

    def leave(self, *, force: bool = False) -> None:
        """Leave the Swarm. A manager is demoted first, so that the majority is counted without it.

        With `force` without a word to the others: for a host that they have removed.
        """
        with engine_errors():
            if force:
                self._client.swarm.leave(force=True)
                return
            managers = [node for node in self._api.nodes() if node["Spec"]["Role"] == "manager"]
            if len(managers) > 1:
                host = self.host_id()
                labels = self._api.inspect_node(host)["Spec"].get("Labels") or {}
                free = {key: value for key, value in labels.items() if key != MEMBER_LABEL}
                self._change(host, Role="worker", Labels=free)
                for _ in range(_DEMOTION_TIMEOUT):
                    if not self.state()[1]:
                        break
                    time.sleep(1)
            self._client.swarm.leave(force=len(managers) == 1)

    def ensure_resolver_file(self, image: str) -> None:
        """Create the file that containers mount as their resolv.conf: Swarm mounts only what exists."""
        with engine_errors():
            self._client.containers.run(
                image, ["/host/resolv.conf"], entrypoint=["touch"], remove=True, network_mode="none",
                volumes={RESOLVER: {"bind": "/host", "mode": "rw"}},
            )  # fmt: skip

    def container(self, service: str) -> str:
        """Return the id of a service's container on this host; empty when there is none."""
        with engine_errors():
            found = self._api.containers(filters={"label": f"{SERVICE_LABEL}={PROJECT}_{service}"})
            return str(found[0]["Id"]) if found else ""

    def address(self, service: str) -> str:
        """Return the address of a service's container on this host, for this host alone; empty when there is none."""
        container = self.container(service)
        with engine_errors():
            known = self._api.inspect_network(_GATEWAY).get("Containers") or {}
            return str(known.get(container, {}).get("IPv4Address", "")).partition("/")[0]

    # --- one command at a time ---

    def take_lock(self) -> str:
        """Take the Swarm's lock for this host if it is free; return the id of the host that has it, if one has."""
        mine = self.host_id()
        with engine_errors():
            try:
                self._api.create_config(LOCK, mine.encode(), {**OWN_LABELS, _HOLDER: mine})
            except APIError as error:
                if error.status_code != 409:
                    raise
                return next(iter(self._lock()), "")
        return mine

    def drop_lock(self, host: str) -> None:
        """Free the Swarm's lock if this host has it."""
        with engine_errors():
            if id_ := self._lock().get(host):
                ignore_missing(partial(self._api.remove_config, id_))

    def _lock(self) -> dict[str, str]:
        """Return the id of the lock by that of the host that has it."""
        found = self._api.configs(filters={"name": LOCK})
        return {(each["Spec"].get("Labels") or {}).get(_HOLDER, ""): each["ID"] for each in found}

    # --- hosts and their network ---

    def hosts(self) -> tuple[Host, ...]:
        """List the hosts."""
        with engine_errors():
            return tuple(_host(node) for node in self._api.nodes())

    def set_member(self, host: str, member: int) -> None:
        """Label a host: of the clustered services, the members of this number run on it."""
        with engine_errors():
            labels = self._api.inspect_node(host)["Spec"].get("Labels") or {}
            self._change(host, Labels=labels | {MEMBER_LABEL: str(member)})

    def _change(self, host: str, **spec: object) -> None:
        node = self._api.inspect_node(host)
        self._api.update_node(host, node["Version"]["Index"], {**node["Spec"], **spec})

    def ensure_network(self, name: str, subnet: IPv4Network, mtu: int) -> None:
        """Make an overlay network unless it exists: for all hosts' containers, those outside the Swarm too.

        `mtu` is that of the hosts' network, which carries its packets.
        """
        with engine_errors():
            for there in self._networks(name):
                if not there.attrs.get("Attachable"):
                    raise UsageError(
                        f"the network {name} was made by an older version, and hypervisors cannot join it",
                        renewal_hint(),
                    )
                return
            self._client.networks.create(
                name,
                driver="overlay",
                attachable=True,
                ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=str(subnet))]),
                labels=OWN_LABELS,
                options={MTU_OPTION: str(mtu)},
            )

    def network_mtu(self, name: str) -> int:
        """Return the MTU of an overlay network for containers; 0 when there is no such network."""
        with engine_errors():
            for there in self._networks(name):
                return int((there.attrs.get("Options") or {}).get(MTU_OPTION, USUAL_MTU)) - VXLAN_BYTES
        return 0

    def _networks(self, name: str) -> list[Any]:
        # Not by a pattern: that does not find a network which no container on this host uses.
        return [network for network in self._client.networks.list(names=[name]) if network.name == name]

    # --- images ---

    def push(self, name: str) -> str:
        """Push an image to the registry; return its name there with the digest, by which hosts get exactly this one."""
        remote = f"{self._registry}/{name}"
        repository, _, tag = remote.rpartition(":")
        with engine_errors():
            self._api.tag(name, repository, tag)
            digest = ""
            for event in self._api.push(repository, tag, stream=True, decode=True, auth_config=self._account()):
                if "error" in event:
                    raise ProvisionError(f"the image {name} could not be pushed", detail=str(event["error"]))
                digest = _pushed_digest(event) or digest
        if not digest:
            raise ProvisionError(f"Docker does not say which image {name} is in the registry", _LOG_HINT)
        return f"{remote}@{digest}"

    def pull(self, name: str) -> bool:
        """Pull an image from the registry and give it its local name; return False when it is not there."""
        repository, _, tag = name.rpartition(":")
        try:
            self._api.pull(f"{self._registry}/{repository}", tag, auth_config=self._account())
        except (NotFound, ImageNotFound):
            return False
        except APIError as error:
            # No registry answers yet: this is the Swarm's first host.
            if "connection refused" in str(error) or "not found" in str(error) or "unknown" in str(error):
                return False
            raise ProvisionError(f"the image {name} could not be pulled", detail=str(error)) from error
        with engine_errors():
            try:
                self._api.tag(f"{self._registry}/{name}", repository, tag)
            except NotFound:
                return False
        return True

    def registry_answers(self) -> bool:
        """Return whether this host reaches the registry."""
        with requests.Session() as session:
            session.trust_env = False
            try:
                answer = session.get(f"http://{self._registry}/v2/", auth=(REGISTRY_USER, self._password), timeout=5)
            except requests.RequestException:
                return False
        return answer.ok

    def tag(self, name: str) -> None:
        """Give an image its name in the registry, without pushing it."""
        repository, _, tag = f"{self._registry}/{name}".rpartition(":")
        with engine_errors():
            self._api.tag(name, repository, tag)

    def _account(self) -> dict[str, str]:
        return {"username": REGISTRY_USER, "password": self._password, "serveraddress": self._registry}

    # --- services ---

    def deploy(self, document: Mapping[str, Any]) -> None:
        """Create and update the services of a stack file; other services stay as they are."""
        account = base64.b64encode(f"{REGISTRY_USER}:{self._password}".encode()).decode()
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "config.json").write_text(json.dumps({"auths": {self._registry: {"auth": account}}}))
            Path(folder, "stack.json").write_text(json.dumps(document))
            run_checked(
                ["docker", "--config", folder, "stack", "deploy", "--with-registry-auth", "--resolve-image", "never",
                 "-c", str(Path(folder, "stack.json")), PROJECT],
                what=f"deploying {', '.join(document['services'])}",
                hint=OUTPUT_HINT,
                env=dict(os.environ),
                timeout=300,
            )  # fmt: skip

    def tasks(self) -> tuple[Task, ...]:
        """List the tasks of all services."""
        with engine_errors():
            services = {service["ID"]: service["Spec"]["Name"] for service in self._services()}
            hosts = {host.id: host.name for host in self.hosts()}
            found = self._api.tasks()
        return tuple(
            _task(task, services[task["ServiceID"]], hosts.get(task.get("NodeID", ""), ""))
            for task in found
            if task["ServiceID"] in services
        )

    def stopping_hosts(self) -> str:
        """Name the hosts on which tasks of removed services are still ending; empty when all have ended."""
        label, _, value = LABEL.partition("=")
        with engine_errors():
            existing = {service["ID"] for service in self._services()}
            hosts = {host.id: host.name for host in self.hosts()}
            left = {
                hosts.get(task.get("NodeID", ""), "a host")
                for task in self._api.tasks()
                if task["ServiceID"] not in existing
                and (task["Spec"].get("ContainerSpec", {}).get("Labels") or {}).get(label) == value
                and task["Status"]["State"] not in _ENDED
            }
        return ", ".join(sorted(left))

    def desired_replicas(self) -> dict[str, int]:
        """Return how many replicas of each service are to run."""
        with engine_errors():
            return {
                service["Spec"]["Name"].removeprefix(f"{PROJECT}_"): int(service["ServiceStatus"]["DesiredTasks"])
                for service in self._services()
            }

    def images(self) -> set[str]:
        """Return the names of the images of services that run for good."""
        with engine_errors():
            return {
                service["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]
                for service in self._services()
                if not _runs_once(service)
            }

    def jobs(self) -> set[str]:
        """Return the one-shot services that exist: what removes each at its end was interrupted, or still runs."""
        with engine_errors():
            return {
                service["Spec"]["Name"].removeprefix(f"{PROJECT}_")
                for service in self._services()
                if _runs_once(service)
            }

    def updates(self) -> dict[str, str]:
        """Return the state of each changed service's update (Docker's: updating, completed, paused, …)."""
        with engine_errors():
            return {
                service["Spec"]["Name"].removeprefix(f"{PROJECT}_"): service["UpdateStatus"]["State"]
                for service in self._services()
                if (service.get("UpdateStatus") or {}).get("State")
            }

    def last_lines(self, service: str, count: int = 30) -> str:
        """Return the last lines of a service's log, from all its replicas."""
        with engine_errors():
            chunks = self._client.services.get(f"{PROJECT}_{service}").logs(stdout=True, stderr=True, tail=count)
            return b"".join(chunks).decode(errors="replace")

    def remove(self, services: Iterable[str]) -> None:
        """Remove services; one that is gone already is no error."""
        with engine_errors():
            for name in services:
                ignore_missing(partial(self._api.remove_service, f"{PROJECT}_{name}"))

    def drop_secrets(self, kept: Collection[str]) -> None:
        """Remove the local cloud's secrets except `kept`; those that a service still uses stay too."""
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
        """Remove the overlay networks; return Docker's account of who still uses one, or an empty text."""
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


def _runs_once(service: Mapping[str, Any]) -> bool:
    return not {"ReplicatedJob", "GlobalJob"}.isdisjoint(service["Spec"].get("Mode") or {})


def _pushed_digest(event: Mapping[str, Any]) -> str:
    """Return the digest that an event of a push names; empty if it names none."""
    # With the containerd image store, the default since Docker 29, there is only the line for people.
    line = re.search(r"digest: (sha256:[0-9a-f]{64})", event.get("status") or "")
    return (event.get("aux") or {}).get("Digest") or (line.group(1) if line else "")


def _host(node: Mapping[str, Any]) -> Host:
    # The address in `Status` is of no use for the leader, which is listed there as 0.0.0.0.
    address = (node.get("ManagerStatus") or {}).get("Addr", "").rpartition(":")[0].strip("[]") or node["Status"].get(
        "Addr", ""
    )
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
