from __future__ import annotations

from copy import deepcopy

import pytest
import yaml

from provision.base import paths
from provision.model.localcloud import ovn, render, settings, swarm
from provision.model.localcloud.settings import Settings
from provision.model.localcloud.swarm import Host, Task

ETC = "/state/etc"
SETTINGS = Settings(ha=True, swarm=True)
PASSWORDS = {name: f"the-{name}-SECRET" for name in settings.PASSWORDS}
DOCUMENTS = {
    "mariadb/mariadb.sql": "SELECT 1",
    "mariadb/consul-token": "t",
    "haproxy/haproxy.cfg": "global",
    "ovn/ovn-key.pem": "k",
    "neutron/neutron.conf": "",
}
IMAGES = {"provision/mariadb:1": "127.0.0.1:5001/provision/mariadb:1@sha256:abc"}
# As `docker compose config --format json` writes it.
COMPOSE = {
    "name": "provision",
    "services": {
        "mariadb": {
            "image": "provision/mariadb:1",
            "command": ["server"],
            "restart": "unless-stopped",
            "init": True,
            "dns": ["172.28.0.2"],
            "expose": ["3306"],
            "hostname": "db-{{.Task.Slot}}",
            "networks": {"management": {"ipv4_address": "172.28.0.9"}},
            "labels": {"provision.copy": "{{.Task.Slot}}", "SERVICE_3306_NAME": "mariadb"},
            "environment": {"MEMBER": "mariadb-1"},
            "deploy": {"endpoint_mode": "dnsrr"},
            "volumes": [
                {"type": "bind", "source": f"{ETC}/mariadb", "target": "/config", "read_only": True, "bind": {}},
                {"type": "volume", "source": "mariadb", "target": "/var/lib/mysql", "volume": {}},
            ],
        },
        "haproxy": {
            "image": "provision/haproxy:1",
            "volumes": [{"type": "bind", "source": f"{ETC}/haproxy", "target": "/config"}],
            "ports": [
                {"mode": "ingress", "host_ip": "127.0.0.1", "target": 15000, "published": "5000", "protocol": "tcp"},
                {"mode": "ingress", "host_ip": "127.0.0.1", "target": 8404, "published": "8404", "protocol": "tcp"},
            ],
        },
        "registrator": {
            "image": "provision/registrator:1",
            "volumes": [{"type": "bind", "source": "/var/run/docker.sock", "target": "/var/run/docker.sock"}],
        },
        "ovn": {
            "image": "provision/ovn:1",
            "dns": ["172.28.0.2"],
            "volumes": [{"type": "bind", "source": f"{ETC}/ovn", "target": "/config"}],
        },
        "horizon": {"image": "provision/horizon:1", "deploy": {"replicas": 0}},
        "mariadb-migrate": {"image": "provision/mariadb:1", "profiles": ["migrate"], "command": ["migrate"]},
    },
    "volumes": {"mariadb": {"name": "provision_mariadb", "labels": {"provision.stack": "local"}}},
}


def made(compose=COMPOSE, documents=DOCUMENTS):
    return swarm.stack_file(compose, documents, IMAGES, etc=ETC, places={}, local_ports={8404})


def test_a_stack_has_what_runs_for_good_and_no_more():
    assert set(made()["services"]) == {"mariadb", "haproxy", "registrator", "ovn"}
    wanted = deepcopy(COMPOSE)
    wanted["services"]["horizon"]["deploy"]["replicas"] = 1
    assert "horizon" in made(wanted)["services"]


def test_a_member_of_ovn_s_databases_is_on_its_host_s_own_network():
    document = made()
    member = document["services"]["ovn"]
    assert member["networks"] == ["host"]
    assert document["networks"]["host"] == {"external": True, "name": "host"}
    # Neither Docker lets a container set what is all of the host's, nor does Consul have to know the host's names.
    assert "sysctls" not in member
    assert member["volumes"] == []
    assert [each["target"] for each in member["secrets"]] == ["/config/ovn-key.pem"]
    assert "sysctls" in document["services"]["mariadb"]


def test_what_a_stack_cannot_say_is_left_out_or_said_otherwise():
    database = made()["services"]["mariadb"]
    assert not {"restart", "dns", "expose", "profiles"} & set(database)
    assert database["networks"] == ["management"]
    # Swarm fills in slots in host names, not in labels.
    assert database["labels"] == {"SERVICE_3306_NAME": "mariadb"}
    assert database["hostname"] == "db-{{.Task.Slot}}"
    assert database["image"] == "127.0.0.1:5001/provision/mariadb:1@sha256:abc"
    assert database["environment"] == {"MEMBER": "mariadb-1"}


def test_this_machine_s_files_become_secrets_and_other_mounts_stay():
    document = made()
    database = document["services"]["mariadb"]
    assert [each["target"] for each in database["secrets"]] == ["/config/mariadb.sql", "/config/consul-token"]
    assert {each["mode"] for each in database["secrets"]} == {0o400}
    assert [each["source"] for each in database["volumes"]] == ["mariadb", "/var/lib/provision/resolv.conf"]
    assert document["services"]["registrator"]["volumes"][0]["source"] == "/var/run/docker.sock"
    files = {body["file"] for body in document["secrets"].values()}
    assert files == {f"{ETC}/{name}" for name in DOCUMENTS if not name.startswith("neutron/")}
    assert list(document["volumes"]) == ["mariadb"]


def test_another_text_is_another_secret_and_the_same_text_is_the_same():
    before = made()["services"]["mariadb"]["secrets"]
    assert made(documents=dict(DOCUMENTS))["services"]["mariadb"]["secrets"] == before
    after = made(documents=DOCUMENTS | {"mariadb/mariadb.sql": "SELECT 2"})["services"]["mariadb"]["secrets"]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True]


def test_every_secret_has_a_name_that_docker_takes():
    documents = render.documents(SETTINGS, PASSWORDS)
    compose = deepcopy(COMPOSE)
    compose["services"]["mariadb"]["volumes"] = [
        {"type": "bind", "source": f"{ETC}/{family}", "target": "/config"}
        for family in {name.partition("/")[0] for name in documents}
    ]
    names = [body["name"] for body in made(compose, documents)["secrets"].values()]
    assert len(set(names)) == len(documents)
    assert all(len(name) <= 64 and name.replace("_", "").replace("-", "").replace(".", "").isalnum() for name in names)
    assert not any(secret in name for name in names for secret in PASSWORDS.values())


def test_a_containers_name_server_is_its_own_host_s_consul():
    services = made()["services"]
    resolved = {
        name for name, body in services.items() if any(m["target"] == "/etc/resolv.conf" for m in body["volumes"])
    }
    assert resolved == {"mariadb"}


def test_ports_are_the_host_s_own_and_the_operator_s_are_not_open():
    assert made()["services"]["haproxy"]["ports"] == [
        {"target": 15000, "published": 5000, "protocol": "tcp", "mode": "host"}
    ]


def test_a_part_has_what_its_services_need():
    found = swarm.part(made(), ["haproxy"])
    assert (set(found["services"]), set(found["volumes"]), len(found["secrets"])) == ({"haproxy"}, set(), 1)
    assert found["networks"] == made()["networks"]


def test_a_document_is_read_from_where_it_lies():
    places = {"mariadb/mariadb.sql": "mariadb/0123/mariadb.sql"}
    found = swarm.stack_file(COMPOSE, DOCUMENTS, IMAGES, etc=ETC, places=places, local_ports=())
    files = {body["file"] for body in found["secrets"].values()}
    assert f"{ETC}/mariadb/0123/mariadb.sql" in files
    assert f"{ETC}/mariadb/mariadb.sql" not in files
    # The content makes the name, not the place: nothing is renewed because a file has moved.
    assert set(found["secrets"]) == set(made()["secrets"])


@pytest.mark.parametrize(
    ("deployed", "unwanted"),
    [
        (["mariadb", "haproxy", "registrator", "ovn"], set()),
        (["mariadb", "horizon"], {"horizon"}),
        # Not ours to remove: a one-shot run, or a service that somebody else has added to the stack.
        (["mariadb", "nova-migrate", "mine"], set()),
        (["reviver"], set()),
        (["reviver", "restart-hypervisor"], {"reviver"}),
    ],
)
def test_services_without_replicas_and_with_former_names_are_removed(deployed, unwanted):
    assert swarm.unwanted_services(deployed, made()) == unwanted


@pytest.mark.parametrize(
    ("images", "old"),
    [
        ({"keystone": ["new"], "horizon": ["old"]}, []),
        ({"keystone": ["new", "old"]}, ["keystone"]),
        ({"keystone": ["old"]}, ["keystone"]),
        ({}, ["keystone"]),
    ],
)
def test_services_whose_replicas_are_not_all_of_this_stack_are_old(images, old):
    tasks = [Task(name, "h", "running", True, image=each) for name, found in images.items() for each in found]
    tasks.append(Task("keystone", "h", "shutdown", False, image="older"))
    document = {"services": {name: {"image": "new"} for name in ("keystone", "horizon", "mariadb")}}
    assert swarm.old_services(tasks, document) == old


def test_clearing_empties_the_volumes_of_members_and_on_wish_the_images():
    compose = deepcopy(COMPOSE)
    compose["services"]["glance"] = {
        "image": "provision/glance:1",
        "deploy": {"placement": {"constraints": ["x"]}},
        "volumes": [{"type": "volume", "source": "mariadb", "target": "/var/lib/glance"}],
    }
    found = swarm.clear_jobs(made(compose), "image", images=False)
    assert set(found) == {"clear-mariadb"}
    assert found["clear-mariadb"]["entrypoint"] == ["find", "/var/lib/mysql", "-mindepth", "1", "-delete"]
    assert found["clear-mariadb"]["deploy"]["mode"] == "replicated-job"
    more = swarm.clear_jobs(made(compose), "image", images=True)
    assert more["clear-glance"]["deploy"]["placement"] == {"constraints": ["x"]}


def test_a_job_runs_once_on_one_host():
    found = swarm.job(COMPOSE, "mariadb-migrate", ["expand"], DOCUMENTS, IMAGES, etc=ETC, places={}, host="abc")
    (body,) = found["services"].values()
    assert (body["command"], body["deploy"]["mode"]) == (["expand"], "replicated-job")
    assert body["deploy"]["restart_policy"] == {"condition": "none"}
    assert body["deploy"]["placement"] == {"constraints": ["node.id == abc"]}
    assert COMPOSE["services"]["mariadb-migrate"]["profiles"] == ["migrate"]


def test_the_override_places_every_service_that_runs_on_several_hosts():
    documents = {name: yaml.safe_load((paths.COMPOSE / name).read_text()) for name in ("stack.yaml", "ha.yaml")}
    wanted = {
        name
        for document in documents.values()
        for name, body in document["services"].items()
        if not name.endswith("-migrate")
    }
    override = yaml.safe_load((paths.COMPOSE / "swarm.yaml").read_text())["services"]
    assert set(override) == wanted | set(swarm.FIRST) | set(ovn.MEMBERS)
    # Without IPVS there is no virtual address, and a service that has one is nowhere.
    assert {body["deploy"]["endpoint_mode"] for body in override.values()} == {"dnsrr"}
    for service in (*settings.CLUSTERED, "ovn"):
        every = ovn.MEMBERS if service == "ovn" else settings.services_of(SETTINGS, service)
        places = [override[name]["deploy"]["placement"]["constraints"] for name in every]
        assert places == [[f"node.labels.{swarm.MEMBER_LABEL} == {number}"] for number in (1, 2, 3)]


def hosts(*members):
    return [Host(f"id{number}", f"host-{number}", "a", True, member) for number, member in enumerate(members)]


@pytest.mark.parametrize(
    ("members", "following", "absent"),
    [((), 1, [1, 2, 3]), ((1,), 2, [2, 3]), ((0, 1, 3), 2, [2]), ((1, 2, 3), 0, []), ((1, 2, 3, 0), 0, [])],
)
def test_the_first_three_hosts_carry_a_member(members, following, absent):
    assert swarm.next_member(hosts(*members)) == following
    assert swarm.absent_members(hosts(*members)) == absent


def test_the_members_addresses_are_in_the_order_of_their_numbers():
    every = [
        Host(f"id{n}", f"host-{n}", f"192.0.2.{n}", True, member) for n, member in ((1, 3), (2, 0), (3, 1), (4, 2))
    ]
    assert swarm.member_addresses(every) == ("192.0.2.3", "192.0.2.4", "192.0.2.1")


def test_networks_are_made_anew_in_an_order_that_docker_and_up_can_follow():
    steps = [
        "`provision cloud down` on every host",
        "`docker service rm provision_registry provision_mirror`",
        "`docker network rm provision_management provision_tunnel`",
        "`provision cloud init --advertise-addr ADDRESS` on the host with the smallest MTU",
        "`provision cloud up` on each",
    ]
    places = [swarm.renewal_hint().index(step) for step in steps]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("host", "project"), [("host-1", "provision-host-1"), ("Node_7.example.org", "provision-node-7-example-org")]
)
def test_a_hypervisor_s_project_has_a_name_that_compose_takes(host, project):
    assert swarm.hypervisor_project(host) == project
