"""A request is resolved once; the adapters of uv and of the archive are tested with the real ones elsewhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provision.adapters.cluster_dir import ClusterDir
from provision.adapters.host import maven, uv
from provision.base.errors import UsageError
from provision.base.model import PackagesSpec
from provision.base.progress import Silent
from provision.clusterfile.packages import image_pins
from provision.operations.packages.resolution import ensure_bundle, forget_others, kept_bundle, request

NUMPY = image_pins()["numpy"]
POLARS = PackagesSpec(requirements=("polars>=1",))


@pytest.fixture
def resolver(monkeypatch):
    """Stands for uv: a registry whose newest polars is counted up with each resolution."""
    calls = []

    def resolve(lines, constraints):
        calls.append(lines)
        assert f"numpy=={NUMPY}\n" in constraints
        if "absent" in lines:
            raise UsageError("packages: no set of versions fits the nodes: absent was not found", "Correct the list.")
        return f"numpy=={NUMPY} \\\n    --hash=sha256:11\npolars=={len(calls)}.0 \\\n    --hash=sha256:22\n"

    def install(lock, target):
        assert "numpy" not in lock
        (target / "polars.py").write_text(lock)

    monkeypatch.setattr(uv, "resolve", resolve)
    monkeypatch.setattr(uv, "install", install)
    return calls


@pytest.fixture
def home():
    return ClusterDir("analytics")


def ensure(packages, home):
    return ensure_bundle(packages, home, "cluster.yaml", Silent())


def test_nothing_is_asked_for(resolver, home):
    assert ensure(PackagesSpec(), home) is None
    assert request(PackagesSpec()) == ""
    assert not home.folder.exists()


def test_it_is_resolved_once_and_kept(resolver, home):
    made = ensure(POLARS, home)
    assert made.bundle.python == ("polars==1.0",)
    assert made.archive.stat().st_size == made.bundle.size
    assert ensure(POLARS, home) == made == kept_bundle(POLARS, home)
    assert len(resolver) == 1
    assert home.folder.stat().st_mode & 0o077 == 0


def test_a_changed_list_is_resolved_anew_and_the_old_bundle_stays_until_it_is_forgotten(resolver, home):
    first = ensure(POLARS, home)
    other = replace(POLARS, requirements=("polars>=1", "requests"))
    second = ensure(other, home)
    assert second.bundle.digest != first.bundle.digest
    assert ensure(POLARS, home) == first
    forget_others(other, home)
    assert kept_bundle(POLARS, home) is None
    assert kept_bundle(other, home) == second
    forget_others(PackagesSpec(), home)
    assert kept_bundle(other, home) is None


def test_a_bundle_that_is_not_whole_is_made_again(resolver, home):
    made = ensure(POLARS, home)
    made.archive.write_bytes(b"half")
    assert kept_bundle(POLARS, home) is None
    assert ensure(POLARS, home).archive.stat().st_size > 4
    assert len(resolver) == 2


def test_what_cannot_be_had_leaves_nothing_behind(resolver, home):
    with pytest.raises(UsageError, match=r"^cluster\.yaml: packages: no set of versions fits the nodes: absent"):
        ensure(PackagesSpec(requirements=("absent",)), home)
    assert list((home.folder / "packages").iterdir()) == []


def test_coordinates_are_fetched_beside_jars(monkeypatch, home, tmp_path):
    def fetch(coordinates, target):
        assert coordinates == ("io.lake:lake_2.13:1.0",)
        for name in ("lake_2.13-1.0.jar", "storage-2.0.jar"):
            (target / name).write_text(name)

    monkeypatch.setattr(maven, "fetch", fetch)
    jar = tmp_path / "tools.jar"
    jar.write_bytes(b"one")
    packages = PackagesSpec(jars=(jar,), coordinates=("io.lake:lake_2.13:1.0",))
    assert ensure(packages, home).bundle.jars == ("lake_2.13-1.0.jar", "storage-2.0.jar", "tools.jar")
    twice = jar.rename(tmp_path / "storage-2.0.jar")
    with pytest.raises(UsageError, match=r"storage-2\.0\.jar is one of the jars that io\.lake:lake_2\.13:1\.0 need"):
        ensure(replace(packages, jars=(twice,)), home)


def test_jars_need_no_resolver(resolver, home, tmp_path):
    jar = tmp_path / "tools.jar"
    jar.write_bytes(b"one")
    packages = PackagesSpec(jars=(jar,))
    made = ensure(packages, home)
    assert (made.bundle.jars, made.bundle.python, resolver) == (("tools.jar",), (), [])
    jar.write_bytes(b"two")
    assert ensure(packages, home).bundle.digest != made.bundle.digest
    jar.unlink()
    with pytest.raises(UsageError, match=r"tools\.jar cannot be read"):
        request(packages)
