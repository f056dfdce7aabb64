"""What a user may choose, and the names and numbers that follow from it."""

from __future__ import annotations

import re

import pytest
import yaml

from provision.base import paths
from provision.model.localcloud.settings import (
    CLUSTERED,
    Settings,
    apis,
    base_service,
    member_services,
    members,
    reserved_names,
)

HA = Settings(ha=True)
SWARM = Settings(ha=True, swarm=True)


def test_each_member_has_a_name_and_a_volume_of_its_own():
    plain = yaml.safe_load((paths.COMPOSE / "stack.yaml").read_text())
    more = yaml.safe_load((paths.COMPOSE / "ha.yaml").read_text())
    services = plain["services"] | more["services"]
    assert set(more["services"]) == {*CLUSTERED, *member_services(HA)}
    volumes = []
    for family, folder in (("mariadb", "/var/lib/mysql"), ("rabbitmq", "/var/lib/rabbitmq")):
        names = members(HA, family)
        for service, name in zip((family, *names[1:]), names, strict=True):
            body = more["services"][service]
            assert body["environment"]["MEMBER"] == name
            assert name in {body["labels"].get("SERVICE_3306_ID"), body["labels"].get("SERVICE_25672_NAME")}
            mounts = [*plain["services"].get(service, {}).get("volumes", ()), *body.get("volumes", ())]
            volumes += [mount.partition(":")[0] for mount in mounts if mount.endswith(f":{folder}")]
    assert len(volumes) == len(set(volumes)) == 6
    assert set(volumes) <= set(plain["volumes"]) | set(more["volumes"])
    tags = [services[name]["labels"]["SERVICE_11211_TAGS"] for name in ("memcached", "memcached-2", "memcached-3")]
    assert tags == ["1", "2", "3"]
    for body in more["volumes"].values():
        assert body["labels"]["provision.stack"] == "local"


def test_apis_have_two_replicas_unless_the_user_wants_another_number():
    assert SWARM.replicas_of("keystone") == 2
    assert Settings(ha=True, swarm=True, replicas={"keystone": 3}).replicas_of("keystone") == 3
    assert SWARM.replicas_of("neutron-api") == 2
    # Its images are files of one host; a second one of these has nothing to do.
    assert {SWARM.replicas_of(name) for name in ("glance", "neutron-workers")} == {1}
    assert Settings().replicas_of("keystone") == 1


def test_what_is_wanted_is_built_and_awaited_and_horizon_on_wish():
    assert not {"horizon", "bake"} & SWARM.families
    assert {"registry", "keystone", "nova", "mariadb", "ovn", "neutron", "compute"} <= SWARM.families
    assert SWARM.families - Settings(ha=True).families == {"registry"}
    awaited = [api.name for api in apis(SWARM) if api.awaited]
    assert awaited == ["keystone", "glance", "placement", "nova-api", "neutron"]
    # Several hosts have none, whatever was chosen before.
    assert "monitoring" not in Settings(swarm=True, monitoring=True).families
    assert Settings(monitoring=True).families - Settings().families == {"monitoring"}
    wish = Settings(ha=True, swarm=True, replicas={"horizon": 1})
    assert "horizon" in wish.families
    assert "horizon" in [api.name for api in apis(wish) if api.awaited]


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("mariadb-2", "mariadb"),
        ("mariadb", "mariadb"),
        ("nova-api", "nova-api"),
        ("restart-hypervisor", "restart-hypervisor"),
    ],
)
def test_a_member_belongs_to_its_service_and_all_others_are_themselves(name, service):
    assert base_service(name) == service


def test_every_name_that_the_stack_registers_is_reserved():
    texts = [path.read_text() for path in (*paths.COMPOSE.glob("*.yaml"), *paths.COMPOSE.glob("*/Dockerfile"))]
    names = {name for text in texts for name in re.findall(r"SERVICE_(?:\d+_)?NAME[:=] ?([\w-]+)", text)}
    assert {"mariadb", "keystone", "rabbitmq-3", "haproxy", "consul-ui"} <= names
    assert names <= set(reserved_names())
