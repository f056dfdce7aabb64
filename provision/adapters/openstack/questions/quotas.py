"""What the project's quotas still allow. It is advice: a cloud that does not say it of its networks is no obstacle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from provision.adapters.openstack.existing import Existing
from provision.adapters.openstack.session import retry_transient
from provision.model.cluster.quota import GROUP_MEMBERS

_NETWORK: Final = {
    "network": "networks",
    "subnet": "subnets",
    "router": "routers",
    "port": "ports",
    "floatingip": "floating IPs",
    "security_group": "security groups",
    "security_group_rule": "security group rules",
}
"""Neutron's word for a resource -> ours."""
_DETAILS: Final = {"limit": -1, "used": 0, "reserved": 0}
"""What is said of each, and what holds where that is not."""
_NOT_THE_QUOTAS: Final = (401, 408, 413, 425, 429, 502, 503, 504)
"""Statuses that would meet any other request too: the login is over, there are too many requests, or nobody answers."""


class Quotas(Existing):
    """Questions for what the project may still make."""

    def room(self) -> dict[str, int]:
        """Return what the quotas still allow, by resource; unlimited and hidden ones are left out."""
        return self._compute_room() | self._network_room()

    @retry_transient
    def _compute_room(self) -> dict[str, int]:
        left: dict[str, int] = {}
        with self.asking("reading quotas"):
            limits = self.connection.compute.get_limits().absolute
        for name, limit, used in (
            ("instances", limits.instances, limits.instances_used),
            ("cores", limits.total_cores, limits.total_cores_used),
            ("RAM (MiB)", limits.total_ram, limits.total_ram_used),
            ("server groups", limits.server_groups, limits.server_groups_used),
            # How many one group may have.
            (GROUP_MEMBERS, limits.server_group_members, 0),
        ):
            if limit is not None and limit >= 0:
                left[name] = int(limit) - int(used or 0)
        return left

    @retry_transient
    def _network_room(self) -> dict[str, int]:
        from openstack import exceptions as sdk

        with self.asking("reading network quotas"):
            try:
                project = self.connection.current_project_id
                answer = self.connection.network.get(f"/quotas/{project}/details")
                sdk.raise_from_response(answer)
                document = answer.json()
            except sdk.HttpException as error:
                if error.status_code in _NOT_THE_QUOTAS:
                    raise
                # Many clouds show these to administrators only, and some plugins do not know them: 400, 405, 500, 501.
                return {}
            except ValueError:
                # No JSON.
                return {}
        quotas = document.get("quota") if isinstance(document, Mapping) else None
        if not isinstance(quotas, Mapping):
            return {}
        left = {what: _left(quotas.get(name)) for name, what in _NETWORK.items()}
        return {what: number for what, number in left.items() if number is not None}


def _left(quota: object) -> int | None:
    """Return what is left of one quota; None where it is unlimited, or the cloud gives no details of it."""
    if not isinstance(quota, Mapping):
        return None
    try:
        limit, used, reserved = (int(quota.get(key, default)) for key, default in _DETAILS.items())
    except (TypeError, ValueError):
        return None
    return limit - used - reserved if limit >= 0 else None
