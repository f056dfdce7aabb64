"""A cloud on a bad day, and an operator whose machine dies: `up` and `down` on the real local cloud, servers asleep.

Between `provision` and the real APIs stands a proxy that spoils answers. The servers run no Spark (asleep.py).

    python tests/benchmarks/bad_day.py tenth  [RUNS]    a tenth of all answers is 500, 503, 429, a reset, or 20 s late
    python tests/benchmarks/bad_day.py each   [STRIDE]  each request of an `up` fails once before the cloud acts, and
                                                        once after it; every STRIDE-th in the same `up`
    python tests/benchmarks/bad_day.py kills  [CYCLES]  six kills of an `up`, then `up`; two of a `down`, then `down`

Wants a local cloud that runs, and leaves nothing on it. Ends with 1 for a traceback, and when something is there twice
or left.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import asleep
import openstack
import yaml
from openstack.config.loader import OpenStackConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "bad-day"
IMAGE = "bad-day-empty-disk"
LATE = 20
VERSIONS = {"compute": "v2.1", "network": "v2.0", "image": "v2"}
KINDS = ("500", "503", "429", "reset", "late")
SPEC = {
    "name": NAME,
    "cloud": "bad",
    "image": IMAGE,
    "workers": {"count": 2},
    "network": {"cidr": "10.77.0.0/24"},
}
TRIES = 6
"""How often an `up` or a `down` may stop with a sentence before it has to be through."""


class Fault(NamedTuple):
    """What becomes of a request: its kind, and whether the cloud has acted before."""

    kind: str
    after: bool


class Proxy(ThreadingHTTPServer):
    """Passes requests on to the real APIs; `choose(number, method)` says which to spoil."""

    daemon_threads = True

    def __init__(self, targets: dict[str, str], authority: str | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.targets = targets
        self.context = ssl.create_default_context(cafile=authority)
        self.choose: Any = lambda number, method: None
        self.requests = 0
        self.faults = 0
        self._lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what went wrong, unless it is that a client was killed."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def fault(self, method: str) -> Fault | None:
        with self._lock:
            self.requests += 1
            found = self.choose(self.requests, method)
            self.faults += bool(found)
            return found


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Proxy

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.fault(self.command)
        if fault and not fault.after and fault.kind != "late":
            self.spoil(fault.kind)
            return
        if fault and fault.kind == "late":
            time.sleep(LATE)
        _, prefix, *rest = self.path.split("/", 2)
        target = urlsplit(self.server.targets[prefix])
        link = http.client.HTTPSConnection(target.netloc, context=self.server.context, timeout=120)
        try:
            skipped = {"host", "connection", "accept-encoding"}
            headers = {key: value for key, value in self.headers.items() if key.lower() not in skipped}
            link.request(self.command, f"{target.path}/{rest[0] if rest else ''}", body or None, headers)
            answer = link.getresponse()
            text = answer.read()
        finally:
            link.close()
        if fault and fault.kind != "late":
            self.spoil(fault.kind)
            return
        self.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(text)

    def __getattr__(self, name: str) -> Any:
        """Answer for each `do_GET`, `do_POST` and so on, by which the base class asks."""
        if name.startswith("do_"):
            return self.handle_any
        raise AttributeError(name)

    def spoil(self, kind: str) -> None:
        """Answer with a failure, or break the connection off."""
        self.close_connection = True
        if kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return
        text = json.dumps({"error": {"message": "a bad day", "code": int(kind)}}).encode()
        self.send_response(int(kind))
        if kind == "429":
            self.send_header("Retry-After", "1")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


class Bed:
    """The cloud as it was before, a proxy before it, and a home for `provision`."""

    def __init__(self, folder: Path, direct: openstack.connection.Connection) -> None:
        entry = OpenStackConfig().get_one(cloud="local")
        self.direct = direct
        auth = dict(entry.config["auth"])
        catalogue = self.direct.session.auth.get_access(self.direct.session).service_catalog
        targets = {"identity": str(auth["auth_url"]).rstrip("/").removesuffix("/v3")}
        for service, version in VERSIONS.items():
            url = str(catalogue.url_for(service_type=service, interface="public"))
            targets[service] = url.rstrip("/").removesuffix(f"/{version}")
        self.proxy = Proxy(targets, entry.config.get("cacert"))
        through = {
            "auth_type": "v3password",
            "auth": auth | {"auth_url": f"{self.proxy.url}/identity/v3"},
            "region_name": entry.config.get("region_name"),
            "compute_api_version": "2.1",
            "network_api_version": "2",
            "image_api_version": "2",
            **{f"{each}_endpoint_override": f"{self.proxy.url}/{each}/{version}" for each, version in VERSIONS.items()},
        }
        self.folder = folder
        (folder / "clouds.yaml").write_text(yaml.safe_dump({"clouds": {"bad": through}}))
        (folder / "cluster.yaml").write_text(yaml.safe_dump(SPEC))
        self.environment = os.environ | {
            "OS_CLIENT_CONFIG_FILE": str(folder / "clouds.yaml"),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        self.before = self.lists()

    def lists(self) -> dict[str, list[str]]:
        """Return what the cloud itself lists."""
        nova, neutron = self.direct.compute, self.direct.network
        return {
            "servers": sorted(each.id for each in nova.servers()),
            "key pairs": sorted(each.id for each in nova.keypairs()),
            "networks": sorted(each.id for each in neutron.networks()),
            "subnets": sorted(each.id for each in neutron.subnets()),
            "routers": sorted(each.id for each in neutron.routers()),
            "ports": sorted(each.id for each in neutron.ports() if not each.device_owner.startswith("network:")),
            "security groups": sorted(each.id for each in neutron.security_groups()),
            "floating IPs": sorted(each.id for each in neutron.ips()),
        }

    def start(self, verb: str) -> subprocess.Popen[str]:
        """Start `up` or `down` as a process of its own."""
        return subprocess.Popen(
            [sys.executable, __file__, "child", verb],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, verb: str) -> tuple[int, str]:
        """Run it to its end; a traceback ends everything."""
        process = self.start(verb)
        said, _ = process.communicate(timeout=1200)
        if "Traceback" in said or process.returncode not in (0, 1):
            raise SystemExit(f"{verb} ended with {process.returncode}:\n{said}")
        return process.returncode, said

    def until_done(self, verb: str) -> int:
        """Run it until it is through; return how often it stopped with a sentence before."""
        for stops in range(TRIES):
            code, said = self.run(verb)
            if not code:
                return stops
            print(f"    {verb} stopped: {' '.join(said.split())[:150]}", flush=True)
        raise SystemExit(f"{verb} did not get through in {TRIES} runs")

    def more(self) -> dict[str, int]:
        """Return how many things of each kind are there beyond those at the beginning."""
        now = self.lists()
        return {kind: len(set(now[kind]) - set(self.before[kind])) for kind in now}

    def require_whole(self) -> None:
        """Everything is there once."""
        wanted = dict.fromkeys(self.before, 1) | {"servers": 3, "ports": 3}
        if (found := self.more()) != wanted:
            raise SystemExit(f"after `up`: {found} instead of {wanted}")

    def require_nothing(self) -> None:
        """Nothing is left, and nothing of others is gone."""
        if (now := self.lists()) != self.before:
            left = {kind: sorted(set(now[kind]) ^ set(self.before[kind])) for kind in now}
            raise SystemExit(f"after `down`: {left}")

    def close(self) -> None:
        self.proxy.choose = lambda number, method: None
        with suppress(SystemExit):
            self.until_done("down")


def tenth(bed: Bed, runs: int) -> None:
    """A tenth of all answers is spoiled, whatever runs."""
    chance = random.Random(9)

    def choose(number: int, method: str) -> Fault | None:
        return Fault(chance.choice(KINDS), chance.random() < 0.5) if chance.random() < 0.1 else None

    stops = {"up": 0, "down": 0}
    for number in range(runs):
        bed.proxy.choose = choose
        stops["up"] += bed.until_done("up")
        bed.require_whole()
        stops["down"] += bed.until_done("down")
        bed.require_nothing()
        print(f"  run {number + 1}: {bed.proxy.requests} requests, {bed.proxy.faults} faults so far", flush=True)
    print(
        f"tenth: {runs} runs, {bed.proxy.requests} requests, {bed.proxy.faults} faults, stopped with a sentence {stops}"
    )


class Once:
    """Fails every STRIDE-th of the first COUNT requests from now on, each once: a request that failed comes again."""

    def __init__(self, proxy: Proxy, count: int, stride: int, start: int, faults: Iterator[Fault]) -> None:
        self.first, self.count, self.stride, self.start = proxy.requests + 1, count, stride, start
        self.faults = faults
        self.done: set[int] = set()

    def __call__(self, seen: int, method: str) -> Fault | None:
        number = seen - self.first - len(self.done)  # the repetitions are not counted
        if number in self.done or number >= self.count or number % self.stride != self.start:
            return None
        self.done.add(number)
        return next(self.faults)


def each(bed: Bed, stride: int) -> None:
    """Every request of `up` fails once before the cloud acts, and once after it; every STRIDE-th in the same `up`."""
    bed.until_done("up")
    bed.require_whole()
    count = bed.proxy.requests
    bed.until_done("down")
    before, behind = ([Fault(kind, after) for kind in KINDS if kind != "late"] for after in (False, True))
    faults = {"before": itertools.cycle(before), "after": itertools.cycle(behind)}
    spoiled = stops = 0
    for start in range(stride):
        for when, how in faults.items():
            bed.proxy.choose = once = Once(bed.proxy, count, stride, start, how)
            stops += bed.until_done("up")
            bed.proxy.choose = lambda seen, method: None
            bed.require_whole()
            bed.until_done("down")
            bed.require_nothing()
            spoiled += len(once.done)
            print(f"  {len(once.done)} of {count} failed, {when} the cloud acted", flush=True)
    print(f"each: {count} requests, {spoiled} failures in {2 * stride} runs, stopped with a sentence {stops} times")


def kills(bed: Bed, cycles: int) -> None:
    """The operator's machine dies at random moments."""
    chance = random.Random(3)
    began = time.monotonic()
    bed.until_done("up")
    up = time.monotonic() - began
    began = time.monotonic()
    bed.until_done("down")
    down = time.monotonic() - began
    count, longest = {"up": 0, "down": 0}, {"up": up, "down": down}
    for number in range(cycles):
        for verb, times in (("up", 6), ("down", 2)):
            killed = 0
            while killed < times:
                began, process = time.monotonic(), bed.start(verb)
                try:
                    said, _ = process.communicate(timeout=chance.uniform(0.5, longest[verb]))
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                    said, _ = process.communicate()
                    killed += 1
                else:
                    # It was through before its end came: from the start once more, and with an end that comes sooner.
                    longest[verb] = min(longest[verb], time.monotonic() - began)
                    bed.until_done("down" if verb == "up" else "up")
                if "Traceback" in said:
                    raise SystemExit(said)
            bed.until_done(verb)
            (bed.require_whole if verb == "up" else bed.require_nothing)()
            count[verb] += killed
        print(f"  cycle {number + 1}: killed {count} so far", flush=True)
    print(f"kills: {count['up']} of `up` ({up:.0f} s), {count['down']} of `down` ({down:.0f} s), nothing left")


# --- the child: one `up` or `down`, as the command line runs them, with tiny servers ---


def child(verb: str) -> None:
    from provision.base.errors import ProvisionError
    from provision.cli.terminal import show_error

    try:
        (_up if verb == "up" else _down)()
    except ProvisionError as error:
        show_error(error)
        sys.exit(error.exit_code)


def _down() -> None:
    from provision.adapters.openstack.cloud import connect
    from provision.base.progress import Silent
    from provision.operations.cluster.down import down
    from provision.operations.cluster.resolve import find_cluster_dir

    cloud = connect("bad")
    down(cloud, find_cluster_dir(cloud, NAME), Silent(), lambda observed: None)


def _up() -> None:
    from provision.adapters.openstack.cloud import connect
    from provision.clusterfile import load
    from provision.operations.cluster.resolve import find_cluster_dir

    cloud = connect("bad", "cluster.yaml")
    asleep.up(cloud, find_cluster_dir(cloud, NAME), load(Path("cluster.yaml")), lambda plan: None)


def main() -> None:
    mode, *rest = sys.argv[1:] or ["help"]
    if mode == "child":
        child(rest[0])
        return
    modes: dict[str, tuple[Any, int]] = {"tenth": (tenth, 10), "each": (each, 8), "kills": (kills, 10)}
    if mode not in modes:
        raise SystemExit(__doc__)
    act, default = modes[mode]
    direct = openstack.connect(cloud="local")
    with tempfile.TemporaryDirectory() as folder, asleep.empty_image(direct, IMAGE):
        bed = Bed(Path(folder), direct)
        try:
            act(bed, int(rest[0]) if rest else default)
        finally:
            bed.close()


if __name__ == "__main__":
    main()
