"""What people meet: a locked account, a Hub that does not answer or cannot start a server, kernels that die."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from provision.model.doctor.cause import HUB, Cause
from provision.model.doctor.words import RECENT, RESTART_HUB, SILENT_HUB, STARTING, THE_HUB
from provision.model.finding import Finding, listed, span, times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.model.doctor.observed import ObservedNode, ObservedSparkCluster

_PENDING: Final = 900
"""Seconds after which a server that is still starting is reported: the Hub gives up after 600."""
_NOT_STARTED: Final = re.compile(r"(?P<user>[\w.@-]+)'s server (?:failed to start|never showed up)[^\n]*")
_UNHANDLED: Final = re.compile(r"Unhandled error starting (?:server )?(?P<user>[\w.@-]+)(?:'s server)?:? ?(?P<why>.*)")
_STARTED: Final = re.compile(r"User (?P<user>[\w.@-]+) took [\d.]+ seconds to start")
_RESTARTING: Final = re.compile(r"restarting kernel \((\d+)/\d+\)")
_DIED: Final = re.compile(r"Kernel \S+ died, removing|Restarting kernel failed|Failed to start the kernel|NoSuchKernel")
_NO_MODULE: Final = re.compile(r"No module named '?([\w.]+)'?")
_NO_FILE: Final = re.compile(r"FileNotFoundError: .*?'([^']+)'")


def locked(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """A user of the spec cannot log in: no account, or one that is locked or has expired."""
    words = {
        "missing": (f"has no account on {seen.hub_called}", "playbooks/users.yml makes it."),
        "locked": ("cannot log in: the account is locked", "`provision ssh -- sudo passwd -u {name}` unlocks it."),
        "expired": (
            "cannot log in: the account has expired",
            "`provision ssh -- sudo chage -E -1 {name}` lets it go on.",
        ),
    }
    for name, state in seen.of_hub("accounts").items():
        if state in words and (state != "missing" or name in seen.users):
            wrong, do = words[state]
            finding = Finding(
                "accounts", name, wrong, do.format(name=name), (f"/etc/shadow on {seen.hub_called}: {name} {state}",)
            )
            yield Cause(finding, explains=frozenset({f"login {name}"}))


def hub_is_silent(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """The Hub runs and does not answer."""
    hub = seen.hub
    problem = seen.of_hub("hub").get("problem", "")
    if not problem or hub is None:
        return
    unit = hub.fact("units", {}).get("jupyterhub", {})
    ago = seen.now.timestamp() + hub.ahead - unit.get("since", 0)
    if ago < STARTING:
        wrong, do = f"does not answer yet: it started {span(max(ago, 0.0))} ago", "Look again in some minutes."
    else:
        wrong, do = f"{SILENT_HUB}: {problem}", RESTART_HUB
    evidence = tuple(text for _, _, text in hub.fact("hub_log", ())[-5:])
    yield Cause(Finding("hub", THE_HUB, wrong, do, evidence), frozenset({HUB}))


def not_started(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """The Hub could not start a user's server."""
    hub = seen.hub
    if hub is None or not hub.answers:
        return
    log = [(at, text) for at, _, text in hub.fact("hub_log", ())]
    failed: dict[str, tuple[float, str]] = {}
    for at, text in log:
        if started := _STARTED.search(text):
            failed.pop(started["user"], None)
        elif found := _UNHANDLED.search(text) or _NOT_STARTED.search(text):
            failed[found["user"].rstrip(":")] = (at, text)
    for user, (at, text) in failed.items():
        around = [line for when, line in log if abs(when - at) < 5]
        own = [line for when, unit, line in hub.fact("servers", ()) if unit == f"notebook-{user}"][-5:]
        why = _reason([*around, *own, *hub.log(f"notebook-{user}")]) or "its log says no reason"
        finding = Finding(
            "servers",
            f"{user}'s server",
            f"could not be started by the Hub: {why}",
            f"`provision ssh -- sudo journalctl -u notebook-{user} -u jupyterhub` shows both logs. Once the cause is "
            "mended, the user starts it again on the Hub's page.",
            (text, *around[-4:], *(f"notebook-{user}: {line}" for line in own)),
        )
        yield Cause(finding, explains=frozenset({f"kernel {user}"}))
    for user, (what, started) in seen.of_hub("hub").get("pending", {}).items():
        if user not in failed and _seconds_since(seen, started) > _PENDING:
            finding = Finding(
                "servers",
                f"{user}'s server",
                f"has been in state `{what}` since {started}",
                f"`provision ssh -- sudo journalctl -u notebook-{user}` shows why it is slow.",
                (f"Hub: {user} is pending {what}",),
            )
            yield Cause(finding)


def _seconds_since(seen: ObservedSparkCluster, moment: str) -> float:
    from datetime import datetime

    try:
        return (seen.now - datetime.fromisoformat(moment)).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def _reason(lines: list[str]) -> str:
    """Return the line that says why: the last one that names an error."""
    for line in reversed(lines):
        found = re.search(r"(?:^|\s)((?:[\w.]*(?:Error|Exception)|No module named|Failed to execute)\b.*)", line)
        if found and "Unhandled error" not in line:
            return found[1].strip()[:200]
    return ""


def bad_kernel_spec(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """A kernel.json that no kernel can be started from."""
    for each in seen.of_hub("kernel_specs") or ():
        ours = each["path"].startswith("/usr/local/")
        do = (
            "playbooks/site.yml restores it."
            if ours
            else "Its owner mends or removes it: `jupyter kernelspec list` shows it."
        )
        yield Cause(
            Finding(
                "kernel.json",
                each["path"],
                f"starts no kernel: {each['problem']}",
                do,
                (f"{each['path']}: {each['problem']}",),
            ),
            explains=frozenset({f"kernel spec {each['path'].split('/')[-2]}"}),
        )


def dying(seen: ObservedSparkCluster) -> Iterator[Cause]:
    """A user's kernel died, or did not start."""
    hub = seen.hub
    if hub is None or not hub.answers:
        return
    logs: dict[str, list[tuple[float, str]]] = {}
    for at, unit, text in hub.fact("servers", ()):
        if unit.startswith("notebook-") and seen.now.timestamp() + hub.ahead - at < RECENT:
            logs.setdefault(unit.removeprefix("notebook-"), []).append((at, text))
    for user, log in logs.items():
        deaths = [(at, text) for at, text in log if _RESTARTING.search(text) or _DIED.search(text)]
        if not deaths:
            continue
        why, do, explained = _cause_of_death(hub, user, log, deaths)
        ago = span(max(0.0, seen.now.timestamp() + hub.ahead - deaths[-1][0]))
        finding = Finding(
            "kernels",
            f"a kernel of {user}",
            f"died {times(len(deaths))}, the last time {ago} ago: {why}",
            do,
            tuple(text for _, text in log[-6:]),
        )
        yield Cause(finding, frozenset({f"kernel {user}"}), explained)


def _cause_of_death(
    master: ObservedNode, user: str, log: list[tuple[float, str]], deaths: list[tuple[float, str]]
) -> tuple[str, str, frozenset[str]]:
    first, last = deaths[0][0] - 60, deaths[-1][0] + 10
    unit = f"notebook-{user}"
    killed: list[dict[str, Any]] = [
        each
        for each in master.fact("killed", ())
        if each["unit"].removesuffix(".service") == unit and first <= each["at"] <= last
    ]
    said = "\n".join(text for at, text in log if first <= at <= last)
    if killed:
        programs = listed({each["program"] for each in killed})
        do = "Let the notebook take less at once (fewer rows to the driver), close kernels, or raise hub.limits.memory."
        why = f"the kernel of the node ended {programs}, for the user's limit of memory was reached"
        return why, do, frozenset({f"killed {unit}"})
    if module := _NO_MODULE.search(said):
        do = f"Install it for that kernel's Python, or put it into `packages` of the spec; a file {module[1]}.py that "
        do += "is in the way is to be renamed."
        return f"the module {module[1]} is missing", do, frozenset()
    if file := _NO_FILE.search(said):
        do = "Mend the kernel.json that names it: `jupyter kernelspec list` shows them."
        return f"its kernel.json names {file[1]}, which is not there", do, frozenset()
    do = f"`provision ssh -- sudo journalctl -u {unit}` shows what it printed before."
    return "its log says no reason; it may have ended itself", do, frozenset()
