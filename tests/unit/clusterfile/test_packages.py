"""`packages` and `spark.packages`: what is read, and what is refused in words."""

from __future__ import annotations

import zipfile

import pytest

from provision.clusterfile import load
from provision.clusterfile.packages import image_pins

PANDAS = image_pins()["pandas"]
WHEEL = "demo-1.0-py3-none-any.whl"


def archive(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("demo.py", "")
    return path


def test_lines_wheels_and_jars(tmp_path):
    wheel, jar = archive(tmp_path / WHEEL), archive(tmp_path / "tools-1.0.jar")
    file = tmp_path / "cluster.yaml"
    file.write_text(
        f"name: a\npackages:\n- polars >= 1\n- geopandas[all]==1.1\n- {WHEEL}\n- pandas\n"
        "- numpy==1.0; python_version < '3.10'\n"
        f"- extra[x] @ file://{archive(tmp_path / 'extra-2-py3-none-any.whl')}\n"
        "spark: {packages: [tools-1.0.jar, 'io.delta:delta-spark_4.1_2.13:4.1.0', b:a:1]}\n"
    )
    packages = load(file).packages
    assert packages.requirements == (
        "geopandas[all]==1.1", 'numpy==1.0; python_version < "3.10"', "pandas", "polars>=1",
    )  # fmt: skip
    assert [(one.name, one.path.name) for one in packages.wheels] == [
        ("demo", WHEEL), ("extra[x]", "extra-2-py3-none-any.whl"),
    ]  # fmt: skip
    assert packages.jars == (jar,)
    assert packages.coordinates == ("b:a:1", "io.delta:delta-spark_4.1_2.13:4.1.0")
    assert list(packages.files()) == [wheel, tmp_path / "extra-2-py3-none-any.whl", jar]


def test_empty_lists_ask_for_nothing(tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text("name: a\npackages:\nspark:\n  packages:\n")
    assert not load(file).packages


def test_files_that_are_gone_do_not_hinder_removal(tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text(f"name: a\npackages: [{WHEEL}]\nspark: {{packages: [x.jar]}}\n")
    assert load(file, files=False).packages.jars == (tmp_path / "x.jar",)


# An entry of packages: parts of the message, part of the hint.
BAD = {
    f"pandas!={PANDAS}": ([f"does not take pandas {PANDAS}, which the image has"], "Remove it"),
    "foo bar": (["not a requirement of pip"], "requests==2.32.3"),
    "-r more.txt": (["-r is an option of pip"], "the file's lines"),
    "-e .": (["-e is an option"], "wheel"),
    "--index-url https://mirror.example": (["--index-url is an option"], "pip settings"),
    "requirements.txt": (["'requirements.txt' is a file of requirements, not a package"], "the file's lines"),
    "deps/requirements.in": (["is a file of requirements"], "the file's lines"),
    "pyproject.toml": (["is a file of requirements"], "the file's lines"),
    "https://alice:hunter22@h.invalid/x-1.0-py3-none-any.whl": (["it is a URL alone"], "NAME @ URL"),
    "git+https://h.invalid/x": (["it is a URL alone"], "NAME @ URL"),
    "./demo": (["is no wheel"], "pip wheel"),
    "demo-1.0.tar.gz": (["is no wheel"], "pip wheel"),
    "demo @ git+https://git.example/demo": (["not fetched by https"], "wheel"),
    "demo @ https://git.example/demo-1.0.tar.gz": (["is no wheel"], "pip wheel"),
    "demo @ https://alice:secret@host.example/demo-1.0-py3-none-any.whl": (["credentials"], "netrc"),
    "other @ file:///x/demo-1.0-py3-none-any.whl": (["the wheel of demo, not of other"], "path alone"),
    "demo.whl": (["not a wheel's name"], WHEEL),
    "demo-1.0-cp311-cp311-manylinux_2_17_x86_64.whl": (["for other machines"], "CPython 3.13"),
    "demo-1.0-cp313-cp313-macosx_11_0_arm64.whl": (["for other machines"], "Linux x86_64"),
    f"pandas-{PANDAS}-py3-none-any.whl": ([f"the image has pandas {PANDAS}"], "Remove it"),
    "absent-1.0-py3-none-any.whl": (["absent-1.0-py3-none-any.whl cannot be read: No such file"], "relative"),
    "text-1.0-py3-none-any.whl": (["damaged"], "again"),
    "": (["it is empty"], "Give a name"),
}
BAD_JARS = {
    "io.delta:delta-spark_2.13": (["not the Maven coordinates of one version"], "group:artifact:version"),
    "io.delta:delta-spark_2.13:": (["not the Maven coordinates of one version"], "group:artifact:version"),
    "io.delta:delta-spark_2.13:[4,5)": (["not the Maven coordinates of one version"], "group:artifact:version"),
    "io.delta:delta-spark_2.13:LATEST": (["another file tomorrow"], "one version"),
    "io.delta:delta-spark_2.13:4.0-SNAPSHOT": (["another file tomorrow"], "one version"),
    "io.delta:delta-core_2.12:2.4.0": (["delta-core_2.12 is for Scala 2.12"], "delta-core_2.13"),
    "io.delta:delta-spark_3:4.0.0": (["is for Scala 3"], "delta-spark_2.13"),
    "https://repo.example/x.jar": (["is a URL"], "Fetch"),
    "x.txt": (["is no jar"], ".jar"),
    "a b.jar": (["class path"], "Rename"),
    "absent.jar": (["cannot be read"], "relative"),
}


@pytest.mark.parametrize("entry", BAD)
def test_refused(entry, refused, tmp_path):
    (tmp_path / "text-1.0-py3-none-any.whl").write_text("no archive")
    parts, hint = BAD[entry]
    refused(f"name: a\npackages:\n- {entry!r}\n", 3, ["packages[0]: ", *parts], hint)


@pytest.mark.parametrize("before", ["demo @ ", ""])
def test_credentials_are_not_repeated(before, refused):
    entry = f"{before}https://alice:secret@host.example/demo-1.0-py3-none-any.whl"
    error = refused(f"name: a\npackages: ['{entry}']\n", 2, [], "")
    assert "secret" not in error.message + error.hint


@pytest.mark.parametrize("entry", BAD_JARS)
def test_refused_jars(entry, refused):
    parts, hint = BAD_JARS[entry]
    refused(f"name: a\nspark:\n  packages:\n  - {entry!r}\n", 4, ["spark.packages[0]: ", *parts], hint)


def test_twice(refused):
    refused(
        "name: a\npackages: [Demo_One, demo-one>2]\n", 2, ["packages[1]: demo-one is in the list twice"], "Keep one"
    )


def test_a_class_path_beside_jars(refused, tmp_path):
    archive(tmp_path / "x.jar")
    text = "name: a\nspark: {packages: [x.jar], defaults: {spark.executor.extraClassPath: /y}}\n"
    refused(text, 2, ["spark.defaults.spark.executor.extraClassPath", "beside spark.packages"], "Remove it")
