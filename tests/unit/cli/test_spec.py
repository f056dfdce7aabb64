"""What `init` writes is the default cluster, and every field is in it."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from provision.base.errors import UsageError
from provision.base.model import ClusterSpec
from provision.cli.spec import init
from provision.clusterfile import load
from provision.clusterfile.models import ClusterModel


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(init, arguments, catch_exceptions=True)


def test_it_is_the_default_cluster(folder):
    assert run().exit_code == 0
    assert load(None) == ClusterSpec("analytics")


def test_every_field_is_explained(folder):
    run("other")
    text = (folder / "cluster.yaml").read_text()
    assert load(None).name == "other"
    for section, field in ClusterModel.model_fields.items():
        assert f"{section}:" in text
        for inner in getattr(field.annotation, "model_fields", {}):
            assert f"{inner}:" in text


def test_the_commented_examples_are_right(folder):
    run()
    file = folder / "cluster.yaml"
    lines = (
        file.read_text()
        .replace("# app_cores", "app_cores")
        .replace("# user_cores", "user_cores")
        .replace("# executor_memory", "executor_memory")
    )
    lines = lines.replace("# defaults:", "defaults:").replace("# access:", "access:").splitlines()
    file.write_text("\n".join(line for line in lines if line != "  users: [alice]").replace("# users:", "users:"))
    spec = load(None)
    assert (spec.spark.app_cores, spec.spark.user_cores) == (4, 4)
    assert [user.name for user in spec.hub.users] == ["alice", "bob"]


def test_it_overwrites_nothing(folder):
    (folder / "cluster.yaml").write_text("mine")
    result = run()
    assert isinstance(result.exception, UsageError)
    assert (folder / "cluster.yaml").read_text() == "mine"


@pytest.mark.parametrize("name", ["A", "a b", "-a", ""])
def test_a_bad_name_is_refused(folder, name):
    result = run("--", name)
    assert isinstance(result.exception, UsageError)
    assert not (folder / "cluster.yaml").exists()
