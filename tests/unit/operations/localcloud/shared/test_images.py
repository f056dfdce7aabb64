from __future__ import annotations

from pathlib import Path

from provision.base import paths
from provision.model.localcloud.image_families import FAMILIES, SHARED_FILES, families, image_tags
from provision.operations.localcloud.shared.images import contexts


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


def test_the_same_files_give_the_same_tags():
    assert image_tags(contexts()) == image_tags(contexts())
