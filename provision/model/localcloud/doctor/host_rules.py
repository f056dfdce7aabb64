"""Rules about things beside the services themselves: disks, clocks, certificates, images that are out of date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provision.model.finding import Finding, listed, span
from provision.model.localcloud.doctor.words import MAKE_ROOM, RENEW

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.model.localcloud.doctor.observed import ObservedLocalCloud, Unit

_GIB: Final = 1024**3
LEAST_FREE: Final = 2 * _GIB
"""Bytes below which a disk is reported, however large it is."""
AMPLE_FREE: Final = 20 * _GIB
"""Bytes from which on a disk is not reported, however small a part of it they are."""
FREE_PART: Final = 10
"""Between the two, a disk is reported of which less than one such part is free."""
_CLOCK: Final = 3.0
"""Seconds that clocks may differ: tokens and locks tolerate that much."""
EXPIRES: Final = 30
"""Days before its end from which on a certificate is reported."""


def skewed(seen: ObservedLocalCloud) -> Iterator[Finding]:
    """A clock is off."""
    for clock in seen.clocks:
        if abs(clock.ahead) - clock.uncertain > _CLOCK:
            side = "ahead of" if clock.ahead > 0 else "behind"
            yield Finding(
                "clocks",
                f"the clock of {clock.whose}",
                f"is {span(abs(clock.ahead))} {side} this machine's",
                "Let both hosts follow a time server (`timedatectl set-ntp true`): tokens and locks depend on it.",
            )


def filling(seen: ObservedLocalCloud) -> Iterator[Finding]:
    """A disk is almost full."""
    # Several things may be on one file system: one finding for all.
    places: dict[tuple[int, int], list[str]] = {}
    for disk in seen.disks:
        same = next((key for key in places if _same(key, (disk.size, disk.free))), (disk.size, disk.free))
        places.setdefault(same, []).append(disk.holds)
    for (size, free), holds in places.items():
        if free < LEAST_FREE or (free < AMPLE_FREE and free < size / FREE_PART):
            yield Finding(
                "disks",
                f"the disk with {listed(dict.fromkeys(holds), 9)}",
                f"has {free / _GIB:.1f} GiB left of {size / _GIB:.0f}",
                MAKE_ROOM,
            )


def _same(one: tuple[int, int], other: tuple[int, int]) -> bool:
    # They were read a moment apart, and some file systems count the space reserved for root as used.
    return abs(one[0] - other[0]) <= one[0] / 100 and abs(one[1] - other[1]) <= max(one[1] / 100, _GIB / 16)


def expiring(seen: ObservedLocalCloud) -> Iterator[Finding]:
    """A certificate has expired, or will soon."""
    for each in seen.certificates:
        days = (each.ends - seen.now).total_seconds() / 86400
        if days > EXPIRES:
            continue
        wrong = f"expired {span(-days * 86400)} ago" if days < 0 else f"expires in {span(days * 86400)}"
        if not each.cluster:
            do = RENEW
        elif each.authority:
            do = "Remove it and its .key, run `provision up`, and let every browser trust the new one."
        else:
            do = f"Run playbooks/site.yml for cluster {each.cluster}: it makes a new one and puts it on the node."
        yield Finding("certificates", f"the certificate {each.path}", wrong, do)


def drifted(seen: ObservedLocalCloud) -> Iterator[Finding]:
    """Containers were made from other images than this checkout's."""
    old = sorted({unit.service for unit in seen.units if unit.family and _drifts(seen, unit)})
    if old:
        yield Finding(
            "images",
            listed(old, 9),
            "run from other images than this checkout's",
            "`provision cloud upgrade` replaces them without an interruption, `provision cloud up` at once.",
        )


def _drifts(seen: ObservedLocalCloud, unit: Unit) -> bool:
    wanted = seen.tags.get(unit.family)
    return wanted is not None and unit.image != f"provision/{unit.family}:{wanted}"
