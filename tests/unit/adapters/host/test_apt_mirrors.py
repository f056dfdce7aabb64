from __future__ import annotations

import platform

import pytest

from provision.adapters.host import apt_mirrors
from provision.adapters.host.process import Result
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
deb http://line.example/debian bookworm-updates main
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


def test_vendors_suites_with_debians_names_are_not_its_archive(folder):
    lists = folder / "sources.list.d"
    (lists / "docker.list").write_text("deb [arch=amd64] https://docker.example/linux/debian bookworm stable\n")
    (lists / "flat.list").write_text("deb http://flat.example ./\n")
    assert apt_mirrors.apt_mirrors(folder) == AptMirrors()
    (lists / "prod.list").write_text("deb https://vendor.example/debian/12/prod bookworm main\n")
    (lists / "debian.sources").write_text(DEB822)
    (lists / "docker.sources").write_text(
        "Types: deb\nURIs: https://docker.example/debian\nSuites: bookworm\nComponents: stable\n"
    )
    assert apt_mirrors.apt_mirrors(folder) == AptMirrors(
        "http://mirror.example/debian", "http://mirror.example/security"
    )


def test_a_mirror_without_updates_is_better_than_none(folder):
    (folder / "sources.list").write_text("deb http://mirror.example/debian bookworm main\n")
    assert apt_mirrors.apt_mirrors(folder) == AptMirrors("http://mirror.example/debian", None)


def test_values_go_on_in_the_next_line(folder):
    (folder / "sources.list.d" / "debian.sources").write_text(
        "Types: deb\nURIs:\n http://mirror.example/debian\n# a remark\nSuites: bookworm\n\tbookworm-updates\n"
        "Components:\n contrib\n main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n Comment: x\n .\n AAAA\n"
    )
    assert apt_mirrors.apt_mirrors(folder) == AptMirrors("http://mirror.example/debian", None)


def test_another_distribution_leaves_the_choice_to_the_base_image(folder, monkeypatch):
    (folder / "sources.list").write_text(ONE_LINE)
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"ID": "ubuntu", "VERSION_CODENAME": "noble"})
    assert apt_mirrors.apt_mirrors(folder) == AptMirrors()


def test_what_a_container_cannot_use_does_not_count(folder):
    mirrors = folder / "mirrors.list"
    mirrors.write_text(
        "# ours\nfile:/srv/debian priority:1\nhttps://first.example/debian priority:2\nhttp://second.example/\n"
    )
    (folder / "sources.list").write_text(
        "deb cdrom:[Debian GNU/Linux 12 _Bookworm_]/ bookworm main\ndeb file:/srv/debian bookworm main\n"
        "deb tor+https://onion.example/debian bookworm main\ndeb mirror+http://list.example/ bookworm main\n"
    )
    (folder / "sources.list.d" / "debian.sources").write_text(
        f"Types: deb deb-src\nURIs: mirror+file://{mirrors}\nSuites: bookworm bookworm-updates\nComponents: main\n\n"
        f"Types: deb\nURIs: mirror+file://{folder}/gone.list\nSuites: bookworm-security\nComponents: main\n"
    )
    assert apt_mirrors.apt_mirrors(folder) == AptMirrors("https://first.example/debian", None)


@pytest.fixture
def apt_says(monkeypatch):
    """Let apt's configuration have these lines, and the environment no proxy."""
    for name in apt_mirrors._PROXIES:
        monkeypatch.delenv(name, raising=False)

    def says(*lines):
        text = "\n".join(('Acquire::http "";', *lines, 'Acquire::http::Timeout "9";'))
        monkeypatch.setattr(apt_mirrors, "run", lambda argv, timeout: Result(tuple(argv), 0, f"{text}\n", ""))

    return says


def test_apts_own_proxies(apt_says):
    apt_says('Acquire::http::Proxy "http://proxy:3128";', 'Acquire::http::Proxy::near.example "DIRECT";')
    assert apt_mirrors.apt_proxies() == {
        "Acquire::http::Proxy": "http://proxy:3128",
        "Acquire::http::Proxy::near.example": "DIRECT",
    }
    # As apt takes them itself.
    assert apt_mirrors.build_proxies() == {
        "http_proxy": "http://proxy:3128",
        "https_proxy": "http://proxy:3128",
        "no_proxy": "near.example",
        "NO_PROXY": "near.example",
    }
    apt_says('Acquire::http::Proxy "http://proxy:3128";', 'Acquire::https::Proxy "DIRECT";')
    assert apt_mirrors.build_proxies() == {"http_proxy": "http://proxy:3128"}
    apt_says('Acquire::http::Proxy "";')
    assert apt_mirrors.build_proxies() == {}
    apt_says('Acquire::http::Proxy::near.example "DIRECT";')
    assert apt_mirrors.build_proxies() == {}


def test_apts_names_are_as_somebody_has_written_them(apt_says):
    apt_says('Acquire::HTTP::Proxy "http://proxy:3128";', 'acquire::Https::proxy::Near.example "DIRECT";')
    assert apt_mirrors.apt_proxies() == {
        "Acquire::http::Proxy": "http://proxy:3128",
        "Acquire::https::Proxy::Near.example": "DIRECT",
    }


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_hosts_that_apt_asks_directly_are_beside_those_of_the_environment(apt_says, monkeypatch, name):
    monkeypatch.setenv(name, "own.example,192.0.2.1")
    monkeypatch.setenv("https_proxy", "http://mine:1")
    apt_says('Acquire::http::Proxy::near.example "DIRECT";', 'Acquire::https::Proxy::near.example "DIRECT";')
    hosts = "own.example,192.0.2.1,near.example"
    assert apt_mirrors.build_proxies() == {"https_proxy": "http://mine:1", "no_proxy": hosts, "NO_PROXY": hosts}


def test_the_environments_proxy_goes_first(apt_says, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://mine:1")
    apt_says('Acquire::http::Proxy "http://proxy:3128";')
    assert apt_mirrors.build_proxies()["http_proxy"] == "http://mine:1"
