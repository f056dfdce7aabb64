"""The state of a member, from its status variables."""

from __future__ import annotations

import pytest

from provision.model.galera.status import STATUS_QUERY, MemberState, read_status


@pytest.mark.parametrize(
    ("status", "ready", "stage", "serves"),
    [
        ("Primary", "ON", "Synced", True),
        ("Primary", "ON", "Donor/Desynced", True),
        ("Primary", "ON", "Joined", False),
        ("Primary", "OFF", "Synced", False),
        ("non-Primary", "ON", "Synced", False),
        ("Disconnected", "OFF", "Initialized", False),
    ],
)
def test_who_serves(status, ready, stage, serves):
    state = read_status(
        {
            "wsrep_cluster_status": status,
            "wsrep_ready": ready,
            "wsrep_local_state_comment": stage,
            "wsrep_cluster_size": 2,
        }
    )
    assert state.serves is serves
    assert stage in str(state)


def test_a_member_that_says_nothing_yet_does_not_serve():
    assert read_status({}) == MemberState()
    assert not MemberState().serves
    assert str(MemberState()) == "starting, not Primary, 0 members"


def test_the_underscore_is_no_wildcard():
    assert STATUS_QUERY == r"SHOW GLOBAL STATUS LIKE 'wsrep\_%'"
