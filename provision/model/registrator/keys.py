"""A container's SERVICE_* keys: which hold for a port, and what their values mean."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from provision.model.registrator.container import PREFIX, PROTOCOLS, ContainerPort

if TYPE_CHECKING:
    from provision.model.registrator.container import Container

_FOR_PORT: Final = re.compile(rf"(\d{{1,5}})_(?:({'|'.join(PROTOCOLS)})_)?(.+)", re.ASCII)


def keys_for(container: Container, port: ContainerPort | None) -> tuple[dict[str, str], frozenset[str]]:
    """Return the SERVICE_* keys for one port, in lower case, and which of them are for that port only.

    Labels override the environment, a port's own keys override general ones, and those with its protocol override both.
    """
    general: dict[str, str] = {}
    of_number: dict[str, str] = {}
    of_protocol: dict[str, str] = {}
    for key, value in (*container.env, *container.labels):
        name = key.removeprefix(PREFIX).lower()
        found = _FOR_PORT.fullmatch(name)
        if not found:
            if name:
                general[name] = value
        elif port and int(found[1]) == port.number and found[2] in (None, port.protocol):
            (of_protocol if found[2] else of_number)[found[3]] = value
    own = of_number | of_protocol
    return general | own, frozenset(own)


def named_ports(container: Container) -> set[ContainerPort]:
    """Return the ports that the container's keys name: TCP unless the key says another protocol."""
    found = (_FOR_PORT.fullmatch(key.removeprefix(PREFIX).lower()) for key, _ in (*container.env, *container.labels))
    named = {(int(match[1]), match[2]) for match in found if match}
    exposed = {port.number for port in container.exposed}
    # If the image exposes the port, it may be of another protocol.
    return {
        ContainerPort(number, protocol or "tcp")
        for number, protocol in named
        if 0 < number < 65536 and (protocol or number not in exposed)
    }


def base_name(container: Container) -> str:
    """Return the image's base name (`registry:5000/team/web:1.2` is `web`); without one, the container's name."""
    if container.image.startswith("sha256:"):
        return container.name
    return container.image.partition("@")[0].rsplit("/", 1)[-1].partition(":")[0]


def split_tags(text: str) -> list[str]:
    r"""Split at commas; `\,` is a comma inside a tag."""
    parts = (part.replace(r"\,", ",") for part in re.split(r"(?<!\\),", text))
    return [part for part in parts if part]
