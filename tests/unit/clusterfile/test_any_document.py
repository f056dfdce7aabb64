"""Whatever a file holds, there is a spec that can be rendered, or a sentence with the place and the remedy."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from provision.base.errors import UsageError
from provision.base.model import ClusterSpec
from provision.clusterfile import load
from provision.clusterfile.models import ClusterModel
from provision.model.cluster.example import documents

RELAXED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = st.sampled_from(
    ["", "a", "local", "m1.small", "4g", "0", "-1", "1e3", "022", "yes", "null", "~", "10.20.0.0/24", "::1/64", "root",
     "alice", "../x", "\x1b[2J", "\0", "\ufeff", "\ud7ff", "é", "💥", "a" * 300, "${HOME}", "{{ 7 }}", "x\ny: 1",
     "numpy==2.5.5", "spark.executor.memory", "spark.au\\u0074henticate", "30m", "1d", "99999999999999999999d", ".inf"]
)  # fmt: skip
SCALARS = st.one_of(
    WORDS, st.text(max_size=20), st.integers(), st.floats(), st.booleans(), st.none(), st.dates(), st.binary(max_size=8)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(WORDS, st.integers(), st.none()), inner, max_size=4)
    ),
    max_leaves=12,
)


def sections(model: type) -> st.SearchStrategy:
    """Documents with the right names of fields and anything in them."""
    fields = {}
    for name, field in model.model_fields.items():
        annotations = (field.annotation, *getattr(field.annotation, "__args__", ()))
        inner = next((each for each in annotations if hasattr(each, "model_fields")), None)
        fields[field.alias or name] = st.one_of(VALUES, sections(inner)) if inner else VALUES
    return st.fixed_dictionaries({}, optional=fields)


def or_sentence(act):
    """Return what `act` gives, or the sentence that it refuses with."""
    try:
        return act(), None
    except UsageError as error:
        return None, error


def spec_or_sentence(file):
    """Load the file; what it gives is whole, and so is what is said of it."""
    spec, refusal = or_sentence(lambda: load(file))
    if refusal:
        assert file.name in refusal.message
        assert refusal.hint
    else:
        assert isinstance(spec, ClusterSpec)
    return spec


@RELAXED
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))))
@example(b"\xef\xbb\xbfname: a\n")
@example(b"a: &a [*a]\n")
@example(b"%YAML 9.9\n---\nname: a\n")
@example(b"!!python/object/apply:os.system ['true']\n")
@example(b"? [a, b]\n: 1\n")
@example(b"<<: {name: a}\n")
@example(b"name: a\n---\nname: b\n")
def test_any_bytes(tmp_path, data):
    file = tmp_path / "cluster.yaml"
    file.write_bytes(data)
    spec_or_sentence(file)


@RELAXED
@given(st.one_of(sections(ClusterModel), VALUES))
def test_any_document(tmp_path, document):
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8", errors="replace")
    spec_or_sentence(file)


VALID = {
    "name": "a",
    "cloud": "local",
    "image": "golden",
    "master": {"flavor": "m1.small"},
    "workers": {"count": 2, "flavor": "m1.small"},
    "network": {"cidr": "10.20.0.0/24"},
    "hub": {"users": ["alice", {"name": "bob", "admin": True}], "idle_timeout": "1h"},
    "spark": {"defaults": {"spark.ui.retainedJobs": "9"}},
}
PLACES = [(key,) for key in VALID] + [
    (key, inner) for key, part in VALID.items() if isinstance(part, dict) for inner in part
]


@RELAXED
@given(st.sampled_from(PLACES), VALUES)
def test_one_value_of_a_good_document(tmp_path, place, value):
    document = json.loads(json.dumps(VALID))
    part = document
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8", errors="replace")
    if spec := spec_or_sentence(file):
        rendered, refusal = or_sentence(lambda: documents(spec, "cluster.yaml", ()))
        assert refusal.hint if refusal else rendered


def test_the_good_document_is_good(tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump(VALID))
    assert spec_or_sentence(file) is not None
    with pytest.raises(UsageError):
        load(tmp_path / "none.yaml")
