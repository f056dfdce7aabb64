"""The local cloud as its administrator sees it: whether its APIs answer, and what its services report."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

import requests

from provision.adapters.openstack.kept_token import KeptToken
from provision.adapters.openstack.session import READY_TIMEOUT, use_no_proxy
from provision.base.errors import ProvisionError
from provision.base.poll import Pending, until
from provision.base.threads import together
from provision.model.localcloud.doctor.observed import Clock, Endpoint, Worker, read_time
from provision.model.localcloud.replicas import names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from openstack.connection import Connection
    from openstack.identity.v3._proxy import Proxy

_REPLICATED: Final = ("nova-scheduler", "nova-conductor")
"""Control-plane services that report to Nova, each replica under a host name of its own."""


class Admin:
    """The administrator of the local cloud. It logs in at the first question.

    `login` are the arguments of `openstack.connect()`; with a `timeout`, each request to an API may take so many
    seconds. Methods raise ProvisionError, with a reason of one line, when a service does not answer.
    """

    def __init__(self, login: Mapping[str, Any], timeout: float | None = None) -> None:
        self._login = dict(login) | ({} if timeout is None else {"api_timeout": timeout})
        self._session = requests.Session()
        # The APIs are on this machine: a proxy named in the environment must not be asked.
        self._session.trust_env = False
        self._session.verify = self._login.get("cacert", True)

    @cached_property
    def connection(self) -> Connection:
        """The SDK's connection."""
        import openstack

        connection: Connection = openstack.connect(load_yaml_config=False, load_envvars=False, **self._login)
        use_no_proxy(connection)
        return connection

    def logged_in(self) -> Connection:
        """Return the connection with a token. Raises ProvisionError when Keystone gives none for so long.

        Keystone's API answers before its database does, which may have been replaced a moment ago.
        """
        from keystoneauth1.exceptions import ConnectFailure, HttpServerError

        session: Any = self.connection.session

        def log_in() -> Connection | Pending:
            try:
                session.auth.get_access(session)
            except (HttpServerError, ConnectFailure) as error:
                return Pending(str(error))
            return self.connection

        def too_late(reason: str) -> ProvisionError:
            return ProvisionError("Keystone gives no token", "`provision cloud logs keystone` says why.", reason)

        return until(log_in, timeout=READY_TIMEOUT, too_late=too_late)

    def renew(self) -> None:
        """Log in again at the next question: a token carries the service catalogue of its time."""
        self.__dict__.pop("connection", None)

    @contextmanager
    def kept_login(self) -> Iterator[None]:
        """Answer what is asked in here with the token of an earlier login, and keep this one's for a later command."""
        connection = self.connection
        token = KeptToken(connection.session.auth)
        token.load()
        try:
            # Their versions, all at once; the SDK would ask each service at the first question to it.
            together(lambda: connection.identity, lambda: connection.compute, lambda: connection.network)
            yield
        except BaseException:
            token.forget()
            raise
        token.keep()

    # --- what the cloud reports ---

    def api_problem(self, url: str) -> str:
        """Say what is wrong with the API at `url`; empty when it answers with a status below 400."""
        try:
            response = self._session.get(url, timeout=30, allow_redirects=False)
        except requests.exceptions.SSLError as error:
            return f"its certificate is not trusted: {error}"
        except requests.RequestException:
            return "no connection"
        if response.status_code == 503:
            return "starting"
        return f"answers {response.status_code}" if response.status_code >= 400 else ""

    def clock(self) -> Clock:
        """Log in, and compare Keystone's clock with this machine's: a token says when it was issued, to the second."""
        with service_errors("Keystone"):
            before = time.time()
            session: Any = self.connection.session
            issued: float = session.auth.get_access(session).issued.timestamp()
            after = time.time()
        return Clock("Keystone's host", issued + 0.5 - (before + after) / 2, 0.5 + (after - before) / 2)

    def endpoints(self) -> tuple[Endpoint, ...]:
        """List the endpoints in Keystone's catalogue."""
        with service_errors("Keystone"):
            identity = cast("Proxy", self.connection.identity)
            services = {service.id: service for service in identity.services()}
            found = [(services.get(endpoint.service_id), endpoint) for endpoint in identity.endpoints()]
        return tuple(
            Endpoint(service.type, service.name, endpoint.interface, endpoint.url)
            for service, endpoint in found
            if service is not None
        )

    def compute_services(self) -> tuple[Worker, ...]:
        """List Nova's services."""
        with service_errors("Nova"):
            return tuple(
                Worker(
                    kind=service.binary,
                    host=service.host,
                    up=service.state == "up",
                    enabled=service.status != "disabled",
                    reason=service.disabled_reason or "",
                    seen=read_time(service.updated_at),
                )
                for service in self.connection.compute.services()
            )

    def network_agents(self) -> tuple[Worker, ...]:
        """List Neutron's agents."""
        with service_errors("Neutron"):
            return tuple(
                Worker(
                    kind=agent.agent_type,
                    host=agent.host,
                    up=bool(agent.is_alive),
                    enabled=bool(agent.is_admin_state_up),
                    seen=read_time(agent.last_heartbeat_at),
                )
                for agent in self.connection.network.agents()
            )

    def missing_services(self, hypervisors: Sequence[str], replicas: Mapping[str, int] | None = None) -> dict[str, str]:
        """Say what is not up yet, each with its state.

        Checked are Nova's services on the control plane (`replicas` of each), and on each hypervisor its compute
        service, its network agents and its place in a cell.
        """
        try:
            return self._missing_services(hypervisors, replicas or {})
        except ProvisionError as error:
            return {"the cloud's APIs": error.message}

    def _missing_services(self, hypervisors: Sequence[str], replicas: Mapping[str, int]) -> dict[str, str]:
        services = {(service.host, service.kind): service for service in self.compute_services()}
        agents = self.network_agents()
        with service_errors("Nova"):
            in_cells = {hypervisor.name for hypervisor in self.connection.compute.hypervisors(details=False)}
        missing: dict[str, str] = {}
        for binary in _REPLICATED:
            for name in names(binary, replicas):
                service = services.get((name, binary))
                if service is None or not service.up:
                    missing[name] = _state(reported=service is not None)
        for host in hypervisors:
            service = services.get((host, "nova-compute"))
            if service is None or not service.up:
                missing[f"{host} nova-compute"] = _state(reported=service is not None)
            for kind in ("Controller", "Metadata"):
                alive = [agent.up for agent in agents if agent.host == host and kind in agent.kind]
                if not alive or not all(alive):
                    missing[f"{host} OVN {kind.lower()}"] = _state(reported=bool(alive))
            if host not in in_cells:
                missing[f"{host} hypervisor"] = "not yet in a cell"
        return missing

    # --- what is taken out of its lists ---

    def forget_services(self, replicas: Mapping[str, int]) -> list[str]:
        """Delete Nova's entries of schedulers and conductors that no longer exist; return their host names.

        Entries stay where Nova does not answer.
        """
        existing = {name for binary in _REPLICATED for name in names(binary, replicas)}
        forgotten: list[str] = []
        with suppress(ProvisionError), service_errors("Nova"):
            for service in self.connection.compute.services():
                if service.binary in _REPLICATED and service.host not in existing:
                    self.connection.compute.delete_service(service)
                    forgotten.append(str(service.host))
        return forgotten

    def forget_hypervisor(self, host: str) -> None:
        """Delete Nova's and Neutron's entries of a host that is gone; they stay where these do not answer."""
        with suppress(ProvisionError), service_errors("Nova or Neutron"):
            for service in self.connection.compute.services(host=host, binary="nova-compute"):
                # Nova refuses to delete one that still has instances.
                self.connection.compute.delete_service(service)
            for agent in self.connection.network.agents(host=host):
                self.connection.network.delete_agent(agent)


@contextmanager
def service_errors(service: str) -> Iterator[None]:
    """Turn the SDK's errors into a ProvisionError of one line that names the service."""
    from keystoneauth1.exceptions import ClientException
    from openstack.exceptions import SDKException

    try:
        yield
    except (SDKException, ClientException) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ProvisionError(f"{service} does not answer: {reason[:160]}") from error


def _state(*, reported: bool) -> str:
    return "reported down" if reported else "not reported yet"
