"""Requests for packages, their digests, and what is read of a resolver's output."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.base.model import LocalWheel, PackagesSpec
from provision.model import packages as model

WHEEL, JAR = Path("/spec/demo-1.0-py3-none-any.whl"), Path("/spec/tools.jar")
SPEC = PackagesSpec(("polars>=1",), (LocalWheel("demo[x]", WHEEL),), (JAR,))
CONTENTS = {WHEEL: "11", JAR: "22"}
LOCK = """\
demo @ file:///spec/demo-1.0-py3-none-any.whl \\
    --hash=sha256:11
NumPy==2.0 \\
    --hash=sha256:22 \\
    --hash=sha256:33
# a comment
polars==2.1 ; sys_platform == 'linux' \\
    --hash=sha256:44
"""


def test_no_request_has_no_digest():
    assert model.request_digest(PackagesSpec(), {}) == ""


def test_where_a_file_lies_does_not_matter_but_what_is_in_it():
    digest = model.request_digest(SPEC, CONTENTS)
    moved = PackagesSpec(
        SPEC.requirements, (LocalWheel("demo[x]", Path("/other") / WHEEL.name),), (Path("/other") / JAR.name,)
    )
    assert model.request_digest(moved, {path: CONTENTS[Path("/spec") / path.name] for path in moved.files()}) == digest
    for path in CONTENTS:
        assert model.request_digest(SPEC, {**CONTENTS, path: "99"}) != digest


def test_another_image_is_another_resolution():
    one = model.resolution_key("r", {"numpy": "2.0"})
    assert one == model.resolution_key("r", {"numpy": "2.0"})
    assert one != model.resolution_key("r", {"numpy": "2.1"})


def test_what_is_resolved():
    assert model.input_lines(SPEC) == "polars>=1\ndemo[x] @ file:///spec/demo-1.0-py3-none-any.whl\n"
    assert model.constraints({"b": "2", "a": "1"}) == "a==1\nb==2\n"


def test_the_images_own_are_left_out():
    kept = model.beside_image(LOCK, {"numpy": "2.0"})
    assert "numpy" not in kept.lower()
    assert "--hash=sha256:44" in kept
    assert "sha256:33" not in kept
    assert model.listed(kept) == ("demo @ demo-1.0-py3-none-any.whl", "polars==2.1")
    assert model.beside_image(LOCK, {"numpy": "2.0", "demo": "1", "polars": "2.1"}) == ""


def test_a_bundle_is_read_as_it_was_written():
    bundle = model.Bundle("abc", ("polars==2.1",), ("tools.jar", "more.jar"), 2_500_000)
    assert model.read_bundle(bundle.text()) == bundle
    assert bundle.described == "1 package and 2 jars, 2.5 MB"
    assert model.Bundle("abc").described == "the image has all of them"
    with pytest.raises(KeyError):
        model.read_bundle("{}")


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (
            "error: No solution found when resolving dependencies\n  cause: Because a has no usable wheels,\n"
            "         your requirements are unsatisfiable.\n\nhint: Wheels are required (`--no-build`)\n",
            "Because a has no usable wheels, your requirements are unsatisfiable",
        ),
        (
            "  \u00d7 No solution found when resolving dependencies:\n  \u2570\u2500\u25b6 Because a was not found.\n",
            "Because a was not found",
        ),
        (
            "error: Failed to fetch: `https://alice:secret@host.example/a/`\n  Caused by: no route\n",
            "Failed to fetch: `https://host.example/a/` no route",
        ),
    ],
)
def test_the_resolvers_reason(output, said):
    assert model.resolver_reason(output) == said
