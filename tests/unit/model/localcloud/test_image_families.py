"""Images: the modules that they carry (those that their program imports, and no others), their tags, apt sources."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.model.localcloud.image_families import FAMILIES, AptMirrors, apt_sources, image_tags, module_files
from provision.operations.localcloud.shared.images import contexts

PROGRAMS = {family.name: family.program for family in FAMILIES if family.program}
# What the Dockerfiles install for them (urllib3 is what requests stands on).
INSTALLED = {
    "registrator": {"click", "docker", "requests", "urllib3"},
    "mariadb": {"pymysql", "requests"},
    # markupsafe is what Jinja2 stands on.
    "horizon": {"jinja2", "markupsafe", "pygal", "requests"},
}

CONTEXTS = {family.name: {"Dockerfile": family.name.encode()} for family in FAMILIES}
TAGS = image_tags(CONTEXTS)


def carried(family: str) -> dict[str, str]:
    files = contexts()[family]
    return {name: text.decode() for name, text in files.items() if name.startswith("provision/")}


@pytest.mark.parametrize("family", PROGRAMS)
def test_program_runs_with_nothing_but_what_its_image_carries(family, tmp_path):
    for name, text in carried(family).items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    names = [name.removesuffix(".py").replace("/", ".").removesuffix(".__init__") for name in carried(family)]
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        # This package may be installed here as a finder that would give any module of it.
        "sys.meta_path = [each for each in sys.meta_path if 'editable' not in str(each)]\n"
        f"import {PROGRAMS[family]}, {', '.join(names)}, provision\n"
        f"assert provision.__file__.startswith({str(tmp_path)!r}), provision.__file__\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("family", PROGRAMS)
def test_what_it_imports_from_others_is_installed_in_its_image(family):
    def outside(tree):
        for node in ast.iter_child_nodes(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                continue
            if isinstance(node, ast.Import):
                yield from (each.name.partition(".")[0] for each in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.module.partition(".")[0]
            yield from outside(node)

    found = {name for text in carried(family).values() for name in outside(ast.parse(text))}
    assert found - {"provision"} - sys.stdlib_module_names == INSTALLED[family]


def test_what_horizon_s_panel_imports_of_the_package_is_in_its_image():
    panel = [text for name, text in contexts()["horizon"].items() if name.startswith("monitoring_panel/")]
    nodes = [node for text in panel for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    wanted = {node.module for node in nodes if node.module.startswith("provision.")}
    assert wanted
    assert {f"{module.replace('.', '/')}.py" for module in wanted} <= set(carried("horizon"))


def test_modules_are_followed_through_packages_functions_and_both_kinds_of_import():
    files = {
        "provision/__init__.py": "",
        "provision/a.py": "from provision.b import c\nfrom provision.b.d import name\nimport os\n",
        "provision/b/__init__.py": "",
        "provision/b/c.py": "def later():\n    import provision.e\n",
        "provision/b/d.py": "if TYPE_CHECKING:\n    from provision import unneeded\nelse:\n    import provision.f\n",
        "provision/e.py": "",
        "provision/f.py": "",
        "provision/unneeded.py": "",
    }
    assert set(module_files("provision.a", files.get)) == set(files) - {"provision/unneeded.py"}


@given(st.sampled_from(FAMILIES), st.binary(min_size=1, max_size=8))
def test_a_change_rebuilds_a_family_and_its_children_and_nothing_else(family, more):
    changed = image_tags(CONTEXTS | {family.name: {"Dockerfile": CONTEXTS[family.name]["Dockerfile"] + more}})
    parents = {each.name: each.parent for each in FAMILIES}

    def ancestry(name: str) -> list[str]:
        return [name, *ancestry(parents[name])] if name in parents else []

    for name, tag in changed.items():
        assert (tag != TAGS[name]) == (family.name in ancestry(name))


@pytest.mark.parametrize(
    ("mirrors", "lines"),
    [
        (AptMirrors(), []),
        (AptMirrors("http://a/debian"), ["http://a/debian trixie main", "http://a/debian trixie-updates main"]),
        (
            AptMirrors("http://a/debian", "http://s/sec"),
            ["http://a/debian trixie main", "http://a/debian trixie-updates main", "http://s/sec trixie-security main"],
        ),
    ],
)
def test_apt_sources_follow_the_host(mirrors, lines):
    assert [line.partition("] ")[2] for line in apt_sources(mirrors).splitlines()] == lines
