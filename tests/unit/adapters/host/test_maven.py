"""Coordinates become jars: the real resolver, and a repository of this test's own on the loopback address."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from provision.adapters.host import maven
from provision.base.errors import ProvisionError, UsageError

LAKE, STORAGE = "io.lake:lake_2.13:1.0", "io.lake:storage:2.0"


class Repository:
    """Artifacts with what they need; answers can be spoilt by path."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, int] = {}
        self.asked: list[str] = []
        self.url = ""

    def add(self, coordinate: str, *needs: str, scope: str = "compile") -> None:
        group, artifact, version = coordinate.split(":")
        needed = "".join(
            f"<dependency><groupId>{g}</groupId><artifactId>{a}</artifactId><version>{v}</version>"
            f"<scope>{scope}</scope></dependency>"
            for g, a, v in (need.split(":") for need in needs)
        )
        pom = (
            f"<project><modelVersion>4.0.0</modelVersion><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
            f"<version>{version}</version><dependencies>{needed}</dependencies></project>"
        )
        base = f"/{group.replace('.', '/')}/{artifact}/{version}/{artifact}-{version}"
        for path, content in ((f"{base}.pom", pom.encode()), (f"{base}.jar", f"jar of {coordinate}".encode())):
            self.files[path] = content
            self.files[f"{path}.sha1"] = hashlib.sha1(content, usedforsecurity=False).hexdigest().encode()


@pytest.fixture
def repository(monkeypatch, tmp_path):
    """A repository that this machine's Maven settings name as the mirror of Maven Central."""
    there = Repository()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            there.asked.append(self.path)
            content = there.files.get(self.path)
            code = there.answers.get(self.path) or (404 if content is None else 200)
            self.send_response(code)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    there.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(maven, "RETRIES", 1)
    settings(tmp_path, f"<mirrors><mirror><mirrorOf>central</mirrorOf><url>{there.url}/</url></mirror></mirrors>")
    yield there
    server.shutdown()
    server.server_close()


def settings(home, text: str) -> None:
    (home / ".m2").mkdir(exist_ok=True)
    (home / ".m2/settings.xml").write_text(
        f'<settings xmlns="http://maven.apache.org/SETTINGS/1.0.0">{text}</settings>'
    )


def fetched(folder, *coordinates: str) -> list[str]:
    target = folder / "jars"
    target.mkdir()
    maven.fetch(coordinates, target)
    return sorted(file.name for file in target.iterdir())


def test_with_what_they_need_at_run_time(repository, tmp_path):
    repository.add(LAKE, STORAGE, "org.apache.spark:spark-sql_2.13:4.0.0", "org.scala-lang:scala-library:2.13.1")
    repository.add(STORAGE, "org.slf4j:api:1", scope="provided")
    assert fetched(tmp_path, LAKE) == ["lake_2.13-1.0.jar", "storage-2.0.jar"]
    assert (tmp_path / "jars/storage-2.0.jar").read_text() == f"jar of {STORAGE}"


def test_sparks_own_additions_are_no_part_of_spark(repository, tmp_path):
    repository.add("org.apache.spark:spark-avro_2.13:4.3.0", "org.apache.spark:spark-core_2.13:4.3.0")
    assert fetched(tmp_path, "org.apache.spark:spark-avro_2.13:4.3.0") == ["spark-avro_2.13-4.3.0.jar"]


def test_what_is_there_is_not_fetched_again(repository, tmp_path):
    repository.add(STORAGE)
    fetched(tmp_path, STORAGE)
    repository.asked.clear()
    (tmp_path / "again").mkdir()
    assert fetched(tmp_path / "again", STORAGE) == ["storage-2.0.jar"]
    assert repository.asked == []


@pytest.mark.parametrize("missing", [LAKE, STORAGE])
def test_what_no_repository_has_is_named(repository, tmp_path, missing):
    if missing == STORAGE:
        repository.add(LAKE, STORAGE)
    with pytest.raises(UsageError) as caught:
        fetched(tmp_path, LAKE)
    assert caught.value.message == f"spark.packages: no repository has {missing}"
    assert repository.url in caught.value.hint


def test_a_file_that_is_not_what_its_hash_says_is_not_kept(repository, tmp_path):
    repository.add(STORAGE)
    good = repository.files["/io/lake/storage/2.0/storage-2.0.jar"]
    repository.files["/io/lake/storage/2.0/storage-2.0.jar"] = good[:-1]
    with pytest.raises(ProvisionError, match=r"io\.lake:storage:2\.0 is damaged"):
        fetched(tmp_path, STORAGE)
    repository.files["/io/lake/storage/2.0/storage-2.0.jar"] = good
    (tmp_path / "again").mkdir()
    assert fetched(tmp_path / "again", STORAGE) == ["storage-2.0.jar"]


def test_a_file_without_a_hash_is_not_taken(repository, tmp_path):
    repository.add(STORAGE)
    del repository.files["/io/lake/storage/2.0/storage-2.0.jar.sha1"]
    with pytest.raises(ProvisionError, match=r"storage-2\.0\.jar has no \.sha1"):
        fetched(tmp_path, STORAGE)


HASH_FORMS = [
    "{hash}",
    "{upper}\n",
    "{hash}  storage-2.0.jar",
    "storage-2.0.jar {hash}",
    "SHA1(storage-2.0.jar)= {hash}",
    "SHA1 (storage-2.0.jar) = {hash}",
    "./storage-2.0.jar:\n{groups}",
    "storage-2.0.jar: {groups}",
]


@pytest.mark.parametrize("form", HASH_FORMS)
def test_hashes_are_written_in_several_ways(repository, tmp_path, form):
    repository.add(STORAGE)
    name = "/io/lake/storage/2.0/storage-2.0.jar.sha1"
    digits = repository.files[name].decode()
    groups = " ".join(digits[place : place + 4].upper() for place in range(0, 40, 4)).replace(" ", "\n    ", 1)
    repository.files[name] = form.format(hash=digits, upper=digits.upper(), groups=groups).encode()
    assert fetched(tmp_path, STORAGE) == ["storage-2.0.jar"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [(b"", "nothing"), (b" \n", "nothing"), (b"<html>\n<body>Log in</body>", "'<html> <body>Log in</body>'")],
)
def test_what_is_no_hash_is_no_damaged_file(repository, tmp_path, answer, said):
    """A proxy's or a login's page comes with 200."""
    repository.add(STORAGE)
    repository.files["/io/lake/storage/2.0/storage-2.0.jar.sha1"] = answer
    with pytest.raises(
        ProvisionError, match=r"storage-2\.0\.jar\.sha1 answers with something that is no hash"
    ) as caught:
        fetched(tmp_path, STORAGE)
    assert caught.value.message.endswith(f": {said}")
    assert "login page" in caught.value.hint


def test_a_repository_that_fails_is_no_missing_artifact(repository, tmp_path):
    repository.add(STORAGE)
    repository.answers["/io/lake/storage/2.0/storage-2.0.pom"] = 503
    with pytest.raises(ProvisionError, match="a Maven repository does not answer") as caught:
        fetched(tmp_path, STORAGE)
    assert not isinstance(caught.value, UsageError)


def test_two_jars_of_one_name(repository, tmp_path):
    repository.add("a:tools:1")
    repository.add("b:tools:1")
    with pytest.raises(UsageError, match=r"two jars are called tools-1\.jar"):
        fetched(tmp_path, "a:tools:1", "b:tools:1")


PROFILES = (
    "<profiles><profile><id>ours</id><repositories><repository><id>ours</id><url>https://ours.example/m2</url></repository>"
    "</repositories></profile></profiles>"
)
ACTIVE = f"{PROFILES}<activeProfiles><activeProfile>ours</activeProfile></activeProfiles>"
REPOSITORIES = {
    "none": ("", [maven.CENTRAL]),
    "mirror of another": (
        "<mirrors><mirror><mirrorOf>other</mirrorOf><url>https://x.example</url></mirror></mirrors>", [maven.CENTRAL],
    ),
    "mirror of all": (
        f"<mirrors><mirror><mirrorOf>*</mirrorOf><url>https://x.example/all/</url></mirror></mirrors>{PROFILES}",
        ["https://x.example/all"],
    ),
    "mirror of all but one": (
        "<mirrors><mirror><mirrorOf>*, !ours</mirrorOf><url>https://x.example</url></mirror></mirrors>" + ACTIVE,
        ["https://ours.example/m2", "https://x.example"],
    ),
    "mirror of one beside that of all": (
        "<mirrors><mirror><mirrorOf>external:*</mirrorOf><url>https://x.example</url></mirror>"
        "<mirror><mirrorOf>ours</mirrorOf><url>https://y.example</url></mirror></mirrors>" + ACTIVE,
        ["https://y.example", "https://x.example"],
    ),
    "mirror of several": (
        "<mirrors><mirror><mirrorOf>central,ours</mirrorOf><url>https://x.example</url></mirror></mirrors>" + ACTIVE,
        ["https://x.example"],
    ),
    "mirror of what has no encryption": (
        "<mirrors><mirror><mirrorOf>external:http:*</mirrorOf><url>https://x.example</url></mirror></mirrors>"
        + ACTIVE.replace("https://ours", "http://ours"),
        ["https://x.example", maven.CENTRAL],
    ),
    "mirror of what is not of this machine": (
        "<mirrors><mirror><mirrorOf>external:*</mirrorOf><url>https://x.example</url></mirror></mirrors>"
        + ACTIVE.replace("https://ours.example", "http://localhost:8081"),
        ["http://localhost:8081/m2", "https://x.example"],
    ),
    "blocked mirror": (
        "<mirrors><mirror><mirrorOf>*</mirrorOf><url>http://0.0.0.0/</url><blocked>true</blocked></mirror></mirrors>",
        [maven.CENTRAL],
    ),
    "another central": (
        ACTIVE.replace("<repository>", "<repository><id>central</id>").replace("<id>ours</id><url>", "<url>"),
        ["https://ours.example/m2"],
    ),
    "profile that is not active": (PROFILES, [maven.CENTRAL]),
    "active profile": (
        ACTIVE,
        ["https://ours.example/m2", maven.CENTRAL],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REPOSITORIES)
def test_repositories_are_those_of_mavens_settings(case, monkeypatch, tmp_path):
    text, expected = REPOSITORIES[case]
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MAVEN_HOME", str(tmp_path / "none"))
    settings(tmp_path, text)
    assert maven.repositories() == expected


def test_passwords_of_repositories_are_not_shown(repository, monkeypatch, tmp_path):
    url = repository.url.replace("://", "://alice:secret@")
    settings(tmp_path, f"<mirrors><mirror><mirrorOf>*</mirrorOf><url>{url}</url></mirror></mirrors>")
    with pytest.raises(UsageError) as caught:
        fetched(tmp_path, LAKE)
    assert repository.url in caught.value.hint
    assert "secret" not in caught.value.hint


def test_settings_that_are_no_xml(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    settings(tmp_path, "<mirrors>")
    with pytest.raises(UsageError, match=r"settings\.xml cannot be read"):
        maven.repositories()
