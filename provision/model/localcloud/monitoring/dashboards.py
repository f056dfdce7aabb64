"""The local cloud's dashboard, defined once: what each panel is called, asks and means."""

from __future__ import annotations

from typing import Final

from provision.model.localcloud.doctor.host_rules import EXPIRES, FREE_PART
from provision.model.localcloud.monitoring.rules import MANY_MESSAGES, MEMORY_PART, TAKES_CALLS
from provision.model.monitoring.panels import (
    FIRING,
    Dashboard,
    FigureUnit,
    PanelLimits,
    Section,
    make_panel,
    rate,
)

_REQUESTS: Final = "haproxy_backend_http_requests_total"
_RESPONSES: Final = "haproxy_backend_http_responses_total"
_FAILED: Final = 'code="5xx"'
_REFUSED: Final = 'code="4xx"'
_CPU: Final = "node_cpu_seconds_total"
_IDLE: Final = 'mode="idle"'
_FOR_DISKS: Final = 'mode="iowait"'
_ONE_IS_BAD: Final = PanelLimits(1, 1)
_LEAST_ONE: Final = PanelLimits(1, 1, falling=True)
_MEMORY_LEFT: Final = "node_memory_MemAvailable_bytes"
_FREE: Final = "node_filesystem_avail_bytes"

_AT_A_GLANCE: Final = Section(
    "At a glance",
    figures=True,
    panels=(
        make_panel(
            "Alerts",
            "how many fire; `provision cloud alerts` says which",
            FigureUnit.COUNT,
            (f"count({FIRING}) or vector(0)", ""),
            limits=_ONE_IS_BAD,
        ),
        make_panel(
            "Hypervisors",
            "whose nova-compute takes calls",
            FigureUnit.COUNT,
            (f"count({TAKES_CALLS} > 0) or vector(0)", ""),
            limits=_LEAST_ONE,
        ),
        make_panel(
            "Failed requests",
            "the part of all answers of the APIs that are errors of the cloud (5xx)",
            FigureUnit.SHARE,
            (f"sum({rate(_RESPONSES, _FAILED)}) / sum({rate(_RESPONSES)})", ""),
            limits=PanelLimits(0.01, 0.05),
        ),
        make_panel(
            "APIs that answer",
            "the part of the public APIs that answer by TLS, as users ask them",
            FigureUnit.SHARE,
            ('avg(probe_success{job="api"})', ""),
            limits=PanelLimits(1, 1, falling=True),
        ),
        make_panel(
            "Database members",
            "that are in sync with their cluster",
            FigureUnit.COUNT,
            ("count(mysql_global_status_wsrep_local_state == 4) or vector(0)", ""),
            limits=_LEAST_ONE,
        ),
        make_panel(
            "Memory left",
            "on this machine",
            FigureUnit.SHARE,
            (f"{_MEMORY_LEFT} / node_memory_MemTotal_bytes", ""),
            limits=PanelLimits(2 / MEMORY_PART, 1 / MEMORY_PART, falling=True),
        ),
        make_panel(
            "Disk left",
            "where Docker keeps containers and images",
            FigureUnit.SHARE,
            (f"{_FREE} / node_filesystem_size_bytes", ""),
            limits=PanelLimits(2 / FREE_PART, 1 / FREE_PART, falling=True),
        ),
        make_panel(
            "Certificate",
            "how long that of the APIs still holds",
            FigureUnit.SECONDS,
            ('min(probe_ssl_earliest_cert_expiry{job="api"}) - time()', ""),
            limits=PanelLimits(EXPIRES * 86400, EXPIRES * 86400 / 4, falling=True),
        ),
    ),
)
_APIS: Final = Section(
    "APIs",
    (
        make_panel(
            "Requests",
            "of each API, as HAProxy counts them",
            FigureUnit.PER_SECOND,
            (f"sum by (proxy) ({rate(_REQUESTS)})", "{{proxy}}"),
        ),
        make_panel(
            "Errors of the cloud",
            "answers 5xx",
            FigureUnit.PER_SECOND,
            (f"sum by (proxy) ({rate(_RESPONSES, _FAILED)})", "{{proxy}}"),
            limits=PanelLimits(0.1, 1),
        ),
        make_panel(
            "Requests refused",
            "answers 4xx: what users may not do, or what is not there",
            FigureUnit.PER_SECOND,
            (f"sum by (proxy) ({rate(_RESPONSES, _REFUSED)})", "{{proxy}}"),
        ),
        make_panel(
            "Time to answer",
            "the mean of the last 1,024 requests of each API",
            FigureUnit.SECONDS,
            ("max by (proxy) (haproxy_backend_response_time_average_seconds)", "{{proxy}}"),
            limits=PanelLimits(2, 10),
        ),
        make_panel(
            "Time to answer a user",
            "asked by TLS every 30 s",
            FigureUnit.SECONDS,
            ('probe_duration_seconds{job="api"}', "{{instance}}"),
            limits=PanelLimits(2, 10),
        ),
        make_panel(
            "Requests that wait",
            "for a replica that is free",
            FigureUnit.COUNT,
            ("sum by (proxy) (haproxy_backend_current_queue)", "{{proxy}}"),
        ),
    ),
)
_HYPERVISORS: Final = Section(
    "Hypervisors",
    (
        make_panel(
            "Agents",
            "1: the hypervisor's nova-compute takes calls",
            FigureUnit.COUNT,
            (f"{TAKES_CALLS} > bool 0", "{{host}}"),
            limits=_LEAST_ONE,
        ),
        make_panel(
            "Calls that wait",
            "for a hypervisor",
            FigureUnit.COUNT,
            ('sum by (queue) (rabbitmq_detailed_queue_messages{queue=~"compute[.].+"})', "{{queue}}"),
            limits=PanelLimits(MANY_MESSAGES / 10, MANY_MESSAGES),
        ),
        make_panel(
            "Questions of guests",
            "to the metadata service",
            FigureUnit.PER_SECOND,
            (rate(_REQUESTS, 'proxy="nova-metadata"'), "requests"),
        ),
    ),
)
_QUEUES: Final = Section(
    "Messages",
    (
        make_panel(
            "Messages that wait",
            "in the queues of each service",
            FigureUnit.COUNT,
            ('sum by (queue) (rabbitmq_detailed_queue_messages{queue!~"compute[.].+"})', "{{queue}}"),
            limits=PanelLimits(MANY_MESSAGES / 10, MANY_MESSAGES),
        ),
        make_panel(
            "Readers",
            "of the queues that must have one",
            FigureUnit.COUNT,
            ('sum by (queue) (rabbitmq_detailed_queue_consumers{queue=~"conductor|scheduler"})', "{{queue}}"),
            limits=_LEAST_ONE,
        ),
        make_panel(
            "Messages",
            "that the broker takes and hands out",
            FigureUnit.PER_SECOND,
            (f"sum({rate('rabbitmq_global_messages_received_total')})", "taken"),
            (f"sum({rate('rabbitmq_global_messages_delivered_total')})", "handed out"),
        ),
        make_panel(
            "Memory of the broker",
            "the part of what it may take: at 100 % it accepts no messages",
            FigureUnit.SHARE,
            ("rabbitmq_process_resident_memory_bytes / rabbitmq_resident_memory_limit_bytes", "{{instance}}"),
            limits=PanelLimits(0.8, 1),
        ),
    ),
)
_DATABASE: Final = Section(
    "Database",
    (
        make_panel(
            "Queries", "of each member", FigureUnit.PER_SECOND, (rate("mysql_global_status_queries"), "{{instance}}")
        ),
        make_panel(
            "Connections",
            "the part of those that a member may have",
            FigureUnit.SHARE,
            ("mysql_global_status_threads_connected / mysql_global_variables_max_connections", "{{instance}}"),
            limits=PanelLimits(0.8, 0.95),
        ),
        make_panel(
            "Size of the Galera cluster",
            "as each member sees it",
            FigureUnit.COUNT,
            ("mysql_global_status_wsrep_cluster_size", "{{instance}}"),
            limits=_LEAST_ONE,
        ),
        make_panel(
            "Changes that wait",
            "that a member has from others, and has not applied yet",
            FigureUnit.COUNT,
            ("mysql_global_status_wsrep_local_recv_queue", "{{instance}}"),
            limits=PanelLimits(16, 128),
        ),
        make_panel(
            "Transactions that lost",
            "against another member's, and were repeated",
            FigureUnit.PER_SECOND,
            (rate("mysql_global_status_wsrep_local_cert_failures"), "{{instance}} late"),
            (rate("mysql_global_status_wsrep_local_bf_aborts"), "{{instance}} ended"),
        ),
    ),
)
_MACHINE: Final = Section(
    "This machine",
    (
        make_panel(
            "Processors",
            "the part of them that works",
            FigureUnit.SHARE,
            (f"1 - avg({rate(_CPU, _IDLE)})", "all"),
            (f"avg({rate(_CPU, _FOR_DISKS)})", "wait for disks"),
            limits=PanelLimits(0.9, 0.98),
        ),
        make_panel(
            "Processes for each processor",
            "that run or want to, in the mean of a minute",
            FigureUnit.COUNT,
            (f"node_load1 / on () count({_CPU}{{{_IDLE}}})", "all"),
            limits=PanelLimits(2, 8),
        ),
        make_panel(
            "Memory",
            "what is left, and what there is",
            FigureUnit.BYTES,
            (_MEMORY_LEFT, "left"),
            ("node_memory_MemTotal_bytes", "all"),
        ),
        make_panel(
            "Disk",
            "what is left where Docker keeps containers and images",
            FigureUnit.BYTES,
            (_FREE, "left"),
        ),
        make_panel(
            "Traffic of the disks",
            "of all of them",
            FigureUnit.BYTES_PER_SECOND,
            (f"sum({rate('node_disk_read_bytes_total')})", "read"),
            (f"sum({rate('node_disk_written_bytes_total')})", "written"),
        ),
    ),
)
_SERVICES: Final = Section(
    "Containers",
    (
        make_panel(
            "Healthy replicas",
            "of each API",
            FigureUnit.COUNT,
            ('max by (proxy) (haproxy_backend_active_servers{proxy!="horizon"})', "{{proxy}}"),
            limits=_LEAST_ONE,
        ),
        make_panel(
            "Failed health checks",
            "of the replicas of each API",
            FigureUnit.PER_SECOND,
            (f"sum by (proxy) ({rate('haproxy_server_check_failures_total')})", "{{proxy}}"),
            limits=PanelLimits(0.1, 1),
        ),
        make_panel(
            "What gives metrics",
            "1: it answers",
            FigureUnit.COUNT,
            ('min by (instance) (up{job!="api"})', "{{instance}}"),
            limits=_LEAST_ONE,
        ),
        make_panel(
            "Changes in Consul",
            "of services, their health, and keys",
            FigureUnit.PER_SECOND,
            (rate("consul_raft_applied_index"), "{{instance}}"),
        ),
    ),
)
CLOUD: Final = Dashboard(
    "provision-cloud",
    "Cloud",
    (_AT_A_GLANCE, _APIS, _HYPERVISORS, _QUEUES, _DATABASE, _MACHINE, _SERVICES),
    alerts="provision cloud alerts",
    turn_on="If monitoring is off, `provision cloud enable monitoring` turns it on.",
    site="Horizon",
)
DASHBOARDS: Final = (CLOUD,)
