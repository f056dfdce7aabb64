"""The container that bakes golden images: its inputs, and how it is run."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import deque
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provision.adapters.host import package_settings
from provision.adapters.host.apt_mirrors import apt_proxies
from provision.adapters.host.process import run, stream
from provision.base import paths
from provision.base.constants import NODE
from provision.base.errors import ProvisionError
from provision.model.localcloud.image_families import module_files
from provision.model.proxies import apt_conf

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from provision.model.image.recipe import ImagePaths

_PAGE: Final = "provision.operations.hub_page"
_PAGE_TEMPLATE: Final = "monitoring/page.html.j2"
CONTAINER: Final = "provision-bake"
_AUTHORITIES: Final = "authorities.pem"
_MOUNTED_AUTHORITIES: Final = f"/settings/{_AUTHORITIES}"
_REMOVAL_SECONDS: Final = 60
_SHARES: Final = 1400
"""Its part of busy processors, of which any other container has 1024: a new cloud and its image are ready together."""
_KEPT: Final = 2
"""Finished images, and archives of packed software, that are kept: the newest and the one before."""


def inputs() -> dict[str, bytes]:
    """Read all that decides an image's content: compose/bake as `bake/<file>`, templates/image as `image/<file>`.

    Among the latter is the program that draws monitoring's page: modules of this package.
    """
    found = dict(_page())
    for prefix, folder in (("bake", paths.COMPOSE / "bake"), ("image", paths.TEMPLATES / "image")):
        for path in paths.files_below(folder):
            found[f"{prefix}/{path.relative_to(folder).as_posix()}"] = path.read_bytes()
    return found


@cache
def _page() -> dict[str, bytes]:
    """Read what draws the page of monitoring on a node: the modules, and the template, as in a checkout."""

    def source(path: str) -> str | None:
        file = paths.PACKAGE.parent / path
        return file.read_text() if file.is_file() else None

    files = {path: text.encode() for path, text in module_files(_PAGE, source).items()}
    files[f"templates/{_PAGE_TEMPLATE}"] = (paths.TEMPLATES / _PAGE_TEMPLATE).read_bytes()
    return {f"image/files{NODE.page_modules}/{path}": data for path, data in files.items()}


def bake(
    made: ImagePaths,
    *,
    builder: str,
    labels: Sequence[str],
    files: Mapping[str, bytes],
    settings: Mapping[str, str],
    cache: Path,
    line: Callable[[str], None],
) -> None:
    """Make an image, and the archive of its software where there is none, in a container of the image `builder`.

    Both are below `cache`. `files` are the inputs, `settings` small texts for /settings. Raises ProvisionError with the
    container's last lines.
    """
    stop()  # one that a killed `provision` left running would write the same files
    host = package_settings.read(_MOUNTED_AUTHORITIES)
    (cache / "downloads").mkdir(parents=True, exist_ok=True)
    # In the cache folder: Docker may not see this program's /tmp, and leftovers of a killed bake are found there.
    with tempfile.TemporaryDirectory(prefix="bake-", dir=cache) as folder:
        place = Path(folder)
        _write(
            place / "image", {name.removeprefix("image/"): data for name, data in files.items() if name[:6] == "image/"}
        )
        texts = {**settings, "pip.conf": host.pip_conf, "npmrc": host.npmrc, _AUTHORITIES: host.authorities}
        texts["apt.conf"] = apt_conf(apt_proxies(), _MOUNTED_AUTHORITIES if host.authorities else "")
        _write(place / "settings", {name: text.encode() for name, text in texts.items() if text})
        # apt's programs that fetch are another user's; `folder` is closed to those of this machine.
        (place / "settings").chmod(0o755)
        if host.authorities:
            (place / "settings" / _AUTHORITIES).chmod(0o644)
        last_lines: deque[str] = deque(maxlen=25)

        def note_line(text: str) -> None:
            last_lines.append(text)
            line(text)

        # mmdebstrap needs SYS_ADMIN to mount /proc in the new root, nft needs NET_ADMIN to check its rules.
        rights = ["--cap-add=SYS_ADMIN", "--cap-add=NET_ADMIN", "--security-opt=apparmor=unconfined"]
        rights += ["--security-opt=seccomp=unconfined"]
        mounts = [
            f"{place}/image:/image:ro",
            f"{place}/settings:/settings:ro",
            f"{cache}/downloads:/cache",
            f"{cache}:/out",
        ]
        variables = {
            "PIP_CONFIG_FILE": "/settings/pip.conf",
            "PIP_CACHE_DIR": "/cache/pip",
            "NPM_CONFIG_USERCONFIG": "/settings/npmrc",
            "OWNER": f"{os.getuid()}:{os.getgid()}",
        }
        # Names only: values may hold a proxy's password, which a list of processes would show.
        argv = ["docker", "run", "--init", f"--name={CONTAINER}", "--network=host", f"--cpu-shares={_SHARES}", *rights]
        argv += [f"--label={label}" for label in labels] + [f"--volume={mount}" for mount in mounts]
        argv += [f"--env={name}" for name in (*variables, *dict(host.proxies))]
        argv += [builder, *(f"/out/{path.relative_to(cache)}" for path in (made.software, made.image))]
        try:
            code = stream(argv, note_line, env={**os.environ, **variables, **dict(host.proxies)})
        finally:
            # Its files are thousands, and who waits for the image need not wait until Docker has removed them.
            run(["sh", "-c", 'docker rm --force "$0" > /dev/null 2>&1 &', CONTAINER])
    if code != 0:
        raise ProvisionError(
            "the golden image could not be baked",
            "The lines above are the bake's own. If a download failed, run the same command again.",
            "\n".join(last_lines),
        )


def stop() -> None:
    """End the bake that runs, if one does; what it has finished stays."""
    for _ in range(_REMOVAL_SECONDS):
        # Docker takes seconds to remove a large container, and refuses to be asked for that twice.
        if "already in progress" not in run(["docker", "rm", "--force", CONTAINER], timeout=60).stderr:
            return
        time.sleep(1)


def tidy(cache: Path) -> None:
    """Remove what interrupted bakes left, and all but the newest images and archives of finished ones."""
    for leftover in cache.glob("*/*.part"):
        leftover.unlink()
    for folder_left in cache.glob("bake-*/"):
        shutil.rmtree(folder_left, ignore_errors=True)
    for folder, pattern in (("software", "*.tar.zst"), ("images", "*.qcow2")):
        newest = sorted((cache / folder).glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in newest[_KEPT:]:
            old.unlink()


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
