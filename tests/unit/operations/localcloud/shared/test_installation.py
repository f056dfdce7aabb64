"""The local cloud's own files: what is written, what an older version lacks, and what is removed again."""

from __future__ import annotations

import base64
import multiprocessing
import uuid
from contextlib import nullcontext
from dataclasses import replace

import pytest

from provision.base import paths
from provision.base.errors import ProvisionError, UsageError
from provision.base.progress import Silent
from provision.model.localcloud.host import ServiceState
from provision.model.localcloud.image_families import image_tags
from provision.model.localcloud.render import env_file
from provision.model.localcloud.settings import GivenTls, Settings
from provision.operations.localcloud.shared import installation
from provision.operations.localcloud.shared.images import contexts


def test_an_installation_of_an_older_version_gets_the_values_that_it_lacks(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert installation.control().values == {}
    every = installation.this_checkout()
    assert every["REPLICA"] == "1"
    old = {key: value for key, value in every.items() if not key.endswith(("REPLICA", "_REPLICAS"))}
    paths.localcloud_dir().mkdir(parents=True)
    (paths.localcloud_dir() / "compose.env").write_text("".join(f"{key}={value}\n" for key, value in old.items()))
    lacking = installation.control().values
    assert set(lacking) == set(every) - set(old)
    assert lacking["KEYSTONE_REPLICAS"] == "1"


def test_what_this_checkout_gives_is_what_is_written(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(installation.facts, "capabilities", lambda: 0)
    made = installation.ensure_files(image_tags(contexts()))
    assert made.has_new_passwords
    assert (paths.localcloud_dir() / "compose.env").read_text() == env_file(installation.this_checkout())
    assert not installation.ensure_files(image_tags(contexts())).has_new_passwords
    assert made.replicas["nova-api"] == 1


class Running:
    """Docker: containers by the documents that they were made from."""

    def __init__(self, *configurations):
        self.made_from = configurations

    def states(self):
        return [ServiceState("any", "any-1", "exited", configuration=each) for each in self.made_from]


def test_a_container_keeps_the_documents_that_it_was_made_from_as_long_as_it_is_there(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(installation.facts, "capabilities", lambda: 0)
    tags = image_tags(contexts())

    def made():
        current = installation.ensure_files(tags)
        values = dict(line.split("=", 1) for line in (paths.localcloud_dir() / "compose.env").read_text().splitlines())
        return current, values["NOVA_CONFIG"], paths.localcloud_dir() / "etc" / "nova" / values["NOVA_CONFIG"]

    def there():
        return {folder.name for folder in (paths.localcloud_dir() / "etc" / "nova").iterdir()}

    _, old, old_folder = made()
    before = (old_folder / "nova.conf").read_text()
    installation.save_settings(Settings(ha=True))
    current, new, _ = made()
    assert (old_folder / "nova.conf").read_text() == before
    installation.drop_unused(Running(old), current)
    assert there() == {old, new}
    # Every family's own: what runs is not asked for what shall run.
    every = {folder.parent.name for folder in (paths.localcloud_dir() / "etc").glob("*/*/")}
    installation.drop_unused(Running(), current)
    assert there() == {new}
    assert {folder.parent.name for folder in (paths.localcloud_dir() / "etc").glob("*/*/")} == every
    assert (paths.localcloud_dir() / "etc" / "haproxy" / "tls.pem").exists()


def _hold(folder, ready, release):
    import os

    os.environ["XDG_STATE_HOME"] = folder
    with installation.exclusive_lock(Silent()):
        ready.set()
        release.wait(10)


def test_one_command_at_a_time(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    ready, release = multiprocessing.Event(), multiprocessing.Event()
    other = multiprocessing.Process(target=_hold, args=(str(tmp_path), ready, release))
    other.start()
    assert ready.wait(10)
    said = []

    class Listener(Silent):
        def note(self, text):
            said.append(text)
            release.set()

    with installation.exclusive_lock(Listener()):
        assert said == ["Another `provision cloud` command is running: waiting for it."]
    other.join(10)


def test_a_certificate_is_chosen_beside_what_another_command_has_chosen_meanwhile(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def lock(progress):
        installation.save_settings(Settings(ha=True))
        return nullcontext()

    monkeypatch.setattr(installation, "exclusive_lock", lock)
    monkeypatch.setattr(installation.tls, "accept", lambda given: given)
    given = GivenTls("cloud.example", tmp_path / "cert", tmp_path / "key")
    installation.choose_tls(Silent(), given)
    assert installation.load_settings() == Settings(ha=True, tls=given)


def test_data_is_incomplete_while_a_restore_runs_and_after_one_that_was_interrupted(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    installation.require_complete_data()
    installation.begin_restoring(tmp_path / "cloud.tar.gz")
    with pytest.raises(UsageError, match="was interrupted") as caught:
        installation.require_complete_data()
    assert f"`provision cloud restore {tmp_path}/cloud.tar.gz` again" in caught.value.hint
    installation.end_restoring()
    installation.require_complete_data()


@pytest.mark.parametrize("name", ["consul_gossip", "keystone_fernet", "consul_management", "admin"])
def test_each_secret_has_the_form_that_its_service_accepts(name):
    secret = installation.new_password(name)
    assert secret != installation.new_password(name)
    if name == "consul_management":
        assert str(uuid.UUID(secret)) == secret
    elif name != "admin":
        assert len(base64.urlsafe_b64decode(secret.translate({ord("+"): "-", ord("/"): "_"}))) == 32


def test_settings_are_read_as_they_were_written(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    tls = GivenTls("cloud.example", tmp_path / "cert", tmp_path / "key", None)
    settings = Settings(replicas={"nova-api": 3}, tls=tls, ha=True, swarm=True, members=("192.0.2.1",), monitoring=True)
    settings = replace(settings, overlay_mtu=1400)
    installation.save_settings(settings)
    assert installation.load_settings() == settings


@pytest.fixture
def local(monkeypatch, tmp_path):
    """The folder of the local cloud's files."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    paths.localcloud_dir().mkdir(parents=True)
    return paths.localcloud_dir()


@pytest.mark.parametrize(
    "text",
    ["{bad", "", "[]", "null", '{"replicas": [1]}', '{"replicas": {"nova-api": "2"}}', '{"tls": {"host": "a"}}',
     '{"tls": [1]}', '{"ha": "yes"}', '{"members": "a"}', '{"members": [1]}', '{"overlay_mtu": "1400"}'],
)  # fmt: skip
def test_damaged_settings_are_one_message_that_names_the_file(local, text):
    (local / "choices.json").write_text(text)
    with pytest.raises(ProvisionError) as refused:
        installation.load_settings()
    assert refused.value.message.startswith(str(local / "choices.json"))
    assert "remove it" in refused.value.hint


@pytest.mark.parametrize("text", ["{bad", "", "[]", "null", '{"admin": 1}'])
def test_damaged_passwords_are_one_message_that_names_the_file(local, text):
    (local / "passwords.json").write_text(text)
    with pytest.raises(ProvisionError) as refused:
        installation.read_passwords()
    assert refused.value.message.startswith(str(local / "passwords.json"))
    assert "cloud backup" in refused.value.hint


def test_settings_of_every_kind_come_back(local, tmp_path):
    tls = GivenTls("cloud.example.org", tmp_path / "a.pem", tmp_path / "a.key")
    whole = Settings(replicas={"nova-api": 2}, tls=tls, ha=True, swarm=True, monitoring=True, members=("192.0.2.7",))
    installation.save_settings(whole)
    assert installation.load_settings() == whole
    installation.save_settings(Settings())
    assert installation.load_settings() == Settings()
