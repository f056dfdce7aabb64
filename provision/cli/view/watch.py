"""`provision status --watch`: the live view, drawn in place in a terminal, as lines elsewhere."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeVar

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from provision.cli.terminal import duration, redraws
from provision.cli.view.lines import print_lines
from provision.model.view.live import low

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from provision.base.model import ClusterSpec
    from provision.model.view.live import HubUser, LiveState, NodeVitals

_Row = TypeVar("_Row")
_FEW: Final = 20
"""Nodes that a line names: those with the highest loads, and those that do not answer."""


def watch_status(spec: ClusterSpec, source: str, every: float, *, as_json: bool) -> None:
    """Show what goes on until Ctrl-C, which ends it with 130."""
    from provision.adapters.openstack.cloud import connect
    from provision.operations.cluster.nodes import find_live_cluster
    from provision.operations.view.watch import watch

    cloud = connect(spec.cloud, source)
    cluster = find_live_cluster(spec, source, cloud)
    states = watch(cluster, lambda: {server.name: server.status for server in cloud.servers(spec.name)}, every)
    if as_json:
        print_lines(json.dumps(state.as_data()) for state in states)
    elif sys.stdout.isatty() and redraws(Console()):
        _draw(states, every)
    else:
        print_lines(line(state) for state in states)


def _draw(states: Iterable[LiveState], every: float) -> None:
    console = Console(highlight=False)
    waiting = Text("The nodes are being asked…")
    try:
        with Live(waiting, console=console, auto_refresh=False) as live:
            for state in states:
                live.update(picture(state, every, console.height), refresh=True)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(130) from None


def picture(state: LiveState, every: float, rows: int) -> Group:
    """Draw a state on so many rows: nodes, applications, users, and what could not be asked.

    Where not all nodes fit, those in trouble come first, and the others are counted.
    """
    at = datetime.fromtimestamp(state.time).astimezone().strftime("%H:%M:%S")
    (cores_used, cores), (memory_used, memory) = state.cores, state.spark_memory
    head = Text.assemble(
        (state.cluster, "bold"),
        f"  {at}, every {every:g} s  cores {cores_used} of {cores}  memory {_size(memory_used)} of {_size(memory)}",
    )
    parts: list[Text | Table] = [head, *(Text(problem, style="bold red") for problem in state.problems)]
    # Besides what there is of each: the heads of the tables, the empty lines, and the last one.
    needed = (len(state.nodes), len(state.applications), len(state.users))
    nodes, applications, users = _divided(rows - len(parts) - 8, needed)
    parts += [
        Text(),
        *_nodes(state, nodes),
        Text(),
        *_applications(state, applications),
        Text(),
        *_users(state, users),
        Text("\nCtrl-C ends it.", style="dim"),
    ]
    return Group(*parts)


def _divided(rows: int, needed: Sequence[int]) -> list[int]:
    """Divide rows among tables: each has what it needs, or as many as any other that needs more."""
    given = [0] * len(needed)
    ascending = sorted(range(len(needed)), key=lambda place: needed[place])
    for done, place in enumerate(ascending):
        # Two: one that is shown, and the number of the others.
        given[place] = min(needed[place], max(rows // (len(needed) - done), 2))
        rows -= given[place]
    return given


def _more(count: int, words: str) -> list[Text]:
    return [Text(f"… and {count} more {words}", style="dim")] if count else []


def _first(found: Sequence[_Row], rows: int) -> Sequence[_Row]:
    """Return those that fit on so many rows, and leave one for the number of the others."""
    return found if len(found) <= rows else found[: rows - 1]


def _nodes(state: LiveState, rows: int) -> list[Table | Text]:
    nodes = state.nodes
    if len(nodes) > rows:
        nodes = tuple(sorted(nodes, key=lambda node: not node.troubled))
    shown = _first(nodes, rows)
    troubled = sum(node.troubled for node in nodes[len(shown) :])
    said = f"nodes, {troubled} of them in trouble" if troubled else "nodes, which are well"
    return [_table_of(state, shown), *_more(len(nodes) - len(shown), said)]


def _table_of(state: LiveState, nodes: Iterable[NodeVitals]) -> Table:
    table = _table("Node", "Status", "Spark", "Cores", "Memory", "Load", "RAM free", "Disk free")
    for node in nodes:
        name = Text(node.name.removeprefix(f"{state.cluster}-"))
        status = Text(node.status or "unknown", style="" if node.status == "ACTIVE" else "bold red")
        if node.load:
            load = Text(f"{node.load[0]:.2f} of {node.processors}", style=_alarm(alarming=node.busy))
        else:
            load = Text(node.problem, style="red")
        own = (load, _free(node.memory_free, node.memory), _free(node.disk_free, node.disk))
        table.add_row(name, status, _spark(node), *_used(node), *own)
    return table


def _spark(node: NodeVitals) -> Text:
    if node.role != "worker":
        return Text(node.role)
    if node.registered is None:
        return Text("unknown")
    return Text("registered") if node.registered else Text("not registered", style="bold red")


def _used(node: NodeVitals) -> tuple[str, str]:
    if node.cores is None:
        return "", ""
    return f"{node.cores_used} of {node.cores}", f"{_size(node.spark_memory_used)} of {_size(node.spark_memory)}"


def _free(free: int | None, total: int | None) -> Text:
    if free is None or not total:
        return Text("")
    return Text(f"{_size(free)} of {_size(total)}", style=_alarm(alarming=low(free, total)))


def _alarm(alarming: bool) -> str:
    return "bold yellow" if alarming else ""


def _applications(state: LiveState, rows: int) -> list[Table | Text]:
    if not state.applications:
        return [Text("No application runs.")]
    table = _table("Application", "Who", "State", "Runs for", "Cores", "Memory of an executor")
    shown = _first(state.applications, rows)
    for each in shown:
        style = "yellow" if each.state == "WAITING" else ""
        table.add_row(
            Text(each.name, no_wrap=True, overflow="ellipsis"),
            Text(each.user),
            Text(each.state, style=style),
            _ago(state.time, each.since),
            str(each.cores),
            _size(each.executor_memory),
        )
    return [table, *_more(len(state.applications) - len(shown), "applications")]


def _users(state: LiveState, rows: int) -> list[Table | Text]:
    if not state.users:
        return [Text("There is no user.")]
    table = _table("User", "Servers", "Running for", "Memory", "Last seen")
    users = state.users
    if len(users) > rows:
        users = tuple(sorted(users, key=lambda user: not (user.servers or user.pending)))
    shown = _first(users, rows)
    for user in shown:
        name = f"{user.name} (admin)" if user.admin else user.name
        since = _ago(state.time, user.since) if user.since else ""
        memory = _size(user.memory) if user.memory is not None else ""
        seen = f"{_ago(state.time, user.last_activity)} ago" if user.last_activity else "never"
        table.add_row(Text(name), _servers(user), since, memory, seen)
    return [table, *_more(len(users) - len(shown), "users")]


def _servers(user: HubUser) -> str:
    pending = {"spawn": "starts", "stop": "stops"}.get(user.pending, user.pending)
    return ", ".join(filter(None, [str(user.servers) if user.servers or not pending else "", pending]))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column)
    return table


def line(state: LiveState) -> str:
    """Write a state in one line."""
    at = datetime.fromtimestamp(state.time).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    active = sum(node.status == "ACTIVE" for node in state.nodes)
    workers = [node for node in state.nodes if node.role == "worker"]
    alive = sum(bool(node.registered) for node in workers)
    (cores_used, cores), (memory_used, memory) = state.cores, state.spark_memory
    parts = [
        f"{active} of {len(state.nodes)} nodes active",
        f"{alive} of {len(workers)} workers registered",
        f"cores {cores_used} of {cores}",
        f"memory {_size(memory_used)} of {_size(memory)}",
    ]
    short = {node.name: node.name.removeprefix(f"{state.cluster}-") for node in state.nodes}
    loaded = [node for node in state.nodes if node.load]
    named = loaded if len(loaded) <= _FEW else sorted(loaded, key=lambda node: -node.load[0])[:_FEW]
    lost = [node for node in state.nodes if node.problem]
    parts += [f"{short[node.name]} load {node.load[0]:.2f}" for node in named]
    parts += [f"{len(loaded) - len(named)} more nodes with less load"] if len(loaded) > len(named) else []
    parts += [f"{short[node.name]}: {node.problem}" for node in lost[:_FEW]]
    parts += [f"{len(lost) - _FEW} more nodes with a problem"] if len(lost) > _FEW else []
    parts += [
        f"{each.user} {each.name!r} {each.state} {each.cores} cores for {_ago(state.time, each.since)}"
        for each in state.applications
    ]
    parts += [f"{user.name} {_servers(user)} servers" for user in state.users if user.servers or user.pending]
    return f"{at} {'; '.join([*parts, *state.problems])}"


def _ago(now: float, then: float) -> str:
    seconds = max(now - then, 0)
    for unit, size in (("days", 86400), ("h", 3600)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return duration(int(seconds)) if seconds >= 10 else f"{seconds:.0f} s"


def _size(mib: int | None) -> str:
    if mib is None:
        return ""
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib} MiB"
