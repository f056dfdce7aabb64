"""What the installation changes in Spark's own jars (templates/image/setup/spark)."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
import zipfile

import pytest

from provision.base import paths

PROGRAMS = paths.TEMPLATES / "image/setup/spark"


@pytest.fixture
def programs(monkeypatch):
    """The two programs, which share a module beside them."""
    monkeypatch.syspath_prepend(str(PROGRAMS))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield __import__("registration"), __import__("late_functions")
    for name in ("registration", "late_functions", "jars"):
        sys.modules.pop(name, None)


@pytest.fixture
def registration(programs):
    return programs[0]


@pytest.fixture
def late_functions(programs):
    return programs[1]


@pytest.fixture
def home(tmp_path, registration, late_functions):
    """A Spark with the two jars."""
    (tmp_path / "jars").mkdir()
    with zipfile.ZipFile(tmp_path / "jars/spark-core_2.13-4.3.0.jar", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n")
        made.writestr(registration.CLASS, b"\xca\xfe" + registration.BEFORE + b"\x00\x2a")
        made.writestr("org/apache/spark/Other.class", registration.BEFORE)
    with zipfile.ZipFile(tmp_path / "jars/spark-mllib_2.13-4.3.0.jar", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr(late_functions.SERVICE, f"# a licence\n\n{late_functions.BEFORE}\n")
        made.writestr("org/apache/spark/ml/Other.class", late_functions.BEFORE)
    for jar in (tmp_path / "jars").iterdir():
        jar.chmod(0o640)
    return tmp_path


def run(name, *arguments):
    subprocess.run([sys.executable, "-B", PROGRAMS / name, *map(str, arguments)], check=True)


@pytest.mark.parametrize("times", [1, 2])
def test_one_constant_of_one_class_is_changed(home, registration, times):
    # An installation that was interrupted does it again.
    for _ in range(times):
        run("registration.py", home)
    jar = home / "jars/spark-core_2.13-4.3.0.jar"
    with zipfile.ZipFile(jar) as made:
        assert made.testzip() is None
        assert made.namelist()[0] == "META-INF/MANIFEST.MF"
        assert made.read(registration.CLASS) == b"\xca\xfe\x2a\x10\x5a\xb5\x00\x2a"
        assert made.read("org/apache/spark/Other.class") == registration.BEFORE
    assert stat.S_IMODE(jar.stat().st_mode) == 0o640
    assert len(list(jar.parent.iterdir())) == 2


@pytest.mark.parametrize("times", [1, 2])
def test_sessions_have_our_extension_in_the_place_of_mllibs(home, late_functions, tmp_path, times):
    classes = tmp_path / "classes/provision"
    classes.mkdir(parents=True)
    for name in ("LateFunctions.class", "LateFunctions$Late.class"):
        (classes / name).write_bytes(b"\xca\xfe")
    for _ in range(times):
        run("late_functions.py", home, classes.parent)
    jar = home / "jars/spark-mllib_2.13-4.3.0.jar"
    with zipfile.ZipFile(jar) as made:
        assert made.testzip() is None
        assert made.read(late_functions.SERVICE) == b"provision.LateFunctions\n"
        assert made.read("provision/LateFunctions$Late.class") == b"\xca\xfe"
        assert made.read("org/apache/spark/ml/Other.class") == late_functions.BEFORE.encode()
        assert len(made.namelist()) == 4
    assert stat.S_IMODE(jar.stat().st_mode) == 0o640


@pytest.mark.parametrize("times", [0, 2])
def test_another_spark_ends_the_installation(registration, times):
    with pytest.raises(ValueError, match="not as expected"):
        registration.patched(registration.BEFORE * times)


@pytest.mark.parametrize("named", ["", "org.apache.spark.sql.ml.InternalFunctionRegistration\norg.other.Extension\n"])
def test_other_extensions_of_mllib_end_the_installation(late_functions, named):
    with pytest.raises(ValueError, match="not as expected"):
        late_functions.patched(named.encode())


def test_the_bake_uses_every_function_that_comes_late():
    names = re.search(r"NAMES = \{(.*)\}", (PROGRAMS / "LateFunctions.java").read_text())[1]
    job = (paths.TEMPLATES / "image/files/usr/local/lib/provision/build-cds-archive").read_text()
    # The last one is behind Summarizer.
    assert {name for name in re.findall(r'"(\w+)"', names) if name not in job} == {"aggregate_metrics"}
    assert "Summarizer" in job
