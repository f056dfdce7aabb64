"""The nodes' `java`: Spark's jars stay in front, as the archive of classes needs it, whatever else is on the class path."""

from __future__ import annotations

import os
import subprocess

import pytest

from provision.base import paths

SCRIPT = paths.TEMPLATES / "image/files/usr/local/lib/provision/jvm-home/bin/java"
SPARK = "/opt/spark/jars/slf4j-api-2.0.17.jar:/opt/spark/jars/*"
OWN = "/opt/packages/current/jars/*"


@pytest.fixture
def class_path(tmp_path):
    """Give a class path to the script; return what the real java gets, and whether the archive is used."""
    (tmp_path / "spark.jsa").touch()
    (tmp_path / "spark.classpath").write_text("A.jar:B.jar")
    text = SCRIPT.read_text().replace("/usr/local/lib/provision", str(tmp_path)).replace("exec /usr/bin/java", "echo")

    def run(path):
        done = subprocess.run(["bash", "-c", text, "java", "-cp", path, "Main"], capture_output=True, text=True, check=True)
        words = done.stdout.split()
        return words[words.index("-cp") + 1], any(word.startswith("-XX:SharedArchiveFile") for word in words)

    return run


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (f"/etc/spark/:{SPARK}", ("A.jar:B.jar:/etc/spark/", True)),
        (SPARK, ("A.jar:B.jar", True)),
        (f"{OWN}:/etc/spark/:{SPARK}", (f"A.jar:B.jar:{OWN}:/etc/spark/", True)),
        (f"{OWN}:/etc/spark/:{SPARK}:/more.jar", (f"A.jar:B.jar:/more.jar:{OWN}:/etc/spark/", True)),
        (f"{OWN}:{SPARK}", (f"A.jar:B.jar:{OWN}", True)),
        (f"/other.jar:/etc/spark/:{SPARK}", (f"/other.jar:/etc/spark/:{SPARK}", False)),
        (f"{OWN}:/other.jar:{SPARK}", (f"{OWN}:/other.jar:{SPARK}", False)),
        ("/x.jar", ("/x.jar", False)),
    ],
)
def test_class_path(class_path, given, expected):
    assert class_path(given) == expected


def test_a_drivers_scratch_is_its_users_alone(tmp_path):
    text = SCRIPT.read_text().replace("/var/lib/spark/scratch", str(tmp_path))
    text = text.replace("exec /usr/bin/java", "echo $SPARK_LOCAL_DIRS;:")

    def scratch():
        argv = ["bash", "-c", text, "java", "-cp", "x", "org.apache.spark.deploy.SparkSubmit", "p.py"]
        return subprocess.run(argv, capture_output=True, text=True, check=True, env={"PATH": os.defpath}).stdout.strip()

    made = tmp_path / f"user-{os.geteuid()}"
    assert [scratch(), scratch()] == [str(made)] * 2
    assert made.stat().st_mode & 0o777 == 0o700
    made.rmdir()
    # Another user's trap in its place is not taken.
    made.symlink_to("/nonexistent")
    assert scratch() == ""
