"""A fake local cloud that `provision cloud doctor` looks at, with all its adapters."""

from __future__ import annotations

import time
from email.utils import formatdate
from types import SimpleNamespace

import pytest

from provision.base import paths
from provision.model.localcloud.doctor.observed import Clock, Endpoint, Unit, Worker
from provision.model.localcloud.settings import LABEL, Settings, apis
from provision.model.registrator.container import Container, ContainerNetwork, ContainerPort
from provision.model.registrator.services import RegistratorSettings, token_hash, wanted_services
from provision.operations.localcloud.shared import inspection
from provision.operations.localcloud.single import doctor

TAGS = {"mariadb": "new", "rabbitmq": "new", "consul": "new"}
CONTAINER = Container(
    id="c" * 64,
    name="provision-glance-1",
    image="provision/glance:new",
    labels=(("SERVICE_9292_NAME", "glance"), ("SERVICE_9292_CHECK_HTTP", "/healthcheck")),
    marks=frozenset({LABEL}),
    project="provision",
    networks=(ContainerNetwork("provision_management", "n1", "172.28.0.130"),),
    exposed=(ContainerPort(9292),),
)
NAMES = [api.name for api in apis(Settings()) if api.type]


class FakeInspector:
    def __init__(self):
        self.answers = {
            "mariadb": f"wsrep_cluster_size\t0\nclock\t{time.time()}\n",
            "bash": '[\n{"name":"conductor","messages":0,"consumers":1}\n]',
            "df": "Filesystem 1-blocks Used Available Capacity Mounted\n" + "x 1000000000000 1 900000000000 1% /\n" * 4,
        }
        self.running = [
            Unit(name, f"{name}-1", "provision", "running", f"provision/{name}:new") for name in (*TAGS, "registrator")
        ]
        self.asked = []

    def units(self):
        return tuple(self.running)

    def host(self):
        return "vm"

    def running_containers(self):
        return (CONTAINER,)

    def clock(self):
        return Clock("Docker's host", 0.0, 0.0)

    def output_of(self, unit, argv, seconds=20):
        self.asked.append((unit.name, argv[0]))
        answer = self.answers[argv[0]]
        if isinstance(answer, Exception):
            raise answer
        return answer


class FakeConsul:
    def __init__(self, url):
        self.reads = 0

    def date(self):
        return formatdate(time.time(), usegmt=True)

    def members(self):
        return [{"Name": "one", "Status": 1}]

    def states(self):
        return [{"ServiceID": f"vm:{name}", "ServiceName": name, "Status": "passing", "Output": ""} for name in NAMES]

    def services(self):
        self.reads += 1
        registrator = RegistratorSettings(
            "vm",
            internal=True,
            network=inspection.NETWORK,
            token_hash=token_hash("the-registrator-s"),
            reserved_for=LABEL,
        )
        wanted = wanted_services([CONTAINER], registrator)
        return {
            id_: {**each.registration, "Service": each.registration["Name"]} for id_, each in wanted.services.items()
        }


class FakeCloud:
    def __init__(self, login, timeout):
        pass

    def clock(self):
        return Clock("Keystone's host", 0.0, 0.5)

    def endpoints(self):
        listed = (api for api in apis(Settings()) if api.type)
        return tuple(Endpoint(api.type, api.user, "public", f"http://127.0.0.1:{api.port}") for api in listed)

    def compute_services(self):
        return (Worker("nova-compute", "compute-1", True),)

    def network_agents(self):
        return (Worker("OVN Controller agent", "compute-1", True),)


@pytest.fixture(name="inspector")
def make_inspector(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    paths.localcloud_dir().mkdir(parents=True)
    (paths.localcloud_dir() / "compose.env").write_text("")
    (paths.localcloud_dir() / "passwords.json").write_text('{"admin": "", "consul_registrator": "the-registrator-s"}')
    inspector = FakeInspector()
    project = SimpleNamespace(project="provision", replicas=lambda: {each.service: 1 for each in inspector.running})
    monkeypatch.setattr(doctor, "Inspector", lambda: inspector)
    monkeypatch.setattr(doctor, "catalogue", FakeConsul)
    monkeypatch.setattr(inspection, "Admin", FakeCloud)
    monkeypatch.setattr(doctor, "control", lambda: project)
    monkeypatch.setattr(doctor, "hypervisors", lambda settings: ())
    monkeypatch.setattr(doctor, "image_tags", lambda contexts: TAGS)
    monkeypatch.setattr(inspection, "_SETTLE", 0.0)
    text = "pxname,svname,status\n" + "".join(f"{name},a,UP\n" for name in NAMES)
    monkeypatch.setattr(inspection, "HAProxy", lambda url, timeout: SimpleNamespace(statistics=lambda: text))
    return inspector
