"""Three hosts (a Docker engine each, in a container) run one control plane; one is stopped hard, and comes back.

Meanwhile on each surviving host a reader asks every API four times a second, and a writer commits to MariaDB without a
pause. Reported are the longest time without an answer per API, without a commit, and until all is as wanted again. A
server (of an empty disk: it runs, and finds nothing to start) is booted by each host before the first outage and after
the last, and by a survivor in between.

Run, as root: python tests/benchmarks/swarm.py [HOST…]     HOST: which are stopped, one after the other (default: 3 1)
Ends with 1 when a commit is lost, an API or the database does not come back while the host is away (Glance excepted,
when it is its host: its images are files there), the hosts run different images, not all is as wanted in the end, or a
server does not become active.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from integration.hosts import Hosts
from integration.members import WRITER
from integration.world import until

AWAY = 90
"""Seconds for which a host is away."""
BACK = 600
"""Seconds in which all has to be as wanted after its return."""
# One login, then a question per API that its database has to answer. Printed: API, when it was asked, seconds, status.
READER = """
import sys, threading, time, openstack, requests
cloud = openstack.connect(cloud="local")
token, authority = cloud.auth_token, cloud.config.config["cacert"]
URLS = {"keystone": "https://127.0.0.1:5000/v3/auth/projects", "glance": "https://127.0.0.1:9292/v2/images",
        "placement": "https://127.0.0.1:8778/", "nova-api": "https://127.0.0.1:8774/v2.1/flavors",
        "neutron": "https://127.0.0.1:9696/v2.0/networks"}
def ask(name, url):
    while True:
        began = time.time()
        try:
            status = requests.get(url, headers={"X-Auth-Token": token, "User-Agent": "reader"}, timeout=60,
                                  verify=authority, proxies={"https": ""}).status_code
        except requests.RequestException as error:
            status = type(error).__name__
        # At once: the others write too.
        sys.stdout.write(f"{name} {began} {time.time() - began} {status}\\n")
        sys.stdout.flush()
        time.sleep(max(0, began + 0.25 - time.time()))
for each in URLS.items():
    threading.Thread(target=ask, args=each).start()
"""


APIS = ("keystone", "glance", "placement", "nova-api", "neutron")
# A server on one host, by the administrator. Printed: seconds to its end, its status, host and fault.
BOOT = """
import io, json, os, sys, time, openstack
host, password = sys.argv[1], os.environ["ADMIN_PASSWORD"]
entry = openstack.config.OpenStackConfig().get_one("local").config
auth = dict(entry["auth"], username="admin", project_name="admin", password=password)
cloud = openstack.connect(load_yaml_config=False, auth=auth, cacert=entry["cacert"], region_name="RegionOne")
def ensure(found, make):
    return found or make()
flavor = ensure(cloud.compute.find_flavor("bench"),
                lambda: cloud.compute.create_flavor(name="bench", ram=64, vcpus=1, disk=1))
image = ensure(cloud.image.find_image("bench"), lambda: cloud.image.create_image(
    name="bench", disk_format="raw", container_format="bare", data=io.BytesIO(bytes(1 << 20))))
network = cloud.network.find_network("bench")
if not network:
    network = cloud.network.create_network(name="bench")
    cloud.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.77.0.0/24")
began = time.time()
server = cloud.compute.create_server(name=f"bench-{host}", flavor_id=flavor.id, image_id=image.id,
                                     networks=[{"uuid": network.id}], availability_zone=f"nova:{host}")
while server.status not in ("ACTIVE", "ERROR") and time.time() < began + 420:
    time.sleep(1)
    server = cloud.compute.get_server(server.id)
print(json.dumps({"server": server.status, "seconds": round(time.time() - began, 1), "mtu": network.mtu,
                  "host": server.compute_host or host, "fault": (server.fault or {}).get("message", "")}))
cloud.compute.delete_server(server)
cloud.compute.wait_for_delete(server, wait=120)
"""


class Lines:
    """A program's lines as they come, split into words."""

    def __init__(self, process, end=lambda: None):
        """`end` ends what the process itself does not take with it."""
        self.process, self.end, self.lines = process, end, []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.split())

    def stop(self):
        self.end()
        self.process.terminate()
        self.process.wait(20)


def read(host):
    return Lines(host.inside(sys.executable, "-c", READER, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))


def write(host):
    """Write from a host's own member through whichever HAProxy Consul names."""
    member = next(filter(None, (host.container_of(name) for name in ("mariadb", "mariadb-2", "mariadb-3"))))
    account = ["haproxy.service.consul", "nova", host.password("nova_db")]
    # `docker exec` leaves behind what it has started.
    command = ["docker", "exec", member, "bash", "-c", 'echo $$ >/run/writer; exec python3 -uc "$@"', "-", WRITER]
    process = host.inside(*command, *account, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return Lines(process, lambda: host.docker("exec", member, "bash", "-c", "kill $(cat /run/writer)"))


def gap(moments, since, until_):
    """Return the longest time without a success that began after `since`, or just before it."""
    points = sorted(moment for moment in moments if since - 5 < moment < until_)
    return max((b - a for a, b in zip([*points[:1], *points], [*points, until_], strict=True)), default=until_ - since)


def commits(writer):
    return {int(words[0]): float(words[1]) for words in list(writer.lines) if words[0].isdigit()}


def answers(reader, api):
    """Return when each good answer of an API came."""
    good = [words for words in list(reader.lines) if words[0] == api and words[3] == "200"]
    return [float(words[1]) + float(words[2]) for words in good]


def report(**words):
    print(json.dumps(words), flush=True)


def whole(host):
    found = host.status()
    return bool(found and found["up"])


def boots(hosts):
    """Whether each host boots a server on itself."""
    held = True
    for host in hosts:
        environment = {"ADMIN_PASSWORD": host.password("admin")}
        with host.inside(
            sys.executable,
            "-c",
            BOOT,
            host.name,
            environment=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            out, err = process.communicate(timeout=900)
        found = json.loads(out) if out.startswith("{") else {"server": err[-2000:]}
        report(**found)
        held = held and found["server"] == "ACTIVE"
    return held


def lose(hosts, number):
    """Stop one host hard for a while; return whether all that is claimed held."""
    victim = hosts.all[number - 1]
    survivors = [host for host in hosts.all if host is not victim]
    glance = "host-1"
    readers, writer = [read(host) for host in survivors], write(survivors[0])
    until(lambda: all(answers(reader, api) for reader in readers for api in APIS) and commits(writer), 120, "traffic")
    time.sleep(5)
    killed = time.time()
    victim.kill()
    time.sleep(AWAY)
    # Without Glance's host there are no images, and so no new servers: nothing is claimed of either.
    claims = {} if victim.name == glance else {"a server becomes active": boots(survivors[-1:])}
    returned = time.time()
    gaps = {}
    for api in APIS:
        moments = [answers(reader, api) for reader in readers]
        gaps[api] = round(max(gap(each, killed, returned) for each in moments), 1)
        if (victim.name, api) != (glance, "glance"):
            claims[f"{api} answers"] = all(each and each[-1] > returned - 10 for each in moments)
    done = commits(writer)
    claims["commits go on"] = max(done.values()) > returned - 10
    report(
        stopped=victim.name, without_an_answer_s=gaps, without_a_commit_s=round(gap(done.values(), killed, returned), 1)
    )
    victim.start()
    try:
        until(lambda: all(whole(host) for host in hosts.all), BACK, "all as wanted")
        claims["as wanted"] = True
        report(returned=victim.name, as_wanted_after_s=round(time.time() - returned, 1))
    except AssertionError:
        claims["as wanted"] = False
        report(returned=victim.name, not_as_wanted=survivors[0].provision("cloud", "status", check=False))
    writer.stop()
    for reader in readers:
        reader.stop()
    claims["nothing lost"] = kept(hosts, commits(writer))
    report(stopped=victim.name, claims=claims)
    return all(claims.values())


def kept(hosts, acknowledged):
    """Whether every member has every commit that was acknowledged."""
    rows = {}
    for host, member in zip(hosts.all, ("mariadb", "mariadb-2", "mariadb-3"), strict=True):
        said = host.docker("exec", host.container_of(member), "mariadb", "-NBe", "SELECT number FROM nova.journal")
        rows[member] = {int(line) for line in said.split()}
        host.docker("exec", host.container_of(member), "true")
    report(commits=len(acknowledged), rows={name: len(found) for name, found in rows.items()})
    lost = set().union(*(set(acknowledged) - found for found in rows.values()))
    hosts.all[0].docker(
        "exec", hosts.all[0].container_of("mariadb"), "mariadb", "-e", "DROP TABLE IF EXISTS nova.journal"
    )
    return not lost


def identical(hosts):
    """Whether every service runs one image, the same on each host."""
    services = hosts.all[0].status()["services"]
    return all(len(each["digests"]) <= 1 for each in services) and any(each["digests"] for each in services)


def main():
    numbers = [int(word) for word in sys.argv[1:]] or [3, 1]
    with tempfile.TemporaryDirectory(prefix="hosts-") as folder:
        hosts = Hosts(folder)
        try:
            began = time.monotonic()
            hosts.start()
            report(engines_and_images_s=round(time.monotonic() - began, 1))
            report(seconds=hosts.form())
            until(lambda: whole(hosts.all[0]), BACK, "all as wanted")
            print(hosts.all[0].provision("cloud", "status"), flush=True)
            held = identical(hosts)
            report(identical_images=held)
            held = boots(hosts.all) and held
            for number in numbers:
                held = lose(hosts, number) and held
            held = boots(hosts.all) and held
            sys.exit(0 if held else 1)
        finally:
            hosts.close()


if __name__ == "__main__":
    main()
