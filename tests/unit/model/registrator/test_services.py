"""Every row of compose/registrator/README.md: container -> services, and services + catalogue -> changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provision.model.registrator.container import Binding, Container, ContainerNetwork, ContainerPort
from provision.model.registrator.services import (
    Changes,
    RegistratorSettings,
    WantedServices,
    keep_statuses,
    plan_changes,
    wanted_services,
)

INTERNAL = RegistratorSettings(host_id="h1", internal=True)
PUBLISHED = RegistratorSettings(host_id="h1", address="192.0.2.7")
NET = ContainerNetwork("mesh", "n1", "10.0.0.5")
WEB = ContainerPort(80)


def container(*, env=None, labels=None, **changes):
    values = {
        "id": "c" * 64,
        "name": "web",
        "image": "registry:5000/team/web:1.2",
        "networks": (NET,),
        "exposed": (WEB,),
        "env": tuple((env or {}).items()),
        "labels": tuple((labels or {}).items()),
    }
    return Container(**(values | changes))


def published(*bindings):
    return tuple(Binding(ContainerPort(*port), ip, host) for port, ip, host in bindings)


def services(*containers, settings=INTERNAL):
    return [each.registration for each in wanted_services(containers, settings).services.values()]


def one(settings=INTERNAL, **changes):
    (found,) = services(container(**changes), settings=settings)
    return found


def extra(registration):
    return {k: v for k, v in registration["Meta"].items() if k not in ("registrator", "container", "registration")}


def test_a_copy_of_a_swarm_s_service_names_the_ports_that_swarm_does_not_expose():
    labels = {"SERVICE_5000_NAME": "keystone", "SERVICE_5000_CHECK_HTTP": "/v3"}
    found = one(exposed=(), labels=labels, swarm=True)
    assert (found["Name"], found["Address"], found["Port"]) == ("keystone", NET.ipv4, 5000)
    assert found["Check"]["HTTP"] == "http://10.0.0.5:5000/v3"
    assert services(container(exposed=(), labels=labels)) == []


# --- names, ids, tags, metadata -------------------------------------------------------------------------------------

TWO = {"exposed": (ContainerPort(80), ContainerPort(443))}
NAMES = {
    "the image's base name": ({}, ["web"]),
    "an image by digest": ({"image": "quay.example/a/api@sha256:0123"}, ["api"]),
    "an image without a name: the container's": ({"image": "sha256:0123"}, ["web"]),
    "several ports: -port": (TWO, ["web-80", "web-443"]),
    "SERVICE_NAME": ({"labels": {"SERVICE_NAME": "shop"}}, ["shop"]),
    "SERVICE_NAME, several ports": ({"labels": {"SERVICE_NAME": "shop"}} | TWO, ["shop-80", "shop-443"]),
    "SERVICE_<port>_NAME": ({"labels": {"SERVICE_443_NAME": "tls"}} | TWO, ["web-80", "tls"]),
    "port-specific wins over general": ({"labels": {"SERVICE_NAME": "a", "SERVICE_80_NAME": "b"}}, ["b"]),
    "label wins over environment": ({"env": {"SERVICE_NAME": "a"}, "labels": {"SERVICE_NAME": "b"}}, ["b"]),
    "a port's environment wins over a general label": (
        {"env": {"SERVICE_80_NAME": "a"}, "labels": {"SERVICE_NAME": "b"}},
        ["a"],
    ),
    "environment alone": ({"env": {"SERVICE_NAME": "a"}}, ["a"]),
    "SERVICE_IGNORE": ({"labels": {"SERVICE_IGNORE": "yes"}}, []),
    "SERVICE_IGNORE, whatever it says": ({"labels": {"SERVICE_IGNORE": "false"}}, []),
    "SERVICE_IGNORE empty": ({"labels": {"SERVICE_IGNORE": ""}}, ["web"]),
    "SERVICE_<port>_IGNORE leaves the others": ({"labels": {"SERVICE_443_IGNORE": "1"}} | TWO, ["web-80"]),
    "one port excepted from a general SERVICE_IGNORE": (
        {"labels": {"SERVICE_IGNORE": "1", "SERVICE_80_IGNORE": "", "SERVICE_80_NAME": "only"}} | TWO,
        ["only"],
    ),
    "no port": ({"exposed": ()}, []),
    "stopped, paused or restarting": ({"serving": False}, []),
}


@pytest.mark.parametrize(("changes", "names"), NAMES.values(), ids=NAMES.keys())
def test_names(changes, names):
    assert [each["Name"] for each in services(container(**changes))] == names


IDS = {
    "hostname:container:port": ({}, "h1:web:80"),
    "udp": ({"exposed": (ContainerPort(53, "udp"),)}, "h1:web:53:udp"),
    "SERVICE_ID": ({"labels": {"SERVICE_ID": "mine"}}, "mine"),
    "SERVICE_<port>_ID": ({"labels": {"SERVICE_80_ID": "mine", "SERVICE_ID": "all"}}, "mine"),
}


@pytest.mark.parametrize(("changes", "id_"), IDS.values(), ids=IDS.keys())
def test_ids(changes, id_):
    assert one(**changes)["ID"] == id_


DNS = (ContainerPort(53), ContainerPort(53, "udp"))
SHARED_IDS = {
    "a port by TCP and UDP": ({"SERVICE_ID": "dns"}, DNS, ["dns", "dns:udp"]),
    "a port's own id by TCP and UDP": ({"SERVICE_53_ID": "dns"}, DNS, ["dns", "dns:udp"]),
    "two ports": ({"SERVICE_ID": "x"}, (ContainerPort(80), ContainerPort(443)), ["x:80", "x:443"]),
    "two ports, one by UDP": ({"SERVICE_ID": "x"}, (ContainerPort(80), DNS[1]), ["x:53:udp", "x:80"]),
    "one of them ignored": ({"SERVICE_ID": "x", "SERVICE_53_UDP_IGNORE": "1"}, DNS, ["x"]),
    "one of them with an id of its own": ({"SERVICE_ID": "x", "SERVICE_53_UDP_ID": "y"}, DNS, ["x", "y"]),
}


@pytest.mark.parametrize(("labels", "ports", "ids"), SHARED_IDS.values(), ids=SHARED_IDS.keys())
def test_an_id_given_for_several_ports_is_one_registration_for_each(labels, ports, ids):
    wanted = wanted_services([container(labels=labels, exposed=ports)], INTERNAL)
    assert sorted(wanted.services) == sorted(ids)
    assert not wanted.problems


def test_two_ports_that_insist_on_one_id_are_not_said_to_be_two_containers():
    labels = {"SERVICE_80_ID": "x", "SERVICE_81_ID": "x", "SERVICE_82_ID": "x:81"}
    ports = (WEB, ContainerPort(81), ContainerPort(82))
    wanted = wanted_services([container(labels=labels, exposed=ports)], INTERNAL)
    assert wanted.problems == ("web: another port of it already has the service id x:81",)


PROTOCOLS = {
    "UDP ignored": ({"SERVICE_53_UDP_IGNORE": "1"}, ["h1:web:53"]),
    "TCP ignored": ({"SERVICE_53_TCP_IGNORE": "1"}, ["h1:web:53:udp"]),
    "both ignored by number": ({"SERVICE_53_IGNORE": "1"}, []),
    "a protocol wins over the number": (
        {"SERVICE_53_IGNORE": "1", "SERVICE_53_UDP_IGNORE": ""},
        ["h1:web:53:udp"],
    ),
    "small letters": ({"SERVICE_53_udp_IGNORE": "1"}, ["h1:web:53"]),
    "another port's": ({"SERVICE_54_UDP_IGNORE": "1"}, ["h1:web:53", "h1:web:53:udp"]),
}


@pytest.mark.parametrize(("labels", "ids"), PROTOCOLS.values(), ids=PROTOCOLS.keys())
def test_a_key_can_be_for_a_port_by_one_protocol(labels, ids):
    assert [each["ID"] for each in services(container(labels=labels, exposed=DNS))] == ids


def test_every_key_can_be_for_one_protocol():
    labels = {"SERVICE_53_NAME": "dns", "SERVICE_53_UDP_NAME": "dns-udp", "SERVICE_53_UDP_ZONE": "z"}
    first, second = services(container(labels=labels | {"SERVICE_53_TCP_CHECK_TCP": "1"}, exposed=DNS))
    assert (first["Name"], "Check" in first, extra(first)) == ("dns", True, {})
    assert (second["Name"], "Check" in second, extra(second)) == ("dns-udp", False, {"zone": "z"})


def test_a_replica_names_a_udp_port_too():
    labels = {"SERVICE_53_UDP_NAME": "dns"}
    assert [each["ID"] for each in services(container(exposed=(), labels=labels, swarm=True))] == ["h1:web:53:udp"]


def test_explicit_takes_only_what_is_named():
    settings = replace(INTERNAL, explicit=True)
    assert services(container(), settings=settings) == []
    labels = {"SERVICE_443_NAME": "tls"}
    assert [each["Name"] for each in services(container(labels=labels, **TWO), settings=settings)] == ["tls"]


def test_tags_for_all_come_after_a_service_s_own():
    settings = replace(INTERNAL, tags=("all",))
    assert services(container(labels={"SERVICE_TAGS": "a"}, exposed=DNS[1:]), settings=settings)[0]["Tags"] == [
        "a",
        "all",
        "udp",
    ]


@pytest.mark.parametrize("path", ["/up", "up", "@192.0.2.1/", ".example/"])
def test_a_check_s_path_cannot_name_another_host(path):
    checked = one(labels={"SERVICE_CHECK_HTTP": path})["Check"]["HTTP"]
    assert checked == f"http://10.0.0.5:80/{path.removeprefix('/')}"


def test_metadata_is_cut_at_consul_s_limit_of_bytes():
    value = extra(one(labels={"SERVICE_X": "ä" * 400}))["x"]
    assert value == "ä" * 256


TAGS = {
    "": ("", (), []),
    "a,b": ("a,b", (), ["a", "b"]),
    "a comma inside": (r"a\,b,c", (), ["a,b", "c"]),
    "udp is added": ("a", (ContainerPort(53, "udp"),), ["a", "udp"]),
}


@pytest.mark.parametrize(("text", "exposed", "tags"), TAGS.values(), ids=TAGS.keys())
def test_tags(text, exposed, tags):
    assert one(labels={"SERVICE_TAGS": text}, exposed=exposed or (WEB,))["Tags"] == tags


def test_other_keys_are_metadata():
    labels = {"SERVICE_REGION": "eu", "SERVICE_80_Weight": "5", "SERVICE_A.B": "x" * 600, "SERVICE_81_ZONE": "no"}
    found = one(env={"SERVICE_REGION": "us", "SERVICE_OWNER": "me"}, labels=labels | {"SERVICE_CHECK_TCP": "1"})
    assert extra(found) == {"region": "eu", "owner": "me", "weight": "5", "a_b": "x" * 512}
    assert found["Meta"]["registrator"] == "h1"
    assert found["Meta"]["container"] == "c" * 12


# --- checks ---------------------------------------------------------------------------------------------------------

EVERY = {"Interval": "10s"}
CHECKS = {
    "none": ({}, None),
    "HTTP": ({"HTTP": "/up"}, {"HTTP": "http://10.0.0.5:80/up"} | EVERY),
    "HTTP_METHOD": ({"HTTP": "/", "HTTP_METHOD": "HEAD"}, {"HTTP": "http://10.0.0.5:80/", "Method": "HEAD"} | EVERY),
    "HTTPS": (
        {"HTTPS": "/", "HTTPS_METHOD": "HEAD", "TLS_SKIP_VERIFY": "1"},
        {"HTTP": "https://10.0.0.5:80/", "Method": "HEAD", "TLSSkipVerify": True} | EVERY,
    ),
    "TCP": ({"TCP": "true"}, {"TCP": "10.0.0.5:80"} | EVERY),
    "GRPC": ({"GRPC": "true"}, {"GRPC": "10.0.0.5:80"} | EVERY),
    "GRPC over TLS": ({"GRPC": "1", "GRPC_USE_TLS": "1"}, {"GRPC": "10.0.0.5:80", "GRPCUseTLS": True} | EVERY),
    "TTL": ({"TTL": "30s"}, {"TTL": "30s"}),
    "SCRIPT": (
        {"SCRIPT": "nc -z $SERVICE_IP $SERVICE_PORT"},
        {"Args": ["sh", "-c", "nc -z 10.0.0.5 80"]} | EVERY,
    ),
    "CMD": ({"CMD": "/check.sh"}, {"Args": ["check-cmd", "c" * 12, "80", "/check.sh"]} | EVERY),
    "INTERVAL, TIMEOUT": (
        {"TCP": "1", "INTERVAL": "2s", "TIMEOUT": "1s"},
        {"TCP": "10.0.0.5:80", "Interval": "2s", "Timeout": "1s"},
    ),
    "INITIAL_STATUS, DEREGISTER_AFTER": (
        {"TCP": "1", "INITIAL_STATUS": "passing", "DEREGISTER_AFTER": "10m"},
        {"TCP": "10.0.0.5:80", "Status": "passing", "DeregisterCriticalServiceAfter": "10m"} | EVERY,
    ),
    "FAILURES_BEFORE_CRITICAL, SUCCESS_BEFORE_PASSING": (
        {"TCP": "1", "FAILURES_BEFORE_CRITICAL": "3", "SUCCESS_BEFORE_PASSING": "2"},
        {"TCP": "10.0.0.5:80", "FailuresBeforeCritical": 3, "SuccessBeforePassing": 2} | EVERY,
    ),
    "HTTP wins over TCP": ({"TCP": "1", "HTTP": "/"}, {"HTTP": "http://10.0.0.5:80/"} | EVERY),
    "INTERVAL alone is no check": ({"INTERVAL": "2s"}, None),
}


@pytest.mark.parametrize("where", ["SERVICE_CHECK_", "SERVICE_80_CHECK_"])
@pytest.mark.parametrize(("keys", "check"), CHECKS.values(), ids=CHECKS.keys())
def test_checks(keys, check, where):
    found = one(labels={where + key: value for key, value in keys.items()})
    assert found.get("Check") == check
    assert extra(found) == {}


def test_a_check_at_an_ipv6_address_has_brackets():
    found = one(labels={"SERVICE_CHECK_HTTP": "/"}, networks=(ContainerNetwork("mesh", "n1", "", "fd00::5"),))
    assert (found["Address"], found["Check"]["HTTP"]) == ("fd00::5", "http://[fd00::5]:80/")


@pytest.mark.parametrize(
    ("health", "status"), [("starting", "critical"), ("healthy", "passing"), ("unhealthy", "critical")]
)
def test_a_healthcheck_becomes_a_ttl_check(health, status):
    (service,) = wanted_services([container(health=health, health_output="fine\n")], INTERNAL).services.values()
    assert service.registration["Check"] == {"Name": "Docker HEALTHCHECK", "TTL": "60s"}
    assert (service.status, service.output) == (status, f"{health}: fine")
    assert service.body["Check"]["Status"] == status


def test_the_health_itself_is_no_reason_to_register_again():
    digests = {
        each.digest
        for health in ("starting", "healthy", "unhealthy")
        for each in wanted_services([container(health=health)], INTERNAL).services.values()
    }
    assert len(digests) == 1


def test_a_check_of_its_own_wins_over_the_healthcheck():
    (service,) = wanted_services(
        [container(health="unhealthy", labels={"SERVICE_CHECK_TCP": "1"})], INTERNAL
    ).services.values()
    assert service.status == ""
    assert service.registration["Check"]["TCP"] == "10.0.0.5:80"


# --- where a service is ---------------------------------------------------------------------------------------------

ANY4 = ((80,), "0.0.0.0", 8080)
ANY6 = ((80,), "::", 8080)
PLACES = {
    "everywhere: the host's address": ([ANY4, ANY6], ("192.0.2.7", 8080)),
    "IPv6 only": ([ANY6], ("192.0.2.7", 8080)),
    "one address of the host": ([((80,), "198.51.100.1", 8080)], ("198.51.100.1", 8080)),
    "one IPv6 address of the host": ([((80,), "2001:db8::1", 8080)], ("2001:db8::1", 8080)),
    "published twice: the lowest port": ([((80,), "0.0.0.0", 9090), ANY4], ("192.0.2.7", 8080)),
    "IPv4 first": ([((80,), "2001:db8::1", 80), ANY4], ("192.0.2.7", 8080)),
}


@pytest.mark.parametrize(("bindings", "place"), PLACES.values(), ids=PLACES.keys())
def test_published_ports(bindings, place):
    found = one(PUBLISHED, bindings=published(*bindings), exposed=(WEB, ContainerPort(443)))
    assert (found["Address"], found["Port"], found["ID"], found["Name"]) == (*place, "h1:web:80", "web")


def test_an_unpublished_port_is_no_service_in_published_mode():
    assert services(container(), settings=PUBLISHED) == []


def test_internal_mode_takes_the_container_s_own_address_and_exposed_port():
    found = one(bindings=published(ANY4))
    assert (found["Address"], found["Port"]) == ("10.0.0.5", 80)


def test_both_families_are_told_to_consul_where_asked():
    both = (ContainerNetwork("mesh", "n1", "10.0.0.5", "fd00::5"),)
    assert "TaggedAddresses" not in one(networks=both)
    found = one(networks=both, labels={"SERVICE_IPV6": "yes"})
    assert found["Address"] == "10.0.0.5"
    assert found["TaggedAddresses"] == {
        "lan_ipv4": {"Address": "10.0.0.5", "Port": 80},
        "lan_ipv6": {"Address": "fd00::5", "Port": 80},
    }


HOST_NETWORK = {"network_mode": "host", "networks": (ContainerNetwork("host", "n9"),)}


@pytest.mark.parametrize("internal", [True, False])
def test_host_networking_means_the_host_s_address(internal):
    settings = RegistratorSettings("h1", internal, address="192.0.2.7")
    found = one(settings, **HOST_NETWORK)
    assert (found["Address"], found["Port"]) == ("192.0.2.7", 80)


def test_without_the_host_s_address_a_container_on_its_network_is_left_out_never_registered_with_none():
    wanted = wanted_services([container(**HOST_NETWORK)], INTERNAL)
    assert not wanted.services
    assert "--address" in wanted.problems[0]


@pytest.mark.parametrize("address", ["", "192.0.2.7"])
def test_a_container_on_the_host_s_network_is_not_on_the_option_s(address):
    settings = RegistratorSettings("h1", internal=True, network="mesh", address=address)
    assert wanted_services([container(**HOST_NETWORK)], settings) == WantedServices({})
    asked = wanted_services([container(**HOST_NETWORK, labels={"SERVICE_NETWORK": "host"})], settings)
    assert [each.registration["Address"] for each in asked.services.values()] == ([address] if address else [])


def test_one_that_shares_the_network_of_such_a_container_is_no_better_off():
    owner = container(id="o" * 64, name="owner", exposed=(), **HOST_NETWORK)
    joiner = container(
        name="app", networks=(), exposed=(), network_mode="container:owner", labels={"SERVICE_90_ID": "x"}
    )
    assert services(owner, joiner, settings=INTERNAL) == []


def test_a_container_without_a_network_never_gets_an_address():
    wanted = wanted_services([container(network_mode="none", networks=(ContainerNetwork("none", "n8"),))], INTERNAL)
    assert not wanted.services
    assert wanted.problems == ("web: it is on no network",)


# --- names and ids that are the installation's ----------------------------------------------------------------------

OURS = "provision.stack=local"
RESERVED = replace(INTERNAL, reserved=frozenset({"mariadb", "web-80"}), reserved_for=OURS)
STRANGERS = {
    "by its image's name": {"image": "mariadb:11"},
    "by its image's name at some registry": {"image": "quay.example/x/mariadb"},
    "by label": {"labels": {"SERVICE_NAME": "mariadb"}},
    "by environment": {"env": {"SERVICE_NAME": "mariadb"}},
    "by a port's label": {"labels": {"SERVICE_80_NAME": "mariadb"}},
    "by a protocol's label": {"labels": {"SERVICE_80_TCP_NAME": "mariadb"}},
    "DNS does not tell capitals": {"labels": {"SERVICE_NAME": "MariaDB"}},
    "by a name that several ports make": TWO | {"labels": {"SERVICE_443_IGNORE": "1"}},
    "with a label that is almost ours": {"image": "mariadb", "marks": frozenset({"provision.stack=other"})},
}


@pytest.mark.parametrize("changes", STRANGERS.values(), ids=STRANGERS.keys())
def test_nobody_else_s_container_answers_for_a_service_of_ours(changes):
    wanted = wanted_services([container(**changes)], RESERVED)
    assert not wanted.services
    assert "is reserved for containers with provision.stack=local" in wanted.problems[0]


def test_nor_does_one_that_shares_the_network_of_ours():
    owner = container(id="o" * 64, name="owner", exposed=(), marks=frozenset({OURS}))
    joiner = container(
        name="app", networks=(), exposed=(), network_mode="container:owner", labels={"SERVICE_90_NAME": "mariadb"}
    )
    assert services(owner, joiner, settings=RESERVED) == []


def test_ours_have_their_names_and_strangers_all_others():
    ours = container(image="mariadb", marks=frozenset({OURS}))
    other = container(id="d" * 64, name="shop")
    assert [each["Name"] for each in services(ours, other, settings=RESERVED)] == ["mariadb", "web"]


def test_of_two_with_one_id_ours_has_it_whatever_their_ages():
    labels = {"SERVICE_ID": "mariadb-1"}
    old = container(name="old", created="2026-01-01", labels=labels)
    ours = container(id="d" * 64, name="ours", created="2026-01-02", labels=labels, marks=frozenset({OURS}))
    wanted = wanted_services([old, ours], RESERVED)
    assert wanted.services["mariadb-1"].registration["Meta"]["container"] == "d" * 12
    assert wanted.problems == ("old: another container already has the service id mariadb-1",)


BOTH = (ContainerNetwork("back", "n2", "10.1.0.5"), ContainerNetwork("front", "n3", "10.2.0.5"))
NETWORKS = {
    "the only one": ("", {}, (NET,), "10.0.0.5"),
    "the option": ("front", {}, BOTH, "10.2.0.5"),
    "the label wins over the option": ("front", {"SERVICE_NETWORK": "back"}, BOTH, "10.1.0.5"),
    "by its id": ("n3", {}, BOTH, "10.2.0.5"),
    "by its short name in the project": (
        "front",
        {},
        (ContainerNetwork("shop_front", "n4", "10.3.0.5"), NET),
        "10.3.0.5",
    ),
    "several, and none named": ("", {}, BOTH, None),
    "not on the label's": ("", {"SERVICE_NETWORK": "other"}, (NET,), None),
    "no address yet": ("", {}, (ContainerNetwork("mesh", "n1"),), None),
    "no network": ("", {}, (), None),
}


@pytest.mark.parametrize(("option", "labels", "networks", "address"), NETWORKS.values(), ids=NETWORKS.keys())
def test_the_network_is_chosen_never_drawn(option, labels, networks, address):
    each = container(labels=labels, networks=networks, project="shop")
    wanted = wanted_services([each], RegistratorSettings("h1", internal=True, network=option))
    assert [service.registration["Address"] for service in wanted.services.values()] == ([address] if address else [])
    assert bool(wanted.problems) == (address is None)


def test_a_container_elsewhere_is_not_meant_by_the_option():
    wanted = wanted_services([container()], RegistratorSettings("h1", internal=True, network="other"))
    assert not wanted.services
    assert not wanted.problems


def test_what_is_ignored_is_no_problem():
    assert not wanted_services([container(labels={"SERVICE_IGNORE": "1"}, networks=BOTH)], INTERNAL).problems


# --- shared namespaces ----------------------------------------------------------------------------------------------

OWNER = container(id="o" * 64, name="owner", exposed=(), bindings=published(((90,), "0.0.0.0", 9090)))


@pytest.mark.parametrize("whose", ["o" * 64, "owner"])
@pytest.mark.parametrize(("settings", "place"), [(INTERNAL, ("10.0.0.5", 90)), (PUBLISHED, ("192.0.2.7", 9090))])
def test_a_shared_namespace_has_its_owner_s_address(whose, settings, place):
    joiner = container(
        name="app", networks=(), exposed=(), network_mode=f"container:{whose}", labels={"SERVICE_90_NAME": "app"}
    )
    found = {each["ID"]: each for each in services(OWNER, joiner, settings=settings)}["h1:app:90"]
    assert (found["Address"], found["Port"], found["Name"]) == (*place, "app")


def test_an_owner_that_is_gone_is_a_problem():
    joiner = container(network_mode="container:gone", networks=())
    wanted = wanted_services([joiner], INTERNAL)
    assert not wanted.services
    assert wanted.problems == ("web: the container whose network it uses is not running",)


def test_two_that_share_with_each_other_end():
    first = container(id="1", name="a", networks=(), network_mode="container:2")
    second = container(id="2", name="b", networks=(), network_mode="container:1")
    assert not wanted_services([first, second], INTERNAL).services


# --- conflicts, changes ---------------------------------------------------------------------------------------------


def test_of_two_with_one_id_the_older_has_it():
    labels = {"SERVICE_ID": "same"}
    old = container(id="2" * 64, name="old", created="2026-01-01", labels=labels)
    new = container(id="1" * 64, name="new", created="2026-01-02", labels=labels)
    wanted = wanted_services([new, old], INTERNAL)
    assert wanted.services["same"].registration["Meta"]["container"] == "2" * 12
    assert wanted.problems == ("new: another container already has the service id same",)


def there(registration, **changes):
    """Show a registration as Consul's agent shows it."""
    entry = {**registration, "Service": registration["Name"], **changes}
    del entry["Name"]
    return entry


def entry(id_, **meta):
    return {"ID": id_, "Service": "x", "Address": "10.0.0.9", "Port": 1, "Meta": meta}


WANTED = wanted_services([container()], INTERNAL)
READY = there(WANTED.services["h1:web:80"].registration)
CHANGES = {
    "nothing there": ({}, ["h1:web:80"], [], 0),
    "all there": ({"h1:web:80": READY}, [], [], 0),
    "another port by hand": ({"h1:web:80": READY | {"Port": 81}}, ["h1:web:80"], [], 0),
    "another address": ({"h1:web:80": READY | {"Address": "10.0.0.6"}}, ["h1:web:80"], [], 0),
    "another registration": (
        {"h1:web:80": READY | {"Meta": READY["Meta"] | {"registration": "0"}}},
        ["h1:web:80"],
        [],
        0,
    ),
    "ours, gone": ({"h1:web:80": READY, "h1:old:80": entry("h1:old:80", registrator="h1")}, [], ["h1:old:80"], 0),
    "ours, gone, with an id of its own": (
        {"h1:web:80": READY, "mine": entry("mine", registrator="h1")},
        [],
        ["mine"],
        0,
    ),
    "another host's": ({"h1:web:80": READY, "h2:a:80": entry("h2:a:80", registrator="h2")}, [], [], 0),
    "somebody's hand-made one": ({"h1:web:80": READY, "h1:a:80": entry("h1:a:80")}, [], [], 0),
    "our id, somebody's hand-made one": ({"h1:web:80": entry("h1:web:80")}, [], [], 1),
    "our id, another host's": ({"h1:web:80": entry("h1:web:80", registrator="h2")}, [], [], 1),
    "no metadata at all": ({"h1:web:80": READY, "y": entry("y") | {"Meta": None}}, [], [], 0),
}


@pytest.mark.parametrize(("actual", "register", "deregister", "problems"), CHANGES.values(), ids=CHANGES.keys())
def test_changes(actual, register, deregister, problems):
    changes = plan_changes(WANTED, actual, "h1")
    assert [each.id for each in changes.register] == register
    assert list(changes.deregister) == deregister
    assert len(changes.problems) == problems


def test_with_another_token_everything_is_registered_anew_and_what_goes_is_taken_over_first():
    (ours,) = wanted_services([container()], replace(INTERNAL, token_hash="new")).services.values()
    held = {"registrator": "h1", "holder": "old"}
    gone = entry("h1:old:80", **held) | {"Address": "10.0.0.9", "Tags": ["t"]}
    actual = {"h1:web:80": READY, "h1:old:80": gone, "h1:same:80": entry("h1:same:80", **held | {"holder": "new"})}
    changes = plan_changes(WantedServices({ours.id: ours}), actual, "h1", "new")
    assert [each.id for each in changes.register] == ["h1:web:80"]
    assert changes.deregister == ("h1:old:80", "h1:same:80")
    (taken,) = changes.adopt
    assert taken.body == {
        "ID": "h1:old:80",
        "Name": gone["Service"],
        "Address": "10.0.0.9",
        "Port": gone["Port"],
        "Tags": ["t"],
        "Meta": held,
    }
    assert ours.registration["Meta"]["holder"] == "new"
    # Nothing changes for who has no token.
    assert "holder" not in READY["Meta"]
    assert not plan_changes(WANTED, {"h1:web:80": READY}, "h1").register


def test_a_renamed_container_keeps_its_service_s_status():
    labels = {"SERVICE_NAME": "shop", "SERVICE_CHECK_TCP": "1"}
    before = there(one(labels=labels))
    (after,) = wanted_services([container(labels=labels, name="other")], INTERNAL).services.values()
    changes = keep_statuses(Changes(register=(after,)), {"h1:web:80": before}, {"h1:web:80": "passing"})
    assert changes.register[0].body["Check"] == after.registration["Check"] | {"Status": "passing"}
    elsewhere = before | {"Meta": {"container": "another"}}
    same = keep_statuses(Changes(register=(after,)), {"h1:web:80": elsewhere}, {"h1:web:80": "passing"})
    assert "Status" not in same.register[0].body["Check"]
