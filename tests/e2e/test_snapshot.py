"""A golden image by a snapshot of a vendor's cloud image: from the bake to `verify` of a cluster of it.

By itself: `E2E_HOME=/tmp/e2e pytest tests/e2e/test_snapshot.py -m e2e -x -s`; after an interrupted run it goes on.
The golden image for the present files is removed, if there is one.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time

import pytest

from provision.adapters.docker.image_builder import inputs
from provision.model.image.recipe import HASH_PROPERTY, IMAGE_NAME, SERVER_PROPERTY, make_recipe
from provision.model.image.snapshot import NAME

from .conftest import say
from .stock import IMAGE, connect, ensure_image

pytestmark = [pytest.mark.e2e, pytest.mark.acceptance]

LONG = 5 * 3600
"""Seconds: on emulated processors an installation takes an hour and more, and the archive of classes another."""
SPEC = """\
name: snapped
network: {cidr: 10.22.0.0/24}
master: {flavor: m1.medium}
workers: {count: 1, flavor: m1.medium}
"""
BAKE = ("image", "bake", "--base", IMAGE, "--cloud", "local", "--sources", "host", "--flavor", "m1.medium", "--yes")
# Root's keys are those that cloud-init writes at a node's own boot: the cluster's, for a login that is refused.
TRACES = """\
sudo sh -c '
grep -v "{key}" /root/.ssh/authorized_keys
ls /var/lib/provision-install /var/log/provision-install.log 2>/dev/null
getent shadow root | cut -d: -f2 | grep -v "^[!*]"
find /var/lib/apt/lists -name "*Packages*"
true'
"""


def golden(cloud) -> list:
    """List the images for the present files."""
    made = make_recipe(inputs()).image
    return [image for image in cloud.image.images(name=IMAGE_NAME) if image.properties.get(HASH_PROPERTY) == made]


def left(cloud) -> list[str]:
    """Name what a bake has left on the cloud."""
    network = cloud.network
    kinds = (network.networks, network.subnets, network.routers, network.security_groups, network.ips, network.ports)
    things = [
        f"{thing.id} {thing.description}" for kind in kinds for thing in kind() if NAME in (thing.description or "")
    ]
    things += [server.name for server in cloud.compute.servers() if NAME in server.name]
    return things + [key.name for key in cloud.compute.keypairs() if NAME in key.name]


@pytest.fixture(scope="module")
def cloud(product):
    """A cloud with a vendor's image, and without a golden image that was made in another way."""
    product.run("cloud", "up")
    ensure_image(product)
    cloud = connect(product)
    for image in golden(cloud):
        if not image.properties.get(SERVER_PROPERTY):
            cloud.image.delete_image(image)
    return cloud


def test_a_bake_is_refused_before_anything_is_made(product, cloud) -> None:
    if golden(cloud):
        pytest.skip("it is baked already")
    before = left(cloud)
    refused = product.run("image", "bake", "--base", "nothing", "--cloud", "local", "--yes", code=2)
    assert "has no image 'nothing'" in refused.output
    small = product.run(*BAKE[:-2], "m1.small", "--yes", code=2)
    assert "needs 10" in small.output
    assert left(cloud) == before


def test_a_bake_that_is_killed_is_gone_on_with(product, cloud) -> None:
    if golden(cloud):
        pytest.skip("it is baked already")
    if not left(cloud):
        process = subprocess.Popen([str(product.executable), *BAKE], env=product.env, cwd=product.folder)
        while not any(server.status == "ACTIVE" for server in cloud.compute.servers(name=NAME)):
            assert process.poll() is None
            time.sleep(3)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert left(cloud)
    began = time.monotonic()
    made = product.run(*BAKE, timeout=LONG)
    say(f"a bake on the cloud took {(time.monotonic() - began) / 60:.0f} minutes")
    (image,) = golden(cloud)
    assert made.stdout.strip() == image.id
    assert left(cloud) == []


def test_a_cluster_of_it_passes_the_checks(product, cloud) -> None:
    (image,) = golden(cloud)
    file = product.folder / "snapped.yaml"
    file.write_text(SPEC)
    product.run("up", "--yes", "--file", str(file), timeout=LONG)
    assert {server.image.id for server in cloud.compute.servers(name="snapped")} == {image.id}
    report = json.loads(product.run("verify", "--json", "--file", str(file), code=None).stdout)
    assert report["failed"] == 0, [check for check in report["checks"] if not check["passed"]]


def test_no_two_nodes_are_alike_and_nothing_of_the_bake_is_on_them(product, cloud) -> None:
    file = str(product.folder / "snapped.yaml")
    for word in ("cat /etc/machine-id", "cat /etc/ssh/ssh_host_ed25519_key.pub", "hostname"):
        nodes = json.loads(product.run("run", "--json", "--file", file, "--", word).stdout)
        assert len({node["stdout"] for node in nodes.values()}) == len(nodes) == 2
    key = (product.home / "state/provision/clusters/snapped/id_ed25519.pub").read_text().split()[1]
    assert product.run("run", "--file", file, "--", TRACES.format(key=key)).stdout == ""


def test_a_boot_again_keeps_who_a_node_is(product, cloud) -> None:
    file = str(product.folder / "snapped.yaml")
    before = product.run("run", "--file", file, "--", "cat /etc/machine-id").stdout
    for server in cloud.compute.servers(name="snapped"):
        cloud.compute.reboot_server(server, "HARD")
    product.run("up", "--yes", "--file", file, timeout=LONG)
    assert product.run("run", "--file", file, "--", "cat /etc/machine-id").stdout == before


def test_nothing_stays_but_the_image(product, cloud) -> None:
    product.run("down", "--yes", "--file", str(product.folder / "snapped.yaml"))
    assert "no bake was begun" in product.run("image", "bake", "--remove", "--cloud", "local", "--yes").stdout
    assert len(golden(cloud)) == 1
