from __future__ import annotations

import os
from pathlib import Path

import pytest

from provision.adapters.host import package_settings


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.upper().startswith(("PIP_", "NPM_CONFIG_")) or name.lower().endswith("_proxy") or "CA_" in name:
            monkeypatch.delenv(name)
    for name in package_settings._AUTHORITY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "xdg"))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setattr(package_settings, "SYSTEM_AUTHORITIES", ())
    monkeypatch.setattr(package_settings, "SYSTEM_FILES", ())
    return tmp_path


def test_takes_where_packages_come_from_and_nothing_else(home):
    (home / "pip.conf").write_text(
        "[global]\nindex-url = https://mirror.example/simple\nextra-index-url = file:///opt/one https://two.example/s\n"
        "find-links = /opt/wheels\nconstraint = /etc/c.txt\n[install]\ntrusted-host = mirror.example\n two.example\n"
    )
    got = package_settings.read("/ca.pem")
    assert got.pip_conf == (
        "[global]\nextra-index-url = https://two.example/s\nindex-url = https://mirror.example/simple\n"
        "trusted-host = mirror.example two.example\n"
    )


def test_an_environment_variable_wins_over_a_file(home, monkeypatch):
    (home / "pip.conf").write_text("[global]\nindex-url = https://file.example/\n")
    monkeypatch.setenv("PIP_INDEX_URL", "https://variable.example/")
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "180")
    assert (
        package_settings.read("/ca.pem").pip_conf == "[global]\nindex-url = https://variable.example/\ntimeout = 180\n"
    )


def test_takes_npms_registry_its_scopes_and_their_credentials(home, monkeypatch):
    (home / ".npmrc").write_text(
        'registry = "https://npm.example/"\n@us:registry=https://us.example/\n//us.example/:_authToken=${TOKEN}\n'
        "; a comment\nfund=false\n"
    )
    monkeypatch.setenv("TOKEN", "secret")
    assert package_settings.read("/ca.pem").npmrc.splitlines() == [
        "//us.example/:_authToken=secret",
        "@us:registry=https://us.example/",
        "registry=https://npm.example/",
    ]


def test_the_hosts_authorities_reach_both(home, monkeypatch):
    (home / "ca.pem").write_text("PEM")
    monkeypatch.setenv("PIP_CERT", str(home / "ca.pem"))
    got = package_settings.read("/settings/ca.pem")
    assert (got.authorities, got.pip_conf, got.npmrc) == (
        "PEM",
        "[global]\ncert = /settings/ca.pem\n",
        "cafile=/settings/ca.pem\n",
    )


def test_a_private_authority_replaces_none(home, monkeypatch):
    for name in ("one", "two", "system", "another-system"):
        (home / f"{name}.pem").write_text(name.upper())
    monkeypatch.setattr(package_settings, "SYSTEM_AUTHORITIES", (home / "system.pem", home / "another-system.pem"))
    assert package_settings.authorities() == "SYSTEM"
    monkeypatch.setenv("PIP_CERT", "~/one.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(home / "system.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(home / "gone.pem"))
    (home / ".npmrc").write_text("cafile=~/two.pem\n")
    assert package_settings.authorities() == package_settings.read("/ca.pem").authorities == "ONE\nSYSTEM\nTWO"


def test_without_authorities_the_builds_own_are_used(home):
    got = package_settings.read("/ca.pem")
    assert (got.authorities, got.pip_conf, got.npmrc) == ("", "[global]\n", "")


def test_a_proxy_is_given_in_both_spellings(home, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    assert package_settings.read("/ca.pem").proxies == (
        ("HTTPS_PROXY", "http://proxy.example:3128"),
        ("https_proxy", "http://proxy.example:3128"),
    )


@pytest.mark.parametrize("text", ["no section\n", "[global\n", "\xff\xfe"])
def test_a_broken_file_is_left_to_pip(home, text):
    (home / "pip.conf").write_text(text, encoding="latin-1")
    assert package_settings.read("/ca.pem").pip_conf == "[global]\n"


def test_uv_takes_packages_from_where_pip_does(home, monkeypatch):
    for name in list(os.environ):
        if name.startswith("UV_"):
            monkeypatch.delenv(name)
    authority = home / "ca.pem"
    authority.write_text("PEM")
    (home / "system.pem").write_text("SYSTEM")
    monkeypatch.setattr(package_settings, "SYSTEM_AUTHORITIES", (home / "system.pem",))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    (home / "pip.conf").write_text(
        "[global]\nindex-url = https://mirror.example/simple\nextra-index-url = file:///opt/one\n https://two.example/s\n"
        "find-links = /opt/a /opt/b\ntrusted-host = mirror.example\nproxy = http://proxy.example:3128\n"
        f"cert = {authority}\n"
    )
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "7")
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "180")
    found = package_settings.for_uv()
    assert found["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"
    assert found["UV_INDEX"] == "file:///opt/one https://two.example/s"
    assert found["UV_FIND_LINKS"] == "/opt/a,/opt/b"
    assert found["UV_INSECURE_HOST"] == "mirror.example"
    assert found["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert Path(found["SSL_CERT_FILE"]).read_text() == "PEM\nSYSTEM", "uv takes one file alone"
    assert found["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert found["UV_HTTP_TIMEOUT"] == "7", "what is set for uv itself wins"


@pytest.mark.parametrize(
    ("value", "index", "without"), [("1", "", True), ("0", "", False), ("Yes", "https://x", False)]
)
def test_uv_asks_no_registry_where_pip_asks_none(home, monkeypatch, value, index, without):
    monkeypatch.setenv("PIP_NO_INDEX", value)
    if index:
        monkeypatch.setenv("UV_DEFAULT_INDEX", index)
    else:
        for name in ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL"):
            monkeypatch.delenv(name, raising=False)
    assert package_settings.without_index() is without


def test_uv_without_pips_settings_has_its_own(home):
    assert not {"UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS"} & package_settings.for_uv().keys() - os.environ.keys()
