from __future__ import annotations

import pytest

from provision.base.errors import UsageError
from provision.model.cluster.steps import Plan, Step, create_together, refuse_losses


def test_a_plan_as_json():
    made = Plan("a", (Step("start", "server", "a-master", "it is SHUTOFF", ("1",)),), ("look here",))
    assert made.as_data() == {
        "cluster": "a",
        "nothing_to_do": False,
        "steps": [
            {
                "verb": "start",
                "kind": "server",
                "name": "a-master",
                "why": "it is SHUTOFF",
                "ids": ("1",),
                "destructive": False,
            }
        ],
        "notes": ["look here"],
    }
    assert Plan("a").as_data()["nothing_to_do"] is True


def test_destructive_steps():
    keeps = Step("start", "server", "a-master", "it is SHUTOFF")
    loses = Step("delete", "server", "a-worker-1", "it is in ERROR", destructive=True)
    assert Plan("a", (keeps, loses)).destructive == (loses,)


def test_all_of_a_small_cluster_that_would_be_lost_is_named():
    users = [f"user-{number}" for number in range(6)]
    removed = [Step("remove", "user", user, "hub.users does not name this user", destructive=True) for user in users]
    with pytest.raises(UsageError, match=", ".join(users)):
        refuse_losses(Plan("a", tuple(removed)), replace=False)


def test_what_would_be_lost_is_named_in_one_line_however_much_it_is():
    why = "the spec asks for 10 workers"
    names = [f"a-worker-{number}" for number in range(11, 1001)]
    removed = [Step("remove", "server", name, why, (name,), destructive=True) for name in names]
    gone = Step("remove", "user", "bob", "hub.users does not name this user", destructive=True)
    with pytest.raises(UsageError) as caught:
        refuse_losses(Plan("a", (*removed, gone)), replace=False)
    assert caught.value.message == (
        "this would remove workers or users: server a-worker-11, a-worker-12, a-worker-13, a-worker-14 and 986 more: "
        f"{why}; user bob: hub.users does not name this user"
    )
    lost = [Step("delete", "server", name, "it is a m1.small", (name,), destructive=True) for name in names]
    with pytest.raises(UsageError, match=r"would be lost: server a-worker-11, .* and 986 more: it is a m1\.small$"):
        refuse_losses(Plan("a", tuple(lost)), replace=False)


def test_what_a_new_cluster_needs_no_image_for():
    network, key = Step("create", "network", "a", "there is none"), Step("create", "key pair", "a", "there is none")
    servers = Step("create", "server", "a-master", "there is none"), Step("restore", "data", "a-master", "waits")
    early, rest = Plan("a", (network, *servers, key), ("look here",)).before_image()
    assert (early.steps, rest.steps) == ((network, key), servers)


@pytest.mark.parametrize(
    ("workers", "user_data", "together"),
    [(1000, 4_300, 1000), (1030, 4_300, 1029), (2, 65_535, 2), (300, 65_535, 216)],
)
def test_a_request_is_for_no_more_workers_than_a_message_of_novas_has_room_for(workers, user_data, together):
    names = [f"a-worker-{number}" for number in range(1, workers + 1)]
    master = Step("create", "server", "a-master", "there is none", ("a-master",))
    first, many, *rest = Plan("a", (master, create_together(names))).within_message(user_data).steps
    assert first == master
    assert (many.name, many.ids) == (f"a-worker-1 to {together}", tuple(names[:together]))
    assert [step.ids for step in rest] == [(name,) for name in names[together:]]
    assert together * (user_data + 9_200) < 16 << 20
