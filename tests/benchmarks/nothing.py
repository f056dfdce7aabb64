"""`plan`, `status` and `up` with nothing to do, against a bare listing of the same things with the SDK.

In turn on one cluster, in pairs of a command and the bare listing: seconds, processor time, requests (by HTTP, and to
Docker), and programs that are started. A cluster of the cloud `local` is measured as one of any other cloud too: by a
second entry of clouds.yaml for the same project, for which no local cloud is looked after.

Run, in the folder of the cluster's file:  python tests/benchmarks/nothing.py [PAIRS]
Wants a cluster that works, with nothing to do. Its file may name no other files by a relative path. Nobody else should
compute meanwhile. The first run of each command logs in and is not counted. Ends with 1 when a command takes more than
1.5 times the listing, or for the cloud `local` more than 2 s more.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import yaml
from openstack.config.loader import OpenStackConfig

from provision.base.constants import LOCAL_CLOUD
from provision.clusterfile import load

COMMANDS = {"plan": ["plan"], "status": ["status"], "up": ["up", "--yes"]}
OTHER = "nothing-to-do"
FILE = "cluster.yaml"
TIMES, SECONDS = 1.5, 2.0


class Run(NamedTuple):
    """What one command took."""

    seconds: float
    cpu: float
    requests: int
    docker: int
    programs: int


class Place(NamedTuple):
    """A folder with a cluster's file, and the environment in which commands run there."""

    folder: Path
    cloud: str
    cluster: str
    environment: dict[str, str]

    def run(self, name: str) -> Run:
        """Run a command, or the listing, as a process of its own; anything but nothing to do ends the program."""
        words = COMMANDS.get(name, [name, self.cloud, self.cluster])
        with tempfile.NamedTemporaryFile() as counts:
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            done = subprocess.run(
                [sys.executable, "-P", __file__, "child", counts.name, *words],
                cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
            if done.returncode or (name in ("plan", "up") and "othing to do" not in done.stdout):
                raise SystemExit(f"`{name}` has something to do:\n{done.stdout}{done.stderr}")
            cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
            return Run(seconds, cpu, *json.loads(Path(counts.name).read_text()))


def child(counts: str, words: list[str]) -> None:
    """Run one command in this process, and write what it has asked and started."""
    asked: list[str] = []
    programs: list[Any] = []

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen":
            programs.append(arguments[0])

    sys.addaudithook(note)
    import requests

    send = requests.Session.send

    def counted(self: Any, request: Any, **options: Any) -> Any:
        asked.append(request.url)
        return send(self, request, **options)

    requests.Session.send = counted  # type: ignore[method-assign]
    try:
        if words[0] == "listing":
            listing(*words[1:])
        else:
            from provision.cli.entry import main

            sys.argv = ["provision", *words]
            main()
    finally:
        docker = sum(url.startswith("http+docker") for url in asked)
        Path(counts).write_text(json.dumps([len(asked) - docker, docker, len(programs)]))


def listing(cloud: str, cluster: str) -> None:
    """List what the commands have to know, one request after the other, as a script with the SDK would."""
    import openstack

    connection = openstack.connect(cloud=cloud)
    nova, neutron, glance = connection.compute, connection.network, connection.image
    project = connection.current_project_id
    found = [
        [*listed]
        for listed in (
            nova.servers(), nova.flavors(), nova.keypairs(), neutron.networks(project_id=project),
            neutron.subnets(project_id=project), neutron.routers(project_id=project),
            neutron.security_groups(project_id=project), neutron.ips(project_id=project),
            neutron.ports(project_id=project), neutron.networks(is_router_external=True), glance.images(owner=project),
        )
    ]  # fmt: skip
    assert any(server.name.startswith(f"{cluster}-") for server in found[0])


def places(folder: Path) -> dict[str, Place]:
    """Return where to measure: the cluster's own folder, and one in which its cloud is not called `local`."""
    spec = load(Path(FILE))
    own = {spec.cloud: Place(Path.cwd(), spec.cloud, spec.name, dict(os.environ))}
    if spec.cloud != LOCAL_CLOUD:
        return own
    entry = OpenStackConfig().get_one(cloud=spec.cloud).config
    copied = {key: entry[key] for key in ("auth", "region_name", "interface", "cacert") if entry.get(key)}
    (folder / "clouds.yaml").write_text(yaml.safe_dump({"clouds": {OTHER: json.loads(json.dumps(copied))}}))
    (folder / "clouds.yaml").chmod(0o600)
    (folder / FILE).write_text(yaml.safe_dump(yaml.safe_load(Path(FILE).read_text()) | {"cloud": OTHER}))
    environment = os.environ | {"OS_CLIENT_CONFIG_FILE": str(folder / "clouds.yaml")}
    return {"another cloud": Place(folder, OTHER, spec.name, environment)} | own


def measure(title: str, place: Place, pairs: int) -> bool:
    """Measure all commands in one place; return whether each is quick enough."""
    quick = True
    for name in COMMANDS:
        place.run(name)
        found: dict[str, list[Run]] = {name: [], "listing": []}
        for turn in range(pairs):
            for each in (name, "listing") if turn % 2 else ("listing", name):
                found[each].append(place.run(each))
        middle = {each: Run(*(median(column) for column in zip(*runs, strict=True))) for each, runs in found.items()}
        for each, run in middle.items():
            print(
                f"{title}: {each:8} {run.seconds:6.2f} s, processor {run.cpu:5.2f} s, {run.requests:g} requests, "
                f"{run.docker:g} to Docker, {run.programs:g} programs"
            )
        own, bare = middle[name].seconds, middle["listing"].seconds
        ratio, more = own / bare, own - bare
        print(f"{title}: {name}: {ratio:.2f} times the listing, {more:+.2f} s", flush=True)
        quick &= more <= SECONDS if place.cloud == LOCAL_CLOUD else ratio <= TIMES
    return quick


def main(pairs: int = 5) -> int:
    """Measure `pairs` of each command and the listing; 1 if a command takes too long."""
    with tempfile.TemporaryDirectory() as folder:
        found = [measure(title, place, pairs) for title, place in places(Path(folder)).items()]
    return int(not all(found))


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main(*map(int, sys.argv[1:])))
