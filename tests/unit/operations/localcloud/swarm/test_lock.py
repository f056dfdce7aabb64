"""One command at a time on several hosts: who waits, for whom, and who does not have to."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from provision.base.errors import ProvisionError
from provision.base.progress import Silent
from provision.model.localcloud.swarm import Host
from provision.operations.localcloud.swarm.lock import swarm_lock

from ..fake_clock import use_clock


class FakeSwarm:
    """`id1` is this host; `holders` are those that have the lock, one after the other."""

    def __init__(self, *holders):
        self.holders, self.dropped, self.here = list(holders), [], ("active", True)

    def state(self):
        return self.here

    def host_id(self):
        return "id1"

    def hosts(self):
        ready = {"id1": True, "id2": True, "id3": False, "id4": True}
        return [Host(id_, f"host-{id_[2:]}", "", there) for id_, there in ready.items()]

    def take_lock(self):
        return (self.holders.pop(0) if len(self.holders) > 1 else self.holders[0]) if self.holders else "id1"

    def drop_lock(self, host):
        self.dropped.append(host)
        self.holders = [each for each in self.holders if each != host]


class Notes(Silent):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    use_clock(monkeypatch)


@pytest.mark.parametrize("holders", [[], ["id1"]], ids=["free", "left by a killed command of this host"])
def test_a_lock_is_held_and_given_back(holders):
    swarm, progress = FakeSwarm(*holders), Notes()

    def fail():
        with swarm_lock(swarm, progress):
            assert swarm.dropped == []
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (swarm.dropped, progress.notes) == (["id1"], [])


def test_another_host_is_waited_for_and_named_once():
    swarm, progress = FakeSwarm("id2", "id2", "", "id1"), Notes()
    with swarm_lock(swarm, progress):
        pass
    (note,) = progress.notes
    assert note.startswith("A `provision cloud` command on host-2 has begun, and not ended: waiting for it.")
    # A command that was killed, or a host that has restarted, leaves the lock.
    assert note.endswith(
        "`provision cloud up` there or `docker config rm provision_lock` on any host lets others begin."
    )


def test_each_host_that_is_waited_for_has_its_own_time():
    swarm, progress = FakeSwarm(*["id2"] * 2400, *["id4"] * 2400, "id1"), Notes()
    with swarm_lock(swarm, progress):
        pass
    assert [note.split()[5] for note in progress.notes] == ["host-2", "host-4"]


@pytest.fixture(name="handled")
def _handled():
    """Return how often each signal came that nothing else has handled."""
    got = []
    kept = {
        number: signal.signal(number, lambda sent, _: got.append(sent)) for number in (signal.SIGTERM, signal.SIGHUP)
    }
    yield got
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_end_gives_the_lock_back(number, handled, monkeypatch):
    swarm = FakeSwarm()
    drop = swarm.drop_lock

    def drop_meanwhile(host):
        os.kill(os.getpid(), number)  # once more, as a terminal and a shell do
        drop(host)

    monkeypatch.setattr(swarm, "drop_lock", drop_meanwhile)
    with pytest.raises(SystemExit) as caught, swarm_lock(swarm, Silent()):
        os.kill(os.getpid(), number)
    assert (caught.value.code, swarm.dropped, handled) == (128 + number, ["id1"], [])
    os.kill(os.getpid(), number)
    assert len(handled) == 1


def test_a_command_that_outlives_its_terminal_goes_on(handled):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with swarm_lock(FakeSwarm(), Silent()):
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    assert handled == []


def test_another_thread_leaves_signals_alone():
    held = []

    def run():
        with swarm_lock(FakeSwarm(), Silent()):
            held.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert held == [before]


def test_another_host_is_not_waited_for_without_end():
    with (
        pytest.raises(ProvisionError, match="on host-2 has not ended for 60 minutes") as caught,
        swarm_lock(FakeSwarm("id2"), Silent()),
    ):
        pass
    assert "docker config rm provision_lock" in caught.value.hint


@pytest.mark.parametrize("holder", ["id3", "id9"], ids=["away", "gone"])
def test_a_host_that_is_away_holds_nothing(holder):
    swarm = FakeSwarm(holder)
    with swarm_lock(swarm, Silent()):
        assert swarm.dropped == [holder]


def test_a_host_outside_the_swarm_locks_nothing():
    swarm = FakeSwarm("id2")
    swarm.here = ("error", False)
    with swarm_lock(swarm, Silent()):
        pass
    assert swarm.dropped == []


def test_a_host_that_has_left_meanwhile_ends_well(monkeypatch):
    swarm = FakeSwarm()

    def refuse(host):
        raise ProvisionError("This node is not a swarm manager")

    monkeypatch.setattr(swarm, "drop_lock", refuse)
    with swarm_lock(swarm, Silent()):
        pass
