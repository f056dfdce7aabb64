from __future__ import annotations

from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from provision.base import paths
from provision.base.errors import UsageError
from provision.model.localcloud import image_families, render, replicas
from provision.model.localcloud import settings as stack
from provision.model.localcloud.host import ServiceState
from provision.model.localcloud.replicas import (
    MAX_REPLICAS,
    SCALABLE_NAMES,
    SCALABLE_SERVICES,
    SERVICE_FAMILIES,
    drift,
    missing,
    outdated,
    parse_replicas,
    slots,
)

SERVICES = {*stack.INFRASTRUCTURE, *(each.service for each in SCALABLE_SERVICES)}


def container(service="nova-api", number=1, definition="new", **more):
    return ServiceState(
        service, f"{service}-{number}", "running", number=number, definition=definition, **({"id": "x"} | more)
    )


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["nova-api=3"], {"nova-api": 3}),
        (["keystone=1", "nova-conductor=10"], {"keystone": 1, "nova-conductor": 10}),
    ],
)
def test_words_are_read(words, wanted):
    assert parse_replicas(words, SERVICES) == wanted


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["nova-api"], "'nova-api' is not SERVICE=N"),
        (["nova-api=three"], "'nova-api=three' is not SERVICE=N"),
        (["nova-api=-1"], "'nova-api=-1' is not SERVICE=N"),
        (["=2"], "'=2' is not SERVICE=N"),
        (["nova-api=2 keystone=2"], "is not SERVICE=N"),
        (["nova=2"], "there is no service 'nova'"),
        (["haproxy=2"], "haproxy cannot have replicas"),
        (["mariadb=3"], "mariadb cannot have replicas"),
        (["neutron-workers=2"], "neutron-workers cannot have replicas"),
        (["nova-api=0"], "nova-api needs at least one replica"),
        ([f"nova-api={MAX_REPLICAS + 1}"], "cannot have 11 replicas"),
        (["nova-api=2", "nova-api=3"], "nova-api is named twice"),
    ],
)
def test_what_cannot_be_done_is_one_clear_message(words, problem):
    with pytest.raises(UsageError, match=problem) as caught:
        parse_replicas(words, SERVICES)
    assert caught.value.hint
    assert caught.value.exit_code == 2


def test_the_table_and_the_compose_file_say_the_same():
    services = yaml.safe_load((paths.COMPOSE / "stack.yaml").read_text())["services"]
    labelled = {name: body for name, body in services.items() if replicas.REPLICA_LABEL in body["labels"]}
    assert set(labelled) == {each.service for each in SCALABLE_SERVICES}
    for name, body in labelled.items():
        assert body["hostname"] == f"{name}-${{REPLICA:?}}"
        wanted = {"replicas": f"${{{replicas.replicas_variable(name)}:?}}"} if name in SCALABLE_NAMES else None
        assert body.get("deploy") == wanted
        assert body["image"].startswith(f"provision/{SERVICE_FAMILIES[name]}:")
        assert "ports" not in body, "two replicas could not publish one port"
    for each in SCALABLE_SERVICES:
        assert bool(each.peer) == (not any("_NAME" in key for key in labelled[each.service]["labels"]))


def test_haproxy_has_a_place_for_every_replica_and_one_more():
    text = render.documents(stack.Settings(), dict.fromkeys(stack.PASSWORDS, "x"))["haproxy/haproxy.cfg"]
    for api in stack.apis(stack.Settings()):
        assert f"server-template {api.name} {MAX_REPLICAS + 1} " in text


def test_replicas_reach_compose():
    settings = stack.Settings(replicas={"nova-api": 3})
    tags = {family.name: "t" for family in image_families.FAMILIES}
    values = render.environment(settings, tags, {}, {}, paths.COMPOSE)
    assert (values["NOVA_API_REPLICAS"], values["KEYSTONE_REPLICAS"], values["REPLICA"]) == ("3", "1", "1")


@pytest.mark.parametrize(
    ("replicas", "there", "wanted"),
    [
        ({"a": 1, "b": 1}, [], {1: {"a": 1, "b": 1}}),
        ({"a": 3, "b": 1}, [("a", 1)], {1: {"b": 1}, 2: {"a": 2}, 3: {"a": 3}}),
        ({"a": 3}, [("a", 1), ("a", 3)], {2: {"a": 3}}),
        # Two containers of one number, in the middle of an upgrade.
        ({"a": 2}, [("a", 1), ("a", 1)], {2: {"a": 3}}),
        ({"a": 1}, [("a", 1), ("c", 1)], {}),
    ],
)
def test_what_is_missing(replicas, there, wanted):
    assert missing(replicas, [container(service, number) for service, number in there]) == wanted


@given(st.lists(st.sampled_from(["up", "down", "upgrade"]), max_size=30))
def test_a_name_by_number_is_never_taken_by_composes_own_counting(acts):
    """Compose names a container one above its highest so far: never what a replica is called by its number."""
    there: dict[int, int] = {1: 1}  # number of the replica -> number in Compose
    for act in acts:
        if act == "down" and len(there) > 1:
            del there[max(there)]
        elif act == "up" and len(there) < MAX_REPLICAS:
            number = max(there) + 1
            counted = max(there.values()) + 1
            assert counted not in there
            there[number] = counted
        elif act == "upgrade":
            for number in sorted(there):
                counted = max(there.values()) + 1
                assert counted not in there
                there[number] = counted


def test_slots_tell_who_stays_and_who_goes():
    old, new = container(number=1, definition="old", id="a", created="1"), container(number=1, id="b", created="2")
    newer = replace(new, id="c", created="3")
    beyond = container(number=3, id="d")
    found = slots(2, {1: "new", 2: "new"}, [old, new, newer, beyond])
    assert [(slot.number, slot.wanted, slot.stays, slot.goes, slot.done) for slot in found] == [
        (1, True, newer, (old, new), False),
        (2, True, None, (), False),
        (3, False, None, (beyond,), False),
    ]
    assert slots(1, {1: "new"}, [new])[0].done


def test_outdated():
    states = [container(number=1), container(number=2, definition="old"), container("other", definition="old")]
    assert outdated({"nova-api": {1: "new", 2: "new"}}, states) == [states[1]]
    # A replica that should not exist is outdated.
    assert outdated({"nova-api": {1: "new"}}, [container(number=2)])


@pytest.mark.parametrize(
    ("made_from", "definition", "word"),
    [
        (("provision/nova:1", "c"), "new", ""),
        (("provision/nova:1", "c"), "", ""),
        (("provision/nova:2", "d"), "other", "image"),
        (("provision/nova:1", "d"), "other", "configuration"),
        (("provision/nova:1", "c"), "other", "definition"),
        (None, "", "no longer wanted"),
    ],
)
def test_drift_in_a_word(made_from, definition, word):
    assert drift(container(image="provision/nova:1", configuration="c"), made_from, definition) == word
