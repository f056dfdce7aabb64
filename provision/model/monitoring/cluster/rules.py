"""Alert rules of a cluster: what `provision doctor` knows of it, as expressions over metrics, in its words.

Texts are templates of vmalert: it fills in a series' labels and value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provision.base.constants import NODE
from provision.model.doctor.words import (
    EXPIRES,
    FAILED,
    FOR_WANT_OF_MEMORY,
    INODES,
    INODES_PART,
    MEMORY_PART,
    NO_INODES,
    RECENT,
    RENEW_CERTIFICATE,
    RESTART_HUB,
    RESTART_SPARK,
    ROOM,
    ROOM_PART,
    SILENT_HUB,
    SILENT_SPARK,
    STARTING,
    STOPPED,
    THE_CERTIFICATE,
    THE_HUB,
    THE_SPARK_MASTER,
    UNREGISTERED,
    UP,
    disk_of,
    find_small_files,
    log_of,
    make_room,
    mount_again,
    not_the_masters,
    register_again,
    start,
    start_again,
    who_has_memory,
)
from provision.model.monitoring.alert_rule import ENDS, AlertRule, nothing_gathered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from provision.base.model import Role
    from provision.model.monitoring.cluster.gathering import Gathering

_NODE: Final = "{{ $labels.instance }}"
_UNIT: Final = '{{ $labels.name | reReplaceAll "[.]service$" "" }}'
_SIZE: Final = "{{ $value | humanize1024 }}B"
_STATE: Final = "node_systemd_unit_state"
_FOLDERS: Final = (NODE.homes, NODE.shared)


def watched_units(units: Sequence[str]) -> str:
    """Return a regular expression of the systemd units of a role that the node tells the state of."""
    mounts = [f"{folder.strip('/')}.mount" for folder in _FOLDERS if f"{folder.strip('/')}.automount" in units]
    # Backslashes and dots have meanings in systemd's files: a dot stands for any letter here.
    return "|".join(_full_name(unit) for unit in [*units, *mounts])


def _full_name(unit: str) -> str:
    return unit if "." in unit else f"{unit}.service"


def alert_rules(
    units: Mapping[Role, Sequence[str]], on_demand: Mapping[Role, Sequence[str]], scale: Gathering
) -> tuple[AlertRule, ...]:
    """List the alerts, likely causes first.

    `units` are those that the nodes of a role run, `on_demand` those that run once somebody has asked for them.
    """
    full = "its disk is full: `provision doctor` says so"
    if scale.room > ROOM >> 20:
        full = f"less than {scale.room // 1024} GiB of its disk are left"
    rules = (
        nothing_gathered(
            f"Its store takes none while {full}. `provision metrics` shows what "
            "is asked, `provision ssh -- sudo journalctl -u provision-metrics` its log.",
            scale.every,
        ),
        *_nodes(),
        *_units(units, on_demand),
        *_services(),
        AlertRule(
            "NoMetrics",
            # Of a node that is away, and of what has stopped, the rules before say it.
            'up{job=~"spark-users|node"} == 0 and on (instance) (count by (instance) (up == 1) > 0)',
            "2m",
            f"the metrics of {_NODE} ({{{{ $labels.job }}}})",
            "cannot be read, so what they would tell is not known",
            "`provision metrics` says why.",
        ),
    )
    return tuple(rule.looked_at(scale.every) for rule in rules)


def _nodes() -> Iterator[AlertRule]:
    yield AlertRule(
        "NodeAway",
        "sum by (instance, role) (up) == 0",
        "20s",
        _NODE,
        "does not answer the master, and none of its metrics can be read",
        f"`provision doctor` says why; {UP} starts it if it is down.",
    )
    free, size = "node_filesystem_avail_bytes", "node_filesystem_size_bytes"
    yield AlertRule(
        "DiskFull",
        f"{free} < {ROOM} and {free} < {size} / {ROOM_PART}",
        "30s",
        disk_of(_NODE),
        f"is full: {_SIZE} are left",
        make_room(_NODE),
    )
    files = "node_filesystem_files"
    yield AlertRule(
        "InodesGone",
        f"{files}_free < {INODES} and {files}_free < {files} / {INODES_PART}",
        "30s",
        disk_of(_NODE),
        f"{NO_INODES}: {{{{ $value }}}} of them, so no new file can be made",
        find_small_files(_NODE),
    )
    yield AlertRule(
        "MemoryShort",
        f"node_memory_MemAvailable_bytes < node_memory_MemTotal_bytes / {MEMORY_PART}",
        "1m",
        _NODE,
        f"has {_SIZE} of memory left",
        who_has_memory(_NODE),
    )
    yield AlertRule(
        "ProgramsKilled",
        # The store's own increase() takes a first look's figure for what has just happened.
        f"increase_prometheus(node_vmstat_oom_kill[{RECENT}s]) > 0",
        "0s",
        _NODE,
        f'has ended programs {FOR_WANT_OF_MEMORY}: {{{{ $value | printf "%.0f" }}}} in the last {RECENT // 60} min',
        f"`provision doctor` says whose. {who_has_memory(_NODE)}",
    )


def _units(units: Mapping[Role, Sequence[str]], on_demand: Mapping[Role, Sequence[str]]) -> Iterator[AlertRule]:
    for role, names in units.items():
        log = log_of(_NODE, _UNIT)
        for state, which, word, do in (
            ("failed", [*names, *on_demand.get(role, ())], FAILED, f"{log} Once mended, {start_again(_NODE, _UNIT)}"),
            ("inactive", names, STOPPED, f"{start(_NODE, _UNIT)} {log}"),
        ):
            pattern = "|".join(_full_name(name) for name in which)
            yield AlertRule(
                "UnitDown",
                f'{_STATE}{{role="{role}",name=~"{pattern}",state="{state}"}} == 1',
                "10s",
                f"{_UNIT} on {_NODE}",
                word,
                do,
            )
    for folder in _FOLDERS:
        yield AlertRule(
            "NotMounted",
            f'{_STATE}{{role="worker",name="{folder.strip("/")}.mount",state="failed"}} == 1',
            "10s",
            f"{folder} on {_NODE}",
            f"{not_the_masters(folder)}: it could not be mounted",
            mount_again(_NODE, folder),
        )


def _services() -> Iterator[AlertRule]:
    for name, job, unit, where, wrong, do in (
        ("HubSilent", "hub", "jupyterhub", THE_HUB, SILENT_HUB, RESTART_HUB),
        ("SparkSilent", "spark-master", "spark-master", THE_SPARK_MASTER, SILENT_SPARK, RESTART_SPARK),
    ):
        runs = f'{_STATE}{{name="{unit}.service",state="active"}} == 1'
        yield AlertRule(name, f'up{{job="{job}"}} == 0 and on (instance) {runs}', f"{STARTING}s", where, wrong, do)
    runs = f'{_STATE}{{name="spark-worker.service",state="active"}} == 1'
    yield AlertRule(
        "WorkerUnregistered",
        # Whoever asks the Spark master may be down itself, or have no answer: then nobody knows. A master of an older
        # image does not tell that it has one: it has, where it names any worker.
        f"({runs}) unless on (address) spark_worker_alive "
        "and on () (spark_master_answers == 1 or on () count(spark_worker_alive))",
        f"{STARTING}s",
        _NODE,
        f"{UNREGISTERED} runs",
        register_again(_NODE),
    )
    yield AlertRule(
        "CertificateEnds",
        f"min(hub_certificate_ends_timestamp_seconds - time()) < {EXPIRES * 86400}",
        "1m",
        THE_CERTIFICATE,
        ENDS,
        RENEW_CERTIFICATE,
    )
