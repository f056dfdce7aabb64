"""Pieces of Markdown that the generated pages are made of."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NOTICE = "<!-- Made from the code by `make docs`. Change {source} instead. -->"


def code(text: str) -> str:
    """Set `text` as code, also where it holds backticks or what ends a table's cell."""
    if "|" in text:
        return f"<code>{html.escape(text, quote=False).replace('|', '&#124;')}</code>"
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Write a table; cells are Markdown already, one line each."""
    lines = [" | ".join(("", *columns, "")).strip(), "|" + " --- |" * len(columns)]
    lines += [" | ".join(("", *(cell.replace("|", "\\|") for cell in row), "")).strip() for row in rows]
    return [*lines, ""]
