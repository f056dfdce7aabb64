"""What the installation changes in Spark's own jar."""

from __future__ import annotations

import importlib.util
import stat
import zipfile

import pytest

from provision.base import paths

spec = importlib.util.spec_from_file_location("registration", paths.TEMPLATES / "image/setup/registration.py")
registration = importlib.util.module_from_spec(spec)
spec.loader.exec_module(registration)

CODE = b"\xca\xfe" + registration.BEFORE + b"\x00\x2a"


@pytest.fixture
def jar(tmp_path):
    path = tmp_path / "spark-core_2.13-4.3.0.jar"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n")
        made.writestr(registration.CLASS, CODE)
        made.writestr("org/apache/spark/Other.class", registration.BEFORE)
    path.chmod(0o640)
    return path


def test_one_constant_of_one_class_is_changed(jar):
    registration.patch(jar)
    with zipfile.ZipFile(jar) as made:
        assert made.testzip() is None
        assert made.namelist()[0] == "META-INF/MANIFEST.MF"
        assert made.read(registration.CLASS) == b"\xca\xfe\x2a\x10\x5a\xb5\x00\x2a"
        assert made.read("org/apache/spark/Other.class") == registration.BEFORE
    assert stat.S_IMODE(jar.stat().st_mode) == 0o640
    assert list(jar.parent.iterdir()) == [jar]


@pytest.mark.parametrize("code", [b"", registration.BEFORE * 2, registration.AFTER])
def test_another_spark_ends_the_installation(code):
    with pytest.raises(ValueError, match="not as expected"):
        registration.patched(code)
