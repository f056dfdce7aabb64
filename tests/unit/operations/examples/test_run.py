"""The examples on a master: what is brought, whose it is, and what is started. The master is this machine."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from provision.adapters.remote import Remote
from provision.base.errors import UsageError
from provision.base.model import LocalWheel, PackagesSpec
from provision.base.progress import Silent
from provision.operations.examples import run as operation

REMOTE = Remote("a-master", ("sh", "-c"), sudo=False)
TEXT = """\
# ---
# jupyter:
#   kernelspec: {name: pyspark, display_name: PySpark, language: python}
#   provision: {summary: It counts., packages: [Some_Package]}
# ---
# %% [markdown]
# # Counting
# %% tags=["parameters"]
rows = 5
"""


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Two examples and a helper are shipped; returns their folder."""
    folder = tmp_path / "shipped"
    (folder / operation.HELPERS / "__pycache__").mkdir(parents=True)
    (folder / operation.HELPERS / "__init__.py").write_text("ONE = 1\n")
    (folder / operation.HELPERS / "__pycache__" / "x.pyc").touch()
    (folder / operation.RUNNER).write_text("print()\n")
    for name in ("counting", "again"):
        (folder / f"{name}.py").write_text(TEXT)
    monkeypatch.setattr("provision.base.paths.EXAMPLES", folder)
    return folder


def test_examples_are_chosen_by_name(shipped):
    assert [each.name for each in operation.choose([])] == ["again", "counting"]
    assert [each.name for each in operation.choose(["counting", "counting"])] == ["counting"]
    with pytest.raises(UsageError, match="no example 'nothing'") as raised:
        operation.choose(["nothing"])
    assert "again, counting" in raised.value.hint


def test_packages_are_compared_by_their_names(shipped):
    (example,) = operation.choose(["counting"])
    assert operation.missing_packages(example, PackagesSpec()) == ["Some_Package"]
    assert operation.missing_packages(example, PackagesSpec(("some-package[fast]>=1",))) == []
    wheel = LocalWheel("some.package[fast]", Path("x.whl"))
    assert operation.missing_packages(example, PackagesSpec(wheels=(wheel,))) == []


def bring(folder):
    return operation.bring(REMOTE, Silent(), user="alice", folder=str(folder))


def test_what_differs_is_brought_and_what_is_old_goes(shipped, tmp_path):
    there = tmp_path / "there"
    assert bring(there).files == 4
    assert json.loads((there / "counting.ipynb").read_text())["cells"][1]["source"] == "rows = 5"
    assert (there / operation.HELPERS / "__init__.py").stat().st_mode & 0o777 == 0o644
    assert {path.name for path in there.rglob("*")} == {
        "again.ipynb", "counting.ipynb", operation.RUNNER, operation.HELPERS, "__init__.py"
    }  # fmt: skip
    assert bring(there).files == 0
    (shipped / "again.py").unlink()
    (shipped / "counting.py").write_text(TEXT.replace("rows = 5", "rows = 6"))
    done = bring(there)
    assert (done.files, done.deleted) == (1, 1)


def test_nothing_is_written_into_a_folder_of_somebody_else(shipped, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "there").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="belongs to somebody else"):
        bring(tmp_path / "there")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_an_example_is_a_job_of_its_user(shipped, monkeypatch):
    asked = []
    monkeypatch.setattr(operation, "submit", lambda *arguments: asked.append(arguments) or "the job")
    (example,) = operation.choose(["counting"])
    page, errors = io.BytesIO(), io.BytesIO()
    job = operation.run(
        REMOTE,
        example,
        parameters={"rows": 7},
        user="alice",
        limits={"MemoryMax": "9M"},
        told=print,
        page=page,
        errors=errors,
    )
    assert job == "the job"
    ((_, program, limits, _, output),) = asked
    assert (program.user, program.name, program.script.name) == ("alice", "counting", operation.RUNNER)
    assert program.runner == ("/opt/jupyter/bin/python",)
    assert program.arguments == ("/shared/examples/counting.ipynb", "--parameters", '{"rows": 7}')
    assert (limits, output) == ({"MemoryMax": "9M"}, (page, errors))
