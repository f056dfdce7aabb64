"""Whether `cloud up` has nothing to do: what one look tells, and that each kind of drift is seen."""

from __future__ import annotations

import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest

from provision.adapters.docker.outline import Outline
from provision.base import paths
from provision.base.errors import ProvisionError, UsageError
from provision.base.poll import Pending
from provision.base.progress import Silent
from provision.model.localcloud.host import ServiceState
from provision.model.localcloud.settings import MIGRATED, GivenTls, Settings
from provision.operations.localcloud.shared import installation
from provision.operations.localcloud.single import settled
from provision.operations.localcloud.single.settled import inputs_digest, is_settled, record

TAGS = {family.name: "1" for family in settled.families(Settings().families)}
MONITORED_TAGS = TAGS | {"monitoring": "1"}


class Cloud:
    """All that the look asks: Docker, Consul and OpenStack."""

    def __init__(self):
        api = ServiceState("nova-api", "provision-nova-api-1", "running", id="aa", registers=True)
        self.outline = Outline(
            engine="26.1.5",
            containers=(api, ServiceState("mariadb", "provision-mariadb-1", "running", id="bb")),
            connections={"aa": ("n1",), "bb": ("n1",)},
            networks={"provision_default": "n1"},
            images=frozenset(settled.image_name(name, TAGS) for name in TAGS),
        )
        self.migrated = dict.fromkeys(MIGRATED, "new")
        self.status, self.problem, self.rights, self.certificate = "passing", "", None, None
        self.missing, self.lacks, self.refuses = {}, [], False
        self.done = []

    # --- Docker ---

    def execute(self, container, argv):
        return 0, "".join(f"{family}\t{inputs}\n" for family, inputs in self.migrated.items())

    # --- Consul ---

    def services(self):
        return {"x": {"Service": "nova-api", "Address": "a", "Port": 80, "Meta": {"container": "aa"}}}

    def checks(self):
        return {"c": {"ServiceID": "x", "Status": self.status}}

    # --- OpenStack ---

    def api_problem(self, url):
        return self.problem

    def kept_login(self):
        self.done.append("login")
        return settled.service_errors("OpenStack")

    def missing_services(self, hypervisors, replicas):
        return self.missing

    def forget_services(self, replicas):
        self.done.append("forget services")

    def ensure_accounts(self, admin, settings, passwords, note):
        if self.refuses:
            raise ProvisionError("OpenStack does not answer")
        for name in self.lacks:
            note(name)


@pytest.fixture
def cloud(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    (tmp_path / "clouds.yaml").write_text("clouds: {local: {}}\n")
    for name in ("PACKAGE", "COMPOSE", "TEMPLATES"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
        monkeypatch.setattr(paths, name, tmp_path / name)
    folder = paths.localcloud_dir()
    folder.mkdir(parents=True)
    (folder / "compose.env").write_text("MARIADB_TAG=1\n")
    (folder / "passwords.json").write_text('{"admin": "a"}')
    (folder / "tls").mkdir()
    (folder / "tls" / "ca.pem").write_text("ours")
    cloud = Cloud()
    for name, value in {
        "read_outline": lambda: cloud.outline,
        "Engine": lambda: cloud,
        "Admin": lambda login: cloud,
        "catalogue": lambda settings: cloud,
        "ensure_access": lambda url, passwords: cloud.rights,
        "ensure_accounts": cloud.ensure_accounts,
        "ensure_resources": lambda admin, settings, note: None,
    }.items():
        monkeypatch.setattr(settled, name, value)
    monkeypatch.setattr(settled.tls, "ensure_tls", lambda settings: None)
    monkeypatch.setattr(settled.tls, "hand_over", lambda engine, settings: cloud.certificate)
    monkeypatch.setattr(settled.preflight, "require", lambda progress, engine: cloud.done.append(f"preflight {engine}"))
    record(SimpleNamespace(settings=Settings(), inputs=dict(cloud.migrated)), TAGS)
    return cloud


def settled_now(**choice):
    return is_settled(Silent(), **choice)


def test_nothing_has_changed(cloud):
    assert settled_now()
    assert settled_now(ha=False)
    assert cloud.done[:3] == ["preflight 26.1.5", "login", "forget services"]
    assert (paths.localcloud_dir() / "settled.json").stat().st_mode & 0o777 == 0o600


def test_without_a_record_nothing_is_known(cloud):
    (paths.localcloud_dir() / "settled.json").unlink()
    assert not settled_now()
    (paths.localcloud_dir() / "settled.json").write_text("[]")
    assert not settled_now()
    assert cloud.done == []


def test_another_choice_is_something_to_do(cloud):
    assert not settled_now(ha=True)


def change_outline(**changes):
    return lambda cloud: setattr(cloud, "outline", replace(cloud.outline, **changes))


def change_container(**changes):
    def change(cloud):
        first, *others = cloud.outline.containers
        cloud.outline = replace(cloud.outline, containers=(replace(first, **changes), *others))

    return change


DRIFT = {
    "a container is gone": lambda cloud: change_outline(containers=cloud.outline.containers[1:])(cloud),
    "a container has stopped": change_container(state="exited"),
    "a container was replaced": change_container(id="ab"),
    "a container is made from something else": change_container(definition="other"),
    "a container has another image": change_container(digest="other"),
    "a container left a network": change_outline(connections={"aa": (), "bb": ("n1",)}),
    "a network is gone": change_outline(networks={}),
    "a network was made anew": change_outline(networks={"provision_default": "n2"}),
    "an image is gone": change_outline(images=frozenset()),
    "another engine": change_outline(engine="27.0.0"),
    "a schema": lambda cloud: cloud.migrated.update(nova="old"),
    "no database": lambda cloud: setattr(cloud, "execute", lambda container, argv: (1, "")),
    "rights in Consul": lambda cloud: setattr(cloud, "rights", Pending("Consul")),
    "a replica is ill": lambda cloud: setattr(cloud, "status", "critical"),
    "a replica is not registered": lambda cloud: setattr(cloud, "services", dict),
    "HAProxy's certificate": lambda cloud: setattr(cloud, "certificate", Pending("certificate")),
    "an API is silent": lambda cloud: setattr(cloud, "problem", "no connection"),
    "an agent is down": lambda cloud: setattr(cloud, "missing", {"compute-1": "down"}),
    "an account is gone": lambda cloud: cloud.lacks.append("user nova"),
    "OpenStack refuses": lambda cloud: setattr(cloud, "refuses", True),
}


@pytest.mark.parametrize("what", DRIFT)
def test_drift_is_seen(cloud, what):
    DRIFT[what](cloud)
    assert not settled_now()


def with_monitoring(cloud):
    settings = Settings(monitoring=True)
    installation.save_settings(settings)
    store = ServiceState("monitoring", "provision-monitoring-1", "running", id="cc")
    image = settled.image_name("monitoring", MONITORED_TAGS)
    cloud.outline = replace(
        cloud.outline, containers=(*cloud.outline.containers, store), images=cloud.outline.images | {image}
    )
    record(SimpleNamespace(settings=settings, inputs=dict(cloud.migrated)), MONITORED_TAGS)
    return store, image


def test_monitoring_belongs_to_what_is_looked_at_where_it_is_on(cloud):
    store, image = with_monitoring(cloud)
    whole = cloud.outline
    assert settled_now()
    others = tuple(each for each in whole.containers if each != store)
    for drift in (
        {"containers": others},
        {"containers": (*others, replace(store, state="exited"))},
        {"images": whole.images - {image}},
    ):
        cloud.outline = replace(whole, **drift)
        assert not settled_now()


def test_monitoring_that_was_turned_on_is_something_to_do(cloud):
    installation.save_settings(Settings(monitoring=True))
    assert not settled_now()


def test_images_of_others_say_nothing(cloud):
    cloud.outline = replace(cloud.outline, images=cloud.outline.images | {"debian:sid"})
    assert settled_now()


def local(name, text="other\n"):
    def write():
        file = paths.localcloud_dir() / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    return write


FILES = {
    "the program": lambda: (paths.PACKAGE / "file").write_text("other"),
    "a Dockerfile": lambda: (paths.COMPOSE / "file").write_text("other"),
    "a template": lambda: (paths.TEMPLATES / "file").write_text("other"),
    "a new template": lambda: (paths.TEMPLATES / "more").write_text(""),
    "a rendered file": local("etc/nova/1/nova.conf"),
    "the passwords": local("passwords.json", '{"admin": "b"}'),
    "the choices": local("choices.json", '{"replicas": {"nova-api": 2}}'),
    "an interrupted restore": local("restoring"),
    "a file that others can read": lambda: (paths.localcloud_dir() / "passwords.json").chmod(0o604),
    "a file that is gone": lambda: shutil.rmtree(paths.localcloud_dir() / "tls"),
    "clouds.yaml": lambda: paths.clouds_yaml().write_text("clouds: {}\n"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_change_of_what_decides_is_seen(cloud, what):
    FILES[what]()
    assert not settled_now()
    assert "login" not in cloud.done


def test_the_environment_counts_where_docker_reads_it(cloud, monkeypatch):
    monkeypatch.setenv("SOMETHING_ELSE", "1")
    monkeypatch.setenv("MARIADB_TAG", "2")
    assert settled_now()
    monkeypatch.setenv("DOCKER_DEFAULT_PLATFORM", "linux/amd64")
    assert not settled_now()


def test_other_name_servers_of_this_machine_are_brought_to_vms(cloud, monkeypatch):
    monkeypatch.setattr(settled.facts, "name_servers", lambda: ("192.0.2.99",))
    assert not settled_now()


def test_another_compose_counts(cloud, tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    before = inputs_digest()
    plugin = tmp_path / "docker" / "cli-plugins" / "docker-compose"
    plugin.parent.mkdir(parents=True)
    plugin.write_text("new")
    assert inputs_digest() != before


def test_a_users_own_certificate_counts(cloud, tmp_path):
    for name in ("cert", "key"):
        (tmp_path / name).write_text("old")
    installation.save_settings(Settings(tls=GivenTls("127.0.0.1", tmp_path / "cert", tmp_path / "key", None)))
    before = inputs_digest()
    (tmp_path / "cert").write_text("new")
    assert inputs_digest() != before


def test_a_machine_that_may_not_run_it_any_more_is_left_to_the_whole_of_up(cloud, monkeypatch):
    def refuse(progress, engine):
        raise UsageError("no")

    monkeypatch.setattr(settled.preflight, "require", refuse)
    assert not settled_now()


def test_compiled_programs_do_not_count(cloud):
    before = inputs_digest()
    (paths.PACKAGE / "__pycache__").mkdir()
    (paths.PACKAGE / "__pycache__" / "x.pyc").touch()
    assert inputs_digest() == before
    shutil.rmtree(paths.PACKAGE / "__pycache__")
