"""From containers to Consul services, by upstream Registrator's conventions and some of our own.

The conventions are listed in compose/registrator/README.md.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from provision.model.registrator.keys import base_name, keys_for, named_ports, split_tags

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from provision.model.registrator.container import Container, ContainerNetwork, ContainerPort

OWNER_KEY: Final = "registrator"
"""Metadata key: the id of the host whose Registrator registered the service."""
CONTAINER_KEY: Final = "container"
"""Metadata key: the first 12 digits of the container's id."""
DIGEST_KEY: Final = "registration"
"""Metadata key: a hash of the registration."""
REGISTERED_BY_KEY: Final = "holder"
"""Metadata key, used if Consul has access rules: a hash of the token that registered the service."""

_ANYWHERE: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - what Docker says of a port published everywhere
# Keys that control the registration; every other SERVICE_* key is metadata of the service.
_CONTROL_KEYS: Final = frozenset({"name", "tags", "id", "ignore", "network", "ipv6"})
_DEFAULT_INTERVAL: Final = "10s"
_HEALTH_STATUS: Final = {"healthy": "passing", "starting": "critical", "unhealthy": "critical"}


def token_hash(token: str) -> str:
    """Hash a Consul token, so that it can be recognised without being revealed; empty without a token."""
    return hashlib.sha256(token.encode()).hexdigest()[:12] if token else ""


@dataclass(frozen=True, slots=True)
class RegistratorSettings:
    """How containers become services. `host_id` is part of every id; `address` is the host's own (published mode)."""

    host_id: str
    internal: bool = False
    network: str = ""
    address: str = ""
    ttl: int = 60
    """Seconds after which a HEALTHCHECK that is no longer reported counts as failed."""
    token_hash: str = ""
    """Hash of our Consul token, if there is one. Consul keeps with each service the token that registered it."""
    reserved: frozenset[str] = frozenset()
    """Names of services, in lower case, that only containers with the label `reserved_for` may have."""
    reserved_for: str = ""
    """`key=value`; containers with this label also come first where two claim one service id."""
    explicit: bool = False
    """Whether only services are registered that a SERVICE_NAME key names."""
    tags: tuple[str, ...] = ()
    """Tags that every service gets besides its own."""

    def owns(self, container: Container) -> bool:
        """Whether a container is one of those that reserved names are for."""
        return bool(self.reserved_for) and self.reserved_for in container.marks


@dataclass(frozen=True, slots=True)
class Service:
    """A service as it should be in Consul: `registration` is the body for Consul's agent API, without the status."""

    id: str
    registration: Mapping[str, Any]
    status: str = ""
    """Status from the container's HEALTHCHECK (`passing`, `critical`); empty if Consul itself checks."""
    output: str = ""

    @property
    def digest(self) -> str:
        """Hash of the registration."""
        return str(self.registration["Meta"][DIGEST_KEY])

    @property
    def body(self) -> dict[str, Any]:
        """The request body for Consul. It includes a HEALTHCHECK's status, which would otherwise come later."""
        if not self.status:
            return dict(self.registration)
        return {**self.registration, "Check": {**self.registration["Check"], "Status": self.status}}


@dataclass(frozen=True, slots=True)
class WantedServices:
    """The services that should exist, by id, and a message for each container that can't be registered as it asks."""

    services: Mapping[str, Service]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes that make the catalogue match the containers. Registering first keeps a renamed service available."""

    register: tuple[Service, ...] = ()
    adopt: tuple[Service, ...] = ()
    """Services to deregister that another token registered. They are first registered again with ours, since Consul
    deregisters a service with the rights of the token that registered it."""
    deregister: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def wanted_services(containers: Iterable[Container], settings: RegistratorSettings) -> WantedServices:
    """Return every service that these containers should have on this host."""
    by_age = sorted(containers, key=lambda each: (not settings.owns(each), each.created, each.id))
    known = {each.id: each for each in by_age} | {each.name: each for each in by_age}
    services: dict[str, Service] = {}
    problems: list[str] = []
    for container in by_age:
        if not container.serving:
            continue
        found, trouble = _services_of(container, known, settings)
        problems += trouble
        for service in found:
            holder = services.setdefault(service.id, service)
            if holder is not service:
                same = _container_of(holder) == _container_of(service)
                whose = "another port of it" if same else "another container"
                problems.append(f"{container.name}: {whose} already has the service id {service.id}")
    return WantedServices(services, tuple(problems))


def plan_changes(
    wanted: WantedServices, actual: Mapping[str, Mapping[str, Any]], host_id: str, token_hash: str = ""
) -> Changes:
    """Compare with Consul's agent (`/v1/agent/services`); only services that this host registered are changed."""
    register, problems = [], []
    for service in wanted.services.values():
        existing = actual.get(service.id)
        if existing is not None and _owner(existing) != host_id:
            owner = f"host {_owner(existing)}" if _owner(existing) else "somebody else"
            problems.append(f"service id {service.id} belongs to {owner} and is left alone")
        elif existing is None or not _same(service, existing):
            register.append(service)
    unwanted = [id_ for id_ in sorted(actual) if _owner(actual[id_]) == host_id and id_ not in wanted.services]
    adopt = (
        _unchanged(id_, actual[id_]) for id_ in unwanted if _meta(actual[id_]).get(REGISTERED_BY_KEY, "") != token_hash
    )
    return Changes(tuple(register), tuple(adopt), tuple(unwanted), tuple(problems))


def has_successors(changes: Changes, actual: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether any service to register belongs to a container that is already in the catalogue."""
    known = {_meta(existing).get(CONTAINER_KEY) for existing in actual.values()}
    return any(service.registration["Meta"][CONTAINER_KEY] in known for service in changes.register)


def keep_statuses(changes: Changes, actual: Mapping[str, Mapping[str, Any]], statuses: Mapping[str, str]) -> Changes:
    """Give each service to register the status that the same container's port has now; `statuses` are by service id.

    A renamed container, or one whose registration changed, would otherwise be critical until its first check.
    """
    before = {
        (_meta(old).get(CONTAINER_KEY), old["Service"], old["Address"], old["Port"]): statuses[id_]
        for id_, old in actual.items()
        if id_ in statuses
    }

    def successor(service: Service) -> Service:
        now = service.registration
        status = before.get((now["Meta"][CONTAINER_KEY], now["Name"], now["Address"], now["Port"]))
        if service.status or status is None or "Check" not in now:
            return service
        return replace(service, registration={**now, "Check": {**now["Check"], "Status": status}})

    return replace(changes, register=tuple(successor(service) for service in changes.register))


def _unchanged(id_: str, existing: Mapping[str, Any]) -> Service:
    kept = {key: existing.get(key) for key in ("Tags", "Address", "Port")}
    return Service(id_, {"ID": id_, "Name": existing["Service"], "Meta": dict(_meta(existing)), **kept})


def _container_of(service: Service) -> str:
    return str(service.registration["Meta"][CONTAINER_KEY])


def _owner(service: Mapping[str, Any]) -> str:
    return str(_meta(service).get(OWNER_KEY, ""))


def _meta(service: Mapping[str, Any]) -> Mapping[str, Any]:
    # For a service without metadata Consul returns an empty object or null.
    return service.get("Meta") or {}


def _same(service: Service, existing: Mapping[str, Any]) -> bool:
    wanted = service.registration
    return bool(
        existing["Meta"].get(DIGEST_KEY) == service.digest
        and existing["Service"] == wanted["Name"]
        and existing["Port"] == wanted["Port"]
        and existing["Address"] == wanted["Address"]
    )


def _services_of(
    container: Container, known: Mapping[str, Container], settings: RegistratorSettings
) -> tuple[list[Service], list[str]]:
    """Return one container's services, and why some can't be registered."""
    ports = set(container.exposed)
    owner = container
    # A container that shares another's network may share it further. Eight steps are enough, and end a cycle.
    for _ in range(8):
        if not owner.shares_with:
            break
        if owner.shares_with not in known:
            return [], [f"{container.name}: the container whose network it uses is not running"]
        owner = known[owner.shares_with]
    if owner is not container or container.swarm:
        # Docker does not let such a container expose ports, so its SERVICE_<port>_* keys name them.
        ports |= named_ports(container)
    places, problem = _places(container, owner, sorted(ports), settings)
    if problem:
        # It is no problem if no port is to be registered.
        asks = [port for port in sorted(ports) if not keys_for(container, port)[0].get("ignore")]
        return [], [f"{container.name}: {problem}"] if asks else []
    wanted = _identified(container, list(places), settings)
    found, trouble = [], []
    for port, (name, id_) in wanted.items():
        if name.lower() in settings.reserved and not settings.owns(container):
            trouble.append(f"{container.name}: the name {name} is reserved for containers with {settings.reserved_for}")
        else:
            found.append(_service(container, port, places[port], (name, id_), settings))
    return found, trouble


def _identified(
    container: Container, ports: Sequence[ContainerPort], settings: RegistratorSettings
) -> dict[ContainerPort, tuple[str, str]]:
    """Return the name and the id of each port's service, without those that are to be ignored."""
    wanted: dict[ContainerPort, tuple[str, str]] = {}
    for port in ports:
        metadata, from_port = keys_for(container, port)
        if metadata.get("ignore") or (settings.explicit and not metadata.get("name")):
            continue
        name = metadata.get("name") or base_name(container)
        if len(ports) > 1 and "name" not in from_port:
            name = f"{name}-{port.number}"
        wanted[port] = name, metadata.get("id") or f"{settings.host_id}:{container.name}:{port.suffix}"
    # Consul keeps one service of an id. Where ports share one, as much of the port is added as it takes.
    sharing: dict[str, list[ContainerPort]] = {}
    for port, (_, id_) in wanted.items():
        sharing.setdefault(id_, []).append(port)
    for id_, several in sharing.items():
        one_number = len({port.number for port in several}) == 1
        for port in several if len(several) > 1 else ():
            end = port.suffix.removeprefix(str(port.number)) if one_number else f":{port.suffix}"
            wanted[port] = wanted[port][0], f"{id_}{end}"
    return wanted


@dataclass(frozen=True, slots=True)
class _Place:
    """The address and port where a service is reached."""

    address: str
    port: int
    ipv6: str = ""
    """The IPv6 address of a service that also has an IPv4 address."""


def _places(
    container: Container, owner: Container, ports: Sequence[ContainerPort], settings: RegistratorSettings
) -> tuple[dict[ContainerPort, _Place], str]:
    """Return where each port is reached, or why none is."""
    if not settings.internal:
        return _published(owner, ports, settings), ""
    if not ports:
        return {}, ""
    network, problem = _network(container, owner, settings)
    if not network:
        return {}, problem
    on_host = owner.network_mode == "host"
    address = settings.address if on_host else network.ipv4 or network.ipv6
    if not address:
        # On the host's network it has none of its own, and an empty one would be the Consul agent's. On others Docker
        # assigns it a moment later, and reports that with an event.
        missing = "say the host's address with --address" if on_host else "no address there yet"
        return {}, f"it is on the network {network.name}: {missing}"
    ipv6 = network.ipv6 if network.ipv4 else ""
    return {port: _Place(address, port.number, ipv6) for port in ports}, ""


def _published(
    owner: Container, ports: Sequence[ContainerPort], settings: RegistratorSettings
) -> dict[ContainerPort, _Place]:
    if owner.network_mode == "host":
        return {port: _Place(settings.address, port.number) for port in ports}
    found = {}
    for port in ports:
        # Docker lists a published port once for each address family. IPv4 comes first, then the lowest port.
        of_port = sorted(
            (each for each in owner.bindings if each.port == port),
            key=lambda each: (":" in each.host_ip, each.host_port, each.host_ip),
        )
        if of_port:
            binding = of_port[0]
            address = settings.address if binding.host_ip in _ANYWHERE else binding.host_ip
            found[port] = _Place(address, binding.host_port)
    return found


def _network(
    container: Container, owner: Container, settings: RegistratorSettings
) -> tuple[ContainerNetwork | None, str]:
    """Choose the network whose address is registered: by label, else by option, else the only one."""
    label = keys_for(container, None)[0].get("network") or keys_for(owner, None)[0].get("network")
    asked = label or settings.network
    if asked:
        # Compose files and Swarm stacks call their networks by short names.
        names = {asked, f"{owner.project}_{asked}", f"{container.project}_{asked}"}
        for network in owner.networks:
            if network.name in names or network.id == asked:
                return network, ""
        # Containers outside the option's network are not registered at all; a wrong label is an error.
        return None, f"it is not on the network {label}" if label else ""
    if not owner.networks or owner.network_mode == "none":
        return None, "it is on no network"
    if len(owner.networks) == 1:
        return owner.networks[0], ""
    names_there = ", ".join(network.name for network in owner.networks)
    return None, f"it is on several networks ({names_there}): say which with SERVICE_NETWORK or --network"


def _service(
    container: Container, port: ContainerPort, place: _Place, called: tuple[str, str], settings: RegistratorSettings
) -> Service:
    """Return the service for one port, of the name and the id in `called`."""
    name, id_ = called
    metadata, _ = keys_for(container, port)
    tags = [*split_tags(metadata.get("tags", "")), *settings.tags]
    if port.protocol != "tcp":
        tags.append(port.protocol)
    extra = {key: value for key, value in metadata.items() if key not in _CONTROL_KEYS and not key.startswith("check_")}
    # Consul's own limits on metadata: 64 pairs, these characters, 512 bytes.
    meta = {re.sub(r"[^A-Za-z0-9_-]", "_", key)[:128]: _cut(value) for key, value in sorted(extra.items())[:60]}
    meta |= {OWNER_KEY: settings.host_id, CONTAINER_KEY: container.id[:12]}
    if settings.token_hash:
        meta[REGISTERED_BY_KEY] = settings.token_hash
    registration: dict[str, Any] = {
        "ID": id_,
        "Name": name,
        "Tags": tags,
        "Address": place.address,
        "Port": place.port,
        "Meta": meta,
    }
    # Only if SERVICE_IPV6 says that the service listens there: Consul's SRV records prefer IPv6.
    if place.ipv6 and metadata.get("ipv6"):
        registration["TaggedAddresses"] = {
            "lan_ipv4": {"Address": place.address, "Port": place.port},
            "lan_ipv6": {"Address": place.ipv6, "Port": place.port},
        }
    check = _check(metadata, container, port, place)
    status = ""
    if check is None and container.health:
        check = {"Name": "Docker HEALTHCHECK", "TTL": f"{settings.ttl}s"}
        status = _HEALTH_STATUS.get(container.health, "critical")
    if check is not None:
        registration["Check"] = check
    text = json.dumps(registration, sort_keys=True)
    meta[DIGEST_KEY] = hashlib.sha256(text.encode()).hexdigest()[:12]
    output = f"{container.health}: {container.health_output}".rstrip(": \n") if status else ""
    return Service(id_, registration, status, output)


def _check(
    metadata: Mapping[str, str], container: Container, port: ContainerPort, place: _Place
) -> dict[str, Any] | None:
    """Return the check that the SERVICE_CHECK_* keys define, in upstream's order of precedence."""
    host = f"[{place.address}]" if ":" in place.address else place.address
    at = f"{host}:{place.port}"
    check: dict[str, Any]
    if path := _path(metadata, "check_http"):
        check = {"HTTP": f"http://{at}{path}", "Method": metadata.get("check_http_method", "")}
    elif path := _path(metadata, "check_https"):
        method = metadata.get("check_https_method") or metadata.get("check_http_method", "")
        check = {"HTTP": f"https://{at}{path}", "Method": method}
    elif command := metadata.get("check_cmd"):
        check = {"Args": ["check-cmd", container.id[:12], str(port.number), command]}
    elif script := metadata.get("check_script"):
        text = script.replace("$SERVICE_IP", place.address).replace("$SERVICE_PORT", str(place.port))
        check = {"Args": ["sh", "-c", text]}
    elif ttl := metadata.get("check_ttl"):
        check = {"TTL": ttl}
    elif metadata.get("check_tcp"):
        check = {"TCP": at}
    elif metadata.get("check_grpc"):
        check = {"GRPC": at, "GRPCUseTLS": bool(metadata.get("check_grpc_use_tls"))}
    else:
        return None
    if "TTL" not in check:
        check["Interval"] = metadata.get("check_interval") or _DEFAULT_INTERVAL
        check["Timeout"] = metadata.get("check_timeout", "")
    if metadata.get("check_tls_skip_verify"):
        check["TLSSkipVerify"] = True
    # Not in upstream: how many failures make a check critical, and how many successes make it pass.
    for name, key in (
        ("FailuresBeforeCritical", "failures_before_critical"),
        ("SuccessBeforePassing", "success_before_passing"),
    ):
        if (number := metadata.get(f"check_{key}", "")).isdecimal():
            check[name] = int(number)
    check["Status"] = metadata.get("check_initial_status", "")
    check["DeregisterCriticalServiceAfter"] = metadata.get("check_deregister_after", "")
    return {key: value for key, value in check.items() if value not in ("", False)}


def _path(metadata: Mapping[str, str], key: str) -> str:
    """Return a check's path, or an empty text. With a slash in front nothing in it can name another host."""
    path = metadata.get(key, "")
    return f"/{path.removeprefix('/')}" if path else ""


def _cut(value: str) -> str:
    return value.encode()[:512].decode(errors="ignore")
