"""The text of notebooks: what is read from it, parameters, and the JSON that Jupyter gets."""

from __future__ import annotations

import ast

import pytest

from provision.base.errors import UsageError
from provision.base.paths import EXAMPLES
from provision.model.examples.notebooks import given, read, to_json

TEXT = """\
# ---
# jupyter:
#   kernelspec:
#     display_name: PySpark
#     language: python
#     name: pyspark
#   provision:
#     packages: [prophet]
#     summary: What it shows.
# ---

# %% [markdown]
# # A title
#
# Some *words*.

# %% tags=["parameters"]
rows = 1_000
share = 0.5
path = "a"
deep = True

# %%
def f():

    return rows


f()
"""


def test_a_notebook_says_what_it_is():
    example = read("one", TEXT)
    assert (example.name, example.title, example.summary) == ("one", "A title", "What it shows.")
    assert example.packages == ("prophet",)
    assert example.parameters == {"rows": 1000, "share": 0.5, "path": "a", "deep": True}


def test_a_module_beside_them_is_none():
    assert read("helper", '"""A module."""\n') is None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [(TEXT.replace("# # A title", "# A title"), "title"), (TEXT.replace("%% tags", "%% label"), "mark")],
)
def test_what_is_not_understood_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        read("one", wrong)


def test_what_jupyter_gets():
    notebook = to_json(read("one", TEXT))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "pyspark"
    words, parameters, code = notebook["cells"]
    assert (words["cell_type"], words["source"]) == ("markdown", "# A title\n\nSome *words*.")
    assert parameters["metadata"] == {"tags": ["parameters"]}
    assert code["source"] == "def f():\n\n    return rows\n\n\nf()"
    assert (code["outputs"], code["execution_count"], code["metadata"]) == ([], None, {})
    assert len({cell["id"] for cell in notebook["cells"]}) == 3


def test_parameters_have_the_types_of_their_defaults():
    example = read("one", TEXT)
    asked = ["rows=10_000_000", "share=1", "path=b=c", "deep=False"]
    assert given(example, asked) == {"rows": 10_000_000, "share": 1.0, "path": "b=c", "deep": False}


@pytest.mark.parametrize("setting", ["rows", "columns=1", "rows=many", "rows=[1]", "share="])
def test_what_is_no_parameter_is_refused(setting):
    with pytest.raises(UsageError, match=r"no such parameter|that is no"):
        given(read("one", TEXT), [setting])


SHIPPED = [read(path.stem, path.read_text()) for path in sorted(EXAMPLES.glob("*.py"))]


@pytest.mark.parametrize("example", [*filter(None, SHIPPED)], ids=lambda example: example.name)
def test_each_example_ends_with_checks_and_compiles(example):
    assert example.summary.endswith(".")
    assert example.kernel["name"] == "pyspark"
    for cell in example.cells:
        if not cell.markdown:
            compile(cell.source, example.name, "exec")
    last = ast.parse(example.cells[-1].source)
    assert sum(isinstance(node, ast.Assert) for node in ast.walk(last)) >= 3


def test_a_value_of_another_kind_is_named_in_words():
    example = read("one", TEXT)
    with pytest.raises(UsageError, match="that is no whole number"):
        given(example, ["rows=many"])
