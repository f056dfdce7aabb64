"""The door to the `local` cloud for its own administrator: whether its parts answer, and its SDK connection."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import requests

from provision.model.localcloud.replicas import names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openstack.connection import Connection

_LISTED: Final = ("nova-scheduler", "nova-conductor")
"""What Nova lists of the control plane, by the host name of each copy."""


class Admin:
    """The administrator of the local cloud; nothing is asked before it is needed."""

    def __init__(self, login: Mapping[str, Any]) -> None:
        self._login = dict(login)
        self._session = requests.Session()
        # These addresses are this machine's own: no proxy is between.
        self._session.trust_env = False
        self._session.verify = self._login.get("cacert", True)

    @cached_property
    def connection(self) -> Connection:
        """The SDK's connection."""
        import openstack

        return openstack.connect(load_yaml_config=False, load_envvars=False, **self._login)

    def renew(self) -> None:
        """Log in anew at the next use: the list of services comes with the token."""
        self.__dict__.pop("connection", None)

    def answers(self, url: str) -> str:
        """Return an empty text when `url` answers below 400, else what it says instead."""
        try:
            response = self._session.get(url, timeout=30, allow_redirects=False)
        except requests.exceptions.SSLError as error:
            return f"its certificate is not trusted: {error}"
        except requests.RequestException:
            return "no connection"
        if response.status_code == 503:
            return "starting"
        return f"answers {response.status_code}" if response.status_code >= 400 else ""

    def lacking(self, hypervisors: Sequence[str], copies: Mapping[str, int] | None = None) -> dict[str, str]:
        """Say what is not up yet: Nova's services (`copies` of each), network agents, hypervisors, with their state."""
        from openstack.exceptions import SDKException

        try:
            return self._lacking(hypervisors, copies or {})
        except SDKException as error:
            return {"the cloud's APIs": str(error)[:120]}

    def forget_services(self, copies: Mapping[str, int]) -> list[str]:
        """Remove what Nova's list has of schedulers and conductors that are no copy any more; return their hosts.

        A Nova that does not answer keeps them.
        """
        from openstack.exceptions import SDKException

        keep = {name for binary in _LISTED for name in names(binary, copies)}
        gone = []
        try:
            for each in self.connection.compute.services():
                if each.binary in _LISTED and each.host not in keep:
                    self.connection.compute.delete_service(each)
                    gone.append(str(each.host))
        except SDKException:
            return gone
        return gone

    def forget_hypervisor(self, host: str) -> None:
        """Remove a host that is gone from Nova's and Neutron's lists; where they do not answer, it stays there."""
        from openstack.exceptions import SDKException

        try:
            for service in self.connection.compute.services(host=host, binary="nova-compute"):
                # Nova keeps one that has guests.
                self.connection.compute.delete_service(service)
            for agent in self.connection.network.agents(host=host):
                self.connection.network.delete_agent(agent)
        except SDKException:
            return

    def _lacking(self, hypervisors: Sequence[str], copies: Mapping[str, int]) -> dict[str, str]:
        services = {(each.host, each.binary): each for each in self.connection.compute.services()}
        agents = [(each.host, each.agent_type, each.is_alive) for each in self.connection.network.agents()]
        known = {each.name for each in self.connection.compute.hypervisors(details=False)}
        lacks: dict[str, str] = {}
        for name in (name for binary in _LISTED for name in names(binary, copies)):
            service = services.get((name, name.rpartition("-")[0]))
            if service is None or service.state != "up":
                lacks[name] = "reported down" if service else "not reported yet"
        for host in hypervisors:
            service = services.get((host, "nova-compute"))
            if service is None or service.state != "up":
                lacks[f"{host} nova-compute"] = "reported down" if service else "not reported yet"
            for kind in ("Controller", "Metadata"):
                alive = [up for name, agent, up in agents if name == host and kind in agent]
                if not alive or not all(alive):
                    lacks[f"{host} OVN {kind.lower()}"] = "reported down" if alive else "not reported yet"
            if host not in known:
                lacks[f"{host} hypervisor"] = "not yet in a cell"
        return lacks
