"""A cluster's dashboard, defined once: what each panel is called, asks and means."""

from __future__ import annotations

from typing import Final

from provision.model.doctor.words import EXPIRES, MEMORY_PART, ROOM
from provision.model.monitoring.panels import (
    FIRING,
    Dashboard,
    FigureUnit,
    PanelLimits,
    Section,
    make_panel,
    rate,
)

_ONE_IS_BAD: Final = PanelLimits(1, 1)
_LEAST_ONE: Final = PanelLimits(1, 1, falling=True)
_CPU: Final = "node_cpu_seconds_total"
_IDLE: Final = 'mode="idle"'
_MEMORY: Final = "node_memory_MemAvailable_bytes"
_ALL_MEMORY: Final = "node_memory_MemTotal_bytes"
_DISK: Final = "node_filesystem_avail_bytes"
_USED: Final = "sum(metrics_worker_coresUsed_Value)"
_CORES: Final = f"({_USED} + sum(metrics_worker_coresFree_Value))"
_USED_MEMORY: Final = "sum(metrics_worker_memUsed_MB_Value)"
_SPARK_MEMORY: Final = f"({_USED_MEMORY} + sum(metrics_worker_memFree_MB_Value))"
_MEMORY_LIMITS: Final = PanelLimits(2 / MEMORY_PART, 1 / MEMORY_PART, falling=True)
_DISK_LIMITS: Final = PanelLimits(4 * ROOM, ROOM, falling=True)

_AT_A_GLANCE: Final = Section(
    "At a glance",
    figures=True,
    panels=(
        make_panel(
            "Alerts",
            "how many fire; `provision alerts` says which",
            FigureUnit.COUNT,
            (f"count({FIRING}) or vector(0)", ""),
            limits=_ONE_IS_BAD,
        ),
        make_panel(
            "Workers",
            "whose Spark worker answers",
            FigureUnit.COUNT,
            ('count(up{job="spark-worker"} == 1) or vector(0)', ""),
            limits=_LEAST_ONE,
        ),
        make_panel(
            "Workers away",
            "whose Spark worker does not answer",
            FigureUnit.COUNT,
            ('count(up{job="spark-worker"} == 0) or vector(0)', ""),
            limits=_ONE_IS_BAD,
        ),
        make_panel(
            "Cores in use",
            "the part of Spark's cores that applications hold",
            FigureUnit.SHARE,
            (f"{_USED} / {_CORES}", ""),
        ),
        make_panel(
            "Memory in use",
            "the part of Spark's memory that executors hold",
            FigureUnit.SHARE,
            (f"{_USED_MEMORY} / {_SPARK_MEMORY}", ""),
        ),
        make_panel(
            "Applications",
            "notebooks and programs that the Spark master knows as running",
            FigureUnit.COUNT,
            ("sum(metrics_master_apps_Value)", ""),
        ),
        make_panel(
            "Notebook servers",
            "that the Hub has running",
            FigureUnit.COUNT,
            ("sum(jupyterhub_running_servers)", ""),
        ),
        make_panel(
            "Memory left",
            "on the node that has the least",
            FigureUnit.SHARE,
            (f"min({_MEMORY} / {_ALL_MEMORY})", ""),
            limits=_MEMORY_LIMITS,
        ),
        make_panel(
            "Disk left",
            "on the node that has the least",
            FigureUnit.BYTES,
            (f"min({_DISK})", ""),
            limits=_DISK_LIMITS,
        ),
        make_panel(
            "Certificate",
            "how long that of the Hub still holds",
            FigureUnit.SECONDS,
            ("min(hub_certificate_ends_timestamp_seconds) - time()", ""),
            limits=PanelLimits(EXPIRES * 86400, EXPIRES * 86400 / 4, falling=True),
        ),
    ),
)
_SPARK: Final = Section(
    "Spark",
    (
        make_panel(
            "Cores",
            "of all workers",
            FigureUnit.COUNT,
            (_USED, "in use"),
            (_CORES, "all"),
        ),
        make_panel(
            "Memory",
            "of all workers that is for executors",
            FigureUnit.BYTES,
            (f"{_USED_MEMORY} * {1 << 20}", "in use"),
            (f"{_SPARK_MEMORY} * {1 << 20}", "all"),
        ),
        make_panel(
            "Executors",
            "of each worker",
            FigureUnit.COUNT,
            ("metrics_worker_executors_Value", "{{instance}}"),
        ),
        make_panel(
            "Workers",
            "1: the Spark worker answers",
            FigureUnit.COUNT,
            ('up{job="spark-worker"}', "{{instance}}"),
            limits=_LEAST_ONE,
        ),
    ),
)
_USERS: Final = Section(
    "Users",
    (
        make_panel(
            "Cores of each user",
            "that the user's applications hold",
            FigureUnit.COUNT,
            ("sum by (user) (spark_user_cores)", "{{user}}"),
        ),
        make_panel(
            "Applications of each user",
            "notebooks and programs with a SparkContext",
            FigureUnit.COUNT,
            ("sum by (user) (spark_user_applications)", "{{user}}"),
        ),
        make_panel(
            "Executors of each user",
            "that are there",
            FigureUnit.COUNT,
            ("sum by (user) (spark_user_executors)", "{{user}}"),
        ),
        make_panel(
            "Tasks of each user",
            "that end",
            FigureUnit.PER_SECOND,
            (f"sum by (user) ({rate('spark_user_tasks_completed_total')})", "{{user}}"),
        ),
        make_panel(
            "Shuffle",
            "data that executors exchange",
            FigureUnit.BYTES_PER_SECOND,
            (f"sum by (user) ({rate('spark_user_shuffle_read_bytes_total')})", "{{user}} reads"),
            (f"sum by (user) ({rate('spark_user_shuffle_write_bytes_total')})", "{{user}} writes"),
        ),
        make_panel(
            "Applications without cores",
            "that wait, or have nothing to compute",
            FigureUnit.COUNT,
            ("sum by (user) (spark_user_applications_without_cores)", "{{user}}"),
        ),
        make_panel(
            "Notebook servers",
            "that the Hub has running, and users of a day",
            FigureUnit.COUNT,
            ("sum(jupyterhub_running_servers)", "servers"),
            ('sum(jupyterhub_active_users{period="24h"})', "users of 24 h"),
        ),
    ),
)
_NODES: Final = Section(
    "Nodes",
    (
        make_panel(
            "Processors",
            "the part of each node's that works",
            FigureUnit.SHARE,
            (f"1 - avg by (instance) ({rate(_CPU, _IDLE)})", "{{instance}}"),
            limits=PanelLimits(0.95, 1.1),
        ),
        make_panel(
            "Processes for each processor",
            "that run or want to, in the mean of a minute",
            FigureUnit.COUNT,
            (f"node_load1 / on (instance) count by (instance) ({_CPU}{{{_IDLE}}})", "{{instance}}"),
            limits=PanelLimits(4, 16),
        ),
        make_panel(
            "Memory left",
            "on each node",
            FigureUnit.SHARE,
            (f"{_MEMORY} / {_ALL_MEMORY}", "{{instance}}"),
            limits=_MEMORY_LIMITS,
        ),
        make_panel("Disk left", "on each node", FigureUnit.BYTES, (_DISK, "{{instance}}"), limits=_DISK_LIMITS),
        make_panel(
            "Network",
            "of each node",
            FigureUnit.BYTES_PER_SECOND,
            (f"sum by (instance) ({rate('node_network_receive_bytes_total')})", "{{instance}} receives"),
            (f"sum by (instance) ({rate('node_network_transmit_bytes_total')})", "{{instance}} sends"),
        ),
        make_panel(
            "Traffic of the disks",
            "of each node",
            FigureUnit.BYTES_PER_SECOND,
            (f"sum by (instance) ({rate('node_disk_read_bytes_total')})", "{{instance}} reads"),
            (f"sum by (instance) ({rate('node_disk_written_bytes_total')})", "{{instance}} writes"),
        ),
        make_panel(
            "What gives metrics",
            "1: it answers",
            FigureUnit.COUNT,
            ("min by (job) (up)", "{{job}}"),
            limits=_LEAST_ONE,
        ),
    ),
)
HOUR: Final = (
    make_panel("Cores in use", "", FigureUnit.COUNT, (_USED, "")),
    make_panel("Cores", "", FigureUnit.COUNT, (_CORES, "")),
    make_panel("Memory in use", "", FigureUnit.BYTES, (f"{_USED_MEMORY} * {1 << 20}", "")),
    make_panel("Executors", "", FigureUnit.COUNT, ("sum(metrics_worker_executors_Value)", "")),
    make_panel("Applications", "", FigureUnit.COUNT, ("sum(metrics_master_apps_Value)", "")),
    make_panel("Notebook servers", "", FigureUnit.COUNT, ("sum(jupyterhub_running_servers)", "")),
)
"""What the report says of the last hour."""
CLUSTER: Final = Dashboard(
    "provision-cluster",
    "Cluster",
    (_AT_A_GLANCE, _SPARK, _USERS, _NODES),
    alerts="provision alerts",
    turn_on="If monitoring is off, `monitoring: true` in cluster.yaml and `provision up` turn it on.",
    site="Hub",
)
