"""`provision status --watch`: the live view, drawn in place in a terminal, as lines elsewhere."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from provision.cli.terminal import duration, redraws
from provision.cli.view.lines import print_lines

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provision.base.model import ClusterSpec
    from provision.model.view.live import HubUser, LiveState, NodeVitals


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
                live.update(picture(state, every), refresh=True)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(130) from None


def picture(state: LiveState, every: float) -> Group:
    """Draw a state: nodes, applications, users, and what could not be asked."""
    at = datetime.fromtimestamp(state.time).astimezone().strftime("%H:%M:%S")
    (cores_used, cores), (memory_used, memory) = state.cores, state.spark_memory
    head = Text.assemble(
        (state.cluster, "bold"),
        f"  {at}, every {every:g} s  cores {cores_used} of {cores}  memory {_size(memory_used)} of {_size(memory)}",
    )
    parts: list[Text | Table] = [head, *(Text(problem, style="bold red") for problem in state.problems), Text()]
    parts += [
        _nodes(state),
        Text(),
        _applications(state),
        Text(),
        _users(state),
        Text("\nCtrl-C ends it.", style="dim"),
    ]
    return Group(*parts)


def _nodes(state: LiveState) -> Table:
    table = _table("Node", "Status", "Spark", "Cores", "Memory", "Load", "RAM free", "Disk free")
    for node in state.nodes:
        name = Text(node.name.removeprefix(f"{state.cluster}-"))
        status = Text(node.status or "unknown", style="" if node.status == "ACTIVE" else "bold red")
        if node.load:
            busy = node.load[0] > 2 * (node.processors or 1)
            load = Text(f"{node.load[0]:.2f} of {node.processors}", style=_alarm(alarming=busy))
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
    return Text(f"{_size(free)} of {_size(total)}", style=_alarm(alarming=free < total / 20))


def _alarm(alarming: bool) -> str:
    return "bold yellow" if alarming else ""


def _applications(state: LiveState) -> Table | Text:
    if not state.applications:
        return Text("No application runs.")
    table = _table("Application", "Who", "State", "Runs for", "Cores", "Memory of an executor")
    for each in state.applications:
        style = "yellow" if each.state == "WAITING" else ""
        table.add_row(
            Text(each.name, no_wrap=True, overflow="ellipsis"),
            Text(each.user),
            Text(each.state, style=style),
            _ago(state.time, each.since),
            str(each.cores),
            _size(each.executor_memory),
        )
    return table


def _users(state: LiveState) -> Table | Text:
    if not state.users:
        return Text("There is no user.")
    table = _table("User", "Servers", "Running for", "Memory", "Last seen")
    for user in state.users:
        name = f"{user.name} (admin)" if user.admin else user.name
        since = _ago(state.time, user.since) if user.since else ""
        memory = _size(user.memory) if user.memory is not None else ""
        seen = f"{_ago(state.time, user.last_activity)} ago" if user.last_activity else "never"
        table.add_row(Text(name), _servers(user), since, memory, seen)
    return table


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
    parts += [f"{short[node.name]} load {node.load[0]:.2f}" for node in state.nodes if node.load]
    parts += [f"{short[node.name]}: {node.problem}" for node in state.nodes if node.problem]
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
