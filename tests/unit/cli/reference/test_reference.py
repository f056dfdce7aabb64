"""The generated pages of docs/reference are complete and up to date."""

from __future__ import annotations

import pytest

from provision.base.paths import PACKAGE, TEMPLATES
from provision.cli import reference
from provision.cli.main import cli
from provision.cli.reference.cluster_file import cluster_file_page, comments_of, fields, refusal
from provision.cli.reference.commands import commands_page, walk
from provision.cli.reference.notes import NOTES

FOLDER = PACKAGE.parent / "docs" / "reference"
RENEW = f"it is out of date: run `make docs`, or `.venv/bin/{reference.RENEW}`, and commit what it writes"


@pytest.mark.parametrize("name", reference.pages())
def test_what_is_committed_is_up_to_date(name):
    assert (FOLDER / name).read_text(encoding="utf-8") == reference.pages()[name], f"docs/reference/{name}: {RENEW}"


def test_only_a_page_that_differs_is_written(tmp_path):
    reference.write(tmp_path)
    (tmp_path / "commands.md").write_text("old")
    kept = tmp_path / "cluster-file.md"
    before = kept.stat().st_mtime_ns
    reference.write(tmp_path)
    assert (tmp_path / "commands.md").read_text().startswith("<!-- Made from the code")
    assert kept.stat().st_mtime_ns == before


def test_every_command_has_a_section():
    names = [path for path, _ in walk(cli)]
    page = commands_page(cli)
    assert {"provision up", "provision cloud scale", "provision image list"} <= set(names)
    for name in names:
        assert f"# `{name}`\n" in page


def test_a_bar_in_an_option_ends_no_cell():
    row = "| <code>--role [master&#124;hub&#124;workers&#124;all]</code> | On which nodes. | all |"
    assert row in commands_page(cli)


def test_every_option_says_what_it_does():
    for line in commands_page(cli).splitlines():
        if line.startswith(("| `-", "| <code>-")):
            assert line.split(" | ")[1], f"this option has no help text: {line}"


def test_every_field_has_a_section_and_a_meaning():
    page = cluster_file_page()
    found = [path for path, _ in fields()]
    assert sorted(found) == sorted(NOTES), "NOTES in provision/cli/reference/notes.py lacks a field, or has one more"
    for path in found:
        meaning = page.partition(f"### `{path}`\n\n")[2].partition("\n")[0]
        assert meaning.endswith("."), (
            f"{path} has no meaning: write one into NOTES, or into the file that `init` writes"
        )


def test_meanings_come_from_the_file_that_init_writes():
    comments = comments_of((TEMPLATES / "spec" / "cluster.yaml.j2").read_text())
    assert comments["cloud"].startswith("An entry of clouds.yaml")
    assert comments["network.access"].startswith("Who may reach the Hub")
    assert comments["spark.app_cores"] == comments["spark.user_cores"]
    assert comments["spark.defaults"].startswith("Any other entry")


def test_a_refusal_is_the_loaders_own_answer():
    written, answer = refusal("workers.count", 0)
    assert written == "workers: {count: 0}"
    assert answer == "0 workers cannot compute. Ask for at least 1."


def test_an_example_that_is_accepted_is_no_refusal():
    with pytest.raises(AssertionError, match="is not refused"):
        refusal("workers.count", 3)


def test_a_field_has_no_comment_of_its_neighbours():
    found = comments_of((TEMPLATES / "spec" / "cluster.yaml.j2").read_text(encoding="utf-8"))
    assert found["hub.users"] == "Accounts on the master; first passwords are made and kept on this machine."
    for section, who in (("master", "it is"), ("workers", "they are"), ("hub", "it is")):
        assert found[f"{section}.availability_zone"] == f"The availability zone that {who} in."


def test_a_default_is_never_one_of_python():
    assert "None" not in cluster_file_page().partition("## Fields")[2].partition("### ")[0]
