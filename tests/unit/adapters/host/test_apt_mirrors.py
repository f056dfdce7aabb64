from __future__ import annotations

import platform

import pytest

from provision.adapters.host import apt_mirrors
from provision.model.localcloud.image_families import AptMirrors

DEB822 = """\
Types: deb
# a comment: with a colon
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main
"""
ONE_LINE = """\
# deb http://old.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://line.example/debian bookworm main contrib
deb http://line.example/security bookworm-security main # a remark
"""


@pytest.fixture(name="folder")
def _folder(tmp_path, monkeypatch):
    (tmp_path / "sources.list.d").mkdir()
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"ID": "debian", "VERSION_CODENAME": "bookworm"})
    return tmp_path


def test_both_formats_are_read(folder):
    (folder / "sources.list.d" / "debian.sources").write_text(DEB822)
    assert apt_mirrors.apt_mirrors(folder) == AptMirrors(
        "http://mirror.example/debian", "http://mirror.example/security"
    )
    (folder / "sources.list").write_text(ONE_LINE)
    assert apt_mirrors.apt_mirrors(folder) == AptMirrors("http://line.example/debian", "http://line.example/security")


def test_disabled_and_foreign_sources_do_not_count(folder):
    (folder / "sources.list.d" / "off.sources").write_text(DEB822.replace("Types: deb\n", "Types: deb\nEnabled: no\n"))
    (folder / "sources.list.d" / "other.list").write_text("deb http://vendor.example/apt stable main\n")
    assert apt_mirrors.apt_mirrors(folder) == AptMirrors()


def test_another_distribution_leaves_the_choice_to_the_base_image(folder, monkeypatch):
    (folder / "sources.list").write_text(ONE_LINE)
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"ID": "ubuntu", "VERSION_CODENAME": "noble"})
    assert apt_mirrors.apt_mirrors(folder) == AptMirrors()
