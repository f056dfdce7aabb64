"""uv itself resolves and installs, from a registry that is a folder of small wheels: no network."""

from __future__ import annotations

import os
import sys
import zipfile

import pytest

from provision.adapters.host import uv
from provision.base.errors import ProvisionError, UsageError


def make_wheel(folder, name, version="1.0", requires=(), tag="py3-none-any"):
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {line}\n" for line in requires)
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.py", f"VERSION = '{version}'\n")
        file.writestr(f"{info}/METADATA", metadata)
        file.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        file.writestr(f"{info}/entry_points.txt", f"[console_scripts]\n{name}-run = {name}:main\n")
        file.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def registry(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("UV_", "PIP_")):
            monkeypatch.delenv(name)
    folder = tmp_path / "registry"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    # An index of nothing: no test asks a real one.
    (tmp_path / "simple").mkdir()
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "simple").as_uri())
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return folder


def test_the_nodes_python_decides_and_not_this_one(registry, tmp_path):
    make_wheel(registry, "demo", requires=["new; python_version >= '3.13'", "old; python_version < '3.13'"])
    make_wheel(registry, "new", tag="cp313-cp313-manylinux_2_28_x86_64")
    make_wheel(registry, "base", "1.0"), make_wheel(registry, "base", "2.0")
    lock = uv.resolve("demo\nbase\n", "base==1.0\n")
    assert [line.split()[0] for line in lock.splitlines() if "==" in line] == ["base==1.0", "demo==1.0", "new==1.0"]
    assert lock.count("--hash=sha256:") == 3
    uv.install(lock, tmp_path / "target")
    assert (tmp_path / "target/base.py").read_text() == "VERSION = '1.0'\n"
    assert (tmp_path / "target/new.py").exists()
    assert (tmp_path / "target/bin/demo-run").read_text().startswith(f"#!{sys.executable}\n")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("absent", "absent was not found"),
        ("base==3.0", "there is no version of base==3.0"),
        ("foreign", "foreign"),
        ("base==2.0", "base==2.0"),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_reason(registry, line, said):
    make_wheel(registry, "base", "1.0"), make_wheel(registry, "base", "2.0")
    make_wheel(registry, "foreign", tag="cp311-cp311-win_amd64")
    with pytest.raises(UsageError) as caught:
        uv.resolve(f"{line}\n", "base==1.0\n" if line != "base==3.0" else "")
    assert said in caught.value.message
    assert caught.value.message.startswith("packages: ")
    assert "Nothing was changed" in caught.value.hint


def test_a_source_is_not_built(registry):
    (registry / "demo-1.0.tar.gz").write_bytes(b"")
    with pytest.raises(UsageError, match="no usable wheels"):
        uv.resolve("demo\n", "")


def test_a_changed_file_is_not_installed(registry, tmp_path):
    wheel = make_wheel(registry, "demo")
    lock = uv.resolve(f"demo @ {wheel.as_uri()}\n", "")
    make_wheel(registry, "demo", requires=["more"])
    with pytest.raises(ProvisionError) as caught:
        uv.install(lock, tmp_path / "target")
    assert caught.value.exit_code == 1
    assert "hash" in caught.value.detail.lower()


def test_a_registry_that_does_not_answer_is_no_usage_error(registry, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(ProvisionError, match="could not be fetched") as caught:
        uv.resolve("demo\n", "")
    assert not isinstance(caught.value, UsageError)
    assert "127.0.0.1:9" in caught.value.detail


def test_no_registry_is_asked_where_pip_asks_none(registry, tmp_path, monkeypatch):
    """A machine without the internet has its wheels in a folder (find-links), and no-index."""
    make_wheel(registry, "demo")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    settings = tmp_path / "pip.conf"
    settings.write_text("[global]\nno-index = true\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    lock = uv.resolve("demo\n", "")
    uv.install(lock, tmp_path / "target")
    assert (tmp_path / "target/demo.py").exists()
