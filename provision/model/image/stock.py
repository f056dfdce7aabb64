"""What a stock image gets at its first boot: the archive that the operator's machine brings to each node."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from provision.base.constants import OPERATOR
from provision.model.image.recipe import read_software
from provision.model.proxies import apt_conf, bare_place, is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

AUTHORITIES: Final = "settings/authorities.pem"
"""In the archive; pip's and npm's settings name the file."""
APT_CONF: Final = "settings/apt.conf"
_ADDRESSES: Final = ("index-url", "extra-index-url", "registry", "proxy", "https-proxy")


@dataclass(frozen=True, slots=True)
class PackageSources:
    """Where nodes take packages from, as this machine does; without any of it, as their image does.

    The settings of pip and npm may hold credentials.
    """

    pip_conf: str = ""
    npmrc: str = ""
    authorities: str = ""
    """PEM of certificate authorities."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Proxies."""
    archive: str = ""
    """Debian's archive, and the mirror of its security updates."""
    security: str = ""
    apt_proxies: Mapping[str, str] = field(default_factory=dict)
    """Proxies of apt's own, by their names in its configuration."""

    def on_loopback(self) -> str:
        """Name the first setting that leads to the operator's machine itself, where nodes find nothing; else empty."""
        settings = [("apt's archive", self.archive), ("apt's security updates", self.security)]
        settings += [(name, value) for name, value in self.environment.items() if not name.lower().startswith("no_")]
        settings += [*self.apt_proxies.items(), *_addresses("pip", self.pip_conf), *_addresses("npm", self.npmrc)]
        return next((f"{name} ({bare_place(url)})" for name, url in settings if is_loopback(url)), "")


def _addresses(tool: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield the settings of pip or npm that are addresses, one by one."""
    for line in text.splitlines():
        name, _, value = line.partition("=")
        where = name.strip()
        if where in _ADDRESSES or where.endswith(":registry"):
            yield from ((f"{tool}'s {where}", word) for word in value.split())


def install_settings(
    inputs: Mapping[str, bytes], sources: PackageSources, python: str = "", *, bake: bool = False
) -> dict[str, Any]:
    """Return what the installation has to know (templates/image/setup/install.py).

    `python`: the version that the spec's own packages are made for; empty when there are none. `bake`: an image is made
    of the machine, and no node.
    """
    software = read_software(inputs["image/software.yaml"].decode())
    return {
        "systems": {
            name: {
                "packages": software.stock_packages(system),
                "python": system.python,
                "lock": system.lock,
                "own_node": system.own_node,
            }
            for name, system in software.stock.items()
        },
        "left_out": software.left_out,
        "python": python,
        "apt": {"archive": sources.archive, "security": sources.security},
        "environment": dict(sources.environment),
        "bake": bake,
        "operator": OPERATOR,
    }


def make_archive(
    inputs: Mapping[str, bytes], sources: PackageSources, python: str = "", *, bake: bool = False
) -> bytes:
    """Pack templates/image and the settings, readable for root alone; the same input gives the same bytes."""
    files = {name: data for name, data in inputs.items() if name.startswith("image/")}
    texts = {
        "settings/install.json": json.dumps(install_settings(inputs, sources, python, bake=bake)),
        "settings/pip.conf": sources.pip_conf,
        "settings/npmrc": sources.npmrc,
        AUTHORITIES: sources.authorities,
        APT_CONF: apt_conf(sources.apt_proxies),
    }
    files |= {name: text.encode() for name, text in texts.items() if text or name not in {AUTHORITIES, APT_CONF}}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o600
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(packed.getvalue(), mtime=0)
