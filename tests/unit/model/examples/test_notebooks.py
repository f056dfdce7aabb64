"""The text of notebooks: what is read from it, parameters, and the JSON that Jupyter gets."""

from __future__ import annotations

import ast

import pytest

from provision.base.errors import UsageError
from provision.base.paths import EXAMPLES
from provision.model.examples.notebooks import BOUNDS, PARAMETERS, given, read, to_json

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

# %% tags=["bounds"]
# Of fewer nothing comes.
assert 10 <= rows <= 1e9
assert share >= 0

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
    assert example.bounds == ["10 <= rows <= 1000000000.0", "share >= 0"]


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
    words, parameters, bounds, code = notebook["cells"]
    assert (words["cell_type"], words["source"]) == ("markdown", "# A title\n\nSome *words*.")
    assert (parameters["metadata"], bounds["metadata"]) == ({"tags": ["parameters"]}, {"tags": ["bounds"]})
    assert code["source"] == "def f():\n\n    return rows\n\n\nf()"
    assert (code["outputs"], code["execution_count"], code["metadata"]) == ([], None, {})
    assert len({cell["id"] for cell in notebook["cells"]}) == 4


def test_parameters_have_the_types_of_their_defaults():
    example = read("one", TEXT)
    asked = ["rows=10_000_000", "share=1", "path=b=c", "deep=False"]
    assert given(example, asked) == {"rows": 10_000_000, "share": 1.0, "path": "b=c", "deep": False}


@pytest.mark.parametrize(("text", "number"), [("1e7", 10_000_000), ("20.0", 20), ("+1_000", 1_000), (" 20", 20)])
def test_whole_numbers_may_be_written_in_several_ways(text, number):
    rows = given(read("one", TEXT), [f"rows={text}"])["rows"]
    assert (rows, type(rows)) == (number, int)


REFUSED = (
    *("rows", "columns=1", "rows=many", "rows=[1]", "rows=2000.5", "rows=True", "rows='20'", "rows=1e400", "rows=20j"),
    *("rows=None", "share=", "share=1e400", "share=True", "deep=1", "deep=yes"),
)
MUCH = {
    "digits": "9" * 5_000,
    "signs": "-" * 50_000 + "1",
    "brackets": "(" * 5_000 + "1",
    "numbers": "[" + "1," * 5_000 + "]",
}


@pytest.mark.parametrize("setting", [*REFUSED, *(pytest.param(f"rows={text}", id=name) for name, text in MUCH.items())])
def test_what_is_no_parameter_is_refused(setting):
    with pytest.raises(UsageError, match=r"no such parameter|that is no"):
        given(read("one", TEXT), [setting])


@pytest.mark.parametrize("setting", ["rows=9", "rows=0", "rows=-1000", "rows=1e10", "share=-0.1"])
def test_what_is_out_of_its_bounds_is_refused_and_they_are_named(setting):
    name = setting.partition("=")[0]
    with pytest.raises(UsageError, match=f"^{setting}: one takes .*{name}") as raised:
        given(read("one", TEXT), ["deep=False", setting])
    assert raised.value.hint == f"Without -p it is {read('one', TEXT).parameters[name]!r}."


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


@pytest.mark.parametrize("example", [*filter(None, SHIPPED)], ids=lambda example: example.name)
def test_each_example_has_bounds_for_its_numbers_before_it_does_anything(example):
    (place,) = [number for number, cell in enumerate(example.cells) if PARAMETERS in cell.tags]
    bounds = example.cells[place + 1]
    assert bounds.tags == (BOUNDS,)
    defaults = example.parameters
    exec(bounds.source, dict(defaults))
    for name in (name for name, default in defaults.items() if isinstance(default, int)):
        assert given(example, [f"{name}={defaults[name]}"]) == {name: defaults[name]}
        with pytest.raises(UsageError, match=f"{example.name} takes .*{name}"):
            given(example, [f"{name}=-1"])
        # As it is opened in the Hub.
        with pytest.raises(AssertionError):
            exec(bounds.source, {**defaults, name: -1})


FAILED = {
    "popular-topics": ["large=100", "large=0"],
    "stream-to-disk": ["megabytes=4", "times=0", "pages=0", "pages=10_001", "page_megabytes=0"],
    "trading-backtest": ["hours=1", "hours=8_760", "markets=0", "markets=1"],
    "weather-forecast": ["stations=0", "years=0", "years=2_017"],
    "weather-learning": ["years=2_015"],
    "weather-station": ["days=0"],
}


@pytest.mark.parametrize(("name", "setting"), [(name, each) for name, settings in FAILED.items() for each in settings])
def test_numbers_with_which_an_example_failed(name, setting):
    (example,) = [each for each in SHIPPED if each and each.name == name]
    with pytest.raises(UsageError, match=f"{name} takes "):
        given(example, [setting])


def test_a_value_of_another_kind_is_named_in_words():
    example = read("one", TEXT)
    with pytest.raises(UsageError, match="that is no whole number"):
        given(example, ["rows=many"])
