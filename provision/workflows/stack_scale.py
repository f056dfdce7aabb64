"""`provision cloud scale`: more or fewer copies of a service; the choice is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from provision.base.errors import ProvisionError
from provision.doors import compose
from provision.doors.consul import Catalogue
from provision.doors.docker import Engine
from provision.doors.haproxy import Proxy
from provision.doors.openstack_admin import Admin
from provision.pure.stack import INFRASTRUCTURE
from provision.pure.stack_copies import COPIED, PATIENCE, parse_copies
from provision.workflows import stack_bootstrap
from provision.workflows.stack_config import alone, choose, chosen, control, is_installed, read_passwords
from provision.workflows.stack_copies import Copies

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from provision.base.progress import Progress
    from provision.doors.compose import Compose
    from provision.pure.stack import Settings
    from provision.pure.stack_host import ServiceState


def copies_of(
    control: Compose,
    engine: Engine,
    settings: Settings,
    progress: Progress,
    *,
    limit: float = PATIENCE,
    patience: float | None = None,
) -> Copies:
    """Return the control plane's copies with this machine's Consul and HAProxy."""
    catalogue = Catalogue(settings.public_url(settings.ports.consul))
    proxy = Proxy(settings.public_url(settings.ports.haproxy_stats))
    return Copies(control, engine, catalogue, proxy, progress, limit=limit, patience=patience)


def scale(progress: Progress, words: Sequence[str], *, limit: float = PATIENCE, patience: float | None = None) -> None:
    """Run as many copies as the SERVICE=N words say, now and from now on.

    Raises UsageError for words that cannot be done, and ProvisionError when a new copy does not work: it is removed
    then, and the choice is what it was.
    """
    wanted = parse_copies(words, {*INFRASTRUCTURE, *(each.service for each in COPIED)})
    before = chosen()
    settings = replace(before, copies=dict(before.copies) | wanted)
    if not is_installed() or not Engine().states(control().project):
        choose(settings)
        progress.note("The local cloud does not run: `provision cloud up` will start it with these copies.")
        return
    compose.require()
    engine = Engine()
    with alone(progress):
        choose(settings)
        copies = copies_of(control(), engine, settings, progress, limit=limit, patience=patience)
        try:
            with progress.phase("copies"):
                _scale(copies, wanted)
        except ProvisionError:
            choose(before)
            raise
        forget(progress, settings)


def _scale(copies: Copies, wanted: Mapping[str, int]) -> None:
    there = copies.states(wanted)
    new = copies.start(wanted, running_tags(there))
    failures: list[ProvisionError] = []
    for state in new:
        try:
            copies.wait(state)
        except ProvisionError as error:
            failures.append(error)
    if failures:
        raise failures[0]
    for service, count in wanted.items():
        for state in sorted(copies.states([service]), key=lambda each: -each.number):
            if state.number > count:
                copies.retire(state)


def running_tags(states: Iterable[ServiceState]) -> dict[str, str]:
    """Say which images run: a new copy is the same as the others, whatever this checkout would build by now."""
    families = {each.service: each.family for each in COPIED}
    # The last one counts: after an upgrade that broke off, what ran before it.
    newest_first = sorted(states, key=lambda each: each.created, reverse=True)
    return {f"{families[each.service].upper()}_TAG": each.image.rpartition(":")[2] for each in newest_first}


def forget(progress: Progress, settings: Settings) -> None:
    """Remove Nova's entries of copies that are gone; a Nova that does not answer keeps them until the next time."""
    admin = Admin(stack_bootstrap.admin_login(settings, read_passwords().get("admin", "")))
    for host in admin.forget_services(settings.copies):
        progress.update(host, "gone from Nova's list of services")
