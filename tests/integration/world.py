"""A catalogue of its own for the tests: a network, Consul, the Registrator and HAProxy, all removed at the end."""

from __future__ import annotations

import http.client
import json
import random
import socket
import ssl
import struct
import threading
import time
import urllib.error
import urllib.request
import uuid
import warnings
from collections import Counter
from contextlib import contextmanager

import docker
from docker.errors import APIError, NotFound
from docker.types import EndpointConfig, IPAMConfig, IPAMPool

from provision.adapters.docker.client import remove_network
from provision.adapters.docker.engine import Engine
from provision.adapters.host.certificates import ensure_certificate
from provision.adapters.net import leaf
from provision.base.progress import Silent
from provision.model.localcloud.image_families import image_name
from provision.model.localcloud.settings import PASSWORDS
from provision.model.templating import render
from provision.operations.localcloud.shared.consul_acl import ensure_access
from provision.operations.localcloud.shared.images import ensure_images
from provision.operations.localcloud.shared.installation import new_password

SOON = 3
"""Seconds that the Registrator and HAProxy may take: what is promised."""
READY_TIMEOUT = 20
"""Seconds for what is not their doing: containers and processes that start on a busy machine."""
WEB_PORT = 8080
PROXY_PORT = 8080
TLS_PORT = 8443
CHECK = {"SERVICE_CHECK_HTTP": "/", "SERVICE_CHECK_INTERVAL": "1s", "SERVICE_CHECK_TIMEOUT": "1s"}
# Answers with its own name, at once, and says nothing on the terminal.
SERVER = f"""
import http.server, socket, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = socket.gethostname().encode()
        if self.path == "/slow": time.sleep(1)
        if self.path == "/headers": body = str(self.headers).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
class Alone(http.server.HTTPServer): request_queue_size = 100
kind = Alone if sys.argv[1:] == ["one"] else http.server.ThreadingHTTPServer
kind(("", {WEB_PORT}), Handler).serve_forever()
"""


def until(condition, seconds=READY_TIMEOUT, what="it"):
    """Wait until `condition()` is true and return the seconds it took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"{what() if callable(what) else what}: not within {seconds} s")
        time.sleep(0.02)
    return time.monotonic() - began


class World:
    """The containers of one test run, by their names; every name and every label carries the run's own id."""

    def __init__(self, images, folder):
        self.docker = docker.from_env()
        self.images = images
        self.folder = folder
        self.run = f"it-{uuid.uuid4().hex[:8]}"
        self.network, base = self._make_network()
        self.consul_address = f"{base}.2"
        self.new_passwords()

    def _make_network(self):
        for _ in range(20):
            base = f"10.213.{random.randrange(256)}"
            v6 = f"fd00:{random.randrange(1 << 16):x}:{random.randrange(1 << 16):x}::/64"
            pools = [IPAMPool(subnet=f"{base}.0/24", iprange=f"{base}.128/25"), IPAMPool(subnet=v6)]
            try:
                made = self.docker.networks.create(
                    self.run, ipam=IPAMConfig(pool_configs=pools), enable_ipv6=True, labels={"test-run": self.run}
                )
            except APIError as error:
                if "overlap" not in str(error):
                    raise
            else:
                return made, base
        raise AssertionError("no free subnet")

    def new_passwords(self):
        """Make the secrets of a new installation, and the files that hold them."""
        self.passwords = {name: new_password(name) for name in PASSWORDS}
        config = render(
            "openstack/consul.json.j2",
            node_name="consul-1",
            address=self.consul_address,
            recursors=["127.0.0.11"],
            script_checks=True,
            passwords=self.passwords,
        )
        (self.folder / "consul.json").write_text(config)
        self.token_file = self.folder / "consul-token"
        self.token_file.write_text(self.passwords["consul_registrator"])

    def start(self, name, image, command, *, labels=None, address=None, entrypoint=None, **options):
        """Start a container on the run's network; options go to Docker as they are."""
        options.setdefault("network", self.run)
        if address:
            options["networking_config"] = {self.run: EndpointConfig("1.41", ipv4_address=address)}
        return self.docker.containers.run(
            self.images[image],
            command,
            name=f"{self.run}-{name}",
            labels={"test-run": self.run, **(labels or {})},
            entrypoint=entrypoint,
            detach=True,
            init=True,
            **options,
        )

    def sleeper(self, name, labels=None, **options):
        """Start a container that exposes a port and does nothing."""
        options.setdefault("ports", {f"{WEB_PORT}/tcp": None})
        return self.start(name, "registrator", ["infinity"], entrypoint=["sleep"], labels=labels, **options)

    def web(self, name, labels=None, *, alone=False, **options):
        """Start a web server that answers with its container's host name, checked every second.

        `alone`: it works at one request at a time.
        """
        labels = {"SERVICE_NAME": "web", **CHECK, **(labels or {})}
        options.setdefault("ports", {f"{WEB_PORT}/tcp": None})
        command = ["-c", SERVER, *(["one"] if alone else [])]
        return self.start(name, "registrator", command, entrypoint=["python3"], labels=labels, hostname=name, **options)

    def start_consul(self):
        container = self.start(
            "consul",
            "consul",
            ["server"],
            address=self.consul_address,
            volumes={str(self.folder): {"bind": "/config", "mode": "ro"}},
        )
        self.give_access()
        return container

    def give_access(self):
        """Do what `provision cloud up` does, as soon as Consul can: return the seconds that it took."""
        url = f"http://{self.consul_address}:8500"
        return until(lambda: not ensure_access(url, self.passwords), READY_TIMEOUT, "Consul's leader")

    def start_registrator(self, *options, name="registrator", docker_folder="/var/run", host_id=None, resync="2"):
        command = ["registrator", "--internal", "--network", self.run, "--host-id", host_id or self.run]
        command += ["--consul", f"http://{self.consul_address}:8500", "--docker", "unix:///engine/docker.sock"]
        command += ["--consul-token-file", "/config/consul-token", "--resync", resync]
        volumes = {
            str(docker_folder): {"bind": "/engine", "mode": "rw"},
            str(self.folder): {"bind": "/config", "mode": "ro"},
        }
        return self.start(name, "registrator", [*command, *options], volumes=volumes)

    def start_haproxy(self, **service):
        services = [{"name": "web", "port": PROXY_PORT, "tls_port": TLS_PORT, "health": "/", **service}]
        self.new_certificate()
        text = render("openstack/haproxy.cfg.j2", services=services, consul_address=self.consul_address)
        (self.folder / "haproxy.cfg").write_text(text)
        return self.start(
            "haproxy", "haproxy", ["proxy"], volumes={str(self.folder): {"bind": "/config", "mode": "ro"}}
        )

    def new_certificate(self):
        """Have the proxy's authority sign another certificate; return it in DER."""
        (self.folder / "tls/api.pem").unlink(missing_ok=True)
        made = ensure_certificate(self.folder / "tls", "api", "test", ("localhost",), ("127.0.0.1",))
        (self.folder / "tls.pem").write_text(made.cert + made.key)
        return leaf(made.cert)

    # --- Consul ---

    def get(self, path, method="GET", body=None):
        """Ask Consul as its operator; None where it doesn't answer."""
        try:
            status, text = self.ask(path, method, body, token=self.passwords["consul_management"])
        except (OSError, http.client.HTTPException):
            return None
        if status != 200:
            return None
        return json.loads(text) if text else True

    def ask(self, path, method="GET", body=None, *, token=""):
        """Ask Consul with some token or none; return the status and the text."""
        data = json.dumps(body).encode() if body is not None else None
        headers = {"X-Consul-Token": token} if token else {}
        request = urllib.request.Request(
            f"http://{self.consul_address}:8500{path}", data=data, method=method, headers=headers
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def catalogue(self, host_id=None):
        """Return what the Registrator has registered: id -> (service, address, port)."""
        found = self.get("/v1/agent/services")
        if found is None:
            return None
        host = host_id or self.run
        return {
            id_: (each["Service"], each["Address"], each["Port"])
            for id_, each in found.items()
            if each["Meta"].get("registrator") == host
        }

    def passing(self, service):
        """Return the addresses of a service that Consul's DNS would give."""
        return {each["Service"]["Address"] for each in self.get(f"/v1/health/service/{service}?passing") or ()}

    def status(self, id_):
        return ((self.get("/v1/agent/checks") or {}).get(f"service:{id_}") or {}).get("Status")

    def id(self, name, port=WEB_PORT, prefix=True):
        return f"{self.run}:{self.run + '-' if prefix else ''}{name}:{port}"

    def truth(self, port=WEB_PORT):
        """Work out from Docker itself what has to be in the catalogue of those that expose `port`: id -> address."""
        found = {}
        for each in self.docker.containers.list(filters={"label": f"test-run={self.run}", "status": "running"}):
            settings = each.attrs["NetworkSettings"]
            if f"{port}/tcp" in settings["Ports"] and self.run in settings["Networks"]:
                found[self.id(each.name, prefix=False)] = settings["Networks"][self.run]["IPAddress"]
        return found

    def settled(self, seconds=READY_TIMEOUT):
        """Wait until the catalogue equals the truth, exactly."""

        def equal():
            there = self.catalogue()
            return there is not None and self.truth() == {
                id_: address for id_, (_, address, port) in there.items() if port == WEB_PORT
            }

        return until(equal, seconds, lambda: f"{self.catalogue()} is not {self.truth()}")

    def address(self, container, network=None):
        container.reload()
        return container.attrs["NetworkSettings"]["Networks"][network or self.run]["IPAddress"]

    def remove(self, *containers):
        for each in containers:
            try:
                each.remove(force=True, v=True)
            except NotFound:
                continue

    def clear(self, *, keep=("consul", "registrator", "haproxy")):
        """Remove the containers of the test that has ended."""
        kept = {f"{self.run}-{name}" for name in keep}
        mine = self.docker.containers.list(all=True, filters={"label": f"test-run={self.run}"}, ignore_removed=True)
        self.remove(*(each for each in mine if each.name not in kept))

    def close(self):
        self.clear(keep=())
        for network in self.docker.networks.list(filters={"label": f"test-run={self.run}"}):
            if not remove_network(network):
                warnings.warn(f"{network.name} stays: Docker has lost count of its containers", stacklevel=2)
        self.docker.close()


def resolve(server, name, kind):
    """Ask a DNS server over UDP for records of one kind (A 1, AAAA 28); return its answer code and the addresses."""
    query = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0)
    query += (
        b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0" + struct.pack(">HH", kind, 1)
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(3)
        link.sendto(query, (server, 53))
        answer = link.recv(4096)
    count = struct.unpack(">H", answer[6:8])[0]
    place, found = len(query), []
    for _ in range(count):
        # The name is a pointer, or spelled out.
        place = place + 2 if answer[place] >= 0xC0 else answer.index(b"\0", place) + 1
        type_, _, _, length = struct.unpack(">HHIH", answer[place : place + 10])
        data = answer[place + 10 : place + 10 + length]
        place += 10 + length
        if type_ == kind:
            found.append(socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, data))
    return answer[3] & 15, found


class Load:
    """Requests to HAProxy at a steady pace: who answered, when, and what failed."""

    def __init__(self, address, per_second=20, authority=None, patience=5):
        self.address = address
        self.patience = patience
        # The certificate is for a name, the proxy's address is another one.
        self.trust = authority and ssl.create_default_context(cafile=authority)
        self.pause = 1 / per_second
        self.answers = []
        self.times = []
        self.failures = []

    def one(self, path="/", headers=None):
        link = None
        try:
            link = self._link()
            link.request("GET", path, headers=headers or {})
            answer = link.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return 0, repr(error)
        finally:
            if link:
                link.close()
        return answer.status, text

    def _link(self):
        if not self.trust:
            return http.client.HTTPConnection(self.address, PROXY_PORT, timeout=self.patience)
        link = http.client.HTTPSConnection("localhost", TLS_PORT, timeout=5, context=self.trust)
        plain = socket.create_connection((self.address, TLS_PORT), timeout=5)
        link.sock = self.trust.wrap_socket(plain, server_hostname="localhost")
        return link

    @contextmanager
    def running(self):
        ended = threading.Event()

        def work():
            while not ended.wait(self.pause * len(threads)):
                began = time.monotonic()
                status, text = self.one()
                self.times.append((began, time.monotonic() - began))
                if status == 200:
                    self.answers.append((time.monotonic(), text))
                else:
                    self.failures.append((time.monotonic(), status, text))

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            ended.set()
            for thread in threads:
                thread.join()

    def since(self, moment):
        return Counter(name for when, name in self.answers if when >= moment)

    def last(self, name):
        return max((when for when, who in self.answers if who == name), default=0.0)


def ensure_catalogue_images():
    """Name the images, built where they are missing."""
    families = ("consul", "registrator", "haproxy", "monitoring")
    tags = ensure_images(Engine(), Silent(), families)
    return {family: image_name(family, tags) for family in families}
