"""`provision plan`, `up`, `status` and `down`: one cluster, from its spec.

The operations are imported by the commands that run them: that takes 0.1 to 0.3 s, which `--help` need not wait for.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from provision.cli.asking import ask, require_consent
from provision.cli.seconds import Seconds
from provision.cli.spec import file_option, load_spec, source_of
from provision.cli.terminal import STDERR, TerminalProgress, duration, print_json
from provision.model.finding import named

if TYPE_CHECKING:
    from pathlib import Path

    from provision.adapters.cluster_dir import ClusterDir
    from provision.base.model import ClusterSpec
    from provision.model.cluster.resources import ObservedCluster
    from provision.model.cluster.steps import Plan
    from provision.operations.cluster.up import Summary

_SIGNS = {"create": "+", "delete": "-", "remove": "-", "lose": "-", "carry": "<", "restore": ">"} | dict.fromkeys(
    ("tag", "attach", "update", "configure", "install", "start"), "~"
)


@click.command()
@file_option
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan(file: Path | None, *, as_json: bool) -> None:
    """Show what `up` would do. Changes nothing."""
    from provision.operations.cluster.preview import preview

    made = preview(load_spec(file), source_of(file))
    if as_json:
        print_json(made.as_data())
        return
    for line in lines(made):
        click.echo(line)


@click.command()
@file_option
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option(
    "--timeout",
    type=click.IntRange(1),
    default=30,
    show_default=True,
    help="Minutes without progress after which `up` stops waiting for the nodes.",
)
@click.option("--replace", is_flag=True, help="Allow steps that replace a node: people's files are carried over.")
@click.option("--remove", is_flag=True, help="With --yes: remove workers and users that the spec does not name.")
@click.option("--without-data", is_flag=True, help="With --replace: go on without the files on the Hub's old node.")
def up(file: Path | None, *, yes: bool, timeout: int, replace: bool, remove: bool, without_data: bool) -> None:
    """Make the cluster, or what is missing of it.

    Waits until it works, and says where to log in.
    """
    from provision.adapters.cluster_dir import ClusterDir
    from provision.adapters.openstack.cloud import connect
    from provision.operations.cluster.preview import check_before_start
    from provision.operations.cluster.resolve import find_cluster_dir
    from provision.operations.cluster.up import Up, helpers_for
    from provision.operations.image.beside import BakeBeside, ensure_cloud
    from provision.operations.packages.resolution import ensure_bundle

    spec = load_spec(file)
    # Before the minutes that starting the local cloud and baking the image take.
    require_consent(f"this creates or changes cluster {spec.name}, and there is no terminal to ask on", yes=yes)
    progress = TerminalProgress()

    def confirm(made: Plan) -> None:
        untested = [f"Cluster {made.cluster}: everything exists; the smoke test has not passed yet."]
        for line in lines(made) if made else untested:
            STDERR.print(line, markup=False, soft_wrap=True)
        if made and not yes:
            ask("Do this?", default=not made.of("remove"))

    first = ClusterDir(spec.name)
    check_before_start(spec, source_of(file), new=first.unclaimed)
    if first.unclaimed:
        # Nothing tells which project's folder this is going to be: a package that cannot be had starts no cloud.
        ensure_bundle(spec.packages, first, source_of(file), progress)
    # A spec that the cloud cannot fulfil is refused while the image is still being baked.
    with BakeBeside(progress) as baking:
        ensure_cloud(spec, progress, baking, new=first.unclaimed)
        cloud = connect(spec.cloud, source_of(file))
        cluster_dir = find_cluster_dir(cloud, spec.name)
        # What cannot be had is refused before anything of the cluster is changed.
        ensure_bundle(spec.packages, cluster_dir, source_of(file), progress)
        helpers = helpers_for(cloud, spec, cluster_dir, progress, baking=baking, timeout=timeout * 60)
        operation = Up(
            cloud,
            cluster_dir,
            progress,
            spec=spec,
            source=source_of(file),
            helpers=helpers,
            without_data=without_data,
            # Without --yes the question is asked below what goes.
            remove=remove or not yes,
        )
        show_summary(operation.run(confirm, replace=replace), progress)


@click.command()
@file_option
@click.option(
    "--watch",
    type=Seconds(min=1),
    is_flag=False,
    flag_value=5.0,
    metavar="[SECONDS]",
    help="Show what goes on until Ctrl-C: nodes, applications, users.  [default: every 5 seconds]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the state as JSON; with --watch one document a line.")
def status(file: Path | None, *, watch: float | None, as_json: bool) -> int:
    """Show the cluster as the cloud, Spark and the Hub see it.

    Exits with 1 when it does not work.
    """
    if watch is not None:
        from provision.cli.view.watch import watch_status

        watch_status(load_spec(file, files=False), source_of(file), watch, as_json=as_json)
        return 0
    from provision.adapters.openstack.cloud import connect
    from provision.operations.cluster.resolve import find_cluster_dir
    from provision.operations.cluster.status import status as read_status

    # A certificate that has expired since must not hide the state of what runs.
    spec = load_spec(file, files=False)
    cloud = connect(spec.cloud, source_of(file))
    cluster_dir = find_cluster_dir(cloud, spec.name)
    state = read_status(cloud, spec, cluster_dir)
    if as_json:
        print_json(state)
    else:
        _show_status(state, spec, cluster_dir)
    return 0 if state["working"] else 1


@click.command()
@file_option
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--foreign", is_flag=True, help="Also a cluster whose keys are not on this machine, a colleague's say.")
def down(file: Path | None, *, yes: bool, foreign: bool) -> None:
    """Remove the cluster: all that carries its mark, and nothing else.

    Works on a half-made cluster too. A cluster that was made with other keys is left alone.
    """
    from provision.adapters.openstack.cloud import connect
    from provision.operations.cluster.down import down as remove
    from provision.operations.cluster.resolve import find_cluster_dir

    spec = load_spec(file, files=False)
    progress = TerminalProgress()
    cloud = connect(spec.cloud, source_of(file))
    cluster_dir = find_cluster_dir(cloud, spec.name)
    whose = "somebody else's cluster" if foreign else "cluster"

    def confirm(observed: ObservedCluster) -> None:
        for kind, things in groupby(observed.listed(), lambda thing: thing[0]):
            STDERR.print(f"- {kind} {named(name for _, name in things)}", markup=False, soft_wrap=True)
        if not foreign:
            STDERR.print(f"- folder {cluster_dir.folder}", markup=False, soft_wrap=True)
        if not yes:
            require_consent(f"this removes {whose} {spec.name} and everything that its users made on it", yes=yes)
            ask(f"Remove {whose} {spec.name} and everything that its users made on it?")

    with progress.phase(f"Remove cluster {spec.name}"):
        removed = remove(cloud, cluster_dir, progress, confirm, foreign=foreign)
    click.echo(f"Removed cluster {spec.name}." if removed else f"Nothing to remove: there is no cluster {spec.name}.")
    if not removed and cluster_dir.folder.exists():
        click.echo(f"Its keys stay in {cluster_dir.folder}: remove the folder when nothing needs them.", err=True)


def lines(plan: Plan) -> list[str]:
    """Write a plan as people read it."""
    notes = [f"Note: {note}." for note in plan.notes]
    if not plan:
        return [f"Cluster {plan.cluster}: nothing to do.", *notes]
    count = f"{len(plan.steps)} step{'s' if len(plan.steps) != 1 else ''}"
    text = [f"Cluster {plan.cluster}: {count}."]
    # What is done to several nodes for one reason is one line.
    alike = groupby(plan.steps, lambda step: (step.verb, step.kind, step.why, step.destructive))
    carried = {step.name for step in plan.of("carry")}
    for (verb, kind, why, destructive), group in alike:
        steps = list(group)
        lost = "  [loses what is on it: needs --replace]" if destructive else ""
        if destructive and (kind == "data" or carried >= {step.name for step in steps}):
            lost = "  [needs --without-data]" if kind == "data" else "  [needs --replace]"
        if verb == "remove":
            lost = "  [with --yes: needs --remove]"
        names = named(step.name for step in steps)
        text.append(f"{_SIGNS.get(verb, ' ')} {verb} {kind} {names}: {why}{lost}")
    return text + notes


def show_summary(summary: Summary, progress: TerminalProgress) -> None:
    """Print what `up` did, how long that took, and where to log in."""
    if not summary.changed:
        click.echo(f"Nothing to do: {summary.hub_url} works.")
    for depth, name, seconds in progress.phases if summary.changed else ():
        STDERR.print(f"  {'  ' * depth}{name}: {duration(seconds)}", markup=False)
    click.echo(f"Hub:        {summary.hub_url}")
    _show_access(summary.users, summary.passwords, summary.authority, summary.login)
    click.echo(f"Spark UI:   {summary.spark_ui}")
    if summary.job:
        click.echo(f"First job:  {summary.job}")


def _show_access(users: tuple[str, ...], passwords: Path, authority: Path | None, login: str) -> None:
    click.echo(f"Logins:     {login}" if login else f"Users:      {named(users)} (first passwords in {passwords})")
    if authority:
        click.echo(f"Authority:  {authority} (let your browser trust it)")


def _show_status(state: dict[str, Any], spec: ClusterSpec, cluster_dir: ClusterDir) -> None:
    out = Console(highlight=False)
    if not state["exists"]:
        out.print(f"There is no cluster {state['cluster']} on cloud {state['cloud']!r}.")
        return
    words = {True: "registered", False: "not registered", None: "unknown"}
    rows = [("Node", "Status", "Address", "Flavor", "Spark")]
    for node in state["nodes"]:
        spark = words[node["registered"]] if node["role"] == "worker" else node["role"]
        rows.append((node["name"], node["status"], node["address"], node["flavor"], spark))
    # A Table of Rich's takes a thousand nodes a quarter of a second.
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    heading, *table = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    out.print(heading, style="bold", soft_wrap=True)
    if table:
        out.print("\n".join(table), markup=False, soft_wrap=True)
    hub, spark = state["hub"], state["spark"]
    out.print(f"Hub:        {hub['url'] or 'none'} ({'healthy' if hub['well'] else hub['problem']})", markup=False)
    if hub["certificate_ends_soon"]:
        renew = "Give hub.tls a new one" if spec.hub.tls else "`provision up` renews it"
        out.print(f"            its certificate ends on {hub['certificate_ends']}. {renew}.", markup=False)
    alive = f"{spark['workers_alive']} of {spark['workers_wanted']} workers alive, {spark['cores']} cores"
    out.print(f"Spark UI:   {spark['ui'] or 'none'} ({spark['problem'] or alive})", markup=False)
    if cluster_dir.passwords.exists() or spec.hub.login:
        users = tuple(user.name for user in spec.hub.users)
        from provision.model.cluster.render import login_words

        login = login_words(spec.hub, hub["url"] or "the Hub")
        _show_access(users, cluster_dir.passwords, None if spec.hub.tls else cluster_dir.authority, login)
