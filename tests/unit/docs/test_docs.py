"""What README, CONTRIBUTING and docs/ name is there. (Links between pages of docs/ are checked by `mkdocs build`.)"""

from __future__ import annotations

import re
from dataclasses import astuple
from pathlib import Path

import pytest

from provision.base.constants import LOCALCLOUD_PORTS, PORTS

ROOT = Path(__file__).parents[3]
TOP = ("provision", "templates", "compose", "playbooks", "inventories", "tests", "docs")
OWN_LINKS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
PAGES = [*(ROOT / name for name in OWN_LINKS[:2]), *sorted((ROOT / "docs").rglob("*.md"))]
FIGURES = "docs/reference/measurements.md"
NUMBER = r"\d+(?:\.\d+)?"
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def code_spans(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))


@pytest.mark.parametrize("name", OWN_LINKS)
def test_links_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / name).read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        page = ROOT / (path or name)
        assert page.exists(), f"{name} links to {target}, which is not there"
        assert not anchor or anchor in anchors(page), f"{name} links to {target}, and {path} has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_that_are_named_exist(page):
    for span in code_spans(page.read_text(encoding="utf-8")):
        if re.fullmatch(rf"({'|'.join(TOP)})(/[\w.-]+)+/?", span):
            assert (ROOT / span).exists(), f"{page.relative_to(ROOT)} names {span}, which is not there"


def test_tests_that_are_named_exist():
    named = [
        span.split("::") for page in PAGES for span in code_spans(page.read_text(encoding="utf-8")) if ".py::" in span
    ]
    assert len(named) > 50
    for file, test in named:
        assert f"\ndef {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file} has no {test}"


def test_files_that_a_recipe_names_are_in_its_folders():
    recipes = re.findall(r"^### (.*?)\n(.*?)(?=^##)", CONTRIBUTING, re.M | re.S)
    assert len(recipes) > 10
    for title, text in recipes:
        places = [ROOT]
        for span in code_spans(text):
            if "/" in span and (ROOT / span).exists():
                places.append(ROOT / span if (ROOT / span).is_dir() else (ROOT / span).parent)
            elif span in TOP:
                places.append(ROOT / span)
            elif re.fullmatch(r"[\w.-]+\.(py|yaml|yml|j2)", span):
                assert any((place / span).exists() for place in places), f"{title}: {span} is in none of its folders"


def test_the_folder_map_is_complete():
    shown = set(re.findall(r"`([^`]+)`", CONTRIBUTING.partition("[start:folders]")[2].partition("[end:folders]")[0]))
    package = ROOT / "provision"
    for module in package.rglob("*.py"):
        folder = module.parent.relative_to(ROOT)
        # What is deeper than two folders is explained by the one above it.
        near = "/".join(folder.parts[:3])
        if folder.parts[1:2] and folder.parts[1] != "data" and near != "provision/cli/cloud":
            assert near in shown, f"{near} is missing in the folder map of CONTRIBUTING.md"
    assert set(TOP) - {"provision"} <= {name.partition("/")[0] for name in shown}


def test_figures_of_the_readme_are_measured_ones():
    readme, page = (file.read_text(encoding="utf-8") for file in (ROOT / "README.md", ROOT / FIGURES))
    table = readme.partition("## How long, how large\n")[2].partition("\n## ")[0]
    figures = [cells.split(" | ")[1] for cells in re.findall(r"^\| (.*) \|$", table, re.M)[1:]]
    sections = [page.partition(f"\n## {title}\n")[2].partition("\n## ")[0] for title in ("`make up`", "Memory")]
    measured = set(re.findall(NUMBER, " ".join(sections)))
    assert len(figures) > 3
    for figure in figures:
        assert set(re.findall(NUMBER, figure)) <= measured, f"{figure} is not in {FIGURES}"


def test_every_port_is_on_its_page():
    page = (ROOT / "docs/reference/ports.md").read_text(encoding="utf-8")
    ranges = {PORTS.driver, PORTS.driver_block_manager, PORTS.block_manager, PORTS.app_ui}
    named = {f"{first}-{first + PORTS.retries}" for first in ranges}
    single = {*astuple(PORTS), *astuple(LOCALCLOUD_PORTS)} - ranges - {PORTS.retries}
    # "6641 to 6644" names those between.
    spans = [range(int(first), int(last) + 1) for first, last in re.findall(r"\b(\d+) to (\d+)\b", page)]
    for port in single:
        assert re.search(rf"\b{port}\b", page) or any(port in span for span in spans), f"port {port} is not on the page"
    for text in named:
        assert text in page, f"ports {text} are not on the page"
