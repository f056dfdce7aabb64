"""Wait until a cluster's deleted servers no longer exist."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

from provision.adapters.openstack.cloud import AT_ONCE, BusyError, KeptError
from provision.base.errors import ProvisionError
from provision.base.poll import Pace, Pending, until
from provision.base.threads import each
from provision.model.cluster.statuses import DELETED, SOFT_DELETED
from provision.model.finding import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from provision.adapters.openstack.cloud import Cloud
    from provision.base.progress import Progress

TIMEOUT: Final = 300
"""Seconds in which the cloud has to have deleted one more server."""


class Deletion:
    """The wait for servers of one cluster that are being deleted."""

    def __init__(
        self,
        cloud: Cloud,
        name: str,
        ids: Iterable[str],
        progress: Progress,
        *,
        need_ports: bool = True,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Without `need_ports` a server that the cloud keeps for a while is noted, and counts as gone."""
        self.cloud = cloud
        self.name = name
        self.progress = progress
        self._remaining = set(ids)
        self._need_ports = need_ports
        self._clock = clock
        self._sleep = sleep
        self._pace = Pace(clock)
        self._names: dict[str, str] = {}
        self._forced: set[str] = set()
        """Servers that were deleted for good."""
        self._moved = clock()
        """When the last one was gone."""

    def wait(self) -> None:
        """Wait until none of them exists; those that the cloud only hides are deleted for good.

        Raises ProvisionError when for some time none went, and KeptError when the cloud does not let this account
        delete them at once.
        """
        if self._remaining:
            until(self._check, timeout=math.inf, too_late=self._too_late, clock=self._clock, sleep=self._sleep)

    def _check(self) -> Pending | None:
        if self._pace.due():
            with self._pace.asked():
                self._look()
            for server in self._remaining:
                self.progress.update(f"server {self._names.get(server, server)}", "being deleted")
        if not self._remaining:
            return None
        if self._clock() - self._moved > TIMEOUT:
            raise self._too_late("")
        return Pending("deleted servers")

    def _look(self) -> None:
        existing = {server.id: server for server in self.cloud.servers(self.name)}
        self._names |= {server.id: server.name for server in existing.values()}
        listed_ones = {id for id, server in existing.items() if server.status != SOFT_DELETED}  # noqa: A001
        left = sorted(self._remaining - listed_ones)
        statuses = {server: SOFT_DELETED if server in existing else "" for server in left}
        ended = each(lambda server: self._ended(server, statuses[server]), left, at_once=AT_ONCE)
        gone = {server for server, is_gone in zip(left, ended, strict=True) if is_gone}
        if gone:
            self._remaining -= gone
            self._moved = self._clock()

    def _ended(self, server: str, status: str) -> bool:
        # Nova's lists leave out what it keeps for reclaim_instance_interval seconds, with its ports and quota.
        status = status or self.cloud.server_status(server)
        if status == SOFT_DELETED and server not in self._forced:
            try:
                self.cloud.force_delete_server(server)
            except BusyError:
                return False
            except KeptError as error:
                if self._need_ports:
                    raise
                self.progress.note(error.message)
                return True
            self._forced.add(server)
        # Nova answers that there is none; others may go on to say what it was.
        return status in {"", DELETED}

    def _too_late(self, _: str) -> ProvisionError:
        names = listed(self._names.get(server, server) for server in self._remaining)
        return ProvisionError(
            f"the cloud has not deleted {names} after {TIMEOUT} s in which it has deleted no other",
            "Is its hypervisor down? Run the same command again; an administrator can force the deletion.",
        )
