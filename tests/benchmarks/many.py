"""Many servers at once: `up` against one raw multi-create, a thread pool and an Ansible loop, by Nova's fake driver.

All make as many servers on hypervisors that only pretend (fake_hosts.py), in turn, each as a program of its own and
from nothing, until all are ACTIVE: `up` a cluster of a master and so many workers, with its own wait in which an
ACTIVE node counts as one that works; the others a network and the servers. What Nova takes for a server group, which
`workers.spread` makes, shows in a second multi-create, into such a group. Then `plan` and `status` of that cluster;
what its Spark master and its Hub would answer is left out.

The loop is of `openstack.cloud.server` where that collection is installed, else of a program with the SDK that does the
same. It makes one server after the other: with more than --loop it is left out, as are the pool with more than --pool
and the server group with more than --spread.

Run, with the local cloud up and no cluster on it:
    python tests/benchmarks/many.py [WORKERS…] [--times N] [--hosts N] [--loop N] [--pool N] [--spread N]
        (default: 20 100 1000, 1, one for 50 workers, 20, 1000, 1000)
Nobody else should compute or create servers meanwhile. Removes all it has made, whatever ends it. Ends with 1 when `up`
sends more requests for more workers, polls aside, or with 1,000 of them takes more than 1.05 times the multi-create, or
200 MB, or `plan` or `status` 3 s.
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from counted import Took, middle, run
from results import Chart, Result, Table, surroundings, write

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from provision.adapters.openstack.cloud import Cloud
    from provision.base.model import ClusterSpec, Node

CLOUD = NAME = "benchmark-many"
"""The cloud in clouds.yaml; and what fake_hosts.py calls the zone and the image."""
CLUSTER = "many"
FLAVOR, MASTER_FLAVOR = "m1.small", "m1.medium"
"""The master of a thousand workers has to know them: a small one is refused."""
CIDR = "10.112.0.0/20"
POOL = 16
EVERY = 3
"""Seconds between two looks of those that have no better measure."""
PER_HOST, LEAST_HOSTS = 50, 4
"""Workers on a hypervisor: with 250 that wait it spends its time on asking Placement about each, again and again."""
LONGEST = 7200
"""Seconds that one server may take, and all of them."""
CONTENDERS = {
    "up": "`provision up`",
    "raw": "one multi-create, by the SDK",
    "spread": "one multi-create into a server group, by the SDK",
    "pool": f"a pool of {POOL} threads, by the SDK",
    "loop": "a loop of Ansible's",
}
DEFAULTS = {"times": 1, "loop": 20, "pool": 1000, "spread": 1000}
"""Of the options: the runs, and the most workers with which each of these contenders competes."""
COMMANDS = ("plan", "status")
LARGE, TIMES, MEGABYTES, SECONDS = 1000, 1.05, 200, 3.0
HOST_KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + b"k" * 32).decode()
PLAYBOOK = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - {task}
      loop: "{{{{ range(1, {count} + 1) | list }}}}"
"""


# --- the contenders, each in a process of its own ---


def place(cloud: Any) -> dict[str, Any]:
    """Make a network, and return what a server is created with, besides its name."""
    network = cloud.network.create_network(name=CLUSTER)
    cloud.network.create_subnet(name=CLUSTER, network_id=network.id, ip_version=4, cidr=CIDR)
    return server_options(cloud)


def server_options(cloud: Any) -> dict[str, Any]:
    """Return what a server is created with on a network that is there."""
    return {
        "image_id": cloud.image.find_image(NAME, ignore_missing=False).id,
        "flavor_id": cloud.compute.find_flavor(FLAVOR, ignore_missing=False).id,
        "networks": [{"uuid": cloud.network.find_network(CLUSTER, ignore_missing=False).id}],
        "availability_zone": NAME,
        "config_drive": True,
        # About as much as a node gets.
        "user_data": base64.b64encode(os.urandom(9000)).decode(),
    }


def spread(count: int) -> None:
    """Do as `raw`, in a server group as `workers.spread: prefer` makes."""
    raw(count, policy="soft-anti-affinity")


def raw(count: int, policy: str = "") -> None:
    """Create all in one request, and ask for one that is being built until there is none."""
    import openstack

    cloud = openstack.connect(cloud=CLOUD)
    options = place(cloud)
    if policy:
        options["scheduler_hints"] = {"group": cloud.compute.create_server_group(name=CLUSTER, policy=policy).id}
    cloud.compute.create_server(name=CLUSTER, min_count=count, max_count=count, **options)
    ended = time.monotonic() + LONGEST
    # The cheapest question: the SDK's own list makes a thousand objects each time.
    question = {"status": "BUILD", "limit": 1}
    while cloud.compute.get("/servers", params=question).json()["servers"] and time.monotonic() < ended:
        time.sleep(EVERY)
    if (active := len([*cloud.compute.servers(details=False, status="ACTIVE")])) != count:
        raise SystemExit(f"{active} of {count} servers are ACTIVE")


def pool(count: int) -> None:
    """Create each in a request of its own, and wait for each, in threads."""
    from concurrent.futures import ThreadPoolExecutor

    import openstack

    cloud = openstack.connect(cloud=CLOUD)
    options = place(cloud)

    def one(number: int) -> None:
        server = cloud.compute.create_server(name=f"{CLUSTER}-{number}", **options)
        cloud.compute.wait_for_server(server, interval=EVERY, wait=LONGEST)

    with ThreadPoolExecutor(POOL) as threads:
        list(threads.map(one, range(1, count + 1)))


def loop(count: int) -> None:
    """Create one after the other, by a playbook."""
    import openstack

    place(openstack.connect(cloud=CLOUD))
    listed = subprocess.run(
        [_program("ansible-galaxy"), "collection", "list", "openstack.cloud"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    Path("loop.yml").write_text(playbook(count, collection="openstack.cloud " in listed.stdout))
    argv = [_program("ansible-playbook"), "-i", "localhost,", "-e", f"ansible_python_interpreter={sys.executable}"]
    subprocess.run([*argv, "loop.yml"], check=True)


def playbook(count: int, *, collection: bool) -> str:
    """Return the playbook: with the collection's module, or a program that does the same."""
    if collection:
        options = {
            "cloud": CLOUD, "name": f"{CLUSTER}-{{{{ item }}}}", "image": NAME, "flavor": FLAVOR, "network": CLUSTER,
            "availability_zone": NAME, "config_drive": True, "auto_ip": False, "timeout": LONGEST,
        }  # fmt: skip
        task = f"openstack.cloud.server: {options}"
    else:
        argv = [sys.executable, str(Path(__file__).resolve()), "child", "one", "{{ item }}"]
        task = f"ansible.builtin.command: {{argv: {argv}}}"
    return PLAYBOOK.format(task=task, count=count)


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def one(number: int) -> None:
    """Create one server and wait for it, as the collection's module does."""
    import openstack

    cloud = openstack.connect(cloud=CLOUD)
    server = cloud.compute.create_server(name=f"{CLUSTER}-{number}", **server_options(cloud))
    cloud.compute.wait_for_server(server, interval=EVERY, wait=LONGEST)


def up(_: int) -> None:
    """Run `up` on the file in this folder, until all nodes are ACTIVE."""
    import asleep

    from provision.adapters.openstack.cloud import connect
    from provision.clusterfile import load
    from provision.operations.cluster.resolve import find_cluster_dir

    spec, cloud = load(Path("cluster.yaml")), connect(CLOUD)
    asleep.up(cloud, find_cluster_dir(cloud, CLUSTER), spec, lambda plan: None, lambda: wait(cloud, spec))


def wait(cloud: Cloud, spec: ClusterSpec) -> tuple[Node, ...]:
    """Wait as `up` does, for the cloud alone; then the nodes' host keys are known, as after an `up` of real ones."""
    from dataclasses import replace

    from provision.adapters.spark import SparkMaster
    from provision.base.progress import Silent
    from provision.operations.cluster.wait import ReadinessWait

    active: dict[str, str] = {}

    class Wait(ReadinessWait):
        def _host_keys_known(self) -> bool:
            return True

    def spark(nodes: Sequence[Node]) -> SparkMaster:
        active.update({node.role: node.name for node in nodes if node.status == "ACTIVE"})
        return SparkMaster(tuple(node.address for node in nodes if node.status == "ACTIVE"), 0, 0, 0)

    def hub_problem() -> str:
        return "" if "master" in active else "it is not ACTIVE"

    waiting = Wait(
        cloud, spec.name, Silent(), nodes=spec.workers.count + 1, spark=spark, hub_problem=hub_problem, timeout=LONGEST
    )
    return tuple(replace(node, host_keys=(HOST_KEY,)) for node in waiting.run())


def command(words: Sequence[str]) -> None:
    """Run a command of the product on the cluster, with what Spark and the Hub would answer."""
    import re

    from provision.adapters.spark import SparkMaster
    from provision.cli.entry import main as provision
    from provision.operations.cluster import nodes, status

    def ask_master(ssh_config: Path, *_: object) -> SparkMaster:
        return SparkMaster(tuple(re.findall(r"HostName (\S+)", ssh_config.read_text())), 0, 0, 0)

    nodes.ask_master = ask_master
    status.hub_problem = lambda *_, **__: ""
    sys.argv = ["provision", *words]
    provision()


# --- the run ---


def cluster_file(workers: int) -> str:
    """Return the cluster's file."""
    zone = {"availability_zone": NAME}
    return yaml.safe_dump(
        {
            "name": CLUSTER, "cloud": CLOUD, "image": NAME, "network": {"cidr": CIDR},
            "master": {**zone, "flavor": MASTER_FLAVOR}, "workers": {**zone, "flavor": FLAVOR, "count": workers},
        }
    )  # fmt: skip


class Bench:
    """The runs, in a folder of their own with a clouds.yaml that knows the project."""

    def __init__(self, folder: Path, entry: Mapping[str, Any], sweep: Callable[[], None]) -> None:
        self.folder = folder
        self.sweep = sweep
        file = folder / "clouds.yaml"
        file.touch(mode=0o600)
        file.write_text(yaml.safe_dump({"clouds": {CLOUD: dict(entry)}}))
        plain = {key: value for key, value in os.environ.items() if not key.startswith("OS_")}
        # The APIs are on this machine.
        plain |= dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost")
        self.environment = plain | {
            "OS_CLIENT_CONFIG_FILE": str(file), "XDG_STATE_HOME": str(folder / "state"),
        }  # fmt: skip

    def child(self, *words: str, folder: Path) -> tuple[Took, str]:
        """Run a part of this program as a process of its own."""
        return run([sys.executable, __file__, "child", *words], folder=folder, environment=self.environment)

    def compete(self, name: str, workers: int, times: int) -> dict[str, Took]:
        """Have one contender make its servers, and remove them; after `up` also the commands with nothing to do."""
        place = self.folder / "run"
        place.mkdir()
        (place / "cluster.yaml").write_text(cluster_file(workers))
        try:
            found = {name: self.child(name, str(workers + 1), folder=place)[0]}
            for words in COMMANDS if name == "up" else ():
                runs = [self._nothing(words, place) for _ in range(times + 1)]
                # The first one logs in.
                found[words] = middle(runs[1:])
        finally:
            self.sweep()
            shutil.rmtree(place)
            shutil.rmtree(self.folder / "state", ignore_errors=True)
        return found

    def _nothing(self, words: str, place: Path) -> Took:
        took, said = self.child("command", words, folder=place)
        if words == "plan" and "othing to do" not in said:
            raise SystemExit(f"`plan` has something to do:\n{said}")
        return took


def compete(bench: Bench, size: int, times: int, most: Mapping[str, int]) -> dict[str, Took]:
    """Have the contenders make so many workers in turn, but for those whose `most` is fewer; return the medians."""
    names = [name for name in CONTENDERS if size <= most.get(name, size)]
    runs: dict[str, list[Took]] = {}
    for turn in range(times):
        for name in names if turn % 2 == 0 else names[::-1]:
            for what, took in bench.compete(name, size, 3).items():
                runs.setdefault(what, []).append(took)
                print(f"{size} workers, {what}: {took}", flush=True)
    return {what: middle(each) for what, each in runs.items()}


def misses(found: Mapping[int, Mapping[str, Took]]) -> list[str]:
    """Say what is not as it should be."""
    said = []
    if len({by["up"].other for by in found.values()}) > 1:
        said.append(f"requests of `up`, polls aside: {', '.join(str(by['up'].other) for by in found.values())}")
    for size, by in found.items():
        if size < LARGE:
            continue
        if (ratio := by["up"].seconds / by["raw"].seconds) > TIMES:
            said.append(f"{size} workers: {ratio:.2f} times the multi-create, at most {TIMES}")
        if by["up"].memory > MEGABYTES:
            said.append(f"{size} workers: {by['up'].memory:.0f} MB, at most {MEGABYTES}")
        said += [
            f"{size} workers: `{name}` takes {by[name].seconds:.1f} s, at most {SECONDS:g}"
            for name in COMMANDS
            if by[name].seconds > SECONDS
        ]
    return said


def tables(found: Mapping[int, Mapping[str, Took]]) -> tuple[Table, Table]:
    """Return the figures: of what makes servers, and of the commands with nothing to do."""
    made = [
        [
            f"{size:,}", words, f"{by[name].seconds:.0f} s", f"{by[name].seconds / by['raw'].seconds:.2f}",
            f"{by[name].other:,}", f"{by[name].polls:,}", f"{by[name].cpu:.1f} s", f"{by[name].memory:.0f} MB",
        ]
        for size, by in found.items()
        for name, words in CONTENDERS.items()
        if name in by
    ]  # fmt: skip
    asked = [
        [
            f"{size:,}", f"`{name}`", f"{by[name].seconds:.1f} s", f"{by[name].requests}", f"{by[name].cpu:.1f} s",
            f"{by[name].memory:.0f} MB",
        ]
        for size, by in found.items()
        for name in COMMANDS
    ]  # fmt: skip
    columns = ["Workers", "Made by", "Time", "Times the multi-create", "Requests", "Polls", "Processor time", "Memory"]
    return (
        Table(columns, made),
        Table(["Workers", "Command", "Time", "Requests", "Processor time", "Memory"], asked, "With nothing to do:"),
    )


def charts(found: Mapping[int, Mapping[str, Took]]) -> tuple[Chart, Chart]:
    """Return the charts: times, and requests."""

    def series(value: Callable[[Took], float]) -> dict[str, dict[str, float]]:
        return {
            words.replace("`", ""): {
                f"{size:,} workers": round(value(by[name]), 1) for size, by in found.items() if name in by
            }
            for name, words in CONTENDERS.items()
            if any(name in by for by in found.values())
        }

    return (
        Chart("seconds", "Until all are ACTIVE", "s", series(lambda took: took.seconds), logarithmic=True),
        Chart("requests", "Requests of the client", "", series(lambda took: took.requests), logarithmic=True),
    )


def result(found: Mapping[int, Mapping[str, Took]], taken: Mapping[str, Any], options: Mapping[str, int]) -> Result:
    """Return what is kept."""
    times = options["times"]
    other = [f"--{name} {count}" for name, count in options.items() if count != DEFAULTS[name]]
    return Result(
        name="many",
        title="Many servers",
        order=25,
        text=(
            "Servers of Nova's fake driver on hypervisors that only pretend, until all are ACTIVE: what the cloud's "
            "own services and its client take, without guests. Each way from nothing and in a process of its own, in "
            "turn in one run" + (f"; medians of {times}." if times > 1 else ".") + " Into a server group they go with "
            "`workers.spread`, which spreads them over the hypervisors. Memory is that of the largest process."
        ),
        command=" ".join(["python tests/benchmarks/many.py", *map(str, found), *other]),
        tables=tables(found),
        charts=charts(found),
        taken=taken,
    )


def main() -> int:
    """Run all, print and keep what was found; 1 when something is not as it should be."""
    import fake_hosts

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[20, 100, 1000], metavar="WORKERS")
    parser.add_argument("--hosts", type=int, help="by default one for 50 workers, and four at least")
    for name, count in DEFAULTS.items():
        parser.add_argument(f"--{name}", type=int, default=count)
    asked = parser.parse_args()
    # As Ctrl-C: what was made is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    taken = surroundings()
    hosts = fake_hosts.FakeHosts()
    options = {name: getattr(asked, name) for name in DEFAULTS}
    found: dict[int, dict[str, Took]] = {}
    count = asked.hosts or max(LEAST_HOSTS, max(asked.sizes) // PER_HOST)
    with tempfile.TemporaryDirectory() as folder, hosts.ready(count):
        bench = Bench(Path(folder), hosts.entry, hosts.sweep)
        for size in asked.sizes:
            found[size] = compete(bench, size, asked.times, options)
            # An hour's work is not lost when the next number, which takes ten times as long, does not end.
            print(f"written: {write(result(found, taken, options))}", flush=True)
    for table in tables(found):
        print("", *(" | ".join(row) for row in (table.columns, *table.rows)), sep="\n")
    missed = misses(found)
    print(*(f"MISSED: {each}" for each in missed), sep="\n")
    return int(bool(missed))


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        what, *rest = sys.argv[2:]
        if what == "command":
            command(rest)
        else:
            {"spread": spread, "raw": raw, "pool": pool, "loop": loop, "one": one, "up": up}[what](int(rest[0]))
    else:
        sys.exit(main())
