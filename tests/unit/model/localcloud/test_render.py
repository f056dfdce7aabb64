from __future__ import annotations

import configparser
import json
import re
import socket
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
import yaml

from provision.base import paths
from provision.model.localcloud import image_families, render
from provision.model.localcloud.settings import CONSUL_CLIENTS, GivenTls, Settings, apis, bridges, tls_port
from provision.model.localcloud.settings import PASSWORDS as PASSWORD_NAMES

PASSWORDS = {name: f"the-{name}-SECRET" for name in PASSWORD_NAMES}
CONTEXTS = {family.name: {"Dockerfile": family.name.encode()} for family in image_families.FAMILIES}
TAGS = image_families.image_tags(CONTEXTS)
# IPv4, and IPv6 as a URL or a server list writes it.
ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b|\[[0-9a-f]*:[0-9a-f:]*\]")


@pytest.fixture(name="rendered", scope="module")
def _rendered() -> dict[str, str]:
    return render.documents(Settings(), PASSWORDS)


def compose_values(settings: Settings = Settings()) -> dict[str, str]:  # noqa: B008 - frozen
    inputs = render.migration_inputs(settings, TAGS, PASSWORDS)
    return render.environment(settings, TAGS, render.documents(settings, PASSWORDS), inputs, Path("/etc-folder"))


OTHER_NETWORK = IPv4Network("10.99.0.0/24")


@pytest.mark.parametrize(
    "settings", [Settings(), Settings(management=OTHER_NETWORK, replicas={"nova-api": 3}), Settings(ha=True)]
)
def test_only_ovn_and_dns_are_named_by_address(settings):
    found = {
        (name, line.strip(), address)
        for name, text in render.documents(settings, PASSWORDS).items()
        for line in text.splitlines()
        for address in ADDRESS.findall(line)
        if address not in ("0.0.0.0", "127.0.0.1", "127.0.0.11")
    }
    for name, line, address in found:
        if name.startswith(("consul/", "haproxy/")):
            assert address == str(settings.consul), line
        else:
            assert (name.split("/")[0], address) == ("neutron", str(settings.ovn)), line
            assert re.match(r"ovn_[ns]b_connection = tcp:", line)
    assert any(name == "neutron/ml2_conf.ini" for name, _, _ in found)


def hosts(text: str) -> set[str]:
    """Find every host that a configuration names: in URLs, after the account if there is one, and in server lists."""
    # The pages that a browser may have are asked for nothing.
    text = re.sub(r"^allowed_origin = .*", "", text, flags=re.M)
    urls = re.findall(r"(?:@|://)([^/@:,\s]+)(?::\d+)?(?=[/,\s]|$)", text)
    lists = re.findall(r"memcached?_servers = (\S+)", text)
    return {*urls, *(server.partition(":")[0] for servers in lists for server in servers.split(","))}


CACHES = {f"{number}.memcached.service.consul" for number in (1, 2, 3)}


@pytest.mark.parametrize(
    ("settings", "stateful"),
    [(Settings(), {"mariadb.service.consul", "memcached.service.consul"}), (Settings(ha=True), CACHES)],
    ids=["one of each", "three members"],
)
def test_openstack_names_its_peers_as_consul_does(settings, stateful):
    families = ("keystone", "glance", "placement", "nova", "neutron")
    rendered = render.documents(settings, PASSWORDS)
    named = {host for name, text in rendered.items() if name.startswith(families) for host in hosts(text)}
    assert named == stateful | {"rabbitmq.service.consul", "haproxy.service.consul"}


@pytest.mark.parametrize("settings", [Settings(), Settings(ha=True)], ids=["one of each", "three members"])
def test_containers_are_told_of_no_peer_by_address_but_of_ovn_and_dns(settings):
    values = compose_values(settings)
    addresses = {key for key, value in values.items() if ADDRESS.search(value)}
    networks = {key for key in addresses if key.endswith(("_NETWORK", "_RANGE"))}
    # The public address is in Keystone's catalogue, for users of this machine.
    assert addresses - networks == {"CONSUL_ADDRESS", "OVN_ADDRESS", "OVN_REMOTE", "KEYSTONE_PUBLIC_URL"}
    for name in ("stack.yaml", "ha.yaml", "monitoring.yaml", "compute.yaml"):
        document = yaml.safe_load((paths.COMPOSE / name).read_text())
        for service, body in document["services"].items():
            told = variables(str(body.get("environment") or {}) + str(body.get("command") or ""))
            assert not told & (addresses - networks - {"OVN_REMOTE", "KEYSTONE_PUBLIC_URL"}), service
            assert "OVN_REMOTE" not in told or service == "switch"


@pytest.mark.parametrize(
    "name",
    [name for name in render.documents(Settings(), PASSWORDS) if re.search(r"^(?!rabbitmq/).*[.](conf|ini)$", name)],
)
def test_every_oslo_file_is_read_back_without_a_doubled_key(rendered, name):
    parsed = configparser.RawConfigParser(strict=True, interpolation=None)
    parsed.read_string(rendered[name])
    assert parsed.sections() or parsed.defaults()


def test_each_service_has_only_the_secrets_it_needs(rendered):
    secrets = {name: {key for key in PASSWORDS if PASSWORDS[key] in text} for name, text in rendered.items()}
    assert secrets["keystone/keystone.conf"] == {"keystone_db"}
    assert secrets["glance/glance.conf"] == {"glance_db", "glance"}
    assert secrets["placement/placement.conf"] == {"placement_db", "placement"}
    assert secrets["neutron/metadata_agent.ini"] == {"metadata"}
    assert secrets["nova/nova-compute-kvm.conf"] == set()
    assert secrets["horizon/local_settings.py"] == {"horizon", "monitoring"}
    assert secrets["haproxy/haproxy.cfg"] == set()
    assert secrets["monitoring/mariadb.cnf"] == {"monitoring_db"}
    assert secrets["monitoring/password"] == {"monitoring"}
    assert secrets["monitoring/scrape.yaml"] == secrets["monitoring/alerts.yaml"] == set()
    assert secrets["consul/consul.json"] == {"consul_gossip", "consul_management"}
    for family in CONSUL_CLIENTS:
        assert secrets[f"{family}/consul-token"] == {f"consul_{family}"}
    for name, keys in secrets.items():
        assert "admin" not in keys or name == "keystone/admin-password"
        assert "provision" not in keys


def test_horizon_runs_and_is_built_and_waited_for_only_when_replicas_are_asked_for():
    idle, wanted = Settings(), Settings(replicas={"horizon": 2})
    assert idle.families == wanted.families - {"horizon"}
    assert {"bake", "registry", "monitoring"} == {family.name for family in image_families.FAMILIES} - wanted.families
    assert [compose_values(each)["HORIZON_REPLICAS"] for each in (idle, wanted)] == ["0", "2"]
    for settings, awaited in ((idle, False), (wanted, True)):
        (horizon,) = (api for api in apis(settings) if api.name == "horizon")
        assert horizon.awaited == awaited
        # HAProxy has it either way: it must not be replaced for a first replica.
        assert "frontend horizon" in render.documents(settings, PASSWORDS)["haproxy/haproxy.cfg"]


def section(text: str, name: str) -> str:
    return text.partition(f"\n{name}\n")[2].partition("\n\n")[0]


@pytest.mark.parametrize("api", apis(Settings()), ids=lambda api: api.name)
def test_users_come_by_tls_and_containers_without(rendered, api):
    frontend = section(rendered["haproxy/haproxy.cfg"], f"frontend {api.name}")
    plain, by_tls = f"bind :{api.port}\n", f"bind :{tls_port(api.port)} ssl crt "
    assert (plain in frontend, by_tls in frontend) == (api.private, api.public)
    document = yaml.safe_load((paths.COMPOSE / "stack.yaml").read_text())
    name = api.name.upper().replace("-", "_")
    published = f"127.0.0.1:${{{name}_PORT:?}}:${{{name}_TLS_PORT:?}}" in document["services"]["haproxy"]["ports"]
    assert published == api.public
    if api.public:
        values = compose_values()
        assert (values[f"{name}_PORT"], values[f"{name}_TLS_PORT"]) == (str(api.port), str(tls_port(api.port)))


def test_no_two_of_haproxys_ports_are_the_same(rendered):
    ports = re.findall(r"bind :(\d+)", rendered["haproxy/haproxy.cfg"])
    assert len(ports) == len(set(ports))


def test_users_are_sent_to_the_name_that_the_certificate_is_for():
    given = Settings(tls=GivenTls("cloud.example.org", Path("c"), Path("k")))
    assert given.public_url(5000, "/v3") == "https://cloud.example.org:5000/v3"
    assert Settings().public_url(5000) == "https://127.0.0.1:5000"
    assert compose_values(given)["KEYSTONE_INPUTS"] != compose_values()["KEYSTONE_INPUTS"]


def test_horizon_answers_and_uploads_by_the_name_that_the_certificate_is_for(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [])
    given = Settings(tls=GivenTls("cloud.example.org", Path("c"), Path("k")))
    found = render.documents(given, PASSWORDS)
    settings: dict[str, Any] = {}
    exec(found["horizon/local_settings.py"], settings)
    assert settings["ALLOWED_HOSTS"] == ["cloud.example.org", "127.0.0.1", "localhost", "haproxy.service.consul"]
    # The browser asks Glance itself, which has to allow that to the pages of each of these.
    assert settings["HORIZON_IMAGES_UPLOAD_MODE"] == "direct"
    names = ("cloud.example.org", "127.0.0.1", "localhost")
    origins = ",".join(f"https://{name}:8443" for name in names)
    assert f"\n[cors]\nallowed_origin = {origins}\n" in found["glance/glance.conf"]


def test_horizon_s_settings_are_python_that_names_keystone_by_its_name_in_consul(rendered, monkeypatch):
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
    settings: dict[str, Any] = {}
    exec(rendered["horizon/local_settings.py"], settings)
    assert settings["OPENSTACK_KEYSTONE_URL"] == "http://haproxy.service.consul:5000/v3"
    assert settings["ALLOWED_HOSTS"] == ["127.0.0.1", "localhost", "haproxy.service.consul", "10.0.0.7"]
    assert settings["SECRET_KEY"] == PASSWORDS["horizon"]
    # By Docker's name, and on the port of compose/monitoring.yaml.
    assert settings["METRICS_URL"] == "http://monitoring:8428"
    assert (settings["METRICS_USER"], settings["METRICS_PASSWORD"]) == ("provision", PASSWORDS["monitoring"])
    assert settings["DEBUG"] is False


def test_no_secret_reaches_compose():
    text = render.env_file(compose_values())
    assert "SECRET" not in text


HA = Settings(ha=True)
SWARM = Settings(ha=True, swarm=True)


def test_with_one_member_each_everything_is_asked_for_by_its_service_s_name(rendered):
    assert "@mariadb.service.consul/keystone" in rendered["keystone/keystone.conf"]
    assert "memcache_servers = memcached.service.consul:11211\n" in rendered["keystone/keystone.conf"]
    assert "rabbit_quorum_queue = false" in rendered["nova/nova.conf"]
    assert "cluster_formation" not in rendered["rabbitmq/rabbitmq.conf"]
    assert "3306" not in rendered["haproxy/haproxy.cfg"]


def test_with_three_members_each_is_known_and_none_is_named_by_address():
    rendered = render.documents(HA, PASSWORDS)
    caches = ",".join(f"{number}.memcached.service.consul:11211" for number in (1, 2, 3))
    for name in ("keystone", "glance", "placement", "nova", "neutron"):
        text = rendered[f"{name}/{name}.conf"]
        # One writer at a time: HAProxy sends all to the same member.
        assert "@haproxy.service.consul/" in text
        assert "mariadb.service.consul" not in text
        assert caches in text
    assert "bind :3306" in rendered["haproxy/haproxy.cfg"]
    assert "server-template mariadb 3 _mariadb._tcp.service.consul" in rendered["haproxy/haproxy.cfg"]
    for number in (1, 2, 3):
        node = f"classic_config.nodes.{number} = rabbit@rabbitmq-{number}.service.consul"
        assert node in rendered["rabbitmq/rabbitmq.conf"]
    for name in ("nova/nova.conf", "neutron/neutron.conf"):
        assert "rabbit_quorum_queue = true" in rendered[name]
        assert "rabbit_transient_quorum_queue = true" in rendered[name]


def test_only_the_broker_gets_the_key_of_the_brokers(rendered):
    assert [name for name, text in rendered.items() if PASSWORDS["erlang_cookie"] in text] == ["rabbitmq/erlang-cookie"]


def test_emulated_guests_have_a_bounded_translation_cache_and_kvm_guests_the_hosts_processor(rendered):
    qemu, kvm = (rendered[f"nova/nova-compute-{kind}.conf"] for kind in ("qemu", "kvm"))
    assert "virt_type = qemu" in qemu
    assert "tb_cache_size = 256" in qemu
    assert "virt_type = kvm" in kvm
    assert "tb_cache_size" not in kvm
    assert "cpu_models" not in kvm


def test_rabbitmq_knows_the_password_by_its_salted_hash(rendered):
    import base64
    import hashlib

    document = json.loads(rendered["rabbitmq/definitions.json"])
    raw = base64.b64decode(document["users"][0]["password_hash"])
    assert raw[4:] == hashlib.sha256(raw[:4] + PASSWORDS["rabbitmq"].encode()).digest()


def variables(text: str) -> set[str]:
    return set(re.findall(r"\$\{([A-Z_]+)", text))


FILES = ("stack.yaml", "ha.yaml", "monitoring.yaml", "swarm.yaml", "compute.yaml", "swarm-compute.yaml")


def swarm_values() -> dict[str, str]:
    settings = SWARM
    rendered = render.documents(settings, PASSWORDS, {"ovn-key.pem": "k"})
    inputs = render.migration_inputs(settings, TAGS, PASSWORDS)
    return render.environment(settings, TAGS, rendered, inputs, Path("/etc-folder"))


@pytest.mark.parametrize("name", FILES)
def test_compose_files_ask_for_nothing_that_they_do_not_get(name):
    text = (paths.COMPOSE / name).read_text()
    yaml.safe_load(text)
    given = swarm_values() if name.startswith("swarm") else compose_values()
    assert variables(text) - {"HYPERVISOR"} <= set(given)
    assert not re.search(r"\$\{[A-Z_]+\}", text), "an unset value must be an error: ${NAME:?}"


def test_a_replica_gets_no_more_requests_at_once_than_it_works_at():
    text = render.documents(Settings(), PASSWORDS)["haproxy/haproxy.cfg"]
    found = dict(re.findall(r"server-template (\S+) .* maxconn (\d+)$", text, re.MULTILINE))
    assert found == {api.name: str(api.at_once) for api in apis(Settings())}
    assert (found["nova-api"], found["keystone"]) == ("2", "4")
    (glance,) = [api for api in apis(Settings()) if api.slow]
    assert glance.at_once < glance.processes * glance.threads, "uploads that take all of it would look like its death"


def test_every_value_for_compose_is_used():
    used = variables("".join((paths.COMPOSE / name).read_text() for name in FILES))
    unused = set(swarm_values()) - used
    assert unused <= {"BASE_TAG", "OS_TAG", "BAKE_TAG", "REGISTRY_CONFIG"}


@pytest.mark.parametrize("name", ["stack.yaml", "monitoring.yaml", "compute.yaml"])
def test_everything_of_ours_is_labelled_and_published_on_loopback_only(name):
    document = yaml.safe_load((paths.COMPOSE / name).read_text())
    for service, body in document["services"].items():
        assert body["labels"]["provision.stack"] == "local", service
        assert not body.get("privileged"), service
        for port in body.get("ports", ()):
            assert port.startswith("127.0.0.1:"), port
        expects_dns = not str(body.get("network_mode", "")).startswith("service:") and service != "consul"
        assert ("${CONSUL_ADDRESS:?}" in body.get("dns", ())) == expects_dns, service
    for kind in ("networks", "volumes"):
        for body in document.get(kind, {}).values():
            assert body.get("external") or body["labels"]["provision.stack"] == "local"


def test_a_change_of_one_document_restarts_its_family_only():
    before = compose_values()
    rendered = render.documents(Settings(), PASSWORDS | {"glance": "other"})
    inputs = render.migration_inputs(Settings(), TAGS, PASSWORDS)
    after = render.environment(Settings(), TAGS, rendered, inputs, Path("/etc-folder"))
    assert {key for key in after if after[key] != before[key]} == {"GLANCE_CONFIG"}


def test_documents_lie_in_a_folder_of_their_own_for_each_state_of_their_family(rendered):
    placed = render.placed(rendered)
    assert sorted(placed.values()) == sorted(rendered.values())
    other = render.placed(rendered | {"glance/glance.conf": "other"})
    moved = placed.keys() - other.keys()
    assert {name.partition("/")[0] for name in moved} == {"glance"}
    assert moved == {name for name in placed if name.startswith("glance/")}
    folder = compose_values()["GLANCE_CONFIG"]
    assert placed[f"glance/{folder}/glance.conf"] == rendered["glance/glance.conf"]


@pytest.mark.parametrize("name", ["stack.yaml", "monitoring.yaml", "compute.yaml"])
def test_each_container_sees_the_documents_that_it_was_made_from(name):
    document = yaml.safe_load((paths.COMPOSE / name).read_text())
    families = {each.partition("/")[0] for each in render.documents(Settings(), PASSWORDS)}
    seen = set()
    for service, body in document["services"].items():
        environment = body.get("environment") or {}
        for mount in body.get("volumes", ()):
            if ":/config" not in mount:
                continue
            found = re.fullmatch(r"\$\{CONFIG:\?\}/([a-z]+)/\$\{([A-Z]+)_CONFIG:\?\}:/config:ro", mount)
            assert found, (service, mount)
            assert found[1] == found[2].lower()
            # By this `cloud up` knows which folders are in use, and Compose that a container is out of date.
            assert environment["CONFIGURATION"] in (f"${{{found[2]}_CONFIG:?}}", f"${{{found[2]}_CONFIG}}"), service
            seen.add(found[1])
    others = {"monitoring.yaml": {"monitoring"}, "compute.yaml": {"nova", "neutron"}}
    assert seen == others.get(name, families - {"monitoring"})


def test_fixed_addresses_lie_outside_the_ranges_that_docker_gives_out():
    values = compose_values()
    settings = Settings()
    management = IPv4Network(values["MANAGEMENT_RANGE"])
    assert settings.consul not in management
    assert settings.ovn not in management
    assert management.subnet_of(settings.management)
    first, last = settings.floating
    containers = bridges(settings)[0].range
    assert first not in containers
    assert first in settings.provider
    assert last in settings.provider
    assert settings.gateway in containers


def test_on_several_hosts_no_address_is_rendered_and_replicas_share_their_keys():
    documents = render.documents(SWARM, PASSWORDS)
    assert str(SWARM.consul) not in documents["haproxy/haproxy.cfg"]
    assert "parse-resolv-conf" in documents["haproxy/haproxy.cfg"]
    consul = json.loads(documents["consul/consul.json"])
    assert (consul["bootstrap_expect"], consul["retry_join"]) == (3, ["consul"])
    assert "node_name" not in consul
    assert str(SWARM.management) in consul["bind_addr"]
    assert documents["keystone/fernet-key"] == PASSWORDS["keystone_fernet"]
    assert not {"keystone/fernet-key", "registry/password"} & set(render.documents(Settings(), PASSWORDS))


def test_vms_ask_the_name_servers_of_this_machine():
    rendered = render.documents(Settings(), PASSWORDS, name_servers=("192.0.2.53", "198.51.100.53"))
    assert "\ndns_servers = 192.0.2.53,198.51.100.53\n" in rendered["neutron/ml2_conf.ini"]
    assert "dns_servers" not in render.documents(Settings(), PASSWORDS)["neutron/ml2_conf.ini"]


@pytest.mark.parametrize("file", ["stack.yaml", "monitoring.yaml", "compute.yaml"])
def test_no_service_goes_by_a_proxy_of_the_users_docker_settings(file):
    services = yaml.safe_load((paths.COMPOSE / file).read_text())["services"]
    # It only sleeps.
    services.pop("netns", None)
    for name, body in services.items():
        environment = body.get("environment", {})
        assert (environment.get("NO_PROXY"), environment.get("no_proxy")) == ("*", "*"), name
