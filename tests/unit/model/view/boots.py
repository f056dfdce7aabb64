"""A cluster as a report sees it: what a master and its workers tell of themselves, and of their boots."""

from __future__ import annotations

from ipaddress import IPv4Network

from provision.base.model import ClusterSpec, Flavor, HubSpec, NetworkSpec, Node, SparkSpec, User
from provision.model.cluster.resources import NODES, Floating, Group, Network, ObservedCluster, Router, Rule, Subnet
from provision.model.view.report import ReportInput
from provision.model.view.timeline import BootTimes

CREATED, LAUNCHED, KERNEL = "2026-03-01T12:00:00Z", "2026-03-01T12:00:20.500000", 1_772_366_430.0
MASTER = Node("a-master", "master", "10.20.0.10", "m", "ACTIVE")
WORKER = Node("a-worker-1", "worker", "10.20.0.11", "w", "ACTIVE")
LOST = Node("a-worker-2", "worker", "10.20.0.12", "x", "SHUTOFF")
VERSIONS = {
    "Linux": "6.12.1",
    "System": "Debian GNU/Linux 13",
    "Java": "21.0.9",
    "Python": "3.13.5",
    "pyspark": "4.3.0",
}

PARTITIONS = ("spark.sql.shuffle.partitions", "8")


def told(**more):
    """Return what a worker tells."""
    return {
        "kernel": KERNEL,
        "phases": {"initrd": 2.0, "userspace": 3.0, "finish": 40.0},
        "units": [
            {"unit": "cloud-init-local.service", "begin": 8.0, "end": 10.0},
            {"unit": "systemd-resolved.service", "begin": 4.0, "end": 9.0},
            {"unit": "dbus.service", "begin": 4.0, "end": 4.01},
            {"unit": "spark-worker.service", "begin": 20.0, "end": 21.0},
            {"unit": "home.mount", "begin": 900.0, "end": 990.0},
            {"unit": "ssh.service", "begin": None, "end": 15.0},
        ],
        "events": {"registered with the master": 60.0},
        "versions": VERSIONS,
        "machine": {"processors": 2, "memory": 1974, "disk": 7985, "disk_free": 5526, "virtualisation": "kvm"},
    } | more


def given(**more):
    """Return a report's input."""
    spec = ClusterSpec(
        "a",
        network=NetworkSpec(access=(IPv4Network("192.0.2.0/24"),)),
        spark=SparkSpec(
            defaults=(("spark.hadoop.fs.s3a.secret.key", "hidden-one"), ("spark.sql.shuffle.partitions", "8"))
        ),
        hub=HubSpec(users=(User("alice"), User("bob", admin=True))),
    )
    rules = [Rule(443, 443, "192.0.2.0/24"), Rule(22, 22, "192.0.2.0/24"), Rule(22, 22, NODES), Rule(7100, 7199, NODES)]
    nodes = [
        {
            "name": node.name,
            "role": node.role,
            "status": node.status,
            "flavor": "m1.small",
            "registered": registered,
        }
        for node, registered in ((MASTER, None), (WORKER, True), (LOST, False))
    ]
    return ReportInput(
        **{
            "spec": spec,
            "status": {
                "working": False,
                "hub": {"url": "https://192.0.2.10", "well": True, "problem": None},
                "spark": {"answers": True, "workers_alive": 1, "workers_wanted": 2, "cores": 2, "applications": 0},
                "nodes": nodes,
            },
            "observed": ObservedCluster(
                networks=(Network("n", "a"),),
                subnets=(Subnet("s", "a", cidr="10.20.0.0/24", network="n"),),
                routers=(Router("r", "a"),),
                groups=(Group("g", "a", rules=tuple((rule, "id") for rule in rules)),),
                floatings=(Floating("f", address="192.0.2.10"),),
            ),
            "flavors": {"m1.small": Flavor("m1.small", 2, 2048, 8)},
            "boots": (
                BootTimes(MASTER, CREATED, LAUNCHED, told(events={"the Hub is ready": 50.0})),
                BootTimes(WORKER, CREATED, LAUNCHED, told()),
                BootTimes(LOST, CREATED, LAUNCHED, None, "its server is SHUTOFF"),
            ),
            "cloud": "https://cloud.example.org:5000/v3",
            "image": "provision-golden",
            "made": "2026-03-01 13:00 UTC",
            "version": "9.9",
            "secrets": frozenset({"s3cr3t-s3cr3t"}),
        }
        | more
    )
