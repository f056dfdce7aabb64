"""A hook of mkdocs: the built pages load nothing from other machines."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.exceptions import PluginError

# What a browser fetches by itself; a link that a reader follows is an <a>.
_LOADED = re.compile(r"<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>")
_IMPORTED = re.compile(r"(?:url\(|@import )[\"']?(?:https?:)?//[^)\"']+")


def on_post_build(config):  # noqa: ANN001, ANN201, D103 - the name and arguments are mkdocs's
    for page in Path(config.site_dir).rglob("*"):
        pattern = {".html": _LOADED, ".css": _IMPORTED}.get(page.suffix)
        if pattern and (found := pattern.search(page.read_text(encoding="utf-8"))):
            raise PluginError(f"{page} loads something from another machine: {found[0]}")
