"""The slow tests and the benchmarks import what exists: a renamed function is found here, not half an hour later."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FOLDERS = ("benchmarks", "integration", "e2e", "live")
SCRIPTS = [path for folder in FOLDERS for path in sorted((TESTS / folder).glob("*.py"))]


@pytest.mark.parametrize("folder", ["integration", "e2e"])
def test_slow_tests_can_be_collected(folder):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", str(TESTS / folder)],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.relative_to(TESTS).as_posix())
def test_names_that_are_imported_or_used_of_this_package_exist(script):
    """Also attributes of imported modules, and names in strings that are patched."""
    tree = ast.parse(script.read_text())
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "provision":
            parent = importlib.import_module(node.module)
            for name in node.names:
                if not hasattr(parent, name.name):
                    importlib.import_module(f"{node.module}.{name.name}")
                found = getattr(parent, name.name)
                if type(found) is type(sys):
                    modules[name.asname or name.name] = found
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            assert hasattr(modules[node.value.id], node.attr), f"{node.value.id}.{node.attr}, line {node.lineno}"
