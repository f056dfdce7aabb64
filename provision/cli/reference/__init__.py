"""Pages of docs/reference that are made from the code: the commands, and the fields of cluster.yaml.

`python -m provision.cli.reference` writes them; a unit test fails where one is out of date.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.cli.reference.cluster_file import cluster_file_page
from provision.cli.reference.commands import commands_page

if TYPE_CHECKING:
    from pathlib import Path

RENEW = "python -m provision.cli.reference"


def pages() -> dict[str, str]:
    """Make the pages: file name in docs/reference -> Markdown."""
    from provision.cli.main import cli

    return {"commands.md": commands_page(cli), "cluster-file.md": cluster_file_page()}


def write(folder: Path) -> None:
    """Write the pages into `folder`; a page that is up to date is left alone."""
    for name, text in pages().items():
        file = folder / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
