"""A vendor's cloud image, built here and put on the local cloud."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from pathlib import Path

import openstack
import yaml

from provision.adapters.docker.engine import Engine
from provision.base import paths
from provision.base.constants import PROVIDER_NETWORK
from provision.base.progress import Silent
from provision.model.image.recipe import GLANCE_PROPERTIES
from provision.model.localcloud.image_families import image_name
from provision.operations.localcloud.shared.images import ensure_images

from .conftest import say

IMAGE = "plain-debian-13"
AWAY = re.compile(r"installing [^:]+: ([^\s,]+)(?:, \S+)* do(?:es)? not answer, trying again")
"""What `up` says of a package source; the group is the first one's name."""


def connect(product) -> openstack.connection.Connection:
    """Log in to the local cloud as its ordinary user."""
    clouds = yaml.safe_load((product.home / "clouds.yaml").read_text())["clouds"]
    return openstack.connect(load_yaml_config=False, load_envvars=False, **clouds["local"])


def build(folder: Path) -> Path:
    """Build the image, if it is not there."""
    made = folder / f"{IMAGE}.qcow2"
    if made.exists():
        return made
    builder = image_name("bake", ensure_images(Engine(), Silent(), {"bake"}))
    script = Path(__file__).with_name("plain-image")
    mounts = [f"{paths.COMPOSE / 'bake'}:/bake:ro", f"{script}:/plain-image:ro", f"{folder}:/out"]
    # As for a golden image (adapters/docker/image_builder.py).
    argv = ["docker", "run", "--rm", "--init", "--network=host", "--cap-add=SYS_ADMIN"]
    argv += ["--security-opt=apparmor=unconfined", "--security-opt=seccomp=unconfined"]
    argv += [f"--volume={mount}" for mount in mounts] + ["--entrypoint=/bin/bash", builder]
    subprocess.run([*argv, "/plain-image", f"/out/{made.name}"], check=True, timeout=3600)
    return made


def ensure_image(product) -> None:
    """Put the image on the cloud, if it is not there."""
    cloud = connect(product)
    if not list(cloud.image.images(name=IMAGE, status="active")):
        kept = Path(os.environ.get("E2E_PLAIN_IMAGE") or build(product.home))
        properties = {name: value for name, value in GLANCE_PROPERTIES.items() if name.startswith("hw_")}
        cloud.image.create_image(
            IMAGE,
            filename=str(kept),
            disk_format="qcow2",
            container_format="bare",
            validate_checksum=False,
            **properties,
        )


class Sources:
    """The package sources, as VMs of the local cloud see them: between the two calls nothing of them arrives."""

    # Docker asks this chain before its own.
    _RULE = ("DOCKER-USER", "-s", str(PROVIDER_NETWORK), "!", "-d", str(PROVIDER_NETWORK))
    _PORTS = ("-p", "tcp", "-m", "multiport", "--dports", "80,443,3128,8080", "-j", "DROP")

    def __init__(self) -> None:
        self.left = 0.0

    def leave(self) -> None:
        """Stay away from now on."""
        self._change("-I")
        self.left = time.monotonic()
        say("the package sources are away")

    def come_back(self) -> None:
        """Answer again; they may have been there all the time."""
        while self._change("-D", check=False) == 0:
            say("the package sources are back")

    def leave_for(self, seconds: float) -> threading.Timer:
        """Stay away for a while; the answer's `join` waits for the end of it."""
        self.leave()
        timer = threading.Timer(seconds, self.come_back)
        timer.start()
        return timer

    def _change(self, verb: str, *, check: bool = True) -> int:
        argv = ["iptables", "--wait", verb, *self._RULE, *self._PORTS]
        return subprocess.run(argv, check=check, capture_output=True).returncode
