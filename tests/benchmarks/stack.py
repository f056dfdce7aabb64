"""The local cloud's APIs under 20 reads per second while copies join, are killed and are all upgraded.

Run, with the cloud up:  python tests/benchmarks/stack.py scale      (--times 5, with nova-api)
                         python tests/benchmarks/stack.py upgrade    (every copied service, there and back)
                         python tests/benchmarks/stack.py boot       (a VM of the golden image, after all of that)

Every read that is not answered below 400 within a minute counts as failed. HAProxy repeats reads that a dying copy did
not answer, so a killed copy costs none; an upgrade does not need that (tests/integration/test_copies.py writes).
"""

from __future__ import annotations

import argparse
import concurrent.futures
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import docker
import openstack
import requests

from provision.adapters.haproxy import HAProxy
from provision.adapters.openstack.cloud import Cloud
from provision.base import paths
from provision.base.progress import Silent
from provision.model.cluster import console
from provision.model.localcloud.health import instances
from provision.model.localcloud.replicas import SCALABLE_SERVICES
from provision.model.localcloud.settings import MIGRATED, PROJECT, Settings, apis
from provision.operations.image.bake import ensure_image
from provision.operations.localcloud.shared.installation import catalogue
from provision.operations.localcloud.single.status import status

SERVICE = "nova-api"
READS = {
    "keystone": "/v3/auth/catalog",
    "glance": "/v2/images",
    "placement": "/",
    "nova-api": "/v2.1/servers",
    "neutron": "/v2.0/networks",
}
SETTINGS = Settings()
CATALOGUE = catalogue(SETTINGS)
PROXY = HAProxy(SETTINGS.local_url(SETTINGS.ports.haproxy_stats))


class Reads:
    """Reads at a steady pace, each API in turn, answered or not: a slow answer holds back no other request."""

    def __init__(self, per_second):
        cloud = openstack.connect(cloud="local")
        self.headers = {"X-Auth-Token": cloud.auth_token, "Connection": "close"}
        self.authority = cloud.session.verify
        urls = {api.name: SETTINGS.public_url(api.port, READS[api.name]) for api in apis(SETTINGS) if api.name in READS}
        self.urls = itertools.cycle(urls.items())
        self.pause = 1 / per_second
        self.done = []
        self.failed = []

    @contextmanager
    def running(self):
        ended = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(200) as pool:
            pacer = threading.Thread(target=self._pace, args=(pool, ended))
            pacer.start()
            try:
                yield self
            finally:
                ended.set()
                pacer.join()

    def _pace(self, pool, ended):
        due = time.monotonic()
        while not ended.wait(max(0, due - time.monotonic())):
            pool.submit(self._one, *next(self.urls))
            due += self.pause

    def _one(self, name, url):
        began = time.monotonic()
        try:
            answer = requests.get(url, headers=self.headers, verify=self.authority, timeout=60)
            problem = "" if answer.status_code < 400 else f"{answer.status_code} {answer.text[:80]}"
        except requests.RequestException as error:
            problem = repr(error)
        self.done.append((began, time.monotonic() - began))
        if problem:
            self.failed.append((name, round(began, 2), problem))

    def report(self, **more):
        took = sorted(seconds for _, seconds in self.done)
        figures = {
            **more,
            "requests": len(took),
            "failed": len(self.failed),
            "median, s": round(statistics.median(took), 3),
            "99 of 100, s": round(took[int(len(took) * 0.99)], 3),
            "slowest, s": round(took[-1], 3),
        }
        print(json.dumps(figures), flush=True)
        for failure in self.failed[:20]:
            print(json.dumps({"failed": failure}), flush=True)


class Watch:
    """Follows Docker's containers of one service through Consul and HAProxy, twenty times a second."""

    def __init__(self, service):
        self.service = service
        self.healthy = {}
        self.first = {}
        self.last = {}
        self.out = {}
        self._totals = {}

    def forget(self, address):
        """Docker may give it to the next container."""
        for kept in (self.healthy, self.first, self.last, self.out, self._totals):
            kept.pop(address, None)

    @contextmanager
    def running(self):
        ended = threading.Event()
        thread = threading.Thread(target=self._follow, args=(ended,))
        thread.start()
        try:
            yield self
        finally:
            ended.set()
            thread.join()

    def _follow(self, ended):
        while not ended.wait(0.05):
            now = time.monotonic()
            for each in instances(CATALOGUE.services(), CATALOGUE.checks()):
                if each.name == self.service and each.healthy:
                    self.healthy.setdefault(each.address, now)
            there = {each.address: each for each in PROXY.servers() or () if each.backend == self.service and each.up}
            for address, server in there.items():
                self.out.pop(address, None)
                before = self._totals.setdefault(address, server.total)
                if server.total > before:
                    self.first.setdefault(address, now)
                    self.last[address] = now
                self._totals[address] = server.total
            for address in set(self._totals) - set(there):
                self.out.setdefault(address, now)


def provision(*words, checkout=None):
    """Run the product's own command, from this checkout or another one."""
    environment = dict(os.environ) | {"PYTHONPATH": str(checkout or paths.PACKAGE.parent)}
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "provision", "cloud", *words], cwd="/", env=environment, check=True)
    return time.monotonic() - began


def address_of(container):
    """Ask Consul where a container serves."""
    known = instances(CATALOGUE.services(), CATALOGUE.checks())
    (address,) = {each.address for each in known if container.id.startswith(each.container)}
    return address


def until(condition, seconds=60):
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"not within {seconds} s")
        time.sleep(0.05)


def measure_scale(times, rate):
    engine = docker.from_env()
    joins, lasts, outs = [], [], []
    reads, watch = Reads(rate), Watch(SERVICE)
    provision("scale", f"{SERVICE}=2")
    with reads.running(), watch.running():
        for _ in range(times):
            copy = engine.containers.get(f"{PROJECT}-{SERVICE}-2")
            address = address_of(copy)
            until(lambda address=address: watch.last.get(address))
            killed = time.monotonic()
            copy.kill()
            until(lambda address=address: address in watch.out)
            time.sleep(3)
            lasts.append(max(0, watch.last[address] - killed))
            outs.append(watch.out[address] - killed)
            watch.forget(address)
            provision("scale", f"{SERVICE}=2")
            address = address_of(engine.containers.get(f"{PROJECT}-{SERVICE}-2"))
            until(lambda address=address: address in watch.first)
            joins.append(max(0, watch.first[address] - watch.healthy[address]))
    provision("scale", f"{SERVICE}=1")
    for label, values in (
        ("healthy in Consul to first request, s", joins),
        ("kill to last request, s", lasts),
        ("kill to out of HAProxy, s", outs),
    ):
        figures = {"min": min(values), "median": statistics.median(values), "max": max(values)}
        print(json.dumps({label: {key: round(value, 2) for key, value in figures.items()}}))
    reads.report(what=f"{times} copies of {SERVICE} killed and replaced")


def other_checkout(folder):
    """Copy this checkout, with a new version of the image of every family that has an API."""
    for name, place in (("provision", paths.PACKAGE), ("compose", paths.COMPOSE), ("templates", paths.TEMPLATES)):
        shutil.copytree(place, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for family in MIGRATED:
        with (folder / "compose" / family / "entrypoint").open("a") as entrypoint:
            entrypoint.write(f"# {time.time()}\n")
    return folder


def measure_upgrade(rate):
    services = [each.service for each in SCALABLE_SERVICES]
    with tempfile.TemporaryDirectory() as folder:
        for name, checkout in (("there", other_checkout(Path(folder))), ("back", None)):
            before = {each.id for each in docker.from_env().containers.list(filters={"label": "provision.copy"})}
            reads = Reads(rate)
            with reads.running():
                took = provision("upgrade", *services, checkout=checkout)
            after = {each.id for each in docker.from_env().containers.list(filters={"label": "provision.copy"})}
            reads.report(
                what=f"upgrade, {name}", took=round(took), replaced=len(after - before), stayed=len(after & before)
            )


def measure_boot():
    """Boot a VM through a control plane that was scaled, upgraded, and has just lost a copy of each that it needs."""
    engine, cloud = docker.from_env(), openstack.connect(cloud="local")
    image = ensure_image(Cloud("local", cloud), Silent())
    services = [each.service for each in SCALABLE_SERVICES if each.most > 1 and each.least]
    provision("scale", *(f"{service}=2" for service in services))
    with tempfile.TemporaryDirectory() as folder:
        provision("upgrade", *services, checkout=other_checkout(Path(folder)))
    for service in services:
        engine.containers.get(f"{PROJECT}-{service}-1").kill()
    print(json.dumps({"killed": [f"{service}-1" for service in services]}), flush=True)
    began = time.monotonic()
    network = cloud.network.create_network(name="benchmark")
    try:
        cloud.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.99.0.0/24")
        server = cloud.compute.create_server(
            name="benchmark",
            flavor_id=cloud.compute.find_flavor("m1.small").id,
            image_id=image,
            networks=[{"uuid": network.id}],
            config_drive=True,
        )
        cloud.compute.wait_for_server(server, wait=300)
        active = time.monotonic() - began

        def finished():
            # Every look at the console is a call to the hypervisor.
            time.sleep(2)
            return (
                console.read(cloud.compute.get_server_console_output(server)["output"] or "").phase == "cloud-init done"
            )

        until(finished, 900)
        print(json.dumps({"server ACTIVE, s": round(active), "cloud-init done, s": round(time.monotonic() - began)}))
        cloud.compute.delete_server(server)
        cloud.compute.wait_for_delete(server)
    finally:
        cloud.network.delete_network(network)
    provision("up")
    provision("upgrade", *services)
    provision("scale", *(f"{service}=1" for service in services))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["scale", "upgrade", "boot"])
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--rate", type=float, default=20, help="reads per second")
    asked = parser.parse_args()
    found = status()
    if not found.up:
        sys.exit(f"the local cloud is not up:\n{found.text()}")
    if asked.what == "scale":
        measure_scale(asked.times, asked.rate)
    elif asked.what == "upgrade":
        measure_upgrade(asked.rate)
    else:
        measure_boot()


if __name__ == "__main__":
    main()
