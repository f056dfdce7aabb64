from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from provision.model.galera.bootstrap import (
    NEVER,
    MemberReport,
    Position,
    Start,
    View,
    allow_start,
    decide,
    read_member_report,
    read_recovered,
    read_start,
    read_state,
    read_view,
)

NAMES = ("m-1", "m-2", "m-3")
CLUSTER = "1938a009-e6df-11f1-8853-13e0bc481b10"
OTHER = "2938a009-e6df-11f1-8853-13e0bc481b10"


def report(member, seqno=None, seen=(), bootstrap_id="e1", cluster=CLUSTER):
    position = None if seqno is None else Position(cluster, seqno)
    return MemberReport(member, position, View(bootstrap_id, tuple(f"m-{number}" for number in seen)))


@pytest.mark.parametrize(
    ("reports", "last", "starter", "reason"),
    [
        pytest.param([report("m-1"), report("m-3")], None, "", "m-2", id="a new cluster waits for all"),
        pytest.param([report("m-2"), report("m-3"), report("m-1")], None, "m-1", "", id="a new cluster"),
        pytest.param([report("m-1", 7, [1])], None, "m-1", "", id="one that was alone need not wait"),
        pytest.param(
            [report("m-1", -1, [], cluster=NEVER), report("m-2")],
            None,
            "",
            "m-3",
            id="data that was in no cluster waits",
        ),
        pytest.param(
            [report("m-1", 9, [1, 2, 3]), report("m-2", 8, [1, 2, 3])],
            None,
            "",
            "m-3",
            id="two of three are not enough",
        ),
        pytest.param(
            [report("m-1", 8, [1, 2, 3]), report("m-2", 9, [1, 2, 3]), report("m-3", 7, [1, 2, 3])],
            None,
            "m-2",
            "",
            id="the most advanced",
        ),
        pytest.param(
            [report("m-1", 9, [1, 2, 3]), report("m-2", 9, [1, 2, 3]), report("m-3", 9, [1, 2, 3])],
            Start("e1", "m-3"),
            "m-1",
            "",
            id="of equals the first",
        ),
        pytest.param(
            [report("m-1", 8, [1, 2]), report("m-2", 9, [1, 2])], None, "m-2", "", id="who had left is not waited for"
        ),
        pytest.param(
            [report("m-2", 9, [2, 3]), report("m-1", 5, [1, 2, 3])], None, "", "m-3", id="an old view does not help"
        ),
        pytest.param(
            [report("m-1", 9, [1, 2, 3]), report("m-2", 9, [1, 2, 3]), report("m-3")],
            None,
            "m-1",
            "",
            id="an empty disk counts as heard",
        ),
        pytest.param(
            [report("m-2"), report("m-3"), report("m-1", 0, [1, 2])], None, "m-1", "", id="data wins over none"
        ),
        pytest.param([report("m-2", 9, [2])], Start("e2", "m-1"), "", "m-1", id="the last starter must be heard"),
        pytest.param(
            [report("m-2", 9, [2], bootstrap_id="e2")], Start("e2", "m-1"), "m-2", "", id="or one that came in after it"
        ),
        pytest.param(
            [report("m-1", 9, [1]), report("m-2", 8, [2, 3], bootstrap_id="e2")],
            Start("e2", "m-2"),
            "",
            "m-3",
            id="what the newest know is asked for, however far they came",
        ),
        pytest.param(
            [report("m-1", 9, [1]), report("m-2", 3, [2], cluster=OTHER)],
            None,
            "",
            "different clusters",
            id="strangers",
        ),
    ],
)
def test_who_starts(reports, last, starter, reason):
    verdict = decide({each.member: each for each in reports}, NAMES, last)
    assert verdict.starter == starter
    assert reason in verdict.reason


class Outages(RuleBasedStateMachine):
    """Members that are written to, die, leave, and come back in any order: what was acknowledged is never lost."""

    def __init__(self):
        super().__init__()
        self.data = dict.fromkeys(NAMES)
        self.views = dict.fromkeys(NAMES, View())
        self.primary = ()
        self.last = None
        self.acknowledged = 0
        self.starts = 0

    def report(self, name):
        seqno = self.data[name]
        return MemberReport(name, None if seqno is None else Position(CLUSTER, seqno), self.views[name])

    def reach(self, members):
        """Begin a new Primary component: what its members had received is applied, and each notes who is in it."""
        self.primary = tuple(sorted(members))
        for name in self.primary:
            self.data[name] = self.acknowledged
            self.views[name] = View(self.last.bootstrap_id, self.primary)

    @precondition(lambda self: self.primary)
    @rule(writer=st.integers(0, 2), lag=st.lists(st.integers(0, 3), min_size=3, max_size=3))
    def write(self, writer, lag):
        """Acknowledge a commit that the others have received, and perhaps not yet applied."""
        self.acknowledged += 1
        for number, name in enumerate(self.primary):
            done = number == writer % len(self.primary)
            self.data[name] = max(self.data[name], self.acknowledged - (0 if done else lag[number]))

    @precondition(lambda self: self.primary)
    @rule(dead=st.sets(st.sampled_from(NAMES), min_size=1))
    def kill(self, dead):
        """Kill members at once: the rest goes on if it is more than half."""
        left = set(self.primary) - dead
        if 2 * len(left) > len(self.primary):
            self.reach(left)
        else:
            self.primary = ()

    @precondition(lambda self: self.primary)
    @rule(name=st.sampled_from(NAMES))
    def leave(self, name):
        """Leave in order: the rest goes on, however few."""
        if name in self.primary:
            self.data[name] = self.acknowledged
            left = set(self.primary) - {name}
            if left:
                self.reach(left)
            self.primary = tuple(sorted(left))

    @precondition(lambda self: self.primary)
    @rule(name=st.sampled_from(NAMES), empty=st.booleans())
    def join(self, name, empty):
        """Come in, perhaps with a new disk."""
        if name not in self.primary:
            if empty:
                self.data[name] = None
            self.reach({*self.primary, name})

    @rule(heard=st.sets(st.sampled_from(NAMES), min_size=1), dies=st.booleans())
    def start(self, heard, dies):
        """Some of those that do not serve hear of each other only, whatever else goes on; the starter may die again."""
        heard = heard - set(self.primary)
        verdict = decide({name: self.report(name) for name in heard}, NAMES, self.last)
        if verdict.starter:
            assert not self.primary, "a second cluster"
            assert (self.data[verdict.starter] or 0) >= self.acknowledged, "a commit is lost"
            self.starts += 1
            self.last = Start(f"e{self.starts}", verdict.starter)
            if not dies:
                self.reach({verdict.starter})

    @invariant()
    def all_together_can_always_start(self):
        if not self.primary:
            assert decide({name: self.report(name) for name in NAMES}, NAMES, self.last).starter


Outages.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestOutages = Outages.TestCase


GRASTATE = f"# GALERA saved state\nversion: 2.1\nuuid:    {CLUSTER}\nseqno:   12\nsafe_to_bootstrap: 0\n"


def test_galera_s_own_file():
    assert read_state(GRASTATE) == Position(CLUSTER, 12)
    assert read_state(GRASTATE).known
    assert not read_state(GRASTATE.replace("12", "-1")).known
    assert read_state("") == Position(NEVER)
    assert allow_start(GRASTATE).endswith("safe_to_bootstrap: 1\n")
    assert allow_start(GRASTATE).startswith(GRASTATE[:60])


def test_the_recovered_position_is_found_in_the_log():
    log = f"2026-11-23  1:44:47 0 [Note] WSREP: Recovered position: {CLUSTER}:9332\nmore\n"
    assert read_recovered(log) == Position(CLUSTER, 9332)
    assert read_recovered("[ERROR] InnoDB: corrupt") is None


def test_what_is_told_is_read_back():
    for each in (report("m-1", 7, [1, 2]), report("m-2")):
        assert read_member_report(each.text()) == each
    start = Start("e1", "m-1", CLUSTER)
    assert read_start(start.text()) == start


def test_views():
    assert read_view("era e1\nmembers m-1 m-2 \n") == View("e1", ("m-1", "m-2"))
    assert read_view("") == View()
