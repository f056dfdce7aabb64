"""Which of Neutron's resources a cloud can tag: some have no tags, or for some kinds only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provision.adapters.openstack.session import Session

if TYPE_CHECKING:
    from pathlib import Path

    from openstack.connection import Connection

    from provision.adapters.openstack.kept_token import KeptToken

_EXTENSIONS: Final = {
    "standard-attr-tag": ("network", "subnet", "router", "security group", "port", "floating IP"),
    "tag-ext": ("subnet", "router", "port"),
    "tag": ("network",),
}
"""What each of Neutron's extensions can tag; a cloud may have none of them."""


class Tags(Session):
    """A project whose Neutron may lack tags. Our marks are descriptions: tags are for people to search with."""

    def __init__(
        self, name: str, connection: Connection, file: Path | None = None, token: KeptToken | None = None
    ) -> None:
        super().__init__(name, connection, file, token)
        self._tagged_kinds: frozenset[str] | None = None

    def kinds_with_tags(self) -> frozenset[str]:
        """Return the kinds of resources that can be tagged; the cloud is asked once."""
        if self._tagged_kinds is None:
            known = {item.alias for item in self.connection.network.extensions()}
            kinds = {kind for alias, tagged in _EXTENSIONS.items() if alias in known for kind in tagged}
            self._tagged_kinds = frozenset(kinds)
        return self._tagged_kinds
