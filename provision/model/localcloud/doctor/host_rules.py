"""Rules about things beside the services themselves: disks, clocks, certificates, images that are out of date."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from provision.model.finding import Finding, listed, span
from provision.model.localcloud.backup import AUTHORITY_FILES
from provision.model.localcloud.doctor.words import MAKE_ROOM, RENEW, UP
from provision.model.localcloud.preflight import LEAST_FREE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.model.localcloud.doctor.observed import Certificate, ObservedLocalCloud, Unit

_GIB: Final = 1024**3
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
    """A certificate has expired, will soon, or is not valid yet."""
    for each in seen.certificates:
        days = (each.ends - seen.now).total_seconds() / 86400
        if each.begins > seen.now:
            wrong = f"is not valid before {each.begins:%Y-%m-%d}"
            clock = "It was made while a clock was ahead, or this machine's is behind: set that first. "
        elif days > EXPIRES:
            continue
        else:
            wrong = f"expired {span(-days * 86400)} ago" if days < 0 else f"expires in {span(days * 86400)}"
            clock = ""
        yield Finding("certificates", f"the certificate {each.path}", wrong, clock + _renewal(each))


def _renewal(certificate: Certificate) -> str:
    if certificate.cluster:
        if certificate.authority:
            return "Remove it and its .key, run `provision up`, and let every browser trust the new one."
        return f"Run playbooks/site.yml for cluster {certificate.cluster}: it makes a new one and puts it on the node."
    # A certificate of the user's own may be an authority's too, if it has signed itself.
    if PurePath(certificate.path).name == AUTHORITY_FILES[0]:
        return f"Remove it and its .key, run {UP}, and let every client trust the new one: it is never renewed unasked."
    return RENEW


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
