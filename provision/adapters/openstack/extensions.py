"""What a cloud's Neutron has beside its core: some know no tags, or for some kinds only, some no port security."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provision.adapters.openstack.session import Session, retry_transient

if TYPE_CHECKING:
    from pathlib import Path

    from openstack.connection import Connection

    from provision.adapters.openstack.kept_token import KeptToken

PORT_SECURITY: Final = "port-security"
"""Networks and ports say whether security groups have an effect on them; without it, they always have one."""
_DESCRIPTIONS: Final = "standard-attr-description"
_TAGGING: Final = {
    "standard-attr-tag": ("network", "subnet", "router", "security group", "port", "floating IP"),
    "tag-ext": ("subnet", "router", "port"),
    "tag": ("network",),
}
"""What each of these extensions can tag; a cloud may have none of them."""


class Extensions(Session):
    """A project whose Neutron may lack extensions. Our marks are descriptions: tags are for people to search with."""

    def __init__(
        self, name: str, connection: Connection, file: Path | None = None, token: KeptToken | None = None
    ) -> None:
        super().__init__(name, connection, file, token)
        self._extensions: frozenset[str] | None = None

    @retry_transient
    def extensions(self) -> frozenset[str]:
        """Return the aliases of Neutron's extensions; the cloud is asked once."""
        if self._extensions is None:
            with self.asking("listing Neutron's extensions"):
                self._extensions = frozenset(str(item.alias) for item in self.connection.network.extensions())
        return self._extensions

    def has_marks(self) -> bool:
        """Whether Neutron's resources can be marked as a cluster's: the mark is their description (resources.mark)."""
        return _DESCRIPTIONS in self.extensions()

    def kinds_with_tags(self) -> frozenset[str]:
        """Return the kinds of resources that can be tagged."""
        known = self.extensions()
        return frozenset(kind for alias, tagged in _TAGGING.items() if alias in known for kind in tagged)
