from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from provision.base import paths
from provision.pure.stack_families import FAMILIES, families, image_tags
from provision.workflows.stack_images import contexts

if TYPE_CHECKING:
    from pathlib import Path


def imported(path: Path) -> set[str]:
    """Modules of the package that a file imports, wherever in it, type checking included or not."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.split(".")[0] == "provision"}


def test_the_registrators_image_has_every_module_that_it_imports():
    files = set(contexts()["registrator"])
    todo, seen = {"provision.__main__", "provision.cli.registrator"}, set()
    while todo:
        name = todo.pop()
        seen.add(name)
        place = paths.PACKAGE.joinpath(*name.split(".")[1:])
        path = next((each for each in (place.with_suffix(".py"), place / "__init__.py") if each.exists()), None)
        if path is None:
            # A name in a module, no module.
            continue
        in_context = f"provision/{path.relative_to(paths.PACKAGE).as_posix()}"
        if name == "provision.cli.terminal":
            # Imported only to show an error to a person.
            continue
        assert in_context in files, name
        todo |= imported(path) - seen


def test_every_family_has_a_dockerfile_and_those_that_run_an_entrypoint():
    found = contexts()
    for family in FAMILIES:
        assert "Dockerfile" in found[family.name]
        assert "entrypoint" in found[family.name] or family.name in ("base", "os")
        text = found[family.name]["Dockerfile"].decode()
        assert "FROM ${BASE}" in text
        for line in text.splitlines():
            if line.startswith("COPY ") and "--from" not in line:
                for source in line.split()[1:-1]:
                    there = any(
                        name == source or name.startswith(source.rstrip("/") + "/") for name in found[family.name]
                    )
                    assert there or (family.name, source) == ("base", "apt/"), line


def test_asking_for_one_family_brings_its_parents_and_no_more():
    assert [family.name for family in families({"compute"})] == ["base", "os", "nova", "compute"]
    assert [family.name for family in families({"bake"})] == ["base", "bake"]


def test_the_same_files_give_the_same_tags():
    assert image_tags(contexts()) == image_tags(contexts())
