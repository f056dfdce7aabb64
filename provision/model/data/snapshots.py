"""Backups of clusters in a restic repository: their tags, and finding one of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from provision.base.errors import ProvisionError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

TAG: Final = "provision"
_CLUSTER: Final = "cluster:"
_USER: Final = "user:"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One backup."""

    id: str
    """Its short id."""
    time: str
    """ISO 8601, with the offset of the machine that made it."""
    cluster: str
    users: tuple[str, ...]
    """The users whose homes are in it; empty for a backup of everything."""
    path: str
    """The archive's path in the snapshot."""

    @property
    def when(self) -> datetime:
        """Its time, in the zone of the machine that made it."""
        return _moment(self.time)

    @property
    def date(self) -> str:
        """Its time as people read it, with the offset of its zone."""
        return self.when.isoformat(" ", "seconds")


def tags(cluster: str, users: Sequence[str] = ()) -> list[str]:
    """Return the tags of a backup."""
    return [TAG, f"{_CLUSTER}{cluster}", *(f"{_USER}{user}" for user in users)]


def read_snapshots(text: str) -> list[Snapshot]:
    """Read `restic snapshots --json`: the backups that `provision` made, the oldest first.

    By the moments, not by their texts: each machine writes its own local time.
    """
    try:
        entries = sorted(json.loads(text) or [], key=lambda entry: _moment(entry["time"]))
    except (ValueError, TypeError, KeyError):
        raise ProvisionError(
            "restic's list of snapshots cannot be read", "Is this restic 0.14 or later?", text
        ) from None
    found = []
    for entry in entries:
        marks = entry.get("tags") or []
        clusters = [mark.removeprefix(_CLUSTER) for mark in marks if mark.startswith(_CLUSTER)]
        if TAG in marks and clusters:
            users = tuple(mark.removeprefix(_USER) for mark in marks if mark.startswith(_USER))
            found.append(Snapshot(entry["id"][:8], entry["time"], clusters[0], users, entry["paths"][0]))
    return found


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def choose(snapshots: Sequence[Snapshot], cluster: str, wanted: str = "", users: Sequence[str] = ()) -> Snapshot:
    """Return the snapshot with the id `wanted`, or the cluster's newest that holds the homes of `users`.

    A backup of everything holds everybody's; without `users` only such a one will do. Raises UsageError.
    """
    if wanted:
        found = [snapshot for snapshot in snapshots if snapshot.id.startswith(wanted[:8])]
        if len(found) != 1:
            raise UsageError(
                f"there is no backup {wanted!r}" if not found else f"several backups begin with {wanted!r}",
                "`provision backup --list` shows them.",
            )
        return found[0]
    own = [snapshot for snapshot in snapshots if snapshot.cluster == cluster]
    fitting = [one for one in own if not one.users or (users and set(users) <= set(one.users))]
    if not fitting:
        clusters = sorted({snapshot.cluster for snapshot in snapshots})
        what = f" of {', '.join(users)}" if users else " of everything"
        other = f"It has backups of: {', '.join(clusters)}. " if clusters else ""
        raise UsageError(
            f"the repository has no backup{what} on cluster {cluster}",
            f"{other}Name one with --snapshot; `provision backup --list` shows them.",
        )
    return fitting[-1]
