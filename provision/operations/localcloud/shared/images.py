"""Build the local cloud's images: each only when there is none yet that was built from the same inputs."""

from __future__ import annotations

import os
import re
import time
from contextlib import contextmanager
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provision.adapters.host import apt_mirrors, package_settings
from provision.adapters.host.files import exclusive_lock
from provision.base import paths
from provision.base.errors import ProvisionError
from provision.base.parallel import in_order
from provision.model.localcloud.image_families import (
    BASE_IMAGE,
    FAMILIES,
    FAMILY_LABEL,
    INPUTS_LABEL,
    Family,
    apt_sources,
    families,
    image_name,
    image_tags,
    module_files,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from provision.adapters.docker.engine import Engine
    from provision.base.progress import Progress

_MOST_AT_ONCE: Final = 4
"""Builds at the same time: more only wait for the same disk and the same mirror."""


def contexts() -> dict[str, dict[str, bytes]]:
    """Read the build context of every image family from the data folder: family -> file name -> content."""
    return {family.name: _context(family) for family in FAMILIES}


def _context(family: Family) -> dict[str, bytes]:
    folder = paths.COMPOSE / family.name
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in paths.files_below(folder)
        if path.suffix != ".md"
    }
    # The folder of the base image also holds a file for the other images.
    files = {name: content for name, content in files.items() if family.name != "base" or name != "common.sh"}
    files |= {Path(extra).name: (paths.COMPOSE.parent / extra).read_bytes() for extra in family.extra}
    return files | (_program(family.program) if family.program else {})


@cache
def _program(module: str) -> dict[str, bytes]:
    return {path: text.encode() for path, text in module_files(module, _source).items()}


def _source(path: str) -> str | None:
    """Read a file of the package: `provision/base/errors.py`."""
    try:
        return (paths.PACKAGE.parent / path).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None


def ensure_images(engine: Engine, progress: Progress, names: Collection[str]) -> dict[str, str]:
    """Build those images of some families and of their parents that are missing; return the tag of every family."""
    files = contexts()
    tags = image_tags(files)
    present = engine.images()
    missing = {family.name: family for family in families(names) if image_name(family.name, tags) not in present}
    if not missing:
        return tags
    mirrors = apt_mirrors.apt_mirrors()
    proxies = apt_mirrors.build_proxies()
    numbers = count(1)
    renewal = "" if "base" in missing else _renewal(tags)

    def build(name: str) -> None:
        family, image, item = missing[name], image_name(name, tags), f"image {name}"
        # A bake, which may go on beside this, needs some of the same images.
        lock = paths.cache_dir() / "locks" / f"image-{name}.lock"
        with exclusive_lock(lock, lambda: progress.update(item, "another build of it is running: waiting for it")):
            if image in engine.images():
                progress.update(item, "built already")
                return
            began = time.monotonic()
            context = files[name]
            if family.parent == BASE_IMAGE:
                engine.ensure_base_image(lambda text: progress.update("base image", text), mirrors.archive, proxies)
                # The mirror is not one of an image's inputs: every mirror has the same packages. Nor are the
                # authorities by which apt knows it, in this image and in those that are built on it.
                context = context | {
                    "apt/sources.list": apt_sources(mirrors).encode(),
                    "apt/authorities.pem": package_settings.authorities().encode(),
                }
            progress.update(item, f"building ({next(numbers)} of {len(missing)})")
            with _logged(name, partial(_report, progress, item), renewal) as line:
                engine.build(
                    image,
                    context,
                    arguments=proxies | {"BASE": image_name(family.parent, tags)},
                    labels={FAMILY_LABEL: name, INPUTS_LABEL: tags[name]},
                    line=line,
                )
            progress.update(item, f"built in {time.monotonic() - began:.0f} s")

    in_order({name: family.parent for name, family in missing.items()}, build, at_once=_builds_at_once())
    engine.drop_superseded({name: tags[name] for name in missing})
    return tags


def _builds_at_once() -> int:
    """Return how many builds this machine bears: each installs packages, which keeps a processor and the disk busy."""
    return min(len(os.sched_getaffinity(0)), _MOST_AT_ONCE)


@contextmanager
def _logged(family: str, report: Callable[[str], None], renewal: str) -> Iterator[Callable[[str], None]]:
    """Keep the lines of a build in a file, which an error names; `report` gets them too.

    `renewal`: the remedy where a server's certificate is not known.
    """
    file = paths.cache_dir() / "logs" / f"image-{family}.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    unknown = False
    with file.open("w", encoding="utf-8") as log:

        def line(text: str) -> None:
            nonlocal unknown
            unknown = unknown or "certificate verif" in text.lower()
            log.write(text + "\n")
            report(text)

        try:
            yield line
        except ProvisionError as error:
            hint = f"{file} has the build's whole output. {(unknown and renewal) or error.hint}"
            raise ProvisionError(error.message, hint, error.detail) from None


def _renewal(tags: Mapping[str, str]) -> str:
    """Tell how a base image that has been there is made again: it keeps the authorities that it was made with."""
    return (
        "If the authority of the package mirror is a new one, the base image does not know it: remove it with "
        f"`docker image rm {image_name('base', tags)}`, and run the same command again."
    )


def _report(progress: Progress, item: str, line: str) -> None:
    if step := _step(line):
        progress.step(item, step)


def _step(line: str) -> str:
    """Return the step that `Step 2/5 : RUN …` names; an empty string for any other line of a build's output."""
    match = re.match(r"Step (\d+)/(\d+) : (\S+)", line)
    return f"step {match[1]} of {match[2]} ({match[3]})" if match else ""
