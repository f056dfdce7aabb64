"""What is wrong beside the services themselves: disks, clocks, certificates, images that are out of date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provision.model.localcloud.doctor.finding import UP, Finding, listed, span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.model.localcloud.doctor.observed import ObservedLocalCloud, Unit

_GIB: Final = 1024**3
_CLOCK: Final = 3.0
"""Seconds that clocks may be apart: tokens and locks bear that much."""
_EXPIRES: Final = 30
"""Days before its end that a certificate is worth a word."""


def skewed(seen: ObservedLocalCloud) -> Iterator[Finding]:
    """A clock is off."""
    for clock in seen.clocks:
        if abs(clock.ahead) - clock.uncertain > _CLOCK:
            side = "ahead of" if clock.ahead > 0 else "behind"
            yield Finding(
                "clocks",
                f"the clock of {clock.whose}",
                f"is {span(abs(clock.ahead))} {side} this machine's",
                "let both hosts follow a time server (`timedatectl set-ntp true`): tokens and locks depend on it",
            )


def filling(seen: ObservedLocalCloud) -> Iterator[Finding]:
    """A disk fills."""
    # The same file system holds several things: one finding for all.
    places: dict[tuple[int, int], list[str]] = {}
    for disk in seen.disks:
        same = next((key for key in places if _same(key, (disk.size, disk.free))), (disk.size, disk.free))
        places.setdefault(same, []).append(disk.holds)
    for (size, free), holds in places.items():
        if free < 2 * _GIB or (free < 20 * _GIB and free < size / 10):
            yield Finding(
                "disks",
                f"the disk with {listed(dict.fromkeys(holds), 9)}",
                f"has {free / _GIB:.1f} GiB left of {size / _GIB:.0f}",
                "make room: `docker system df` shows what Docker holds, `docker image prune` removes old images; "
                "below 0.5 GiB RabbitMQ takes no messages",
            )


def _same(one: tuple[int, int], other: tuple[int, int]) -> bool:
    # Looked at a moment apart, and some file systems count what is kept for root as used.
    return abs(one[0] - other[0]) <= one[0] / 100 and abs(one[1] - other[1]) <= max(one[1] / 100, _GIB / 16)


def expiring(seen: ObservedLocalCloud) -> Iterator[Finding]:
    """A certificate has expired, or will soon."""
    for each in seen.certificates:
        days = (each.ends - seen.now).total_seconds() / 86400
        if days > _EXPIRES:
            continue
        wrong = f"ended {span(-days * 86400)} ago" if days < 0 else f"ends in {span(days * 86400)}"
        if not each.cluster:
            do = f"{UP} makes a new one of its own; one that you gave has to be renewed by you"
        elif each.authority:
            do = "remove it and its .key, run `provision up`, and have every browser trust the new one"
        else:
            do = f"run playbooks/site.yml for cluster {each.cluster}: it makes a new one and puts it on the node"
        yield Finding("certificates", f"the certificate {each.path}", wrong, do)


def drifted(seen: ObservedLocalCloud) -> Iterator[Finding]:
    """Containers were made from other images than this checkout gives."""
    old = sorted({unit.service for unit in seen.units if unit.family and _drifts(seen, unit)})
    if old:
        yield Finding(
            "images",
            listed(old, 9),
            "run from other images than this checkout gives",
            "`provision cloud upgrade` brings the new ones without a pause, `provision cloud up` at once",
        )


def _drifts(seen: ObservedLocalCloud, unit: Unit) -> bool:
    wanted = seen.tags.get(unit.family)
    return wanted is not None and unit.image != f"provision/{unit.family}:{wanted}"
