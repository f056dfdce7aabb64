"""Run playbooks, as site.yml and users.yml, with an inventory that was made for this run."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from provision.adapters.host import process
from provision.base import paths
from provision.base.errors import ProvisionError
from provision.model.finding import listed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from provision.base.progress import Progress
    from provision.operations.cluster.nodes import LiveCluster

PLAYBOOKS: Final = ("site.yml", "users.yml")
FORKS: Final = 50
"""Nodes at once, unless ANSIBLE_FORKS says otherwise: each takes a process of some 60 MB here."""
_SETTINGS: Final = "[defaults]\nnocolor = True\nretry_files_enabled = False\nforks = {forks}\n"
_NOT_HANDED_ON: Final = ("ANSIBLE_", "LANG", "LC_")
"""How the variables begin that Ansible does not get. It refuses a locale that is not UTF-8, or not installed here."""
_FOLDER: Final = "provision-ansible-"
_DAY: Final = 86400
_RECAP: Final = re.compile(r"^(\S+)\s*: (ok=\d+\b.*)", re.MULTILINE)
_COUNT: Final = re.compile(r"(\w+)=(\d+)")
_WELL: Final = ("ok: ", "changed: ", "skipping: ", "included: ")
"""How lines begin that say of one node that a task has succeeded there."""
_HEADS: Final = ("PLAY [", "TASK [", "RUNNING HANDLER [")
"""How the lines begin below which it is said what came of a task."""
_AGAIN: Final = "Run it again; it goes on where it stopped."


class PlaybookError(ProvisionError):
    """A playbook failed on some nodes."""

    clean: frozenset[str] = frozenset()
    """The nodes on which none did."""


@dataclass(frozen=True, slots=True)
class _Run:
    """What one playbook did."""

    changed: int
    clean: frozenset[str]
    """Nodes on which it succeeded."""
    failed: frozenset[str]
    """Nodes on which it did not, and those that it did not reach."""
    output: str
    """What it said of these."""


def configure(cluster: LiveCluster, progress: Progress, names: Collection[str]) -> int:
    """Bring a live cluster's nodes, or those with these names, to the spec; return how many things were changed.

    The Hub's certificate is issued again first if the floating IP is a new one. Raises ProvisionError when a playbook
    fails, and PlaybookError when it does so on some nodes.
    """
    return run_playbooks(cluster.inventory(), progress, only=names)


def run_playbooks(
    inventory: dict[str, Any],
    progress: Progress,
    playbooks: Sequence[str] = PLAYBOOKS,
    options: Sequence[str] = (),
    *,
    only: Collection[str] = (),
) -> int:
    """Run the playbooks on all nodes, or `only` on some; return how many things they changed.

    Where one fails on some nodes, the next ones leave these out. Raises PlaybookError then, in the end, and
    ProvisionError when a playbook fails as a whole.
    """
    runs: list[_Run] = []
    failed: frozenset[str] = frozenset()
    # Not in /tmp, which may be mounted noexec: the inventory is a program.
    paths.state_dir().mkdir(parents=True, exist_ok=True, mode=0o700)
    _remove_leftovers()
    with tempfile.TemporaryDirectory(prefix=_FOLDER, dir=paths.state_dir()) as folder:
        script = Path(folder) / "inventory"
        script.with_suffix(".json").write_text(json.dumps(inventory))
        script.write_text(f"#!/bin/sh\nexec cat {shlex.quote(f'{script}.json')}\n")
        script.chmod(0o700)
        forks = _forks(len(inventory["_meta"]["hostvars"]))
        (Path(folder) / "ansible.cfg").write_text(_SETTINGS.format(forks=forks))
        for playbook in playbooks:
            limit = _limit(script.with_name("limit"), only, failed)
            runs.append(_run_playbook(script, playbook, progress, [*options, *limit]))
            failed |= runs[-1].failed
            if failed and not runs[-1].clean - {"localhost"}:
                break
    if failed:
        books = listed(f"playbooks/{playbook}" for playbook, run in zip(playbooks, runs, strict=False) if run.failed)
        said = "\n".join(run.output for run in runs if run.failed)
        error = PlaybookError(f"{books} failed on {listed(failed)}", _AGAIN, said)
        error.clean = frozenset[str]().union(*(run.clean for run in runs)) - failed
        raise error
    return sum(run.changed for run in runs)


def _remove_leftovers() -> None:
    """Remove the folders of runs that were killed; those of today may belong to runs that go on."""
    for folder in paths.state_dir().glob(f"{_FOLDER}*/"):
        with suppress(FileNotFoundError):
            if folder.stat().st_mtime < time.time() - _DAY:
                shutil.rmtree(folder, ignore_errors=True)


def _forks(nodes: int) -> int:
    asked = os.environ.get("ANSIBLE_FORKS", "")
    return int(asked) if asked.isdecimal() and int(asked) else max(1, min(nodes, FORKS))


def _limit(file: Path, only: Iterable[str], failed: Iterable[str]) -> list[str]:
    """Return the options that leave out nodes; none where all are meant. A file holds any number of names."""
    chosen, left_out = [*only], sorted(f"!{name}" for name in failed)
    if not chosen and not left_out:
        return []
    # The plays that check the inventory run on this machine.
    file.write_text("\n".join(["localhost", *(chosen or ["all"]), *left_out]) + "\n")
    return ["--limit", f"@{file}"]


def _run_playbook(inventory: Path, playbook: str, progress: Progress, options: Sequence[str]) -> _Run:
    """Run one playbook. Raises ProvisionError when it fails as a whole, and not on nodes."""
    lines: list[str] = []

    def read_line(line: str) -> None:
        lines.append(line)
        if line.startswith("TASK ["):
            progress.update(playbook, line[6:].partition("]")[0])

    # Ansible's commands are installed beside this Python, whose folder need not be on the PATH.
    ansible = str(Path(sys.executable).parent / "ansible-playbook")
    # With settings of our own alone: this user's and this machine's are for other playbooks, and may name what is not
    # installed here, or show something else than what is read below.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_HANDED_ON)}
    environment["ANSIBLE_CONFIG"] = str(inventory.with_name("ansible.cfg"))
    environment["LC_ALL"] = "C.UTF-8"
    argv = [ansible, "-i", str(inventory), *options, str(paths.PLAYBOOKS / playbook)]
    code = process.stream(argv, read_line, cwd=inventory.parent, env=environment)
    output = "\n".join(lines)
    recap = {host: {name: int(count) for name, count in _COUNT.findall(rest)} for host, rest in _RECAP.findall(output)}
    failed = {host for host, counts in recap.items() if counts.get("failed") or counts.get("unreachable")}
    if code and (not failed or "localhost" in failed):
        raise ProvisionError(f"playbooks/{playbook} failed", _AGAIN, output)
    clean = frozenset(recap) - failed
    # Of an output the end is shown: of a thousand nodes that would be those that are well, and what they did further.
    said: list[str] = []
    for line in reversed(lines):
        if not line.strip() or line.startswith(_WELL) or line.partition(" ")[0] in clean:
            continue
        if not line.startswith(_HEADS) or (said and not said[-1].startswith((*_HEADS, "PLAY RECAP"))):
            said.append(line)
    changed = sum(counts.get("changed", 0) for counts in recap.values())
    return _Run(changed, clean, frozenset(failed), "\n".join(reversed(said)))
