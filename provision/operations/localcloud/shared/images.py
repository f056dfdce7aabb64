"""Have the `local` cloud's images here: each built only when none was built from the same inputs."""

from __future__ import annotations

import re
import time
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from provision.adapters.host import apt_mirrors
from provision.base import paths
from provision.model.localcloud.image_families import (
    BASE_IMAGE,
    FAMILIES,
    FAMILY_LABEL,
    INPUTS_LABEL,
    SHARED_FILES,
    Family,
    apt_sources,
    families,
    image_name,
    image_tags,
    module_files,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from provision.adapters.docker.engine import Engine
    from provision.base.progress import Progress


def contexts() -> dict[str, dict[str, bytes]]:
    """Read every family's build context from the data folder: file name in the context -> content."""
    return {family.name: _context(family) for family in FAMILIES}


def _context(family: Family) -> dict[str, bytes]:
    folder = paths.COMPOSE / family.name
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".md"
    }
    # The base's folder also holds what the others share.
    files = {name: content for name, content in files.items() if family.name != "base" or name not in SHARED_FILES}
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
    """Build the images of some families (and of their parents) that are absent; return every family's tag."""
    files = contexts()
    tags = image_tags(files)
    present = engine.images()
    missing = [family for family in families(names) if image_name(family.name, tags) not in present]
    if not missing:
        return tags
    here = apt_mirrors.apt_mirrors()
    if any(family.parent == BASE_IMAGE for family in missing):
        engine.ensure_base_image(lambda text: progress.update("base image", text), here.archive)
    # Where packages come from is no input of an image: the same packages come from every mirror.
    sources = apt_sources(here).encode()
    proxies = apt_mirrors.build_proxies()
    for number, family in enumerate(missing, 1):
        item = f"image {family.name}"
        began = time.monotonic()
        progress.update(item, f"building ({number} of {len(missing)})")
        context = files[family.name] | ({"apt/sources.list": sources} if family.name == "base" else {})
        engine.build(
            image_name(family.name, tags),
            context,
            arguments=proxies | {"BASE": image_name(family.parent, tags)},
            labels={FAMILY_LABEL: family.name, INPUTS_LABEL: tags[family.name]},
            line=partial(_report, progress, item),
        )
        progress.update(item, f"built in {time.monotonic() - began:.0f} s")
    built = [family.name for family in missing]
    engine.drop_superseded(built, [image_name(name, tags) for name in built])
    return tags


def _report(progress: Progress, item: str, line: str) -> None:
    if step := _step(line):
        progress.update(item, step)


def _step(line: str) -> str:
    """Read `Step 2/5 : RUN …`, and an empty text in any other line of a build's output."""
    match = re.match(r"Step (\d+)/(\d+) : (\S+)", line)
    return f"step {match[1]} of {match[2]} ({match[3]})" if match else ""
