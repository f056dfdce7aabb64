"""What a container says of itself, and the Consul services that follow from it: Registrator's conventions, and ours.

The conventions are one table in compose/registrator/README.md.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from provision.model.registrator.container import PREFIX, Container, ContainerNetwork, ContainerPort

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

OWNER_KEY: Final = "registrator"
"""Metadata of every service that we registered: the id of the host whose container it is."""
CONTAINER_KEY: Final = "container"
DIGEST_KEY: Final = "registration"
HOLDER_KEY: Final = "holder"
"""Metadata where Consul has access rules: a mark of the token that registered the service."""

_ANYWHERE: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - what Docker says of a port published everywhere
# Keys that steer the registration; every other SERVICE_* key is the service's metadata.
_STEERING: Final = frozenset({"name", "tags", "id", "ignore", "network", "ipv6"})
_DEFAULT_INTERVAL: Final = "10s"
_HEALTH_STATUS: Final = {"healthy": "passing", "starting": "critical", "unhealthy": "critical"}


def holder_of(token: str) -> str:
    """Mark a Consul token without telling it; no token has no mark."""
    return hashlib.sha256(token.encode()).hexdigest()[:12] if token else ""


@dataclass(frozen=True, slots=True)
class RegistratorSettings:
    """How containers become services: `host_id` is in every id, `address` is the host's own (published mode)."""

    host_id: str
    internal: bool = False
    network: str = ""
    address: str = ""
    ttl: int = 60
    """Seconds after which a HEALTHCHECK that nobody reports any more counts as failed."""
    holder: str = ""
    """A mark of our Consul token, if there is one. Consul keeps a token with each service, and works with that."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service as it shall be in Consul: `registration` is the body of Consul's agent API, without the status."""

    id: str
    registration: Mapping[str, Any]
    status: str = ""
    """The status that a container's HEALTHCHECK gives it (`passing`, `critical`), or empty where Consul checks."""
    output: str = ""

    @property
    def digest(self) -> str:
        """Changes whenever the registration does."""
        return str(self.registration["Meta"][DIGEST_KEY])

    @property
    def body(self) -> dict[str, Any]:
        """What Consul is sent: a HEALTHCHECK's status goes along, so that nothing waits for its next report."""
        if not self.status:
            return dict(self.registration)
        return {**self.registration, "Check": {**self.registration["Check"], "Status": self.status}}


@dataclass(frozen=True, slots=True)
class WantedServices:
    """The services that shall be, by id, and a sentence for each container that can't be served as it asks."""

    services: Mapping[str, Service]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """What makes the catalogue equal to the containers: register first, so that a renamed service never vanishes."""

    register: tuple[Service, ...] = ()
    adopt: tuple[Service, ...] = ()
    """What is to go, and was registered with another token: Consul removes a service with the rights of its own."""
    deregister: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def wanted_services(containers: Iterable[Container], settings: RegistratorSettings) -> WantedServices:
    """Work out every service that these containers shall have on this host."""
    everyone = sorted(containers, key=lambda each: (each.created, each.id))
    known = {each.id: each for each in everyone} | {each.name: each for each in everyone}
    services: dict[str, Service] = {}
    problems: list[str] = []
    for container in everyone:
        if not container.serving:
            continue
        found, trouble = _services_of(container, known, settings)
        problems += trouble
        for service in found:
            if service.id in services:
                problems.append(f"{container.name}: another container already has the service id {service.id}")
            else:
                services[service.id] = service
    return WantedServices(services, tuple(problems))


def plan_changes(
    wanted: WantedServices, actual: Mapping[str, Mapping[str, Any]], host_id: str, holder: str = ""
) -> Changes:
    """Compare with what Consul's agent has (`/v1/agent/services`); only what this host registered is ever touched."""
    register, problems = [], []
    for service in wanted.services.values():
        there = actual.get(service.id)
        if there is not None and _owner(there) != host_id:
            whose = f"host {_owner(there)}" if _owner(there) else "somebody else"
            problems.append(f"service id {service.id} belongs to {whose} and is left alone")
        elif there is None or not _same(service, there):
            register.append(service)
    gone = [id_ for id_ in sorted(actual) if _owner(actual[id_]) == host_id and id_ not in wanted.services]
    adopt = (_as_it_is(id_, actual[id_]) for id_ in gone if _meta(actual[id_]).get(HOLDER_KEY, "") != holder)
    return Changes(tuple(register), tuple(adopt), tuple(gone), tuple(problems))


def has_heirs(changes: Changes, actual: Mapping[str, Mapping[str, Any]]) -> bool:
    """Say whether any service that is to be registered belongs to a container that is in the catalogue already."""
    known = {_meta(there).get(CONTAINER_KEY) for there in actual.values()}
    return any(service.registration["Meta"][CONTAINER_KEY] in known for service in changes.register)


def inherit_statuses(changes: Changes, actual: Mapping[str, Mapping[str, Any]], statuses: Mapping[str, str]) -> Changes:
    """Start a service anew with the status (by service id) that the same container's port has had until now.

    A renamed container, or one whose registration changed, would otherwise be critical until its first check.
    """
    before = {
        (_meta(there).get(CONTAINER_KEY), there["Service"], there["Address"], there["Port"]): statuses[id_]
        for id_, there in actual.items()
        if id_ in statuses
    }

    def heir(service: Service) -> Service:
        now = service.registration
        status = before.get((now["Meta"][CONTAINER_KEY], now["Name"], now["Address"], now["Port"]))
        if service.status or status is None or "Check" not in now:
            return service
        return replace(service, registration={**now, "Check": {**now["Check"], "Status": status}})

    return replace(changes, register=tuple(heir(service) for service in changes.register))


def _as_it_is(id_: str, there: Mapping[str, Any]) -> Service:
    kept = {key: there.get(key) for key in ("Tags", "Address", "Port")}
    return Service(id_, {"ID": id_, "Name": there["Service"], "Meta": dict(_meta(there)), **kept})


def _owner(service: Mapping[str, Any]) -> str:
    return str(_meta(service).get(OWNER_KEY, ""))


def _meta(service: Mapping[str, Any]) -> Mapping[str, Any]:
    # Consul shows a service that was registered without metadata either way.
    return service.get("Meta") or {}


def _same(service: Service, there: Mapping[str, Any]) -> bool:
    wanted = service.registration
    return bool(
        there["Meta"].get(DIGEST_KEY) == service.digest
        and there["Service"] == wanted["Name"]
        and there["Port"] == wanted["Port"]
        and there["Address"] == wanted["Address"]
    )


def _services_of(
    container: Container, known: Mapping[str, Container], settings: RegistratorSettings
) -> tuple[list[Service], list[str]]:
    """Work out one container's services, and what stands against them."""
    claimed = set(container.exposed)
    owner = container
    # A shared namespace may be shared on: eight steps are more than anybody takes, and end a circle.
    for _ in range(8):
        if not owner.shares_with:
            break
        if owner.shares_with not in known:
            return [], [f"{container.name}: the container whose network it uses is not running"]
        owner = known[owner.shares_with]
    if owner is not container or container.swarm:
        # Docker lets no such container expose a port: it names its ports in its SERVICE_<port>_* keys.
        claimed |= _named_ports(container)
    places, problem = _places(container, owner, sorted(claimed), settings)
    if problem:
        # What asks for nothing, or asks to be left alone, is no problem.
        asks = [port for port in sorted(claimed) if not _metadata(container, port.number)[0].get("ignore")]
        return [], [f"{container.name}: {problem}"] if asks else []
    several = len(places) > 1
    services = (_service(container, port, place, several=several, settings=settings) for port, place in places.items())
    return [service for service in services if service], []


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a port is reached."""

    address: str
    port: int
    ipv6: str = ""
    """The second address of a service that has one of each family."""


def _places(
    container: Container, owner: Container, ports: Sequence[ContainerPort], settings: RegistratorSettings
) -> tuple[dict[ContainerPort, _Place], str]:
    """Say where each port is reached, or why none is."""
    if owner.network_mode == "host":
        return {port: _Place(settings.address, port.number) for port in ports}, ""
    if not settings.internal:
        found = {}
        for port in ports:
            # Docker lists both families of one publication: IPv4 first, then the lowest port, never by chance.
            of_port = sorted(
                (each for each in owner.bindings if each.port == port),
                key=lambda each: (":" in each.host_ip, each.host_port, each.host_ip),
            )
            if of_port:
                at = of_port[0]
                found[port] = _Place(settings.address if at.host_ip in _ANYWHERE else at.host_ip, at.host_port)
        return found, ""
    if not ports:
        return {}, ""
    network, problem = _network(container, owner, settings)
    if not network:
        return {}, problem
    address = network.ipv4 or network.ipv6
    if not address:
        # Docker fills it in a moment later, and says so with an event.
        return {}, f"no address on the network {network.name} yet"
    return {port: _Place(address, port.number, network.ipv6 if network.ipv4 else "") for port in ports}, ""


def _network(
    container: Container, owner: Container, settings: RegistratorSettings
) -> tuple[ContainerNetwork | None, str]:
    """Choose the network whose address is registered: the label, then the option, then the only one there is."""
    label = _metadata(container, None)[0].get("network") or _metadata(owner, None)[0].get("network")
    asked = label or settings.network
    if asked:
        # A Compose file or a Swarm stack calls its network by its short name.
        names = {asked, f"{owner.project}_{asked}", f"{container.project}_{asked}"}
        for network in owner.networks:
            if network.name in names or network.id == asked:
                return network, ""
        # The option says which containers are meant at all; a label is a wish of this one.
        return None, f"it is not on the network {label}" if label else ""
    if len(owner.networks) == 1:
        return owner.networks[0], ""
    if not owner.networks:
        return None, "it is on no network"
    names_there = ", ".join(network.name for network in owner.networks)
    return None, f"it is on several networks ({names_there}): say which with SERVICE_NETWORK or --network"


def _service(
    container: Container, port: ContainerPort, place: _Place, *, several: bool, settings: RegistratorSettings
) -> Service | None:
    """Make the service of one port, or None where it asks to be ignored."""
    metadata, from_port = _metadata(container, port.number)
    if metadata.get("ignore"):
        return None
    name = metadata.get("name") or _base_name(container)
    if several and "name" not in from_port:
        name = f"{name}-{port.number}"
    tags = _tags(metadata.get("tags", ""))
    if port.protocol != "tcp":
        tags.append(port.protocol)
    id_ = metadata.get("id") or f"{settings.host_id}:{container.name}:{port.suffix}"
    extra = {key: value for key, value in metadata.items() if key not in _STEERING and not key.startswith("check_")}
    # Consul's own limits on metadata: 64 pairs, these characters, 512 bytes.
    meta = {re.sub(r"[^A-Za-z0-9_-]", "_", key)[:128]: value[:512] for key, value in sorted(extra.items())[:60]}
    meta |= {OWNER_KEY: settings.host_id, CONTAINER_KEY: container.id[:12]}
    if settings.holder:
        meta[HOLDER_KEY] = settings.holder
    registration: dict[str, Any] = {
        "ID": id_,
        "Name": name,
        "Tags": tags,
        "Address": place.address,
        "Port": place.port,
        "Meta": meta,
    }
    # Only where it is said that the service listens there: Consul's SRV records prefer it to the IPv4 address.
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
    """Read the check that the SERVICE_CHECK_* keys ask for, in upstream's order of precedence."""
    host = f"[{place.address}]" if ":" in place.address else place.address
    at = f"{host}:{place.port}"
    check: dict[str, Any]
    if path := metadata.get("check_http"):
        check = {"HTTP": f"http://{at}{path}", "Method": metadata.get("check_http_method", "")}
    elif path := metadata.get("check_https"):
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
    # Ours, not upstream's: patience with a check that fails, or proof before one counts as passing.
    for name, key in (
        ("FailuresBeforeCritical", "failures_before_critical"),
        ("SuccessBeforePassing", "success_before_passing"),
    ):
        if (number := metadata.get(f"check_{key}", "")).isdecimal():
            check[name] = int(number)
    check["Status"] = metadata.get("check_initial_status", "")
    check["DeregisterCriticalServiceAfter"] = metadata.get("check_deregister_after", "")
    return {key: value for key, value in check.items() if value not in ("", False)}


def _metadata(container: Container, port: int | None) -> tuple[dict[str, str], frozenset[str]]:
    """Gather the SERVICE_* keys for one port, lower case, and which of them were said for that port alone.

    Labels win over the environment, and a port's own keys over general ones.
    """
    general: dict[str, str] = {}
    own: dict[str, str] = {}
    for key, value in (*container.env, *container.labels):
        name = key.removeprefix(PREFIX).lower()
        number, _, rest = name.partition("_")
        if number.isdecimal() and rest:
            if int(number) == port:
                own[rest] = value
        elif name:
            general[name] = value
    return general | own, frozenset(own)


def _named_ports(container: Container) -> set[ContainerPort]:
    """Find the ports that the container's keys speak of."""
    found = (re.match(r"SERVICE_(\d{1,5})_", key) for key, _ in (*container.env, *container.labels))
    numbers = {int(match[1]) for match in found if match}
    # The image may say that it is another protocol's port.
    numbers -= {port.number for port in container.exposed}
    return {ContainerPort(number) for number in numbers if 0 < number < 65536}


def _base_name(container: Container) -> str:
    """Take the image's base name: `registry:5000/team/web:1.2` is `web`. An image without a name: the container's."""
    if container.image.startswith("sha256:"):
        return container.name
    return container.image.partition("@")[0].rsplit("/", 1)[-1].partition(":")[0]


def _tags(text: str) -> list[str]:
    r"""Split at commas; `\,` is a comma inside a tag."""
    parts = (part.replace(r"\,", ",") for part in re.split(r"(?<!\\),", text))
    return [part for part in parts if part]
