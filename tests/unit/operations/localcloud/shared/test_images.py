from __future__ import annotations

import compileall
import shutil
import threading
from pathlib import Path

import pytest
from rich.console import Console

from provision.adapters.host.files import exclusive_lock
from provision.base import paths
from provision.base.errors import ProvisionError
from provision.cli.terminal import TerminalProgress
from provision.model.localcloud.image_families import FAMILIES, SHARED_FILES, families, image_name, image_tags
from provision.operations.localcloud.shared.images import contexts, ensure_images


def test_every_family_has_a_dockerfile_and_those_that_run_an_entrypoint():
    found = contexts()
    for family in FAMILIES:
        assert "Dockerfile" in found[family.name]
        assert "entrypoint" in found[family.name] or family.name in ("base", "os")
        text = found[family.name]["Dockerfile"].decode()
        assert "FROM ${BASE}" in text
        for line in text.splitlines():
            if line.startswith("COPY ") and "--from" not in line:
                for source in line.split()[1:-1]:
                    there = any(
                        name == source or name.startswith(source.rstrip("/") + "/") for name in found[family.name]
                    )
                    assert there or (family.name, source) == ("base", "apt/"), line


def test_shared_files_are_copied_into_the_images_that_need_them_and_into_no_others():
    found = contexts()
    for family in FAMILIES:
        copied = {
            source
            for line in found[family.name]["Dockerfile"].decode().splitlines()
            if line.startswith("COPY ")
            for source in line.split()[1:-1]
        }
        assert copied & SHARED_FILES == {Path(name).name for name in family.extra}
        own = {path.name for path in (paths.COMPOSE / family.name).iterdir()}
        assert family.name == "base" or not own & SHARED_FILES, "names in a build context are unique"


def test_asking_for_one_family_brings_its_parents_and_no_more():
    assert [family.name for family in families({"compute"})] == ["base", "os", "nova", "compute"]
    assert [family.name for family in families({"bake"})] == ["base", "bake"]


def test_the_same_files_give_the_same_tags(tmp_path, monkeypatch):
    before = image_tags(contexts())
    data = paths.COMPOSE.parent
    shutil.copytree(paths.COMPOSE, tmp_path / "compose", ignore=shutil.ignore_patterns("__pycache__"))
    for extra in {extra for family in FAMILIES for extra in family.extra if not extra.startswith("compose/")}:
        (tmp_path / extra).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(data / extra, tmp_path / extra)
    monkeypatch.setattr(paths, "COMPOSE", tmp_path / "compose")
    assert compileall.compile_dir(tmp_path / "compose", quiet=1)
    assert image_tags(contexts()) == before, "what Python has compiled is no input"


class FakeEngine:
    """An engine without images, whose builds say something; the one of `broken` fails."""

    def __init__(self, broken=""):
        self.broken = broken
        self.contexts = {}

    def images(self):
        return set()

    def ensure_base_image(self, line, mirror, proxies):
        line("pulling it")

    def build(self, name, context, *, arguments, labels, line):
        self.contexts[name.partition(":")[0]] = context
        line("Step 1/2 : FROM base")
        line(" ---> 0123")
        line("Step 2/2 : RUN make")
        if name.startswith(f"provision/{self.broken}:"):
            raise ProvisionError("the image could not be built", "The lines above are the build's own.", "make: failed")

    def drop_superseded(self, current):
        pass


@pytest.fixture
def console(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with (tmp_path / "terminal").open("w+") as file:
        yield Console(file=file, width=200)


def told(console):
    console.file.seek(0)
    return console.file.read().splitlines()


def test_without_a_terminal_an_image_is_two_lines_and_its_steps_are_in_a_file(console, tmp_path):
    ensure_images(FakeEngine(), TerminalProgress(console), {"consul"})
    assert [line.split(" ", 3)[3].split(" in ")[0] for line in told(console)] == [
        "base image: pulling it",
        "image base: building (1 of 2)",
        "image base: built",
        "image consul: building (2 of 2)",
        "image consul: built",
    ]
    steps = (tmp_path / "provision/logs/image-consul.log").read_text()
    assert steps.splitlines() == ["Step 1/2 : FROM base", " ---> 0123", "Step 2/2 : RUN make"]


def test_a_build_that_failed_names_the_file_with_its_output(console, tmp_path):
    with pytest.raises(ProvisionError, match="could not be built") as caught:
        ensure_images(FakeEngine("consul"), TerminalProgress(console), {"consul"})
    assert str(tmp_path / "provision/logs/image-consul.log") in caught.value.hint
    assert caught.value.detail == "make: failed"


def test_apt_knows_this_machines_authorities_before_it_has_any(console, monkeypatch):
    monkeypatch.setattr("provision.adapters.host.package_settings.authorities", lambda: "PEM")
    engine = FakeEngine()
    ensure_images(engine, TerminalProgress(console), {"consul"})
    assert engine.contexts["provision/base"]["apt/authorities.pem"] == b"PEM"
    assert "apt/authorities.pem" not in engine.contexts["provision/consul"]
    # They are no input: any other machine makes the same image.
    assert "apt/authorities.pem" not in contexts()["base"]
    text = contexts()["base"]["Dockerfile"].decode()
    assert text.index("Acquire::https::CAInfo") < text.index("&& install-packages"), "before apt is first asked"


@pytest.mark.parametrize("there", [True, False])
def test_an_authority_that_the_base_image_does_not_know_is_told_with_the_remedy(console, there):
    base = image_name("base", image_tags(contexts()))

    class Engine(FakeEngine):
        def images(self):
            return {base} if there else set()

        def build(self, name, context, *, arguments, labels, line):
            if not name.startswith("provision/base:"):
                line("Err:1 https://mirror.example trixie InRelease")
                line("  Certificate verification failed: The certificate is NOT trusted.")
                raise ProvisionError("the image could not be built", "The lines above are the build's own.", "apt: 100")

    with pytest.raises(ProvisionError, match="could not be built") as caught:
        ensure_images(Engine(), TerminalProgress(console), {"consul"})
    assert (f"`docker image rm {base}`" in caught.value.hint) is there


def test_what_another_has_built_meanwhile_is_not_built_again(console):
    class Engine(FakeEngine):
        def images(self):
            # The second look, under the lock, finds the base image.
            self.looked = getattr(self, "looked", 0) + 1
            return set() if self.looked == 1 else {image_name("base", image_tags(contexts()))}

    ensure_images(Engine(), TerminalProgress(console), {"consul"})
    assert [line.split(" ", 3)[3].split(" in ")[0] for line in told(console)] == [
        "image base: built already",
        "image consul: building (1 of 2)",
        "image consul: built",
    ]


def test_a_build_waits_for_another_of_the_same_image(console, tmp_path):
    waiting = threading.Event()

    class Told(TerminalProgress):
        def update(self, item, state):
            super().update(item, state)
            if "another build" in state:
                waiting.set()

    lock = tmp_path / "provision/locks/image-base.lock"
    with exclusive_lock(lock, lambda: None):
        thread = threading.Thread(target=ensure_images, args=(FakeEngine(), Told(console), {"base"}), daemon=True)
        thread.start()
        assert waiting.wait(10)
        assert not [line for line in told(console) if "building" in line]
    thread.join(10)
    assert told(console)[-1].endswith("image base: built in 0 s")
