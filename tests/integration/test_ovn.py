"""OVN's databases as a cluster of three real members, with the installation's own certificates."""

from __future__ import annotations

import random
import time

import docker
import pytest
from docker.types import EndpointConfig, IPAMConfig, IPAMPool

from provision.adapters.docker.client import remove_network
from provision.adapters.docker.engine import Engine
from provision.base.progress import Silent
from provision.model.localcloud import ovn
from provision.model.localcloud.image_families import image_name
from provision.model.localcloud.settings import LOCALCLOUD_PORTS, Settings
from provision.operations.localcloud.shared import tls
from provision.operations.localcloud.shared.images import ensure_images

from .world import until

pytestmark = pytest.mark.integration
READY_TIMEOUT = 60
TLS = [
    f"--private-key=/config/{ovn.KEY}",
    f"--certificate=/config/{ovn.CERTIFICATE}",
    f"--ca-cert=/config/{ovn.AUTHORITY}",
]


class Members:
    """Three containers, a network of their own, and a volume each."""

    def __init__(self, folder, run):
        self.docker, self.folder, self.run = docker.from_env(), folder, run
        self.image = image_name("ovn", ensure_images(Engine(), Silent(), ["ovn"]))
        net = f"172.27.{random.randrange(16, 256)}"
        pool = IPAMPool(subnet=f"{net}.0/24")
        self.network = self.docker.networks.create(run, ipam=IPAMConfig(pool_configs=[pool]), labels={"test-run": run})
        self.settings = Settings(ha=True, swarm=True, members=tuple(f"{net}.{10 + number}" for number in (1, 2, 3)))
        tls.ensure_ovn(self.settings)
        for name, text in tls.ovn_files(self.settings).items():
            (folder / name).write_text(text)

    def start(self, number):
        values = {**ovn.environment(self.settings), "MEMBER": str(number)}
        environment = {name.removeprefix("OVN_"): value for name, value in values.items()}
        address = self.settings.members[number - 1]
        return self.docker.containers.run(
            self.image, ["member"], detach=True, init=True, name=f"{self.run}-{number}", labels={"test-run": self.run},
            environment=environment, network=self.run,
            networking_config={self.run: EndpointConfig("1.44", ipv4_address=address)},
            volumes={str(self.folder): {"bind": "/config", "mode": "ro"},
                     f"{self.run}-{number}": {"bind": "/var/lib/ovn", "mode": "rw"}},
        )  # fmt: skip

    def lose(self, number):
        """Lose a host with its disk."""
        self.docker.containers.get(f"{self.run}-{number}").remove(force=True)
        self.docker.volumes.get(f"{self.run}-{number}").remove()

    def run_in(self, number, *argv):
        code, out = self.docker.containers.get(f"{self.run}-{number}").exec_run(list(argv))
        return code == 0, out.decode()

    def healthy(self, *numbers):
        return all(self.run_in(number, "/entrypoint", "healthy")[0] for number in numbers)

    def add(self, number, switch):
        """Ask the cluster, from one member, for another row."""
        remote = ovn.remotes(self.settings, LOCALCLOUD_PORTS.ovn_nb)
        return self.run_in(number, "ovn-nbctl", *TLS, f"--db={remote}", "--timeout=10", "ls-add", switch)[0]

    def servers(self, number):
        status = self.run_in(number, "ovs-appctl", "-t", "/run/ovn/ovnnb_db.ctl", "cluster/status", "OVN_Northbound")[1]
        return [line.split()[3].rstrip(")") for line in status.partition("Servers:")[2].splitlines() if " at " in line]

    def close(self):
        for each in self.docker.containers.list(all=True, filters={"label": f"test-run={self.run}"}):
            each.remove(force=True)
        for number in (1, 2, 3):
            self.docker.volumes.get(f"{self.run}-{number}").remove(force=True)
        remove_network(self.network)
        self.docker.close()


@pytest.fixture(name="members")
def _members(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "config").mkdir()
    members = Members(tmp_path / "config", f"it-{random.randrange(16**8):08x}")
    try:
        yield members
    finally:
        members.close()


def test_three_begin_one_cluster_and_a_host_that_lost_its_disk_joins_it(members):
    for number in (2, 3):
        members.start(number)
    time.sleep(5)
    # Nobody begins alone: what is away may be what has the data.
    assert not members.healthy(2)
    members.start(1)
    until(lambda: members.healthy(1, 2, 3), READY_TIMEOUT, "three members")
    assert members.add(3, "one")
    members.lose(1)
    took = until(lambda: members.add(2, "two"), READY_TIMEOUT, "a write without the first member")
    print(f"a write {took:.1f} s after the first member was lost")
    members.start(1)
    until(lambda: members.healthy(1), READY_TIMEOUT, "the first member")
    until(
        lambda: sorted(members.servers(1)) == sorted(f"ssl:{each}:6643" for each in members.settings.members),
        READY_TIMEOUT,
    )
    said = members.run_in(1, "ovn-nbctl", "--no-leader-only", "ls-list")[1]
    assert all(f"({name})" in said for name in ("one", "two"))


def test_who_has_no_certificate_is_not_heard(members):
    for number in (1, 2, 3):
        members.start(number)
    until(lambda: members.healthy(1, 2, 3), READY_TIMEOUT, "three members")
    address = members.settings.members[1]
    for port in (LOCALCLOUD_PORTS.ovn_nb, LOCALCLOUD_PORTS.ovn_sb):
        assert members.run_in(1, "ovsdb-client", *TLS, "--timeout=5", "list-dbs", f"ssl:{address}:{port}")[0]
        assert not members.run_in(1, "ovsdb-client", "--timeout=5", "list-dbs", f"tcp:{address}:{port}")[0]
    for port in (
        LOCALCLOUD_PORTS.ovn_nb,
        LOCALCLOUD_PORTS.ovn_sb,
        LOCALCLOUD_PORTS.ovn_nb_raft,
        LOCALCLOUD_PORTS.ovn_sb_raft,
    ):
        asked = ["curl", "-sk", "--max-time", "5", f"https://{address}:{port}/"]
        assert not members.run_in(1, *asked)[0], port
