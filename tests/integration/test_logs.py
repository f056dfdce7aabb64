"""Many containers' logs as one, from Docker itself: long lines, two pipes, copies that come and come back."""

from __future__ import annotations

import threading
import time

import pytest

from provision.adapters.docker.logs import Logs
from provision.model.localcloud.logs import LogFilter, LogSource, lines_of
from provision.operations.localcloud.logs import Query, read_logs

from .world import until

pytestmark = pytest.mark.integration


class WorldLogs(Logs):
    """Reads the logs of this run's own containers, by their short names."""

    def __init__(self, world):
        super().__init__()
        self._world = world

    def sources(self):
        found = self._world.docker.containers.list(
            all=True, filters={"label": f"test-run={self._world.run}"}, ignore_removed=True
        )
        mine = [(each, each.name.removeprefix(f"{self._world.run}-")) for each in found]
        return [
            LogSource(each.id, name.rpartition("-")[0], name, each.status == "running")
            for each, name in mine
            if name.startswith("talk-")
        ]


def talker(world, name, script):
    return world.start(name, "registrator", ["-c", script], entrypoint=["bash"], ports={})


def test_a_line_of_any_length_is_one_line_with_one_time(world):
    container = talker(
        world, "talk-1", "printf '%040000d\\n' 7; printf 'caf\\303\\251 \\033[31mred\\033[0m\\n' >&2; printf cut"
    )
    container.wait()
    reader = WorldLogs(world)
    (source,) = reader.sources()
    texts = {line.text for line in lines_of(source, reader.frames(source))}
    assert texts == {"0" * 39999 + "7", "café red", "cut"}


def test_containers_are_read_in_the_order_in_which_they_spoke(world):
    script = "for i in $(seq 40); do echo {0}$i; echo {0}e$i >&2; sleep 0.02; done"
    talkers = [talker(world, f"talk-{name}", script.format(name)) for name in "abc"]
    for each in talkers:
        each.wait()
    reader = WorldLogs(world)
    lines = list(read_logs(reader, Query(), reader.sources()))
    assert len(lines) == 240
    assert [line.time for line in lines] == sorted(line.time for line in lines)
    # They ran side by side.
    assert len({line.source for line in lines[60:180]}) == 3
    last = list(read_logs(reader, Query(tail=2), reader.sources()))
    assert len(last) == 6


def test_following_misses_and_repeats_nothing_when_copies_are_started_again_and_come(world):
    script = "while :; do i=$((i+1)); echo {0} $i $(cat /proc/uptime); sleep 0.05; done"
    first = talker(world, "talk-1", script.format("first"))
    talker(world, "talk-2", script.format("second"))
    reader = WorldLogs(world)
    until(lambda: "first 10 " in first.logs().decode(), what="ten lines")
    lines, ended = [], threading.Event()

    def follow():
        for line in read_logs(reader, Query(wish=LogFilter(), tail=5, follow=True), reader.sources()):
            lines.append(line)
            if ended.is_set():
                return

    threading.Thread(target=follow, daemon=True).start()
    until(lambda: len(lines) > 40, what="lines that are followed")
    first.restart(timeout=0)
    third = talker(world, "talk-3", script.format("third"))
    until(lambda: any(line.source == "talk-3" for line in lines), what="a copy that comes")
    again = len([line for line in lines if line.source == "talk-1"])
    until(lambda: len([line for line in lines if line.source == "talk-1"]) > again + 20, what="a copy that is back")
    third.kill()
    ended.set()
    time.sleep(0.3)
    found = list(lines)
    assert [line.time for line in found] == sorted(line.time for line in found)
    assert len(set(found)) == len(found)
    # From the first line that is seen on, all that Docker has: across the restart too.
    for container in (first, third):
        name = container.name.removeprefix(f"{world.run}-")
        (source,) = (each for each in reader.sources() if each.name == name)
        mine = [line for line in found if line.source == name]
        kept = [line for line in lines_of(source, reader.frames(source)) if line.time >= mine[0].time]
        assert kept[: len(mine)] == mine
    assert found[-1].source in {"talk-1", "talk-2", "talk-3"}
    newcomers = [line for line in found if line.source == "talk-3"]
    assert newcomers[0].text.startswith("third 1 ")
