"""Every alert rule, evaluated by vmalert itself: it fires on its fault, with `doctor`'s words, and is silent else."""

from __future__ import annotations

import re

import pytest
import yaml

from provision.model.localcloud.monitoring.rules import alert_rules
from provision.model.localcloud.render import documents
from provision.model.localcloud.settings import PASSWORDS, Settings, apis
from provision.operations.localcloud.shared.installation import new_password

pytestmark = pytest.mark.integration

GIB = 1 << 30
HA = Settings(ha=True)
DISK = '{mountpoint="/"}'
MEMBER = '{instance="mariadb-1"}'
QUEUES = ("compute.compute-1", "conductor", "scheduler")
# What a cloud that works gives for five minutes, one figure in ten seconds.
WELL = {
    **{
        f'up{{job="{job}",instance="{job}-1"}}': 1
        for job in ("consul", "rabbitmq", "rabbitmq-queues", "haproxy", "host")
    },
    'mysql_up{job="mariadb",instance="mariadb-1"}': 1,
    f"node_filesystem_avail_bytes{DISK}": 50 * GIB,
    f"node_filesystem_size_bytes{DISK}": 100 * GIB,
    "node_memory_MemAvailable_bytes": 8 * GIB,
    "node_memory_MemTotal_bytes": 16 * GIB,
    f"mysql_global_status_wsrep_cluster_status{MEMBER}": 1,
    f"mysql_global_status_wsrep_local_state{MEMBER}": 4,
    f"mysql_global_status_wsrep_cluster_size{MEMBER}": 3,
    **{f'rabbitmq_detailed_queue_consumers{{queue="{queue}"}}': 1 for queue in QUEUES},
    **{f'rabbitmq_detailed_queue_messages{{queue="{queue}"}}': 0 for queue in QUEUES},
    **{f'haproxy_backend_active_servers{{proxy="{api.name}"}}': 1 for api in apis(HA) if api.name != "horizon"},
    'probe_ssl_earliest_cert_expiry{job="api",instance="keystone"}': 10**9,
}
GONE = "_x30"
EVERYTHING = "every series"
EVERY_UP = "every up"
FAULTS = [
    ("NothingGathered", EVERYTHING, GONE, {}, ""),
    # Without a word that they end, as on a full disk: the store repeats the last figures for five minutes.
    ("NothingGathered", EVERY_UP, "1x16 _x13", {}, ""),
    ("DiskFilling", f"node_filesystem_avail_bytes{DISK}", GIB, {"mountpoint": "/"}, "has 1GiB left"),
    ("DiskFilling", f"node_filesystem_avail_bytes{DISK}", 9 * GIB, {"mountpoint": "/"}, "has 9GiB left"),
    ("MemoryShort", "node_memory_MemAvailable_bytes", GIB // 2, {}, "has 512MiB of memory left"),
    ("ServiceDown", 'up{job="consul",instance="consul-1"}', GONE, {}, "has no replica that answers"),
    ("ServiceDown", 'up{job="rabbitmq",instance="rabbitmq-1"}', 0, {}, "has no replica that answers"),
    ("ServiceDown", 'mysql_up{job="mariadb",instance="mariadb-1"}', 0, {}, "has no replica that answers"),
    ("DatabaseCutOff", f"mysql_global_status_wsrep_cluster_status{MEMBER}", 0, {"instance": "mariadb-1"}, ""),
    (
        "DatabaseNotInSync",
        f"mysql_global_status_wsrep_local_state{MEMBER}",
        2,
        {"instance": "mariadb-1"},
        "is not in sync with its cluster (state 2)",
    ),
    ("DatabaseMemberMissing", f"mysql_global_status_wsrep_cluster_size{MEMBER}", 2, {}, "has 2 of its 3 members"),
    ("QueueUnread", 'rabbitmq_detailed_queue_consumers{queue="conductor"}', 0, {}, ""),
    ("QueueUnread", 'rabbitmq_detailed_queue_consumers{queue="scheduler"}', GONE, {}, ""),
    (
        "QueueGrows",
        'rabbitmq_detailed_queue_messages{queue="conductor"}',
        "100+10x30",
        {"queue": "conductor"},
        "holds 400 messages, and grows",
    ),
    ("ApiWithoutReplica", 'haproxy_backend_active_servers{proxy="neutron"}', 0, {}, ""),
    ("HypervisorAgentDown", 'rabbitmq_detailed_queue_consumers{queue="compute.compute-1"}', 0, {}, ""),
    (
        "CertificateEnds",
        'probe_ssl_earliest_cert_expiry{job="api",instance="keystone"}',
        300 + 86400,
        {},
        "expires in 1d 0h 0m 0s",
    ),
    ("CertificateEnds", 'probe_ssl_earliest_cert_expiry{job="api",instance="keystone"}', 0, {}, "has expired"),
    ("NoMetrics", 'up{job="host",instance="host-1"}', 0, {"job": "host", "instance": "host-1"}, ""),
]
QUIET = [
    # Rather full, and large; many messages that become fewer; a burst; Horizon does not run.
    (f"node_filesystem_avail_bytes{DISK}", 21 * GIB),
    ('rabbitmq_detailed_queue_messages{queue="conductor"}', "1000-10x30"),
    ('rabbitmq_detailed_queue_messages{queue="conductor"}', "0x27 90 95 99"),
    ('haproxy_backend_active_servers{proxy="horizon"}', 0),
]


def series(changed, value):
    """Write what the cloud gives, with one series changed, or all, or all of what was asked."""
    several = {EVERYTHING: [*WELL], EVERY_UP: [name for name in WELL if name.startswith("up{")]}
    found = WELL | dict.fromkeys(several.get(changed, [changed]), value)
    return [
        {"series": name, "values": str(figures) if "x" in str(figures) else f"{figures}x30"}
        for name, figures in found.items()
    ]


def expected(rule, labels, wrong):
    """Write the alert that a rule should give; its texts are templates."""

    def filled(text):
        return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda match: labels[match[1]], text)

    texts = {"where": filled(rule.where), "wrong": wrong or rule.wrong, "do": filled(rule.do)}
    return {"exp_labels": labels, "exp_annotations": texts}


def which(name, changed):
    """Find the rule of this name that is about the series."""
    of_name = [rule for rule in alert_rules(HA) if rule.name == name]
    label = re.search(r'(?:job|queue|proxy)="[^"]+"', changed)
    return next((rule for rule in of_name if label and label[0] in rule.expr), of_name[0])


def cases():
    names = sorted({rule.name for rule in alert_rules(HA)})
    for name, changed, value, labels, wrong in FAULTS:
        alert = expected(which(name, changed), labels, wrong)
        yield {
            "name": f"{name} of {changed}",
            "interval": "10s",
            "input_series": series(changed, value),
            "alert_rule_test": [
                {
                    "eval_time": "5m",
                    "groupname": "local-cloud",
                    "alertname": each,
                    "exp_alerts": [alert] if each == name else [],
                }
                for each in names
            ],
        }
    for changed, value in QUIET:
        yield {
            "name": f"nothing of {changed}",
            "interval": "10s",
            "input_series": series(changed, value),
            "alert_rule_test": [
                {"eval_time": "5m", "groupname": "local-cloud", "alertname": each, "exp_alerts": []} for each in names
            ],
        }


def test_each_rule_has_a_fault_here():
    assert {rule.name for rule in alert_rules(HA)} == {fault[0] for fault in FAULTS}


def test_each_rule_fires_on_its_fault_and_says_what_doctor_would(world, tmp_path):
    rendered = documents(HA, {name: new_password(name) for name in PASSWORDS})
    (tmp_path / "alerts.yaml").write_text(rendered["monitoring/alerts.yaml"])
    table = {"rule_files": ["/config/alerts.yaml"], "evaluation_interval": "10s", "tests": list(cases())}
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(table))
    tester = world.start(
        "rules",
        "monitoring",
        ["unittest", "--files=/config/cases.yaml"],
        entrypoint=["vmalert-tool"],
        volumes={str(tmp_path): {"bind": "/config", "mode": "ro"}},
    )
    code = tester.wait()["StatusCode"]
    output = tester.logs().decode()
    assert code == 0, output
