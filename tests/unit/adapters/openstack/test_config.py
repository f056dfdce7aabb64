"""What openstacksdk reads of a user's clouds, and what is said of an entry that cannot be used."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from openstack.config import loader

from provision.adapters.openstack import config
from provision.base.errors import UsageError

ENTRY = "clouds: {NAME: {auth: {auth_url: 'http://127.0.0.1:1/v3', username: u, password: p, project_name: x}, MORE}}\n"


def entry(name, more=""):
    return ENTRY.replace("NAME", name).replace("MORE", more)


@pytest.fixture(name="home")
def _home(tmp_path, monkeypatch):
    """The user's own folder; the working folder is the first place where openstacksdk looks."""
    home, here = tmp_path / "openstack", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    monkeypatch.delenv("OS_CLIENT_CONFIG_FILE", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(loader, "CONFIG_SEARCH_PATH", [str(here), str(home)])
    monkeypatch.setattr(loader, "CONFIG_HOME", str(home))
    monkeypatch.setattr(loader, "UNIX_CONFIG_HOME", str(home))
    names = [f"{folder}/clouds{end}" for folder in (here, home) for end in (".yaml", ".yml", ".json")]
    monkeypatch.setattr(loader, "CONFIG_FILES", names)
    return home


def test_a_file_in_the_working_folder_hides_the_users_own(home, tmp_path):
    own, here = home / "clouds.yaml", tmp_path / "here" / "clouds.yaml"
    own.write_text(entry("mine"))
    assert config.find("mine")[1] == own
    here.write_text(entry("other"))
    with pytest.raises(UsageError) as caught:
        config.find("mine")
    assert str(here) in caught.value.message
    assert f"OS_CLIENT_CONFIG_FILE={own}" in caught.value.hint
    assert config.own_file() == own


def test_the_local_clouds_entry_is_found_behind_a_file_in_the_working_folder(home, tmp_path):
    (home / "clouds.yaml").write_text(entry("local"))
    (tmp_path / "here" / "clouds.yaml").write_text(entry("other"))
    assert config.find("local")[1] == home / "clouds.yaml"


def test_a_file_that_was_passed_over_in_silence_is_named(home):
    (home / "clouds.yaml").write_text("clouds: [")
    (home / "clouds.yml").write_text(entry("other"))
    with pytest.raises(UsageError, match=r"clouds\.yaml cannot be read"):
        config.find("mine")


@pytest.mark.parametrize(
    ("content", "words"), [(None, "does not exist"), (b"\xff", "no PEM certificate"), ("folder", "is a folder")]
)
@pytest.mark.parametrize("field", ["cacert", "cert"])
def test_a_certificate_that_cannot_be_used(home, tmp_path, field, content, words):
    if (field, content) in (("cacert", "folder"), ("cert", b"\xff")):
        return  # a folder of authorities is fine; what a client's certificate holds is for the cloud to judge
    path = tmp_path / "a.pem"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    (home / "clouds.yaml").write_text(entry("mine", f"{field}: '{path}'"))
    with pytest.raises(UsageError, match=words) as caught:
        config.find("mine")
    assert field in caught.value.message
    assert str(home / "clouds.yaml") in caught.value.hint


def test_a_relative_cacert_is_looked_for_in_the_working_folder(home, tmp_path, monkeypatch):
    (home / "clouds.yaml").write_text(entry("mine", "cacert: ca.pem"))
    (home / "ca.pem").write_text("")
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UsageError) as caught:
        config.find("mine")
    assert f"write {home / 'ca.pem'}" in caught.value.hint


def test_without_verification_no_authority_is_needed(home):
    (home / "clouds.yaml").write_text(entry("mine", "verify: false, cacert: /nowhere"))
    assert config.find("mine")[0].config["verify"] is False


def scope(project="p", regions=("one",), services=("compute", "network", "image")):
    def endpoints(*, service_type, interface):
        return {"": [SimpleNamespace(region_name=region) for region in regions]} if service_type in services else {}

    catalogue = SimpleNamespace(get_endpoints_data=endpoints)
    access = SimpleNamespace(project_id=project, service_catalog=catalogue)
    return SimpleNamespace(session=SimpleNamespace(auth=SimpleNamespace(get_access=lambda _: access)))


def region(name):
    return SimpleNamespace(
        config={"auth": {"auth_url": "http://127.0.0.1:1"}},
        get_endpoint=lambda _: None,
        get_interface=lambda _: "public",
        get_region_name=lambda _: name,
    )


@pytest.mark.parametrize(
    ("name", "found", "words"),
    [
        ("two", {}, "no region 'two'"),
        ("", {"regions": ("one", "two")}, "several regions: one, two"),
        ("one", {"project": None}, "for no project"),
        ("one", {"services": ("compute",)}, "no network service"),
    ],
)
def test_a_login_that_leads_nowhere(home, name, found, words):
    with pytest.raises(config.ProvisionError, match=words) as caught:
        config.check_scope("mine", region(name), scope(**found), None)
    assert "clouds.yaml" in caught.value.hint


@pytest.mark.parametrize("name", ["", "one"])
def test_a_login_that_fits(home, name):
    config.check_scope("mine", region(name), scope(), None)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("", "its entry is empty"),
        ("text", "its entry is not a map of fields"),
        ("[a]", "its entry is not a map of fields"),
        ("{auth: }", "`auth` of its entry is empty"),
        ("{auth: [a]}", "`auth` of its entry is not a map of fields"),
        ("{auth: {auth_url: 7, username: u}}", "`auth_url` of its entry is not text"),
        ("{auth: {username: u, password: p}}", "auth_url"),
        ("{auth: {}}", "auth_url"),
    ],
)
def test_an_entry_that_is_there_is_to_be_corrected_and_not_added(home, fields, said):
    file = home / "clouds.yaml"
    file.write_text(f"clouds:\n  mine: {fields}\n")
    with pytest.raises(UsageError) as caught:
        config.find("mine", "cluster.yaml")
    assert caught.value.message.startswith("cluster.yaml: cloud: there is no usable cloud 'mine'")
    assert said in caught.value.message
    assert "object has no attribute" not in caught.value.message
    assert caught.value.hint.startswith(f"Correct entry 'mine' of {file}")


@pytest.mark.parametrize("url", ["keystone.example.com", "keystone.example.com:5000/v3", "ftp.example.com"])
def test_an_address_whose_scheme_was_forgotten(home, url):
    file = home / "clouds.yaml"
    file.write_text(entry("mine").replace("http://127.0.0.1:1/v3", url))
    with pytest.raises(UsageError, match=r"cloud 'mine': auth_url: it does not begin with https://") as caught:
        config.find("mine")
    assert caught.value.hint == f"Write https://{url} as `auth_url` of 'mine' in {file}."


def test_a_broken_file_is_to_be_corrected(home):
    file = home / "clouds.yaml"
    file.write_text(entry("mine")[:-10])
    with pytest.raises(UsageError) as caught:
        config.find("mine")
    assert f"{file} cannot be read" in caught.value.message
    assert caught.value.hint.startswith(f"Correct {file}: ")


def test_clouds_that_are_no_map(home):
    (home / "clouds.yaml").write_text("clouds: [a]\n")
    with pytest.raises(UsageError, match=r"`clouds` of .* is not a map of entries"):
        config.find("mine")
