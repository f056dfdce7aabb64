"""A container's keys: the whole order of precedence in one place; test_services.py has what follows from them."""

from __future__ import annotations

from itertools import combinations

import pytest

from provision.model.registrator.container import Container, ContainerPort
from provision.model.registrator.keys import keys_for

# Each wins over all before it.
ORDER = (
    ("env", "SERVICE_ZONE"),
    ("labels", "SERVICE_ZONE"),
    ("env", "SERVICE_53_ZONE"),
    ("labels", "SERVICE_53_ZONE"),
    ("env", "SERVICE_53_UDP_ZONE"),
    ("labels", "SERVICE_53_UDP_ZONE"),
)


@pytest.mark.parametrize(("weaker", "stronger"), [*combinations(ORDER, 2)])
def test_the_more_precise_key_wins_and_of_equals_the_label(weaker, stronger):
    keys = {"env": (), "labels": ()}
    for (place, key), value in ((stronger, "stronger"), (weaker, "weaker")):
        keys[place] += ((key, value),)
    found, own = keys_for(Container("1", "web", "web", **keys), ContainerPort(53, "udp"))
    assert found == {"zone": "stronger"}
    assert bool(own) == ("53" in stronger[1])
