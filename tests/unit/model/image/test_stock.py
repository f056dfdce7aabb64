"""What a stock image's nodes are brought."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from provision.adapters.docker.image_builder import inputs
from provision.base.constants import NODE_PYTHON, OPERATOR
from provision.model.image.recipe import read_software
from provision.model.image.stock import PackageSources, install_settings, make_archive

HOST = PackageSources(
    pip_conf="[global]\nindex-url = https://me:hunter2@pypi.example/simple\n",
    npmrc="registry=https://npm.example/\n//npm.example/:_authToken=secret\n",
    authorities="PEM",
    environment={"https_proxy": "http://proxy.example:3128"},
    archive="http://debian.example/debian",
)


def unpacked(archive):
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return {entry.name: (entry, opened.extractfile(entry).read()) for entry in opened}


def test_the_archive_has_all_of_the_image_and_is_for_root_alone():
    given = inputs()
    found = unpacked(make_archive(given, HOST))
    assert {name: data for name, (_, data) in found.items() if name.startswith("image/")} == {
        name: data for name, data in given.items() if name.startswith("image/")
    }
    assert {(entry.mode, entry.uid) for entry, _ in found.values()} == {(0o600, 0)}
    assert found["settings/npmrc"][1].decode() == HOST.npmrc
    assert found["settings/authorities.pem"][1] == b"PEM"
    assert json.loads(found["settings/install.json"][1])["environment"] == HOST.environment


def test_without_settings_the_image_decides():
    found = unpacked(make_archive(inputs(), PackageSources()))
    assert "settings/authorities.pem" not in found
    assert found["settings/pip.conf"][1] == b""
    settings = json.loads(found["settings/install.json"][1])
    assert settings["apt"] == {"archive": "", "security": ""}


def test_the_same_input_gives_the_same_archive():
    assert make_archive(inputs(), HOST) == make_archive(inputs(), HOST)


def test_passwords_are_in_the_tools_own_settings_alone():
    found = {name: data for name, (_, data) in unpacked(make_archive(inputs(), HOST)).items()}
    assert [name for name, data in found.items() if b"hunter2" in data] == ["settings/pip.conf"]
    assert json.loads(found["settings/install.json"])["apt"]["archive"] == HOST.archive


@pytest.mark.parametrize("python", ["", NODE_PYTHON])
def test_each_system_has_a_lock_and_packages(python):
    given = inputs()
    settings = install_settings(given, PackageSources(), python)
    assert settings["python"] == python
    assert settings["systems"]["debian-13"]["python"] == NODE_PYTHON
    boot = read_software(given["image/software.yaml"].decode()).boot
    for system in settings["systems"].values():
        assert f"image/{system['lock']}" in given
        assert not {*boot} & {*system["packages"]}, "a stock image keeps its kernel"


def test_of_an_image_that_is_baked_the_operators_account_goes():
    settings = install_settings(inputs(), PackageSources(), bake=True)
    assert (settings["bake"], settings["operator"]) == (True, OPERATOR)
    assert install_settings(inputs(), PackageSources())["bake"] is False


def test_apts_proxies_are_a_file_for_root_alone():
    found = unpacked(make_archive(inputs(), PackageSources(apt_proxies={"Acquire::http::Proxy": "http://proxy:3128"})))
    assert found["settings/apt.conf"][1] == b'Acquire::http::Proxy "http://proxy:3128";\n'
    assert "settings/apt.conf" not in unpacked(make_archive(inputs(), HOST))


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        (HOST, ""),
        (PackageSources(environment={"no_proxy": "localhost", "http_proxy": "http://192.0.2.1:1"}), ""),
        (PackageSources(npmrc="noproxy=localhost\n//localhost:4873/:_authToken=secret\n"), ""),
        (PackageSources(environment={"all_proxy": "socks5://[::1]:1080"}), "all_proxy ([::1]:1080)"),
        (PackageSources(environment={"http_proxy": "me:hunter2@127.0.0.1:3128"}), "http_proxy (127.0.0.1:3128)"),
        (PackageSources(environment={"all_proxy": "socks5://hunter2@localhost.:1"}), "all_proxy (localhost.:1)"),
        (PackageSources(archive="http://localhost:3142/debian"), "apt's archive (localhost:3142)"),
        (
            PackageSources(apt_proxies={"Acquire::http::Proxy": "http://127.0.0.1:3142"}),
            "Acquire::http::Proxy (127.0.0.1:3142)",
        ),
        (
            PackageSources("[global]\nextra-index-url = https://a.example/ http://me:hunter2@localhost/simple\n"),
            "pip's extra-index-url (localhost)",
        ),
        (PackageSources(npmrc="@us:registry=http://localhost:4873/\n"), "npm's @us:registry (localhost:4873)"),
    ],
)
def test_what_only_the_operators_machine_reaches(sources, said):
    assert sources.on_loopback() == said
