"""Which server statuses `up` goes on with, and what it says of the others."""

from __future__ import annotations

import pytest

from provision.base.errors import UsageError
from provision.model.cluster.resources import Server
from provision.model.cluster.statuses import BUILDING, STARTABLE, refuse_stuck


@pytest.mark.parametrize("status", sorted({"ACTIVE", "ERROR", *STARTABLE, *BUILDING}))
def test_what_passes_or_can_be_ended_is_no_matter(status):
    refuse_stuck(Server("1", "a-master", "master", status))


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        ("RESCUE", "openstack server unrescue 1"),
        ("VERIFY_RESIZE", "openstack server resize confirm 1"),
        ("UNKNOWN", "administrator"),
        ("NEVER_HEARD_OF", "openstack server show 1"),
    ],
)
def test_what_somebody_else_has_to_end_is_named_with_the_remedy(status, hint):
    with pytest.raises(UsageError, match=f"server a-master is {status}") as caught:
        refuse_stuck(Server("1", "a-master", "master", status))
    assert hint in caught.value.hint
