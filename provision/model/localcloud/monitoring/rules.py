"""Alert rules: what `provision cloud doctor` knows of the local cloud, as expressions over metrics, in its words.

Texts are templates of vmalert: it fills in a series' labels and value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provision.model.localcloud.doctor.host_rules import AMPLE_FREE, EXPIRES, FREE_PART
from provision.model.localcloud.doctor.words import (
    CUT_OFF,
    MAKE_ROOM,
    RENEW,
    UP,
    called,
    catches_up,
    check_reader,
    logs,
    look_at,
    service_of,
)
from provision.model.localcloud.monitoring.jobs import watched_apis
from provision.model.localcloud.preflight import LEAST_FREE
from provision.model.localcloud.settings import MEMBERS
from provision.model.monitoring.alert_rule import ENDS, AlertRule, gathered, nothing_gathered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.model.localcloud.settings import Settings

_INSTANCE: Final = "{{ $labels.instance }}"
_VALUE: Final = "{{ $value }}"
MANY_MESSAGES: Final = 100
"""Messages in a queue from which on its growth is reported: a burst of requests is shorter."""
MEMORY_PART: Final = 20
"""The machine's memory is reported when less than one such part of it is left."""
TAKES_CALLS: Final = (
    'sum by (host) (label_replace(rabbitmq_detailed_queue_consumers{queue=~"compute[.].+"}, '
    '"host", "$1", "queue", "compute[.](.+)"))'
)
"""How many read each hypervisor's queue: 0 where its nova-compute is down."""


def alert_rules(settings: Settings) -> tuple[AlertRule, ...]:
    """List the alerts, likely causes first."""
    return (
        nothing_gathered(
            "Its store takes none while the disk is full: `provision cloud doctor` says so. `provision cloud metrics` "
            f"shows what is asked, {logs('monitoring')} its log."
        ),
        *_machine(),
        *_infrastructure(),
        *_database(settings),
        *_queues(),
        *_apis(settings),
        *_hypervisors(settings),
        AlertRule(
            "CertificateEnds",
            f'min(probe_ssl_earliest_cert_expiry{{job="api"}} - time()) < {EXPIRES * 86400}',
            "1m",
            "the certificate of the APIs",
            ENDS,
            RENEW,
        ),
        AlertRule(
            "NoMetrics",
            'up{job!~"haproxy|consul|rabbitmq.*"} == 0',
            "2m",
            "the metrics of {{ $labels.instance }} ({{ $labels.job }})",
            "cannot be read, so what they would tell is not known",
            "`provision cloud metrics` says why.",
        ),
    )


def _machine() -> Iterator[AlertRule]:
    free, size = "node_filesystem_avail_bytes", "node_filesystem_size_bytes"
    yield AlertRule(
        "DiskFilling",
        f"{free} < {LEAST_FREE} or ({free} < {AMPLE_FREE} and {free} < {size} / {FREE_PART})",
        "1m",
        "the disk with Docker's containers and images",
        "has {{ $value | humanize1024 }}B left",
        MAKE_ROOM,
    )
    yield AlertRule(
        "MemoryShort",
        f"node_memory_MemAvailable_bytes < node_memory_MemTotal_bytes / {MEMORY_PART}",
        "1m",
        "this machine",
        "has {{ $value | humanize1024 }}B of memory left",
        "Stop guests or clusters that nobody needs, or give it more memory: Linux ends processes when none is left.",
    )


def _infrastructure() -> Iterator[AlertRule]:
    # One that is gone from Consul has no series at all.
    for service, working in (
        ("consul", 'up{job="consul"} == 1'),
        ("mariadb", 'mysql_up{job="mariadb"} == 1'),
        ("rabbitmq", 'up{job="rabbitmq"} == 1'),
        ("haproxy", 'up{job="haproxy"} == 1'),
    ):
        yield AlertRule(
            "ServiceDown",
            # Where nothing is gathered at all, it is not the services that are away.
            f"absent({working}) and on () count({gathered()})",
            "30s",
            f"the service {service}",
            "has no replica that answers",
            look_at(service),
        )


def _database(settings: Settings) -> Iterator[AlertRule]:
    status = "mysql_global_status_wsrep_cluster_status"
    yield AlertRule("DatabaseCutOff", f"{status} == 0", "10s", _INSTANCE, *CUT_OFF)
    yield AlertRule(
        "DatabaseNotInSync",
        f"mysql_global_status_wsrep_local_state != 4 and on (instance) {status} == 1",
        "1m",
        _INSTANCE,
        f"is not in sync with its cluster (state {_VALUE})",
        catches_up(_INSTANCE),
    )
    if settings.ha:
        yield AlertRule(
            "DatabaseMemberMissing",
            f"max(mysql_global_status_wsrep_cluster_size) < {MEMBERS}",
            "1m",
            "the database's cluster",
            f"has {_VALUE} of its {MEMBERS} members",
            f"{UP} starts a member that does not run. The others go on without it.",
        )


def _unread(queue: str) -> str:
    """Write that nobody reads a queue, though RabbitMQ answers: its queues are gone when it has been replaced."""
    readers = f'sum(rabbitmq_detailed_queue_consumers{{queue="{queue}"}}) or vector(0)'
    return f'({readers}) == 0 and max(up{{job="rabbitmq-queues"}}) == 1'


def _hypervisors(settings: Settings) -> Iterator[AlertRule]:
    for host in settings.hypervisors:
        yield AlertRule(
            "HypervisorAgentDown",
            _unread(f"compute.{host}"),
            "10s",
            f"nova-compute on {host}",
            "is down: it takes no calls from RabbitMQ",
            look_at(f"{host}-nova-compute-1"),
        )


def _queues() -> Iterator[AlertRule]:
    for queue in ("conductor", "scheduler"):
        yield AlertRule(
            "QueueUnread",
            _unread(queue),
            "30s",
            f"the queue {queue}",
            "is read by nobody",
            check_reader(queue),
        )
    waiting = "sum by (queue) (rabbitmq_detailed_queue_messages)"
    yield AlertRule(
        "QueueGrows",
        f"{waiting} > {MANY_MESSAGES} and sum by (queue) (deriv(rabbitmq_detailed_queue_messages[5m])) > 0",
        "2m",
        "the queue {{ $labels.queue }}",
        f"holds {_VALUE} messages, and grows",
        "Check that its reader runs and keeps up (`provision cloud status`); its log says more.",
    )


def _apis(settings: Settings) -> Iterator[AlertRule]:
    for api in watched_apis(settings):
        service = service_of(api.name)
        yield AlertRule(
            "ApiWithoutReplica",
            f'max(haproxy_backend_active_servers{{proxy="{api.name}"}}) == 0',
            "10s",
            called(api.name, api.type),
            "has no healthy replica, so no request is answered",
            f"{UP} starts it. If it runs, {logs(service)} says why it fails its health check.",
        )
