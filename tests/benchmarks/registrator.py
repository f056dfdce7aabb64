"""What the Registrator costs with many containers: a real Consul, and a Docker engine that only pretends.

Run: python tests/benchmarks/registrator.py [NUMBER…]     (default: 1 50 500)
"""

from __future__ import annotations

import copy
import http.server
import json
import os
import queue
import socketserver
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))
from world import World, ensure_catalogue_images, until

WATCHED_SECONDS = 10
EVENTS = 20


class FakeDocker(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """An engine with any number of copies of one real container, on a socket of its own."""

    daemon_threads = True

    def __init__(self, path, model, count):
        super().__init__(str(path), Handler)
        self.news = queue.Queue()
        self.requests = 0
        self.containers = {}
        for number in range(count):
            each = copy.deepcopy(model)
            each["Id"], each["Name"] = f"{number:064x}", f"/bench-{number}"
            (network,) = each["NetworkSettings"]["Networks"].values()
            network["IPAddress"] = f"10.99.{number // 250}.{number % 250 + 1}"
            self.containers[each["Id"]] = each
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.requests += 1
        path = self.path.partition("?")[0]
        containers = self.server.containers
        if path.endswith("/version"):
            self.answer({"ApiVersion": "1.41"})
        elif path.endswith("/containers/json"):
            self.answer([listed(each) for each in list(containers.values())])
        elif path.endswith("/events"):
            self.stream()
        else:
            each = containers.get(path.split("/")[-2])
            self.answer(each or {"message": "No such container"}, 200 if each else 404)

    def answer(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            line = json.dumps({"Type": "container", "Action": "die", "Actor": {"ID": self.server.news.get()}}).encode()
            self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            self.wfile.flush()

    def log_message(self, *_):
        pass

    def address_string(self):
        return "unix"


def listed(inspect):
    """Show a container as Docker's list does."""
    return {
        "Id": inspect["Id"],
        "Names": [inspect["Name"]],
        "State": "running",
        "Status": "Up 5 minutes",
        "Ports": [],
        "Labels": inspect["Config"]["Labels"],
        "NetworkSettings": {"Networks": inspect["NetworkSettings"]["Networks"]},
    }


def cpu(pid):
    """Return the seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid, key):
    """Return VmRSS or VmHWM in MiB."""
    lines = dict(line.split(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(lines[key].split()[0]) / 1024


def measure(world, model, count):
    """Measure one Registrator from its start to a hundred resyncs."""
    with tempfile.TemporaryDirectory() as folder:
        engine = FakeDocker(Path(folder, "docker.sock"), model, count)
        host = f"bench-{count}"
        command = [sys.executable, "-m", "provision", "registrator", "--internal", "--host-id", host, "--resync", "1"]
        command += ["--consul", f"http://{world.consul_address}:8500", "--docker", f"unix://{folder}/docker.sock"]
        command += ["--consul-token-file", str(world.token_file)]
        began = time.monotonic()
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                until(lambda: len(world.catalogue(host) or ()) == count, 120, "the first sync")
                first, first_cpu = time.monotonic() - began, cpu(process.pid)
                time.sleep(2)
                before, requests = cpu(process.pid), engine.requests
                time.sleep(WATCHED_SECONDS)
                idle, requests = cpu(process.pid) - before, engine.requests - requests
                latencies = []
                for id_ in list(engine.containers)[:EVENTS]:
                    del engine.containers[id_]
                    engine.news.put(id_)
                    left = len(engine.containers)
                    latencies.append(until(lambda left=left: len(world.catalogue(host)) == left, 10))
                result = {
                    "containers": count,
                    "first sync, s": round(first, 2),
                    "its CPU, s": round(first_cpu, 2),
                    "CPU per resync, ms": round(1000 * idle / WATCHED_SECONDS, 1),
                    "Docker requests per resync": round(requests / WATCHED_SECONDS, 1),
                    "event to catalogue, ms, median": round(1000 * statistics.median(latencies)),
                    "RSS, MiB": round(memory(process.pid, "VmRSS"), 1),
                    "peak RSS, MiB": round(memory(process.pid, "VmHWM"), 1),
                }
            finally:
                process.terminate()
        engine.shutdown()
        engine.server_close()
    for id_ in world.catalogue(host):
        world.get(f"/v1/agent/service/deregister/{id_}", "PUT")
    return result


def main():
    counts = [int(text) for text in sys.argv[1:]] or [1, 50, 500]
    with tempfile.TemporaryDirectory() as folder:
        world = World(ensure_catalogue_images(), Path(folder))
        try:
            world.start_consul()
            model = world.web("model")
            model.reload()
            for count in counts:
                print(json.dumps(measure(world, model.attrs, count)), flush=True)
        finally:
            world.close()


if __name__ == "__main__":
    main()
