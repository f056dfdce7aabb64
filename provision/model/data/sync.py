"""What `sync` has to transfer and delete, from what each side has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SECOND: Final = 10**9


@dataclass(frozen=True, slots=True)
class Differences:
    """What makes the target equal to the source, by names relative to both."""

    transfer: tuple[str, ...] = ()
    """What is new or differs, folders before what is in them."""
    delete: tuple[str, ...] = ()
    """What only the target has."""
    conflicts: tuple[str, ...] = ()
    """Where the one side has a folder and the other a file or a link: only deleting makes room."""

    def __bool__(self) -> bool:
        return bool(self.transfer or self.delete or self.conflicts)


def differences(source: Mapping[str, Sequence[Any]], target: Mapping[str, Sequence[Any]]) -> Differences:
    """Compare two listings (adapters/onnode/tree.py).

    Files differ if their sizes do, or their checksums, or their times where there are no checksums.
    """
    transfer, conflicts = [], set()
    for name, wanted in source.items():
        there = target.get(name)
        if there is not None and (there[0] == "folder") != (wanted[0] == "folder"):
            conflicts.add(name)
        if there is None or not _equal(wanted, there):
            transfer.append(name)
    # What is in a folder that makes room for a file goes with it.
    gone = {name for name in target if name not in source}
    inside = {name for name in gone if any(name.startswith(f"{top}/") for top in conflicts)}
    return Differences(tuple(transfer), tuple(sorted(gone - inside)), tuple(sorted(conflicts | inside)))


def _equal(one: Sequence[Any], other: Sequence[Any]) -> bool:
    kind, size, changed, content = one
    if (kind, size) != (other[0], other[1]):
        return False
    if kind != "file" or content or other[3]:
        return bool(content == other[3])
    if changed % _SECOND == 0 or other[2] % _SECOND == 0:
        # A file system that keeps whole seconds.
        return bool(changed // _SECOND == other[2] // _SECOND)
    return bool(changed == other[2])
