"""Resolve and fetch a spec's packages once, into the bundle that is kept in the cluster's folder.

A later worker and a replaced master get the same versions as the live nodes: the same request is not resolved again.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provision.adapters.host import bundle as archive
from provision.adapters.host import maven, uv
from provision.base.errors import UsageError
from provision.clusterfile.packages import image_pins
from provision.model import packages as model

if TYPE_CHECKING:
    from provision.adapters.cluster_dir import ClusterDir
    from provision.base.model import PackagesSpec
    from provision.base.progress import Progress


@dataclass(frozen=True, slots=True)
class KeptBundle:
    """A bundle and its archive."""

    bundle: model.Bundle
    archive: Path


def request(packages: PackagesSpec) -> str:
    """Hash what a spec asks for, its files' content included; empty when that is nothing.

    Raises UsageError when a file cannot be read.
    """
    try:
        contents = {path: archive.file_hash(path) for path in packages.files()}
    except OSError as error:
        raise UsageError(
            f"{error.filename} cannot be read: {error.strerror}", "Name wheels and jars that you may read."
        ) from None
    return model.request_digest(packages, contents)


def kept_bundle(packages: PackagesSpec, cluster_dir: ClusterDir) -> KeptBundle | None:
    """Return the bundle of a request if it was resolved before."""
    folder = _folder(packages, cluster_dir)
    file = folder / "bundle.tar.gz"
    try:
        kept = KeptBundle(model.read_bundle((folder / "bundle.json").read_text()), file)
        return kept if file.stat().st_size == kept.bundle.size else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def ensure_bundle(
    packages: PackagesSpec, cluster_dir: ClusterDir, source: str, progress: Progress
) -> KeptBundle | None:
    """Resolve and fetch what a spec asks for, unless that was done before; None when it asks for nothing.

    Nothing of the cluster is changed. Raises UsageError, with the spec's file `source`, for a package that cannot be
    had, and ProvisionError when the registry does not answer.
    """
    if not packages:
        return None
    if kept := kept_bundle(packages, cluster_dir):
        return kept
    with progress.phase("Resolve and fetch the packages"):
        try:
            _make(packages, _folder(packages, cluster_dir), progress)
        except UsageError as error:
            raise UsageError(f"{source}: {error.message}", error.hint) from None
    kept = kept_bundle(packages, cluster_dir)
    assert kept is not None  # noqa: S101 - it was just written
    return kept


def forget_others(packages: PackagesSpec, cluster_dir: ClusterDir) -> None:
    """Remove the bundles of earlier requests; the nodes have another one now."""
    for folder in _home(cluster_dir).glob("*"):
        if not packages or folder != _folder(packages, cluster_dir):
            shutil.rmtree(folder, ignore_errors=True)


def _make(packages: PackagesSpec, folder: Path, progress: Progress) -> None:
    """Write a bundle, its list and its lock into `folder`, which appears when they are complete."""
    # One after the other: the mode is that of the last folder alone.
    for private in (folder.parent.parent, folder.parent):
        private.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as made:
        content, complete = Path(made) / "content", Path(made) / "complete"
        (content / "python").mkdir(parents=True)
        complete.mkdir(mode=0o700)
        lock = ""
        if packages.requirements or packages.wheels:
            pins = image_pins()
            progress.update("packages", "resolve")
            lock = model.beside_image(uv.resolve(model.input_lines(packages), model.constraints(pins)), pins)
        if lock:
            progress.update("packages", f"fetch {len(model.listed(lock))}")
            uv.install(lock, content / "python")
            archive.tidy(content / "python")
        jars = content / "jars"
        if packages.has_jars:
            jars.mkdir()
        if packages.coordinates:
            progress.update("packages", "fetch jars")
            maven.fetch(packages.coordinates, jars)
        for path in packages.jars:
            if (jars / path.name).exists():
                raise UsageError(
                    f"spark.packages: {path.name} is one of the jars that {', '.join(packages.coordinates)} need",
                    "Nothing was changed. Leave the path out, or rename the file if it is another jar.",
                )
            shutil.copyfile(path, jars / path.name)
        fetched = tuple(sorted(path.name for path in jars.iterdir())) if packages.has_jars else ()
        progress.update("packages", "pack")
        digest = archive.pack(content, complete / "bundle.tar.gz")[:16]
        bundle = model.Bundle(
            digest=digest,
            python=model.listed(lock),
            jars=fetched,
            size=(complete / "bundle.tar.gz").stat().st_size,
        )
        (complete / "packages.lock").write_text(lock)
        (complete / "bundle.json").write_text(bundle.text())
        # What is there was not complete: kept_bundle has not taken it.
        shutil.rmtree(folder, ignore_errors=True)
        complete.rename(folder)
    progress.note(f"packages: {bundle.described}")


def _home(cluster_dir: ClusterDir) -> Path:
    return cluster_dir.folder / "packages"


def _folder(packages: PackagesSpec, cluster_dir: ClusterDir) -> Path:
    return _home(cluster_dir) / model.resolution_key(request(packages), image_pins())
