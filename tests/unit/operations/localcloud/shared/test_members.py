"""Whether all members of the clustered services serve."""

from __future__ import annotations

import pytest

from provision.base.poll import Pending
from provision.model.localcloud.settings import CLUSTERED, Settings
from provision.operations.localcloud.shared.members import missing_members

from ..consul_keys import ConsulKeys

THREE = frozenset({"a", "b", "c"})


@pytest.mark.parametrize(
    ("serving", "ha", "expected"),
    [
        (dict.fromkeys(CLUSTERED, THREE), True, None),
        (dict.fromkeys(CLUSTERED, frozenset({"a"})), False, None),
        # One that leaves and its successor may serve at the same time.
        (dict.fromkeys(CLUSTERED, THREE | {"d"}), True, None),
        (dict.fromkeys(CLUSTERED, THREE) | {"rabbitmq": {"a", "b"}}, True, "rabbitmq (2 of 3 serve)"),
        (
            dict.fromkeys(CLUSTERED, THREE) | {"mariadb": set(), "rabbitmq": {"a"}},
            True,
            "mariadb (0 of 3 serve), rabbitmq (1 of 3 serve)",
        ),
        ({}, True, "Consul"),
    ],
)
def test_services_with_too_few_members_are_named(serving, ha, expected):
    missing = missing_members(ConsulKeys(**serving), Settings(ha=ha))
    assert missing == (Pending(expected) if expected else None)
