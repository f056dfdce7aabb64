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
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from provision.adapters.host import process
from provision.base import paths
from provision.base.errors import ProvisionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provision.base.progress import Progress
    from provision.operations.cluster.nodes import LiveCluster

PLAYBOOKS: Final = ("site.yml", "users.yml")
_SETTINGS: Final = "[defaults]\nnocolor = True\nretry_files_enabled = False\n"
_NOT_HANDED_ON: Final = ("ANSIBLE_", "LANG", "LC_")
"""How the variables begin that Ansible does not get. It refuses a locale that is not UTF-8, or not installed here."""
_FOLDER: Final = "provision-ansible-"
_DAY: Final = 86400
_RECAP: Final = re.compile(r"^(\S+)\s*: .*?changed=(\d+)", re.MULTILINE)


def configure(cluster: LiveCluster, progress: Progress) -> int:
    """Bring a live cluster's nodes to the spec; return how many things were changed.

    The Hub's certificate is issued again first if the floating IP is a new one. Raises ProvisionError when a playbook
    fails.
    """
    return run_playbooks(cluster.inventory(), progress)


def run_playbooks(
    inventory: dict[str, Any], progress: Progress, playbooks: Sequence[str] = PLAYBOOKS, options: Sequence[str] = ()
) -> int:
    """Run the playbooks on all nodes; return how many things they changed. Raises ProvisionError when one fails."""
    changed = 0
    # Not in /tmp, which may be mounted noexec: the inventory is a program.
    paths.state_dir().mkdir(parents=True, exist_ok=True, mode=0o700)
    _remove_leftovers()
    with tempfile.TemporaryDirectory(prefix=_FOLDER, dir=paths.state_dir()) as folder:
        script = Path(folder) / "inventory"
        script.with_suffix(".json").write_text(json.dumps(inventory))
        script.write_text(f"#!/bin/sh\nexec cat {shlex.quote(f'{script}.json')}\n")
        script.chmod(0o700)
        (Path(folder) / "ansible.cfg").write_text(_SETTINGS)
        for playbook in playbooks:
            changed += _run_playbook(script, playbook, progress, options)
    return changed


def _remove_leftovers() -> None:
    """Remove the folders of runs that were killed; those of today may belong to runs that go on."""
    for folder in paths.state_dir().glob(f"{_FOLDER}*/"):
        with suppress(FileNotFoundError):
            if folder.stat().st_mtime < time.time() - _DAY:
                shutil.rmtree(folder, ignore_errors=True)


def _run_playbook(inventory: Path, playbook: str, progress: Progress, options: Sequence[str]) -> int:
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
    if code:
        raise ProvisionError(f"playbooks/{playbook} failed", "Run it again; it goes on where it stopped.", output)
    return sum(int(number) for _, number in _RECAP.findall(output))
