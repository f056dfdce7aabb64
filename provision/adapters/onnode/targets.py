"""Write which nodes the store of metrics asks, if they are others than before; run on the master."""

from __future__ import annotations

import os
from typing import Any


def main(order: dict[str, Any]) -> int:
    """Write the file `path` with `text`, whole or not at all, and print whether that changed it."""
    path, text = order["path"], order["text"]
    try:
        with open(path, encoding="utf-8") as file:
            before = file.read()
    except OSError:
        before = ""
    if before == text:
        print("same")
        return 0
    os.makedirs(os.path.dirname(path), exist_ok=True)
    part = f"{path}.part"
    with open(part, "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(file.fileno(), 0o644)
    os.replace(part, path)
    print("changed")
    return 0
