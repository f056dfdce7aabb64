"""The cloud's own Compose files under a name, a network and a Consul of their own: only what keeps state runs."""

from __future__ import annotations

import itertools
import json
import random
import socket
import sys
import threading
import time
import urllib.request
import uuid
from dataclasses import fields
from datetime import datetime
from ipaddress import IPv4Network

import docker

from provision.adapters.docker.compose import Compose
from provision.adapters.docker.engine import Engine
from provision.adapters.host.certificates import ensure_certificate
from provision.base import paths
from provision.base.constants import LocalCloudPorts
from provision.base.progress import Silent
from provision.model.localcloud import image_families, render, settings
from provision.operations.localcloud.shared.consul_acl import ensure_access
from provision.operations.localcloud.shared.images import ensure_images
from provision.operations.localcloud.shared.installation import new_password

from .world import until

FAMILIES = ("consul", "registrator", "haproxy", "mariadb", "rabbitmq", "memcached")
DATABASES = ("mariadb", "mariadb-2", "mariadb-3")
LIMIT = 150
"""Seconds in which a busy machine has everything back."""

WRITER = """
import sys, time, pymysql
host, user, password, number = *sys.argv[1:4], 0
while True:
    try:
        where = dict(host=host, user=user, password=password, database=user)
        link = pymysql.connect(**where, connect_timeout=2, read_timeout=20)
        cursor = link.cursor()
        cursor.execute("CREATE TABLE IF NOT EXISTS journal (number BIGINT PRIMARY KEY)")
        cursor.execute("SELECT @@wsrep_node_name")
        node = cursor.fetchone()[0]
        while True:
            number += 1
            cursor.execute("INSERT INTO journal VALUES (%s)", (number,))
            link.commit()
            print(number, time.time(), node, flush=True)
    except (OSError, pymysql.err.MySQLError) as error:
        print("#", time.time(), error, flush=True)
        time.sleep(0.05)
"""


class Members:
    """MariaDB, RabbitMQ and memcached with three members (or one), and what they find each other by."""

    def __init__(self, folder, families=FAMILIES, *, ha=True):
        self.docker = docker.from_env()
        self.folder = folder
        self.run = f"it-{uuid.uuid4().hex[:8]}"
        tags = ensure_images(Engine(), Silent(), families)
        self.images = {family: image_families.image_name(family, tags) for family in families}
        base = f"10.214.{random.randrange(256)}"
        ports = LocalCloudPorts(*_free_ports(len(fields(LocalCloudPorts))))
        self.settings = settings.Settings(management=IPv4Network(f"{base}.0/24"), ports=ports, ha=ha)
        self.passwords = {name: new_password(name) for name in settings.PASSWORDS}
        self.compose = self._compose(tags)

    def _compose(self, tags):
        folder = self.folder
        rendered = render.documents(self.settings, self.passwords)
        for name, text in render.placed(rendered).items():
            place = folder / "etc" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        made = ensure_certificate(folder / "tls", "api", "test", ("localhost",), ("127.0.0.1",))
        for each in (folder / "etc" / "haproxy").iterdir():
            (each / "tls.pem").write_text(made.cert + made.key)
        inputs = render.migration_inputs(self.settings, tags, self.passwords)
        values = render.environment(self.settings, tags, rendered, inputs, folder / "etc")
        (folder / "env").write_text(render.env_file(values))
        files = tuple(paths.COMPOSE / name for name in ("stack.yaml", "ha.yaml")[: 1 + self.settings.ha])
        plain = Compose(self.run, files, folder / "env", {})
        (folder / "override.json").write_text(json.dumps(self._override(plain)))
        return Compose(self.run, (*files, folder / "override.json"), folder / "env", {})

    def _override(self, compose):
        """Mark all as this run's, so that no cloud and no Registrator beside it takes it for its own."""
        config = compose.document()
        labels = {"labels": {"provision.stack": self.run, "test-run": self.run}}
        command = ["registrator", "--internal", "--network", self.run, "--host-id", self.run, "--resync", "2"]
        command += ["--consul", f"http://{settings.peer('consul')}:8500"]
        services = {name: dict(labels) for name in config["services"]}
        services["registrator"]["command"] = command
        return {
            "services": services,
            "networks": {"management": {"name": self.run, **labels}},
            "volumes": {name: dict(labels) for name in config["volumes"]},
        }

    def up(self, *services):
        self.compose.up(["consul", "registrator"])
        url = f"http://{self.settings.consul}:8500"
        until(lambda: not ensure_access(url, self.passwords), LIMIT, "Consul's leader")
        if services:
            self.compose.up(services)

    def names(self, service):
        """Name a clustered service's members as Consul knows them."""
        return set(settings.members(self.settings, service))

    def container(self, service):
        return self.docker.containers.get(f"{self.run}-{service}-1")

    def execute(self, service, *argv):
        """Run a program in a service's container; return its code and output (1 where that does not run)."""
        try:
            code, output = self.container(service).exec_run(list(argv))
        except docker.errors.APIError as error:
            return 1, str(error)
        return code or 0, output.decode(errors="replace")

    def kill(self, *services):
        """Kill every process of these services at once, as no `docker kill` does: that one is not restarted."""
        containers = [self.container(service) for service in services]
        ready = threading.Barrier(len(containers))

        def one(container):
            ready.wait()
            container.exec_run(["bash", "-c", "kill -9 -1"])

        threads = [threading.Thread(target=one, args=(each,)) for each in containers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def started(self, service):
        """Return when a service's container was last started; an empty text while it does not run."""
        state = self.container(service).attrs["State"]
        return state["StartedAt"] if state["Running"] else ""

    def passing(self, service):
        """Name the instances of a service that Consul's DNS would give, by their ids."""
        url = f"http://{self.settings.consul}:8500/v1/health/service/{service}?passing"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return {each["Service"]["ID"] for each in json.load(answer)}
        except OSError:
            return set()

    def crash(self, *services):
        """Kill services and wait until Docker has started them again."""
        lives = {name: self.started(name) for name in services}
        self.kill(*services)
        until(lambda: all(self.started(name) not in ("", lives[name]) for name in services), LIMIT, "a new life")

    def await_databases(self):
        """Wait until every member of MariaDB serves in the life that it leads now, and Consul knows it."""

        def all_serve():
            silent = [name for name in DATABASES if "galera: serving" not in self.said(name)]
            return not silent and self.passing("mariadb") == {member(name) for name in DATABASES}

        return until(all_serve, LIMIT, lambda: f"{self.passing('mariadb')}\n{self.logs('mariadb')}")

    def said(self, service):
        """Return what a service has said since it was last started."""
        started = self.started(service)
        if not started:
            return ""
        since = datetime.fromisoformat(started[:26].rstrip("Z") + "+00:00").timestamp()
        return self.container(service).logs(since=since).decode(errors="replace")

    def sql(self, service, text):
        """Ask one member itself; return its lines, or None where it does not answer."""
        code, output = self.execute(service, "mariadb", "-NBe", text)
        return None if code else output.splitlines()

    def logs(self, service, tail=80):
        return self.container(service).logs(tail=tail).decode(errors="replace")

    def close(self):
        for each in self.docker.containers.list(
            all=True, filters={"label": f"test-run={self.run}"}, ignore_removed=True
        ):
            each.remove(force=True, v=True)
        self.compose.down(volumes=True)
        self.docker.close()


def rename(monkeypatch, run):
    """Have all of the package that is imported work on this run's project, and on nothing of a cloud beside it."""
    own = {"PROJECT": run, "LABEL": f"provision.stack={run}"}
    for module in [each for name, each in sys.modules.items() if name.startswith("provision.")]:
        for name in own.keys() & vars(module).keys():
            monkeypatch.setattr(module, name, own[name])


def member(name):
    """Name the member of a service, as Consul knows it."""
    return "mariadb-1" if name == "mariadb" else name


class Writer:
    """A container that writes through HAProxy, and the journal of what it was told is committed."""

    def __init__(self, members):
        self.container = members.docker.containers.run(
            members.images["mariadb"],
            ["-uc", WRITER, settings.peer("haproxy"), "nova", members.passwords["nova_db"]],
            entrypoint=["python3"],
            network=members.run,
            dns=[str(members.settings.consul)],
            labels={"test-run": members.run},
            detach=True,
            init=True,
        )
        self.journal = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        rest = b""
        for chunk in self.container.logs(stream=True, follow=True):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line[:1].isdigit():
                    number, moment, node = line.decode().split()
                    self.journal.append((int(number), float(moment), node))

    def writes(self):
        """Whether it has committed anything within the last second."""
        return bool(self.journal) and time.time() - self.journal[-1][1] < 1

    def gap(self, since):
        """Return the longest time without a commit that began after `since`, or just before it."""
        moments = [moment for _, moment, _ in list(self.journal) if moment > since - 5]
        return max(after - before for before, after in itertools.pairwise(moments) if after > since)

    def stop(self):
        self.container.kill()
        time.sleep(1)


def _free_ports(count):
    """Find free ports on the loopback address, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
