"""The state of a Galera member that runs, read from its status variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

STATUS_QUERY: Final = "SHOW GLOBAL STATUS LIKE 'wsrep\\_%'"
"""The SQL statement that returns Galera's status variables, as rows of name and value."""


@dataclass(frozen=True, slots=True)
class MemberState:
    """A member that runs, as its own status variables describe it."""

    primary: bool = False
    """Whether it belongs to the Primary component: the majority of the cluster."""
    ready: bool = False
    """Whether it accepts statements."""
    stage: str = ""
    """Galera's name for its state: Joining, Joined, Synced, Donor/Desynced."""
    size: int = 0
    """Number of members in its component."""
    cluster: str = ""
    """The cluster's id."""

    @property
    def serves(self) -> bool:
        """Whether clients may be sent to it.

        A donor may serve: mariadb-backup copies the data of a running server. The first member is a donor while the
        others join, when no other member can serve.
        """
        return self.primary and self.ready and self.stage in ("Synced", "Donor/Desynced")

    def __str__(self) -> str:
        return f"{self.stage or 'starting'}, {'Primary' if self.primary else 'not Primary'}, {self.size} members"


def read_status(variables: Mapping[str, str]) -> MemberState:
    """Read the variables that STATUS_QUERY returns."""
    return MemberState(
        primary=variables.get("wsrep_cluster_status") == "Primary",
        ready=variables.get("wsrep_ready") == "ON",
        stage=variables.get("wsrep_local_state_comment", ""),
        size=int(variables.get("wsrep_cluster_size", 0)),
        cluster=variables.get("wsrep_cluster_state_uuid", ""),
    )
