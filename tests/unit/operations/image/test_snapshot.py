"""A golden image by a snapshot, on a fake cloud: from nothing, refused, failing, and killed at every single request."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest

from provision.adapters.docker import image_builder
from provision.adapters.openstack import images
from provision.adapters.openstack.cloud import Image, TransientError
from provision.adapters.openstack.images import CloudImage
from provision.base.constants import CONSOLE_MARK, INSTALL_UNIT
from provision.base.errors import ProvisionError, UsageError
from provision.base.model import ClusterSpec, Flavor, NetworkSpec
from provision.base.progress import Silent
from provision.model.cluster import resources
from provision.model.cluster.render import bake_user_data
from provision.model.image.recipe import Recipe, make_recipe
from provision.model.image.snapshot import NAME
from provision.operations.image import snapshot

RECIPE = make_recipe(image_builder.inputs())
WAITS = {"phase": "waiting", "text": "for its software"}
INSTALLS = {"phase": "install", "text": "Python's packages"}
BAKED = {"phase": "baked"}
AWAY = {
    "phase": "failed",
    "unit": INSTALL_UNIT,
    "reason": "packages.example does not answer",
    "goes_on": True,
    "log": ["last line"],
}


class Machine:
    """One operator's machine, the images of a fake cloud, and the server that installs itself there."""

    def __init__(self, cloud, monkeypatch):
        self.cloud = cloud
        self.images = {}
        self.reports = [WAITS, INSTALLS, BAKED]
        """What the server says, one after the other; the second when it has been brought something."""
        self.brought, self.plans, self.removed = [], [], []
        self.size = 900_000_000
        self.now = 0.0
        cloud.image = lambda name: Image("img-debian", 3) if name == "debian-13" else None
        for act in (self.golden_images, self.snapshot, self.delete):
            monkeypatch.setattr(images, act.__name__, self.counted(act))

    def counted(self, act):
        """As the requests of the fake cloud are."""

        def count(cloud, *arguments):
            cloud.calls += 1
            cloud.log.append(act.__name__)
            if cloud.calls == cloud.die_at and not cloud.die_late:
                raise cloud.death
            answer = act(*arguments)
            if cloud.calls == cloud.die_at:
                raise cloud.death
            return answer

        return count

    def golden_images(self):
        return list(self.images.values())

    def snapshot(self, server, inputs, base):
        assert self.cloud.vms[server]["status"] == "SHUTOFF"
        made = f"image-{len(self.images) + 1}"
        self.images[made] = CloudImage(made, "saving", inputs, 0, "2026-01-01", server=server)
        return made

    def delete(self, image):
        self.images.pop(image, None)

    def sleep(self, seconds):
        """Let some time go by on the cloud."""
        self.now += seconds
        for vm in self.mine():
            reports = vm.setdefault("reports", [])
            if vm["status"] == "ACTIVE" and reports and reports[-1] == BAKED:
                vm["status"] = "SHUTOFF"
            elif vm["status"] == "ACTIVE" and len(reports) < len(self.reports) and reports[-1:] != [WAITS]:
                self.report(vm)
        for image in self.images.values():
            vm = self.cloud.vms.get(image.server)
            if image.status == "saving":
                assert vm, "the server was removed before its snapshot was whole"
                self.images[image.id] = replace(image, status="active", size=self.size)

    def report(self, vm):
        vm["reports"].append(self.reports[len(vm["reports"])])
        self.show(vm)

    @staticmethod
    def show(vm):
        # The host keys come first, as cloud-init shows them.
        lines = [f"{CONSOLE_MARK} {json.dumps(report)}" for report in vm["reports"]]
        vm["console"] = "Linux version 6.12\n" + "\n".join(lines) + "\n"

    def mine(self):
        return [vm for vm in self.cloud.vms.values() if vm["metadata"].get(resources.META_CLUSTER) == NAME]

    def bring(self, address):
        def bring(nodes, waiting):
            self.brought.append((address, *waiting))
            (vm,) = self.mine()
            self.report(vm)
            return {}

        return bring

    def operation(self):
        return snapshot.SnapshotBake(self.cloud, Silent(), bring=self.bring, clock=lambda: self.now, sleep=self.sleep)

    def bake(self, base="debian-13", flavor="", network=None):
        cluster = ClusterSpec("analytics", network=network or NetworkSpec())
        spec = snapshot.server_spec(self.cloud, cluster, base, flavor=flavor)
        return self.operation().run(spec, "cluster.yaml", self.plans.append)

    def folder(self):
        return self.operation().cluster_dir.folder


@pytest.fixture
def make(make_site, monkeypatch):
    return lambda: Machine(make_site().cloud, monkeypatch)


@pytest.fixture(autouse=True)
def _recipe(monkeypatch):
    # Hashing all inputs has tests of its own, and these tests would do it a thousand times.
    found = {"now": RECIPE}
    monkeypatch.setattr("provision.operations.image.snapshot.make_recipe", lambda inputs: found["now"])
    monkeypatch.setattr("provision.operations.image.bake.make_recipe", lambda inputs: found["now"])
    monkeypatch.setattr(image_builder, "inputs", dict)
    return found


@pytest.fixture
def recipe(_recipe):
    return _recipe


def picture(cloud):
    return cloud.lists()


def test_from_nothing(make):
    machine = make()
    before = picture(machine.cloud)
    made = machine.bake()
    image = machine.images[made]
    assert (image.status, image.inputs) == ("active", RECIPE.image)
    assert machine.brought == [("172.29.0.100", f"{NAME}-master")]
    assert picture(machine.cloud) == before, "all but the image is gone, and what was others' is as it was"
    assert not machine.folder().exists(), "and the keys, which nobody needs any more"
    (plan,) = machine.plans
    assert "all of this is removed again" in plan.notes[-1]


def test_the_server_lets_nobody_in_but_the_operator(make):
    machine = make()
    asked = {}
    create = machine.cloud.create_servers

    def create_servers(*arguments, **options):
        asked.update(options)
        machine.rules = [rule for group in machine.cloud.of("group") for rule, _ in group.data["rules"]]
        create(*arguments, **options)

    machine.cloud.create_servers = create_servers
    machine.bake()
    assert "ssh-ed25519" in asked["user_data"]
    assert "cluster.yaml" not in asked["user_data"]
    assert machine.rules == [resources.Rule(22, 22, "172.29.0.1/32")]
    assert asked["flavor"] == "id-m1.medium", "the smallest with a disk that is large enough"
    assert set(asked["metadata"]) == {resources.META_SPEC, resources.META_KEY}


def test_its_user_data():
    text = bake_user_data("ssh-ed25519 AAAA")
    assert text.startswith("#cloud-config\n")
    assert '  - "ssh-ed25519 AAAA"' in text


def test_an_image_that_is_there_is_not_made_again(make):
    machine = make()
    made = machine.bake()
    writes = len(machine.cloud.writes)
    assert machine.bake() == made
    assert len(machine.cloud.writes) == writes
    assert len(machine.images) == 1


def test_killed_anywhere_it_goes_on_and_leaves_nothing_but_one_image(make):
    for number in itertools.count(1):
        for late in (False, True):
            machine = make()
            before = picture(machine.cloud)
            machine.cloud.die_at, machine.cloud.die_late = number, late
            try:
                machine.bake()
            except BaseException as killed:
                assert killed is machine.cloud.death  # noqa: PT017 - SIGKILL, as far as a test can do it
            sent, machine.cloud.die_at = machine.cloud.calls, None
            made = machine.bake()
            assert [image.id for image in machine.images.values() if image.status == "active"] == [made], number
            assert picture(machine.cloud) == before, (number, late)
            assert not machine.folder().exists(), (number, late)
        if sent < number:
            break
    assert number > 30


def test_killed_anywhere_it_can_be_removed(make):
    for number in itertools.count(1):
        machine = make()
        before = picture(machine.cloud)
        machine.cloud.die_at, machine.cloud.die_late = number, bool(number % 2)
        try:
            machine.bake()
        except BaseException as killed:
            assert killed is machine.cloud.death  # noqa: PT017
        sent, machine.cloud.die_at = machine.cloud.calls, None
        machine.operation().remove(machine.removed.append)
        assert picture(machine.cloud) == before, number
        assert {image.status for image in machine.images.values()} <= {"active"}, number
        assert machine.operation().remove(machine.removed.append) is False
        if sent < number:
            break


def test_an_interrupted_installation_is_gone_on_with(make):
    machine = make()
    machine.reports = [WAITS, INSTALLS, AWAY]
    with pytest.raises(ProvisionError, match=r"packages.example does not answer") as caught:
        machine.bake()
    assert "goes on from there" in caught.value.hint
    assert caught.value.detail == "last line"
    (server,) = [vm["id"] for vm in machine.mine()]
    # It has come back since.
    machine.reports = [WAITS, INSTALLS, AWAY, INSTALLS, BAKED]
    machine.report(machine.mine()[0])
    machine.bake()
    assert machine.images["image-1"].server == server
    assert len(machine.brought) == 1


def test_a_source_that_comes_back_meanwhile_is_no_failure(make):
    machine = make()
    machine.reports = [WAITS, INSTALLS, AWAY, INSTALLS, BAKED]
    machine.bake()
    assert list(machine.images) == ["image-1"]


def test_what_cannot_be_mended_is_removed(make):
    machine = make()
    before = picture(machine.cloud)
    machine.reports = [WAITS, {"phase": "failed", "unit": INSTALL_UNIT, "reason": "the image is Fedora", "log": ["a"]}]
    with pytest.raises(ProvisionError, match="the image is Fedora"):
        machine.bake()
    assert picture(machine.cloud) == before


def test_a_server_whose_kernel_stands_still_is_removed(make):
    machine = make()
    before = picture(machine.cloud)
    stalled = "rcu: rcu_preempt kthread timer wakeup didn't happen for 5253 jiffies!\n" * 2
    machine.show = lambda vm: vm.update(console=stalled)
    with pytest.raises(ProvisionError, match="does not go on") as caught:
        machine.bake()
    assert "makes another one" in caught.value.hint
    assert picture(machine.cloud) == before


@pytest.mark.parametrize("status", ["ERROR", "SHUTOFF", "PAUSED"])
def test_a_server_that_stops_early_is_removed(make, status):
    machine = make()
    before = picture(machine.cloud)
    machine.bring = lambda address: lambda nodes, waiting: machine.mine()[0].update(status=status) or {}
    with pytest.raises(ProvisionError, match=f"{status}") as caught:
        machine.bake()
    assert "makes another one" in caught.value.hint
    assert picture(machine.cloud) == before


def test_a_server_in_error_whose_console_cannot_be_read_is_removed(make, monkeypatch):
    machine = make()
    before, read = picture(machine.cloud), machine.cloud.console

    def console(server):
        if machine.cloud.vms[server]["status"] == "ERROR":
            raise TransientError("reading a console: the cloud failed")
        return read(server)

    monkeypatch.setattr(machine.cloud, "console", console)
    machine.bring = lambda address: lambda nodes, waiting: machine.mine()[0].update(status="ERROR") or {}
    with pytest.raises(ProvisionError, match="went into ERROR") as caught:
        machine.bake()
    assert "makes another one" in caught.value.hint
    assert picture(machine.cloud) == before


def test_what_is_left_is_removed_where_no_console_can_be_read(make, monkeypatch):
    machine = make()
    before = picture(machine.cloud)
    machine.reports = [WAITS, INSTALLS, AWAY]
    with pytest.raises(ProvisionError):
        machine.bake()
    machine.mine()[0]["status"] = "SHUTOFF"

    def console(server):
        raise TransientError("reading a console: the cloud failed")

    monkeypatch.setattr(machine.cloud, "console", console)
    assert machine.operation().remove(machine.removed.append)
    assert picture(machine.cloud) == before


def test_a_server_that_became_ready_while_nobody_looked(make):
    machine = make()
    machine.reports = [WAITS, INSTALLS, AWAY]
    with pytest.raises(ProvisionError):
        machine.bake()
    (vm,) = machine.mine()
    vm["reports"] += [INSTALLS, BAKED]
    vm["status"] = "SHUTOFF"
    machine.show(vm)
    machine.bake()
    assert machine.images["image-1"].server == vm["id"]


def test_other_files_make_another_server(make, recipe):
    machine = make()
    machine.reports = [WAITS, INSTALLS, AWAY]
    with pytest.raises(ProvisionError):
        machine.bake()
    (old,) = [vm["id"] for vm in machine.mine()]
    recipe["now"] = Recipe("other", "other")
    machine.reports = [WAITS, INSTALLS, BAKED]
    machine.bake()
    (image,) = machine.images.values()
    assert image.server != old
    assert image.inputs == "other"


def test_a_snapshot_without_a_disk_is_none(make):
    machine = make()
    before = picture(machine.cloud)
    machine.size = 0
    with pytest.raises(ProvisionError, match="the server's disk on a volume"):
        machine.bake()
    assert (machine.images, picture(machine.cloud)) == ({}, before)


def test_a_snapshot_that_the_cloud_gives_up(make):
    machine = make()
    machine.snapshot_failed = True
    sleep = machine.sleep

    def fail(seconds):
        for image in machine.images.values():
            machine.images[image.id] = replace(image, status="killed")
        if not machine.images:
            sleep(seconds)

    machine.sleep = fail
    with pytest.raises(ProvisionError, match="failed to make the snapshot") as caught:
        machine.bake()
    assert "goes on from there" in caught.value.hint


def test_nothing_new_for_long(make):
    machine = make()
    machine.reports = [WAITS, INSTALLS]
    with pytest.raises(ProvisionError, match="installing Python's packages, and nothing new for 30 minutes"):
        machine.bake()


def test_a_server_that_was_ready_and_runs_again_is_replaced(make):
    machine = make()
    before = picture(machine.cloud)
    advance = machine.sleep

    def never_off(seconds):
        advance(seconds)
        for vm in machine.mine():
            vm["status"] = "ACTIVE"

    machine.sleep = never_off
    with pytest.raises(ProvisionError, match="switching itself off, and nothing new for 15 minutes"):
        machine.bake()
    assert picture(machine.cloud) == before


def test_a_cloud_that_fails_for_a_moment(make):
    machine = make()
    create, failures = machine.cloud.create_router, [TransientError("503"), TransientError("503")]

    def create_router(*arguments):
        if failures:
            raise failures.pop()
        return create(*arguments)

    machine.cloud.create_router = create_router
    naps, advance = [], machine.sleep
    machine.sleep = lambda seconds: (naps.append(seconds), advance(seconds))
    for failure in failures:
        failure.pause = 17
    assert machine.bake() in machine.images
    assert naps[:2] == [17, 17]
    assert 17 not in naps[2:]


def test_a_bake_of_another_machine_is_left_alone(make, tmp_path, monkeypatch):
    machine = make()
    machine.reports = [WAITS, INSTALLS, AWAY]
    with pytest.raises(ProvisionError):
        machine.bake()
    before = picture(machine.cloud)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    for act in (machine.bake, lambda: machine.operation().remove(machine.removed.append)):
        with pytest.raises(UsageError, match="another machine or user bakes an image"):
            act()
    assert picture(machine.cloud) == before
    # Nor when that one's image is there already.
    machine.images["x"] = CloudImage("x", "active", RECIPE.image, 1, "2026-01-01")
    assert machine.bake() == "x"
    assert picture(machine.cloud) == before


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"base": "windows"}, r"cluster.yaml: image: cloud 'local' has no image 'windows'"),
        ({"flavor": "m1.huge"}, r"cluster.yaml: master.flavor: .*m1.huge"),
        ({"flavor": "m1.small"}, r"cluster.yaml: master.flavor: m1.small has a disk of 8 GiB"),
        ({"flavor": "volume"}, r"volume has no disk of its own; nodes do not boot from volumes"),
        ({"network": NetworkSpec(existing="nowhere")}, r"network.existing: cloud 'local' has no network 'nowhere'"),
        ({"network": NetworkSpec(external="nowhere")}, r"network.external: cloud 'local' has no external network"),
    ],
)
def test_refused_before_anything_is_made(make, asked, said):
    machine = make()
    offered = machine.cloud.flavors() | {"volume": Flavor("volume", 2, 4096, 0)}
    machine.cloud.flavors = lambda: offered
    with pytest.raises(UsageError, match=said):
        machine.bake(**asked)
    assert machine.cloud.writes == []
    assert not machine.folder().exists()


def test_a_quota_that_is_too_small_is_refused_before_anything_is_made(make):
    machine = make()
    machine.cloud.limits = {"instances": 0}
    with pytest.raises(UsageError, match="1 instances, 0 left"):
        machine.bake()
    assert machine.cloud.writes == []


def test_on_a_network_that_is_there(make):
    machine = make()
    network = machine.cloud.add("network", "ours")
    machine.cloud.add("subnet", "ours", network=network, cidr="192.168.7.0/24")
    before = picture(machine.cloud)
    machine.bake(network=NetworkSpec(existing="ours", floating_ip=False))
    assert machine.brought[0][0].startswith("192.168.7.")
    assert picture(machine.cloud) == before


def test_beside_a_live_cluster_it_takes_nothing_of_it(make):
    machine = make()
    cloud = machine.cloud
    router = cloud.add("router", "edge", external="ext")
    live = cloud.add("network", "live")
    cloud.add("subnet", "live", cidr="192.168.240.0/24", network=live)
    cloud.add("floating IP", "", address="198.51.100.7", port=cloud.add_port(live))
    network = NetworkSpec(router="edge", floating_ip="198.51.100.7")
    before, seen = picture(cloud), []
    create = cloud.create_subnet
    cloud.create_subnet = lambda name, where, cidr, *rest: seen.append(cidr) or create(name, where, cidr, *rest)
    cloud.create_floating, made = None, cloud.create_floating
    with pytest.raises(TypeError):
        machine.bake(network=network)
    cloud.create_floating = made
    machine.bake(network=network)
    assert seen == ["192.168.241.0/28"], "what was begun goes on"
    assert picture(cloud) == before
    assert router in cloud.things
