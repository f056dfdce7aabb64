from __future__ import annotations

from provision.model.cluster.steps import Plan, Step


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
