"""`plan`, `status` and `up` with nothing to do, against a bare listing of the same things with the SDK.

In turn on one cluster, in pairs of a command and the bare listing: seconds, processor time, requests (by HTTP, and to
Docker), and programs that are started. A cluster of the cloud `local` is measured as one of any other cloud too: by a
second entry of clouds.yaml for the same project, for which no local cloud is looked after.

Run, in the folder of the cluster's file:  python tests/benchmarks/nothing.py [PAIRS]
Wants a cluster that works, with nothing to do. Its file may name no other files by a relative path. Nobody else should
compute meanwhile. The first run of each command logs in and is not counted. Ends with 1 when a command takes more than
1.5 times the listing, or for the cloud `local` more than 2 s more. Writes results/nothing.json.
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
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from openstack.config.loader import OpenStackConfig

from provision.base.constants import LOCAL_CLOUD
from provision.clusterfile import load

if TYPE_CHECKING:
    from results import Result

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


def measure(title: str, place: Place, pairs: int) -> dict[str, tuple[Run, Run]]:
    """Measure all commands in one place; return the medians of each, and of the listing in turn with it."""
    medians: dict[str, tuple[Run, Run]] = {}
    for name in COMMANDS:
        place.run(name)
        found: dict[str, list[Run]] = {name: [], "listing": []}
        for turn in range(pairs):
            for each in (name, "listing") if turn % 2 else ("listing", name):
                found[each].append(place.run(each))
        own, bare = (Run(*(median(column) for column in zip(*runs, strict=True))) for runs in found.values())
        for each, run in ((name, own), ("listing", bare)):
            print(
                f"{title}: {each:8} {run.seconds:6.2f} s, processor {run.cpu:5.2f} s, {run.requests:g} requests, "
                f"{run.docker:g} to Docker, {run.programs:g} programs"
            )
        print(
            f"{title}: {name}: {own.seconds / bare.seconds:.2f} times the listing, {own.seconds - bare.seconds:+.2f} s"
        )
        sys.stdout.flush()
        medians[name] = own, bare
    return medians


def too_slow(title: str, own: Run, bare: Run) -> bool:
    """Whether a command took too long against the listing."""
    if title == LOCAL_CLOUD:
        return own.seconds - bare.seconds > SECONDS
    return own.seconds / bare.seconds > TIMES


def result(found: dict[str, dict[str, tuple[Run, Run]]], taken: dict[str, Any], pairs: int) -> Result:
    """Return what is kept: by place and command, its medians and the listing's."""
    from results import Chart, Result, Table

    rows, times = [], {}
    for title, medians in found.items():
        bare = next(iter(medians.values()))[1]
        rows.append(
            [f"the listing, {title}", f"{bare.seconds:.1f} s", "", f"{bare.requests:g}", "", f"{bare.cpu:.1f} s"]
        )
        for name, (own, bare) in medians.items():
            ratio, more = f"{own.seconds / bare.seconds:.2f} times", f"{own.seconds - bare.seconds:+.1f} s"
            docker = f"{own.docker:g}" if own.docker else ""
            rows.append([f"`{name}`, {title}", ratio, more, f"{own.requests:g}", docker, f"{own.cpu:.1f} s"])
        times[title] = {name: round(own.seconds / bare.seconds, 2) for name, (own, bare) in medians.items()}
    return Result(
        name="nothing",
        title="Nothing to do",
        order=20,
        text=(
            "`plan`, `status` and `up` on a cluster that is as its file says, against a script that lists the same "
            "things with the SDK, one after the other, in turn in one run; medians of "
            f"{pairs} pairs. The local cloud as itself, and under another name, as any remote cloud is treated:"
        ),
        command=f"python tests/benchmarks/nothing.py {pairs}",
        tables=(Table(["What", "Against the listing", "More", "Requests", "To Docker", "Processor time"], rows),),
        charts=(Chart("times", "Against the listing", "times", times),),
        taken=taken,
        after=(
            "The listing asks one after the other, the commands up to 11 at once, and the Hub and the Spark master "
            "meanwhile; they keep their token. Before that, `plan` sent 19 requests and `status` 15, one after the "
            "other, and `up` took 7 s."
        ),
    )


def main(pairs: int = 5) -> int:
    """Measure `pairs` of each command and the listing; 1 if a command takes too long."""
    # Here: a command that is measured is run by this program too, and needs no more than it has.
    from results import surroundings, write

    taken = surroundings()
    with tempfile.TemporaryDirectory() as folder:
        found = {title: measure(title, place, pairs) for title, place in places(Path(folder)).items()}
    print(f"written: {write(result(found, taken, pairs))}")
    return int(any(too_slow(title, *both) for title, medians in found.items() for both in medians.values()))


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main(*map(int, sys.argv[1:])))
