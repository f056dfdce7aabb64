"""House rules that no other tool checks: sizes of folders and modules, class names, hints, a test for each module."""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "provision"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)
MODULES_AT_MOST = 14
LINES_AT_MOST = 450


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_no_folder_is_crowded():
    counts = Counter(path.parent for path in MODULES)
    crowded = {name_of(folder): count for folder, count in counts.items() if count > MODULES_AT_MOST}
    assert not crowded, "give subjects packages of their own"


def test_no_module_is_long():
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in MODULES}
    assert not {name: length for name, length in lengths.items() if length > LINES_AT_MOST}


def test_a_class_name_is_used_once():
    names = Counter(node.name for path in MODULES for node in ast.walk(tree_of(path)) if isinstance(node, ast.ClassDef))
    assert not {name for name, count in names.items() if count > 1 and not name.startswith("_")}


def has_logic(path: Path) -> bool:
    """Whether a module holds a function that decides something: a branch, a loop, a comprehension."""
    kinds = (ast.If, ast.For, ast.While, ast.IfExp, ast.comprehension, ast.Match, ast.Try)
    functions = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef)]
    return any(isinstance(node, kinds) for function in functions for node in ast.walk(function))


@pytest.mark.parametrize("path", [*filter(has_logic, MODULES)], ids=name_of)
def test_each_module_with_logic_has_a_test_module_of_its_name(path):
    folder = ROOT / "tests/unit" / path.relative_to(PACKAGE).parent
    # A small package may be tested as one, by the module of its name.
    assert (folder / f"test_{path.stem}.py").exists() or (folder / f"test_{path.parent.name}.py").exists()


def hints():
    """Yield where each error is made, and the first and last piece of text of its hint."""
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("Error")):
                continue
            given = [word.value for word in node.keywords if word.arg == "hint"]
            for hint in [*given, *node.args[1:2]]:
                texts = hint.values if isinstance(hint, ast.JoinedStr) else [hint]
                if all(isinstance(each, ast.Constant | ast.FormattedValue) for each in texts):
                    yield pytest.param(texts, id=f"{name_of(path)}:{node.lineno}")


@pytest.mark.parametrize("texts", [*hints()])
def test_a_hint_is_a_sentence(texts):
    first, last = texts[0], texts[-1]
    if isinstance(first, ast.Constant) and first.value:
        assert first.value[0].isupper() or first.value[0] in "`/-", first.value
    if isinstance(last, ast.Constant) and last.value:
        assert last.value.rstrip().endswith((".", "?", "`")), last.value
