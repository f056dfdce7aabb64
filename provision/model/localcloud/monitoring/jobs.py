"""Which metrics are gathered: jobs whose targets Consul names, and the APIs that are asked as users ask them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from provision.model.localcloud.settings import apis, peer, tls_port

if TYPE_CHECKING:
    from collections.abc import Mapping

    from provision.model.localcloud.settings import Api, Settings

MARIADB_EXPORTER: Final = "monitoring-mariadb:9104"
PROBE: Final = "monitoring-probe:9115"
"""By Docker's names: these belong to monitoring itself (compose/monitoring.yaml)."""


@dataclass(frozen=True, slots=True)
class MetricsJob:
    """Metrics of all instances of a service in Consul: on which port and path, if not its own port and /metrics."""

    name: str
    service: str
    port: int = 0
    path: str = "/metrics"
    parameters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    token: bool = False
    """Whether the token for Consul is shown: to Consul alone."""
    exporter: str = ""
    """Who is asked about an instance in its place; empty: the instance itself."""
    drop: str = ""
    """Regular expression: series of queues with such a name are left out."""


def jobs(settings: Settings) -> tuple[MetricsJob, ...]:
    """List what is gathered from services in Consul."""
    return (
        # The free places of each backend (HAProxy's servers in maintenance) would be most of what HAProxy says.
        MetricsJob(
            "haproxy", "haproxy", parameters={"scope": ("global", "frontend", "backend", "server"), "no-maint": ("1",)}
        ),
        MetricsJob("consul", "consul-ui", path="/v1/agent/metrics", parameters={"format": ("prometheus",)}, token=True),
        MetricsJob("rabbitmq", "rabbitmq", settings.ports.rabbitmq_metrics),
        MetricsJob(
            "rabbitmq-queues",
            "rabbitmq",
            settings.ports.rabbitmq_metrics,
            "/metrics/detailed",
            {"family": ("queue_coarse_metrics", "queue_consumer_count")},
            # Queues of one client or one replica, which come and go with it.
            drop="reply_.*|.*_fanout.*",
        ),
        MetricsJob("mariadb", "mariadb", path="/probe", exporter=MARIADB_EXPORTER),
        MetricsJob("host", "monitoring-host"),
    )


def watched_apis(settings: Settings) -> tuple[Api, ...]:
    """List the APIs that always have a replica: Horizon's absence is no fault."""
    return tuple(api for api in apis(settings) if api.type or not api.public)


def probed(settings: Settings) -> tuple[tuple[str, str], ...]:
    """List the APIs that are asked by TLS, as users do: name and URL."""
    return tuple(
        (api.name, f"https://{peer('haproxy')}:{tls_port(api.port)}{api.health}")
        for api in watched_apis(settings)
        if api.public
    )
