"""Consul's rules and tokens: from nothing, from what is there already, from what another installation has left."""

from __future__ import annotations

import uuid

import pytest

from provision.model.localcloud.consul_acl import ACCESSES, ANYBODY, CONSULS_OWN, MARK, Access, accessor, changes

SECRETS = {each.name: str(uuid.UUID(int=number, version=4)) for number, each in enumerate(ACCESSES[1:], 1)}
OWN = "own"
FRESH = (
    [{"ID": "1", "Name": "global-management", "Description": "Builtin"}],
    [
        {"AccessorID": OWN, "Description": CONSULS_OWN, "Policies": [{"Name": "global-management"}]},
        {"AccessorID": ANYBODY, "Description": "Anonymous Token"},
    ],
)


def after(there, requests):
    """Do to Consul's lists what the requests would."""
    policies = {each["Name"]: each for each in there[0]}
    tokens = {each["AccessorID"]: each for each in there[1]}
    for request in requests:
        kind, _, id_ = request.path.removeprefix("/v1/acl/").partition("/")
        if request.method == "DELETE":
            del tokens[id_]
        elif kind == "policy":
            name = request.body["Name"]
            assert id_ == (policies[name]["ID"] if name in policies else "")
            policies[name] = {"ID": id_ or name, **request.body}
        else:
            tokens[id_ or request.body["AccessorID"]] = {
                **request.body,
                "AccessorID": id_ or request.body["AccessorID"],
            }
            assert {each["Name"] for each in request.body["Policies"]} <= set(policies)
    return list(policies.values()), list(tokens.values())


DONE = after(FRESH, changes(*FRESH, SECRETS, OWN))


def test_a_fresh_consul_is_told_everything_once():
    asked = changes(*FRESH, SECRETS, OWN)
    assert [each.body["Name"] for each in asked if each.path == "/v1/acl/policy"] == [each.policy for each in ACCESSES]
    made = {each.body["SecretID"]: each.body for each in asked if each.path == "/v1/acl/token"}
    assert set(made) == set(SECRETS.values())
    assert made[SECRETS["registrator"]]["Policies"] == [{"Name": "provision-registrator"}]
    assert changes(*DONE, SECRETS, OWN) == []


def test_no_secret_can_be_read_from_what_is_public():
    text = str([[each["AccessorID"], each["Description"]] for each in DONE[1]])
    assert not any(secret in text for secret in SECRETS.values())
    assert len({accessor(secret) for secret in SECRETS.values()}) == len(SECRETS)


def test_changed_rules_are_told_under_the_same_id(monkeypatch):
    other = Access("registrator", "other rules")
    replaced = tuple(other if each.name == other.name else each for each in ACCESSES)
    monkeypatch.setattr("provision.model.localcloud.consul_acl.ACCESSES", replaced)
    (request,) = changes(*DONE, SECRETS, OWN)
    assert request.path == "/v1/acl/policy/provision-registrator"
    assert request.body["Rules"] == "other rules"


def test_tokens_of_a_lost_installation_end_and_others_stay():
    theirs = {"AccessorID": "theirs", "Description": "of the operator", "Policies": [{"Name": "global-management"}]}
    there = DONE[0], [*DONE[1], theirs, {"AccessorID": "new", "Description": CONSULS_OWN, "Policies": []}]
    new = {name: str(uuid.uuid4()) for name in SECRETS}
    asked = changes(*there, new, "new")
    gone = {each.path.rpartition("/")[2] for each in asked if each.method == "DELETE"}
    assert gone == {accessor(secret) for secret in SECRETS.values()} | {OWN}
    assert {each.body["SecretID"] for each in asked if each.method == "PUT"} == set(new.values())
    # First the new, then the end of the old.
    assert [each.method for each in asked] == sorted((each.method for each in asked), reverse=True)


@pytest.mark.parametrize("broken", [[], [{"Name": "global-management"}]])
def test_rights_that_somebody_changed_are_set_right(broken):
    own = accessor(SECRETS["registrator"])
    tokens = [each | {"Policies": broken} if each["AccessorID"] == own else each for each in DONE[1]]
    (request,) = changes(DONE[0], tokens, SECRETS, OWN)
    assert (request.path, request.body["Policies"]) == (f"/v1/acl/token/{own}", [{"Name": "provision-registrator"}])


def test_what_the_operator_lets_anybody_do_stays():
    tokens = [each | {"Policies": [{"Name": "more"}]} if each["AccessorID"] == ANYBODY else each for each in DONE[1]]
    (request,) = changes(DONE[0], tokens, SECRETS, OWN)
    assert request.body["Policies"] == [{"Name": "more"}, {"Name": "provision-anybody"}]


def test_everything_of_ours_is_marked():
    assert all(each["Description"].startswith(MARK) for each in DONE[0][1:])
