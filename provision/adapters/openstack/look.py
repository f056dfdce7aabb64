"""The door to the `local` cloud's own lists: what its catalogue names, and who reports to Nova and Neutron."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from provision.base.errors import ProvisionError
from provision.model.localcloud.doctor.observed import Clock, Endpoint, Worker, read_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openstack.connection import Connection
    from openstack.identity.v3._proxy import Proxy


class OpenStack:
    """The cloud as its administrator sees it; every call is bounded by `timeout` seconds.

    Each method raises ProvisionError, with a reason of one line, when its service does not answer.
    """

    def __init__(self, login: Mapping[str, Any], timeout: float = 20) -> None:
        self._login = {**login, "api_timeout": timeout}

    def clock(self) -> Clock:
        """Log in, and compare Keystone's clock with ours: a token says when it was issued, to the second."""
        with _answers("Keystone"):
            before = time.time()
            session: Any = self._cloud.session
            issued: float = session.auth.get_access(session).issued.timestamp()
            after = time.time()
        return Clock("Keystone's host", issued + 0.5 - (before + after) / 2, 0.5 + (after - before) / 2)

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Read Keystone's catalogue."""
        with _answers("Keystone"):
            identity = cast("Proxy", self._cloud.identity)
            services = {each.id: each for each in identity.services()}
            return tuple(
                Endpoint(services[each.service_id].type, services[each.service_id].name, each.interface, each.url)
                for each in identity.endpoints()
                if each.service_id in services
            )

    def compute(self) -> tuple[Worker, ...]:
        """Read Nova's list of services."""
        with _answers("Nova"):
            return tuple(
                Worker(
                    kind=each.binary,
                    host=each.host,
                    up=each.state == "up",
                    enabled=each.status != "disabled",
                    reason=each.disabled_reason or "",
                    seen=read_time(each.updated_at),
                )
                for each in self._cloud.compute.services()
            )

    def agents(self) -> tuple[Worker, ...]:
        """Read Neutron's list of agents."""
        with _answers("Neutron"):
            return tuple(
                Worker(
                    kind=each.agent_type,
                    host=each.host,
                    up=bool(each.is_alive),
                    enabled=bool(each.is_admin_state_up),
                    seen=read_time(each.last_heartbeat_at),
                )
                for each in self._cloud.network.agents()
            )

    @cached_property
    def _cloud(self) -> Connection:
        import openstack

        return openstack.connect(load_yaml_config=False, load_envvars=False, **self._login)


@contextmanager
def _answers(who: str) -> Iterator[None]:
    from keystoneauth1.exceptions import ClientException
    from openstack.exceptions import SDKException

    try:
        yield
    except (SDKException, ClientException) as error:
        first = str(error).strip().partition("\n")[0]
        raise ProvisionError(f"{who} does not answer: {first[:160]}") from error
