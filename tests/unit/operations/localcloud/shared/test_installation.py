from __future__ import annotations

import multiprocessing

from provision.base import paths
from provision.base.progress import Silent
from provision.model.localcloud.host import ServiceState
from provision.model.localcloud.image_families import image_tags
from provision.model.localcloud.render import env_file
from provision.model.localcloud.settings import Settings
from provision.operations.localcloud.shared import installation as stack_config
from provision.operations.localcloud.shared.images import contexts


def test_an_installation_of_an_older_version_gets_the_values_that_it_lacks(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert stack_config.control().values == {}
    every = stack_config.this_checkout()
    assert every["REPLICA"] == "1"
    old = {key: value for key, value in every.items() if not key.endswith(("REPLICA", "_REPLICAS"))}
    paths.localcloud_dir().mkdir(parents=True)
    (paths.localcloud_dir() / "compose.env").write_text("".join(f"{key}={value}\n" for key, value in old.items()))
    lacking = stack_config.control().values
    assert set(lacking) == set(every) - set(old)
    assert lacking["KEYSTONE_REPLICAS"] == "1"


def test_what_this_checkout_gives_is_what_is_written(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(stack_config.facts, "capabilities", lambda: 0)
    made = stack_config.ensure_files(image_tags(contexts()))
    assert made.first
    assert (paths.localcloud_dir() / "compose.env").read_text() == env_file(stack_config.this_checkout())
    assert not stack_config.ensure_files(image_tags(contexts())).first
    assert made.copies["nova-api"] == 1


class Running:
    """Docker: containers by the documents that they were made from."""

    def __init__(self, *configurations):
        self.made_from = configurations

    def states(self):
        return [ServiceState("any", "any-1", "exited", configuration=each) for each in self.made_from]


def test_a_container_keeps_the_documents_that_it_was_made_from_as_long_as_it_is_there(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(stack_config.facts, "capabilities", lambda: 0)
    tags = image_tags(contexts())

    def made():
        installation = stack_config.ensure_files(tags)
        values = dict(line.split("=", 1) for line in (paths.localcloud_dir() / "compose.env").read_text().splitlines())
        return installation, values["NOVA_CONFIG"], paths.localcloud_dir() / "etc" / "nova" / values["NOVA_CONFIG"]

    def there():
        return {folder.name for folder in (paths.localcloud_dir() / "etc" / "nova").iterdir()}

    _, old, old_folder = made()
    before = (old_folder / "nova.conf").read_text()
    stack_config.save_settings(Settings(ha=True))
    installation, new, _ = made()
    assert (old_folder / "nova.conf").read_text() == before
    stack_config.drop_unused(Running(old), installation)
    assert there() == {old, new}
    # Every family's own: what runs is not asked for what shall run.
    every = {folder.parent.name for folder in (paths.localcloud_dir() / "etc").glob("*/*/")}
    stack_config.drop_unused(Running(), installation)
    assert there() == {new}
    assert {folder.parent.name for folder in (paths.localcloud_dir() / "etc").glob("*/*/")} == every
    assert (paths.localcloud_dir() / "etc" / "haproxy" / "tls.pem").exists()


def _hold(folder, ready, release):
    import os

    os.environ["XDG_STATE_HOME"] = folder
    with stack_config.exclusive_lock(Silent()):
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

    with stack_config.exclusive_lock(Listener()):
        assert said == ["another `provision cloud` is at work: waiting"]
    other.join(10)
