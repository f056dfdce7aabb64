from __future__ import annotations

import pytest
import yaml

from provision.adapters.openstack import clouds_yaml
from provision.base.errors import UsageError

ENTRY = {"auth": {"auth_url": "http://127.0.0.1:5000/v3", "password": "p"}, "region_name": "RegionOne"}
THEIRS = """\
# my clouds
clouds:
  work:  # the big one
    auth:
      auth_url: 'https://example.org:5000/v3'
      password: "s3cret"
cache: {expiration_time: 3600}
"""


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
    assert clouds_yaml.remove_entry(path, "local")
    assert path.read_text() == THEIRS
    assert not clouds_yaml.remove_entry(path, "local")


def test_a_file_that_held_only_our_entry_goes_with_it(tmp_path):
    path = tmp_path / "clouds.yaml"
    clouds_yaml.ensure_entry(path, "local", ENTRY)
    clouds_yaml.ensure_entry(path, "local", ENTRY | {"region_name": "other"})
    assert clouds_yaml.remove_entry(path, "local")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["clouds: [", "- a list\n", "just text"])
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
