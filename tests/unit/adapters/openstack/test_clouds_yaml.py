from __future__ import annotations

import json

import pytest
import yaml
from openstack.config import loader

from provision.adapters.openstack import clouds_yaml
from provision.base.errors import UsageError

ENTRY = {
    "auth": {"auth_url": "http://127.0.0.1:5000/v3", "username": "provision", "password": "p"},
    "region_name": "RegionOne",
}
OWN = {"auth": {"auth_url": "https://devstack.example/v3", "username": "me", "password": "q"}}
THEIRS = """\
# my clouds
clouds:
  work:  # the big one
    auth:
      auth_url: 'https://example.org:5000/v3'
      password: "s3cret"
cache: {expiration_time: 3600}
"""


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """The user's own file, the system's, and nothing else that openstacksdk would read."""
    own, system = tmp_path / "home/openstack/clouds.yaml", tmp_path / "etc/openstack/clouds.yaml"
    system.parent.mkdir(parents=True)
    monkeypatch.setattr(loader, "CONFIG_FILES", [str(own), str(system)])
    monkeypatch.setattr(loader, "CONFIG_SEARCH_PATH", [str(tmp_path / "work"), str(own.parent), str(system.parent)])
    monkeypatch.delenv("OS_CLIENT_CONFIG_FILE", raising=False)
    return own, system


def test_a_new_file_is_made_for_its_owner_alone(tmp_path):
    path = tmp_path / "openstack" / "clouds.yaml"
    assert clouds_yaml.ensure_entry(path, "local", ENTRY)
    assert yaml.safe_load(path.read_text()) == {"clouds": {"local": ENTRY}}
    assert path.stat().st_mode & 0o777 == 0o600
    assert not clouds_yaml.ensure_entry(path, "local", ENTRY)


def test_others_entries_comments_and_quotes_stay_as_they_are(tmp_path):
    path = tmp_path / "clouds.yaml"
    path.write_text(THEIRS)
    assert clouds_yaml.ensure_entry(path, "local", ENTRY)
    assert yaml.safe_load(path.read_text())["clouds"]["local"] == ENTRY
    assert set(THEIRS.splitlines()) <= set(path.read_text().splitlines())
    assert clouds_yaml.remove_entry(path, "local", "provision")
    assert path.read_text() == THEIRS
    assert not clouds_yaml.remove_entry(path, "local", "provision")


def test_a_file_that_held_only_our_entry_goes_with_it(tmp_path):
    path = tmp_path / "clouds.yaml"
    clouds_yaml.ensure_entry(path, "local", ENTRY)
    clouds_yaml.ensure_entry(path, "local", ENTRY | {"region_name": "other"})
    assert clouds_yaml.remove_entry(path, "local", "provision")
    assert [each.name for each in tmp_path.iterdir()] == ["etc"]


@pytest.mark.parametrize("text", ["clouds: [", "- a list\n", "just text", "clouds: [a]\n", "clouds: 7\n"])
def test_a_broken_file_is_left_alone(tmp_path, text):
    path = tmp_path / "clouds.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match="nothing was changed"):
        clouds_yaml.ensure_entry(path, "local", ENTRY)
    assert path.read_text() == text


@pytest.mark.parametrize("text", ["", "clouds:\n", "# nothing yet\n"])
def test_an_empty_file_gets_the_entry(tmp_path, text):
    path = tmp_path / "clouds.yaml"
    path.write_text(text)
    assert clouds_yaml.ensure_entry(path, "local", ENTRY)
    assert yaml.safe_load(path.read_text())["clouds"]["local"] == ENTRY


@pytest.mark.parametrize("own", [OWN, {"profile": "vexxhost"}, {}, "text", {"auth": {"token": "t"}}])
def test_an_entry_of_the_users_own_stays(tmp_path, own):
    path = tmp_path / "clouds.yaml"
    path.write_text(yaml.safe_dump({"clouds": {"local": own}}))
    before = path.read_text()
    for act in (
        lambda: clouds_yaml.require_own_entry(path, "local", "provision"),
        lambda: clouds_yaml.ensure_entry(path, "local", ENTRY),
    ):
        with pytest.raises(UsageError, match="a cloud 'local' of your own") as caught:
            act()
        assert "another name" in caught.value.hint
    assert not clouds_yaml.remove_entry(path, "local", "provision")
    assert path.read_text() == before


def test_a_link_stays_a_link(tmp_path):
    target = tmp_path / "dotfiles" / "clouds.yaml"
    target.parent.mkdir()
    target.write_text(THEIRS)
    path = tmp_path / "clouds.yaml"
    path.symlink_to(target)
    clouds_yaml.ensure_entry(path, "local", ENTRY)
    assert path.is_symlink()
    assert yaml.safe_load(target.read_text())["clouds"]["local"] == ENTRY
    clouds_yaml.remove_entry(path, "local", "provision")
    assert path.is_symlink()
    assert target.read_text() == THEIRS


def test_a_link_to_nothing_but_our_entry_does_not_dangle(tmp_path):
    target = tmp_path / "dotfiles.yaml"
    target.write_text("clouds: {}\n")
    path = tmp_path / "clouds.yaml"
    path.symlink_to(target)
    clouds_yaml.ensure_entry(path, "local", ENTRY)
    clouds_yaml.remove_entry(path, "local", "provision")
    assert yaml.safe_load(path.read_text()) == {"clouds": {}}


def test_a_new_file_hides_nothing_of_the_systems(files):
    own, system = files
    system.write_text(THEIRS)
    clouds_yaml.ensure_entry(own, "local", ENTRY)
    assert set(yaml.safe_load(own.read_text())["clouds"]) == {"work", "local"}
    assert system.read_text() == THEIRS
    clouds_yaml.remove_entry(own, "local", "provision")
    assert not own.exists(), "the system's is read again"


def test_a_broken_file_of_the_systems_is_passed_over_as_openstacksdk_does(files):
    own, system = files
    system.write_text("clouds: [")
    clouds_yaml.ensure_entry(own, "local", ENTRY)
    assert set(yaml.safe_load(own.read_text())["clouds"]) == {"local"}
    assert clouds_yaml.remove_entry(own, "local", "provision")
    assert not own.exists()


def test_what_the_user_has_added_meanwhile_stays(files):
    own, system = files
    system.write_text(THEIRS)
    clouds_yaml.ensure_entry(own, "local", ENTRY)
    own.write_text(own.read_text().replace("work:", "more:"))
    clouds_yaml.remove_entry(own, "local", "provision")
    assert set(yaml.safe_load(own.read_text())["clouds"]) == {"more"}


def test_json_stays_json(tmp_path):
    path = tmp_path / "clouds.json"
    path.write_text('{"clouds": {"work": {"auth": {"auth_url": "https://example.org"}}}}')
    clouds_yaml.ensure_entry(path, "local", ENTRY)
    assert set(json.loads(path.read_text())["clouds"]) == {"work", "local"}
    clouds_yaml.remove_entry(path, "local", "provision")
    assert set(json.loads(path.read_text())["clouds"]) == {"work"}
