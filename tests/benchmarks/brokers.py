"""RabbitMQ's members are killed with -9, each in turn, while servers are created without a pause on the local cloud.

Every create has to end: as ACTIVE, or with an error that says what happened. None may be stuck, and none may be left.

Run, with the cloud up with --ha:  python tests/benchmarks/brokers.py [ROUNDS]     (default: 3, of three kills each)
Ends with 1 when a create or a delete is stuck, or failed without a word.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import docker
import openstack
from openstack.exceptions import HttpException, ResourceFailure, ResourceTimeout

sys.path.insert(0, str(Path(__file__).parents[1]))
from integration.world import until

from provision.model.localcloud.settings import PROJECT, members, services_of
from provision.operations.localcloud.shared.installation import load_settings

NAME = "benchmark"
AT_ONCE = 3
"""How many servers are on their way at any moment."""
STUCK = 420
"""Seconds in which a create has to end: Nova's own longest wait, that for a port, is 300 s."""
PAUSE = 15
"""Seconds between a member's return and the next kill."""


class Creates:
    """Servers of an empty image, made and removed: what is tried is their way through Nova, not their guests."""

    def __init__(self):
        self.cloud = openstack.connect(cloud="local")
        self.image = self.cloud.image.create_image(
            NAME, data=bytes(1 << 20), disk_format="raw", container_format="bare"
        )
        self.network = self.cloud.network.create_network(name=NAME)
        self.cloud.network.create_subnet(network_id=self.network.id, ip_version=4, cidr="10.99.0.0/24")
        self.flavor = self.cloud.compute.find_flavor("m1.tiny", ignore_missing=False)
        self.ended = threading.Event()
        self.results = []
        self.threads = [threading.Thread(target=self._go_on) for _ in range(AT_ONCE)]

    def start(self):
        for thread in self.threads:
            thread.start()

    def _go_on(self):
        while not self.ended.is_set():
            began = time.time()
            result = self._one()
            self.results.append(result | {"began": began, "seconds": round(time.time() - began, 1)})
            print(json.dumps(self.results[-1]), flush=True)

    def _one(self):
        try:
            server = self.cloud.compute.create_server(
                name=NAME, flavor_id=self.flavor.id, image_id=self.image.id, networks=[{"uuid": self.network.id}]
            )
        except HttpException as error:
            return {"end": "refused", "why": str(error)}
        try:
            self.cloud.compute.wait_for_server(server, wait=STUCK, interval=1)
            result = {"end": "ACTIVE"}
        except ResourceFailure:
            result = {"end": "ERROR", "why": (self.cloud.compute.get_server(server).fault or {}).get("message", "")}
        except ResourceTimeout:
            result = {"end": "stuck", "server": server.id}
        try:
            self.cloud.compute.delete_server(server)
            self.cloud.compute.wait_for_delete(server, wait=STUCK, interval=1)
        except (ResourceTimeout, HttpException) as error:
            result["delete"] = str(error)
        return result

    def close(self):
        self.ended.set()
        for thread in self.threads:
            if thread.is_alive():
                thread.join()
        for server in self.cloud.compute.servers(name=NAME):
            self.cloud.compute.delete_server(server, ignore_missing=True)
        until(lambda: not list(self.cloud.compute.servers(name=NAME)), STUCK, "no server of this run")
        self.cloud.network.delete_network(self.network)
        self.cloud.image.delete_image(self.image)


class Brokers:
    """The members of the cloud's RabbitMQ."""

    def __init__(self, settings):
        engine = docker.from_env()
        self.containers = {
            name: engine.containers.get(f"{PROJECT}-{name}-1") for name in services_of(settings, "rabbitmq")
        }
        self.count = len(members(settings, "rabbitmq"))

    def running(self, name):
        """Count the members that one of them knows to run."""
        code, output = self.containers[name].exec_run("rabbitmqctl -q cluster_status --formatter json")
        return 0 if code else len(json.loads(output)["running_nodes"])

    def kill(self, name):
        """Kill every process of a member, as no `docker kill` does: Docker starts that one no more."""
        self.containers[name].exec_run(["bash", "-c", "kill -9 -1"])

    def whole(self):
        try:
            return all(self.running(name) == self.count for name in self.containers)
        except docker.errors.APIError:
            # It is being started.
            return False


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    settings = load_settings()
    if not settings.ha:
        sys.exit("the local cloud has one broker: `provision cloud up --ha` gives it three")
    brokers, creates = Brokers(settings), Creates()
    kills, returns = [], []
    try:
        creates.start()
        until(lambda: len(creates.results) >= AT_ONCE, STUCK, "the first servers")
        for _ in range(rounds):
            for name in brokers.containers:
                kills.append(time.time())
                brokers.kill(name)
                time.sleep(2)
                until(brokers.whole, STUCK, "all brokers")
                returns.append(time.time() - kills[-1])
                print(json.dumps({"killed": name, "all members again after, s": round(returns[-1], 1)}), flush=True)
                time.sleep(PAUSE)
    finally:
        creates.close()
    ends = Counter(each["end"] for each in creates.results)
    struck = [
        each for each in creates.results if any(each["began"] < at < each["began"] + each["seconds"] for at in kills)
    ]
    took = sorted(each["seconds"] for each in creates.results if each["end"] == "ACTIVE")
    figures = {
        "kills": len(kills),
        "all members again, median s": round(statistics.median(returns), 1),
        "creates": len(creates.results),
        "under way at a kill": len(struck),
        "ends": ends,
        "created and deleted, median s": statistics.median(took),
        "slowest, s": took[-1],
    }
    print(json.dumps(figures))
    silent = [each for each in creates.results if each["end"] in ("ERROR", "refused") and not each["why"]]
    undeleted = [each for each in creates.results if "delete" in each]
    sys.exit(1 if ends["stuck"] or silent or undeleted else 0)


if __name__ == "__main__":
    main()
