"""What `init` writes is the default cluster, and every field is in it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from click.testing import CliRunner

from provision.base.errors import ProvisionError, UsageError
from provision.base.model import ClusterSpec, Flavor
from provision.cli.spec import init
from provision.clusterfile import load
from provision.clusterfile.models import ClusterModel
from provision.model.cluster.offer import CloudOffer
from provision.operations import offer


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(init, arguments, catch_exceptions=True)


def test_it_is_the_default_cluster(folder):
    assert run().exit_code == 0
    assert load(None) == ClusterSpec("analytics")


@pytest.mark.parametrize("name", ["no", "on", "off", "yes", "true", "false", "null", "y", "e1"])
def test_a_name_that_yaml_takes_for_something_else_is_that_name(folder, name):
    assert run(name).exit_code == 0
    assert load(None) == ClusterSpec(name)


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


def asked(monkeypatch, answer):
    def ask_offer(cloud):
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(offer, "ask_offer", ask_offer)
    return run("a", "--cloud", "company")


def test_a_cloud_is_asked_what_there_is(folder, monkeypatch):
    flavors = (Flavor("yes", 2, 4096, 20), Flavor("big\nname: x", 8, 32768, 100))
    done = asked(monkeypatch, CloudOffer("company", flavors, ("debian-13",), ("internet",)))
    assert done.exit_code == 0
    spec = load(None)
    assert (spec.name, spec.cloud, spec.master.flavor, spec.workers.flavor) == ("a", "company", "yes", "yes")
    assert (spec.image.name, spec.network.external) == ("golden", "internet")
    text = (folder / "cluster.yaml").read_text()
    assert "  # company has yes (2 vCPU, 4 GiB, disk 20 GiB), big name: x (8 vCPU, 32 GiB, disk 100 GiB).\n" in text
    assert "# company has debian-13.\n" in text


def test_a_cloud_that_is_silent_leaves_the_defaults_and_says_so(folder, monkeypatch):
    done = asked(monkeypatch, ProvisionError("logging in: no answer", "Try again."))
    assert done.exit_code == 0
    assert "Cloud 'company' could not be asked (logging in: no answer)" in done.stderr
    assert load(None) == replace(ClusterSpec("a"), cloud="company")


def test_a_cloud_that_is_not_there_is_refused(folder, monkeypatch):
    done = asked(monkeypatch, UsageError("there is no cloud 'company'", "Name another."))
    assert isinstance(done.exception, UsageError)
    assert not (folder / "cluster.yaml").exists()


def test_nobody_is_asked_for_a_file_that_is_there(folder, monkeypatch):
    (folder / "cluster.yaml").write_text("mine")
    monkeypatch.setattr(offer, "ask_offer", pytest.fail)
    assert isinstance(run("a", "--cloud", "company").exception, UsageError)


def test_the_local_cloud_is_not_asked(folder, monkeypatch):
    monkeypatch.setattr(offer, "ask_offer", pytest.fail)
    assert run("--cloud", "local").exit_code == 0
    assert load(None) == ClusterSpec("analytics")


def test_many_flavors_are_comments_of_several_lines(folder, monkeypatch):
    flavors = tuple(Flavor(f"standard-{number}-memory-optimised", 2, 4096, 20) for number in range(30))
    asked(monkeypatch, CloudOffer("company", flavors, (), ("internet",)))
    lines = (folder / "cluster.yaml").read_text().splitlines()
    assert max(map(len, lines)) <= 121
    assert load(None).master.flavor == "standard-0-memory-optimised"


def test_a_spec_with_no_name_is_none(folder):
    done = run("-f", "")
    assert done.exit_code == 2
    assert "it is empty; name the spec's file" in done.stderr
    assert list(folder.iterdir()) == []
