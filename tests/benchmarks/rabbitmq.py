"""Servers are created all the while, and RabbitMQ's brokers are killed with -9: each in turn, then all at once.

A control plane with three members of everything runs under a name of its own, with Nova's fake hypervisor: calls and
queues are real, guests are not. Every create has to end as ACTIVE or as ERROR with a reason, none may be left in BUILD.

Run: python tests/benchmarks/rabbitmq.py [ROUNDS]     (default: 2); ends with 1 when a server is stuck
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from integration.members import DATABASES, FAMILIES, Members
from integration.world import until

from provision.doors.openstack_admin import Admin
from provision.pure.stack import apis
from provision.workflows import stack_bootstrap

BROKERS = ("rabbitmq", "rabbitmq-2", "rabbitmq-3")
CACHES = ("memcached", "memcached-2", "memcached-3")
SERVICES = ("keystone", "glance", "placement", "nova")
APIS = ("keystone", "glance", "placement", "nova-api")
FAKE = """
. /usr/local/lib/provision/common.sh
take root nova.conf /etc/nova/nova.conf
mkdir -p /var/lock/nova /var/lib/nova/instances
printf '[DEFAULT]\\nhost = fake\\ncompute_driver = fake.FakeDriver\\n' >/etc/nova/fake.conf
exec nova-compute --config-file /etc/nova/nova.conf --config-file /etc/nova/fake.conf
"""
PAUSE = 2
"""Seconds between two creates: one fake hypervisor makes about one server in a second."""


def start(members):
    """Bring up a control plane that can create servers; return its administrator's connection."""
    members.up("haproxy", *DATABASES, *BROKERS, *CACHES)
    members.await_databases()
    until(lambda: len(members.passing("rabbitmq")) == 3, 300, "the brokers")
    for family in SERVICES:
        members.compose.run_once(f"{family}-migrate")
    members.up(*APIS)
    admin = Admin(stack_bootstrap.admin_login(members.settings, members.passwords["admin"]))
    urls = [members.settings.public_url(api.port, api.health) for api in apis(members.settings) if api.name in APIS]
    until(lambda: not any(admin.answers(url) for url in urls), 600, "the APIs")
    stack_bootstrap.ensure_accounts(admin.connection, members.settings, members.passwords, lambda _: None)
    members.up("nova-conductor", "nova-scheduler")
    members.docker.containers.run(
        members.images["compute"],
        ["-c", FAKE],
        entrypoint=["bash"],
        name=f"{members.run}-fake",
        network=members.run,
        dns=[str(members.settings.consul)],
        volumes={str(next((members.folder / "etc" / "nova").iterdir())): {"bind": "/config", "mode": "ro"}},
        environment={"EVENTLET_NO_GREENDNS": "yes"},
        labels={"test-run": members.run},
        detach=True,
        init=True,
    )
    admin.renew()
    until(lambda: _hypervisors(members, admin.connection), 300, "the fake hypervisor")
    return admin.connection


def _hypervisors(members, cloud):
    members.execute("nova-scheduler", "nova-manage", "cell_v2", "discover_hosts")
    time.sleep(2)
    return list(cloud.compute.hypervisors(details=False))


class Creates:
    """Creates a server every other second, and keeps what was answered."""

    def __init__(self, cloud):
        self.cloud = cloud
        self.flavor = cloud.compute.create_flavor(name="tiny", vcpus=1, ram=64, disk=0).id
        self.image = cloud.image.create_image(
            name="none", data=b"none", disk_format="raw", container_format="bare", wait=True
        ).id
        project = cloud.current_project_id
        cloud.compute.update_quota_set(project, instances=-1, cores=-1, ram=-1)
        self.accepted = []
        self.refused = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._work)
        self.thread.start()

    def _work(self):
        number = 0
        while not self.ended.wait(PAUSE):
            number += 1
            try:
                server = self.cloud.compute.create_server(
                    name=f"s-{number}", flavor_id=self.flavor, image_id=self.image, networks="none"
                )
                self.accepted.append(server.id)
            except Exception as error:
                self.refused.append(f"{type(error).__name__}: {error}"[:200])

    def stop(self):
        self.ended.set()
        self.thread.join()

    def states(self):
        return {server.id: server for server in self.cloud.compute.servers(details=True)}


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    with tempfile.TemporaryDirectory() as folder:
        members = Members(Path(folder), (*FAMILIES, *SERVICES, "compute"))
        try:
            creates = Creates(start(members))
            until(lambda: len(creates.accepted) >= 3, 120, "the first servers")
            for victims in [*((name,) for name in BROKERS)] * rounds + [BROKERS]:
                before, began = len(creates.accepted), time.monotonic()
                members.crash(*victims)
                until(lambda: len(members.passing("rabbitmq")) == 3, 300, "the brokers")
                took = round(time.monotonic() - began, 1)
                print(json.dumps({"killed": victims, "back after, s": took}), flush=True)
                until(lambda at=before: len(creates.accepted) >= at + 3, 300, "more servers")
            time.sleep(10)
            creates.stop()
            code = report(creates)
        finally:
            members.close()
    sys.exit(code)


def report(creates):
    """Wait until every server has come to an end, and say which; 1 when one has not."""

    def open_ones():
        return [id_ for id_ in creates.accepted if creates.states()[id_].status == "BUILD"]

    began = time.monotonic()
    while open_ones() and time.monotonic() - began < 400:
        time.sleep(5)
    states = creates.states()
    counts = Counter(states[id_].status for id_ in creates.accepted)
    print(json.dumps({"accepted": len(creates.accepted), "refused": len(creates.refused), **counts}), flush=True)
    for text in sorted(set(creates.refused)):
        print(json.dumps({"refused": text}), flush=True)
    for id_ in creates.accepted:
        if states[id_].status == "ERROR":
            print(json.dumps({"error": (states[id_].fault or {}).get("message", "")[:200]}), flush=True)
    stuck = [id_ for id_ in creates.accepted if states[id_].status not in ("ACTIVE", "ERROR")]
    silent = [id_ for id_ in creates.accepted if states[id_].status == "ERROR" and not states[id_].fault]
    print(json.dumps({"stuck": len(stuck), "errors without a reason": len(silent)}), flush=True)
    return 1 if stuck else 0


if __name__ == "__main__":
    main()
