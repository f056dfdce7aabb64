"""uv: resolves Python packages for the nodes and installs them into a folder, on a machine of any kind.

pip cannot: it takes the conditions of dependencies (`python_version < "3.12"`) from the Python that runs it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provision.adapters.host import package_settings, process
from provision.base.constants import NODE_PLATFORM, NODE_PYTHON
from provision.base.errors import ProvisionError, UsageError
from provision.model.packages import resolver_reason

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMEOUT: Final = 1800
"""Seconds: large wheels over a slow line."""
_NO_SOLUTION: Final = 1
"""uv's exit code when the request cannot be fulfilled; 2 is a failure, of the network for example."""
_PLATFORM: Final = "x86_64-" + NODE_PLATFORM.removesuffix("_x86_64")
_NODE: Final = ("--python-version", NODE_PYTHON, "--python-platform", _PLATFORM, "--only-binary", ":all:")


def resolve(lines: str, constraints: str) -> str:
    """Resolve a requirements.txt for the nodes, and return it with every version and hash.

    Raises UsageError with uv's own reason when there is no solution, ProvisionError when uv fails.
    """
    with tempfile.TemporaryDirectory(prefix="provision-packages-") as folder:
        requirements, limits = Path(folder) / "requirements.in", Path(folder) / "image.txt"
        requirements.write_text(lines)
        limits.write_text(constraints)
        plain = ("--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links", "--generate-hashes")
        result = _uv(["compile", *_NODE, *plain, "--constraints", str(limits), str(requirements)], Path(folder))
    if result.code == _NO_SOLUTION and "No solution found" in result.stderr:
        reason = resolver_reason(result.stderr)
        hint = "Nothing was changed. Correct the list; packages that come as source only need a wheel of your own."
        raise UsageError(f"packages: no set of versions fits the nodes: {reason}", hint)
    return _checked(result)


def install(lock: str, target: Path) -> None:
    """Install a resolved requirements.txt into the folder `target`, each file checked by its hash.

    Raises ProvisionError when that fails.
    """
    with tempfile.TemporaryDirectory(prefix="provision-packages-") as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(lock)
        # Links into uv's cache would let a later change of either file change the other.
        how = ("--no-deps", "--require-hashes", "--link-mode", "copy", "--target", str(target))
        _checked(_uv(["install", *_NODE, *how, "--requirements", str(requirements)], Path(folder)))


def _uv(arguments: Sequence[str], folder: Path) -> process.Result:
    from uv import find_uv_bin

    # In a folder of its own: a pyproject.toml above this one is no business of the cluster.
    environment = package_settings.for_uv() | {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}
    sources = ["--no-index"] if package_settings.without_index() else []
    argv = [find_uv_bin(), "pip", arguments[0], "--quiet", "--python", sys.executable, *sources, *arguments[1:]]
    return process.run(argv, cwd=folder, env=environment, timeout=TIMEOUT)


def _checked(result: process.Result) -> str:
    if not result.ok:
        raise ProvisionError(
            "the Python packages could not be fetched",
            "Nothing was changed. Run it again when the registry answers; this machine's pip settings say where it is.",
            resolver_reason(result.stderr),
        )
    return result.stdout
