"""Several hosts on one machine: a container each, with a Docker engine of its own, a network between them, our command.

The command runs on this machine, in a host's network and against its engine: as if somebody had logged in there. That
takes root.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import docker
from docker.types import IPAMConfig, IPAMPool

from provision.adapters.docker.client import remove_network
from provision.adapters.docker.engine import Engine
from provision.adapters.host import facts as machine
from provision.base import paths
from provision.base.progress import Silent
from provision.model.localcloud import image_families, settings
from provision.model.localcloud.host import lacking_capabilities
from provision.operations.localcloud.shared.images import contexts, ensure_images

from .world import until

DOCKERFILE = """
ARG BASE
FROM ${BASE}
RUN install-packages docker.io iptables
COPY engine /engine
ENTRYPOINT ["/bin/bash", "/engine"]
"""
# Its containers belong to this one's share of the machine.
ENGINE = """
mount -o remount,rw /sys
parent=$(awk -F: '$2 ~ /(^|,)cpu(,|$)/ || $2 == "" { print $3; exit }' /proc/self/cgroup)
sockets="--host unix:///share/docker.sock --host unix:///var/run/docker.sock"
exec dockerd $sockets --cgroup-parent "$parent/docker" --log-level warn
"""
LIMIT = 900


class Host:
    """One of them; `name` is its host name too."""

    def __init__(self, hosts, name, address):
        self.name, self.address = name, address
        self.folder = hosts.folder / name
        self.folder.mkdir()
        self.socket = self.folder / "docker.sock"
        drop = [f"--cap-drop={name}" for name in lacking_capabilities(machine.capabilities())]
        rights = ["apparmor=unconfined", "seccomp=unconfined", "systempaths=unconfined"]
        # Under its own name too: hypervisors' containers get their rendered files from there.
        folders = [f"{self.folder}:/share", f"{self.folder}:{self.folder}", f"{hosts.run}-{name}:/var/lib/docker"]
        folders.append("/sys/fs/cgroup:/sys/fs/cgroup:rw")
        devices = [each for each in ("/dev/net/tun", "/dev/kvm") if Path(each).exists()]
        # Not the SDK: what "systempaths" stands for is the command's own knowledge.
        made = subprocess.run(
            ["docker", "create", f"--name={hosts.run}-{name}", f"--hostname={name}", f"--label=test-run={hosts.run}",
             f"--network={hosts.run}", f"--ip={address}", "--cpu-shares=32", "--cgroupns=host", "--tmpfs=/run:exec",
             "--cap-add=ALL", *drop, *(f"--security-opt={each}" for each in rights),
             *(f"--volume={each}" for each in folders), *(f"--device={each}" for each in devices), hosts.image],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        self.container = hosts.docker.containers.get(made.stdout.strip())

    def start(self):
        self.container.start()
        self.await_engine()

    def await_engine(self):
        until(self.answers, 120, f"the engine of {self.name}")

    def answers(self):
        return subprocess.run([*self._docker(), "info"], capture_output=True, check=False, timeout=60).returncode == 0

    def kill(self):
        """End it as a power cut does: every process at once."""
        self.container.kill()

    def _docker(self):
        return ["docker", "--host", f"unix://{self.socket}"]

    def docker(self, *words, check=True):
        """Ask this host's engine."""
        done = subprocess.run([*self._docker(), *words], capture_output=True, text=True, check=False, timeout=LIMIT)
        if check and done.returncode:
            raise AssertionError(f"docker {words} on {self.name}: {done.stderr}")
        return done.stdout

    def inside(self, *argv, environment=None, **options):
        """Start a program of this machine in the host's network."""
        self.container.reload()
        pid = str(self.container.attrs["State"]["Pid"])
        return subprocess.Popen(
            ["nsenter", "-t", pid, "-n", *argv], env=self.environment() | (environment or {}), text=True, **options
        )

    def environment(self):
        return dict(os.environ) | {
            "DOCKER_HOST": f"unix://{self.socket}",
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
        }

    def provision(self, *words, check=True, checkout=None):
        """Run our command as on this host, from this checkout or another one; return what it printed."""
        environment = {"PYTHONPATH": str(checkout or paths.PACKAGE.parent)}
        command = (sys.executable, "-m", "provision", *words)
        # Not in a checkout: Python would take the package from there.
        with self.inside(
            *command, environment=environment, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            out, err = process.communicate(timeout=2 * LIMIT)
        (self.folder / "log").open("a").write(f"$ {' '.join(words[:2])}: {process.returncode}\n{out}{err}\n")
        if check and process.returncode:
            raise AssertionError(f"provision {' '.join(words)} on {self.name}: {process.returncode}\n{out}\n{err}")
        return out

    def status(self):
        """Return what `cloud status` says here; None where it can't."""
        out = self.provision("cloud", "status", "--json", check=False)
        return json.loads(out) if out.startswith("{") else None

    def container_of(self, service):
        """Return the id of a service's container here, or an empty text."""
        label = f"label=com.docker.swarm.service.name={settings.PROJECT}_{service}"
        return self.docker("ps", "-q", "--no-trunc", "--filter", label).strip()

    def password(self, name):
        return json.loads((self.folder / "state/provision/local/passwords.json").read_text())[name]


class Hosts:
    """Three of them, and what they share."""

    def __init__(self, folder=None, count=3):
        self.docker = docker.from_env(timeout=600)
        self.folder = Path(folder or tempfile.mkdtemp(prefix="hosts-"))
        self.run = f"it-{uuid.uuid4().hex[:8]}"
        base = image_families.image_name("base", ensure_images(Engine(), Silent(), ["base"]))
        self.image = f"{self.run}-engine"
        Engine().build(
            self.image,
            {"Dockerfile": DOCKERFILE.encode(), "engine": ENGINE.encode()},
            arguments={"BASE": base},
            labels={"test-run": self.run},
            line=lambda _: None,
        )
        net = f"172.27.{random.randrange(16, 256)}"
        self.docker.networks.create(
            self.run, ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=f"{net}.0/24")]), labels={"test-run": self.run}
        )
        self.all = [Host(self, f"host-{number}", f"{net}.{10 + number}") for number in range(1, count + 1)]

    def start(self):
        """Start the engines, with those images that this machine has already."""
        for host in self.all:
            host.start()
        here = Engine().images()
        tags = image_families.image_tags(contexts())
        parents = [image_families.BASE_IMAGE, image_families.image_name("base", tags)]
        every = [
            name for family in tags if family != "bake" and (name := image_families.image_name(family, tags)) in here
        ]
        for host in self.all:
            self.load(host, [*parents, *(every if host is self.all[0] else [])])

    @staticmethod
    def load(host, images):
        """Give a host images of this machine."""
        with subprocess.Popen(["docker", "save", *dict.fromkeys(images)], stdout=subprocess.PIPE) as source:
            subprocess.run([*host._docker(), "load", "-q"], stdin=source.stdout, check=True, capture_output=True)

    def form(self):
        """Make them one Swarm with our own commands; return the seconds that each step took."""
        first, *others = self.all
        took = {}

        def timed(what, run):
            began = time.monotonic()
            result = run()
            took[what] = round(time.monotonic() - began, 1)
            return result

        line = timed("init", lambda: first.provision("cloud", "init", "--advertise-addr", first.address)).split()
        for host in others:
            words = ("cloud", "join", *line[3:], "--advertise-addr", host.address)
            timed(f"join {host.name}", lambda host=host, words=words: host.provision(*words))
        timed("up", lambda: first.provision("cloud", "up"))
        for host in others:
            timed(f"up {host.name}", lambda host=host: host.provision("cloud", "up"))
        return took

    def close(self):
        for each in self.docker.containers.list(all=True, filters={"label": f"test-run={self.run}"}):
            each.remove(force=True, v=True)
        for host in self.all:
            self.docker.volumes.get(f"{self.run}-{host.name}").remove(force=True)
        for network in self.docker.networks.list(filters={"label": f"test-run={self.run}"}):
            remove_network(network)
        self.docker.images.remove(self.image, force=True)
        self.docker.close()
