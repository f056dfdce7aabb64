"""Bake the golden image on a cloud: boot a server of a stock image, install everything, make a snapshot of it.

For clouds to which 850 MB cannot be uploaded, and machines without Docker. Each step looks first at what is there, so
the same command goes on after any interruption; at the end everything but the image is removed again.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Final

from provision.adapters.docker import image_builder
from provision.adapters.openstack import images
from provision.base.errors import ProvisionError, UsageError
from provision.base.model import Node
from provision.base.poll import Pending, until
from provision.model.cluster import console, resources
from provision.model.cluster.render import bake_user_data
from provision.model.cluster.statuses import BUILDING
from provision.model.image.recipe import make_recipe
from provision.model.image.snapshot import NAME, bake_plan, bake_rules, bake_spec, free_range, smallest_flavor
from provision.operations.cluster.apply import Apply, apply_all
from provision.operations.cluster.down import remove_all
from provision.operations.cluster.resolve import ask_ahead, check_ownership, check_quota, find_cluster_dir, resolve
from provision.operations.image.bake import ITEM, find_image
from provision.operations.image.delivery import SoftwareDelivery, check_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Literal

    from provision.adapters.openstack.cloud import Cloud
    from provision.adapters.openstack.images import CloudImage
    from provision.base.model import ClusterSpec, Role
    from provision.base.progress import Progress
    from provision.model.cluster.resources import ObservedCluster, Server
    from provision.model.cluster.steps import DesiredState, Plan
    from provision.operations.cluster.resolve import ResolvedSpec

TIMEOUT: Final = 1800
"""Seconds without anything new on the server's console: an installation says each minute what it does."""
OFF_TIMEOUT: Final = 900
"""Seconds that a server may take to be off, once it has said that it is ready: some clouds look every ten minutes."""
SAVE_TIMEOUT: Final = 3600
"""Seconds that the cloud may take for the snapshot."""
PAUSE: Final = 3
ROUNDS: Final = 5
"""How often what is left is looked for and removed."""
_GO_ON: Final = (
    "Run the same command again: it goes on from there. `provision image bake --remove` removes what is there."
)


def server_spec(
    cloud: Cloud, spec: ClusterSpec, base: str, *, flavor: str = "", sources: Literal["image", "host", ""] = ""
) -> ClusterSpec:
    """Return the spec of the server that becomes an image, on the cloud and network of `spec`.

    Its flavor is the smallest that does, unless one is named. Raises UsageError when there is none.
    """
    if not flavor:
        image = cloud.image(base)
        needs = (image.least_disk, image.min_ram) if image else (0, 0)
        flavor = smallest_flavor(cloud.flavors(), *needs)
    return bake_spec(spec, base, flavor, sources or spec.image.sources, _range_beside(cloud, spec))


def _range_beside(cloud: Cloud, spec: ClusterSpec) -> IPv4Network | None:
    """Return a range for a subnet behind the spec's router, where the cluster's own may be; None without a router.

    One that was begun keeps its range.
    """
    if not spec.network.router:
        return None
    own = [IPv4Network(subnet.cidr) for subnet in cloud.observe(NAME).subnets]
    return own[0] if own else free_range([*cloud.subnet_ranges(), spec.network.cidr, *(spec.network.access or ())])


class _UselessError(ProvisionError):
    """Nothing can be made of the server any more."""


class _Apply(Apply):
    """Makes the server that becomes an image: of all of a cluster's secrets it knows the operator's key alone."""

    def _user_data(self, role: Role) -> str:  # noqa: ARG002
        return bake_user_data(self.cluster_dir.ensure_key())

    def _metadata(self, role: Role) -> dict[str, str]:  # noqa: ARG002
        key = resources.fingerprint(self.cluster_dir.ensure_key())
        return {resources.META_SPEC: self.desired.spec, resources.META_KEY: key}


class SnapshotBake:
    """One run of a bake on a cloud."""

    def __init__(
        self,
        cloud: Cloud,
        progress: Progress,
        *,
        bring: Callable[[str], Callable[[Sequence[Node], Sequence[str]], dict[str, str]]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`bring` makes what brings the software to the server at an address; another one in tests only."""
        self.cloud = cloud
        self.progress = progress
        self.cluster_dir = find_cluster_dir(cloud, NAME)
        self.recipe = make_recipe(image_builder.inputs())
        self._bring = bring
        self._clock = clock
        self._sleep = sleep

    def run(self, spec: ClusterSpec, source: str, confirm: Callable[[Plan], None]) -> str:
        """Return the id of the golden image for the present inputs, baked if it is not on the cloud.

        `spec` is that of the server (model/image/snapshot.py); `confirm` shows the plan, and raises to stop it.
        """
        with self.cluster_dir.locked():
            image = find_image(self.cloud)
            if not image:
                with self.progress.phase("Check the spec against the cloud"):
                    ask_ahead(self.cloud, spec)
                    observed = self._observe()
                    resolved = resolve(self.cloud, spec, observed, source)
                    desired = self._desired(resolved)
                    plan = bake_plan(desired, observed)
                    check_sources(spec, plan)
                    takes = check_quota(self.cloud, resolved, plan, observed) if plan else ""
                confirm(plan.with_note(takes).with_note("when the image is made, all of this is removed again"))
                image = self._bake(resolved, desired, observed, plan)
                self._remove()
            else:
                self.progress.update(ITEM, "on the cloud already")
                self._remove_own()
        return image

    def remove(self, confirm: Callable[[ObservedCluster], None]) -> bool:
        """Remove what a bake has left that is not gone on with; return whether there was anything."""
        with self.cluster_dir.locked():
            observed = self._check_owner(self.cloud.observe(NAME))
            if not observed:
                return False
            confirm(observed)
            servers = {server.id for server in observed.servers}
            for image in images.golden_images(self.cloud):
                if image.server in servers and image.status != "active":
                    images.delete(self.cloud, image.id)
            self._remove()
        return True

    def _remove_own(self) -> None:
        """Remove what is left of a bake of this machine, and nothing of another's."""
        if self.cluster_dir.public_key():
            self._check_owner(self.cloud.observe(NAME))
            self._remove()

    def _observe(self) -> ObservedCluster:
        observed = self._check_owner(self.cloud.observe(NAME))
        return replace(observed, servers=tuple(self._noticed(server) for server in observed.servers))

    def _check_owner(self, observed: ObservedCluster) -> ObservedCluster:
        try:
            check_ownership(self.cluster_dir, observed, self.cloud.place())
        except UsageError:
            raise UsageError(
                "another machine or user bakes an image in this project, or has begun to: its keys are not here",
                "Wait for it. What an interrupted one has left, `provision image bake --remove` removes there.",
            ) from None
        return observed

    def _noticed(self, server: Server) -> Server:
        """Notice that a server has become ready while nobody looked."""
        if server.baked or server.deleting or server.status != "SHUTOFF":
            return server
        return replace(server, baked=self._note_baked(server, console.read(self.cloud.console(server.id))))

    def _note_baked(self, server: Server, report: console.ConsoleReport) -> bool:
        """Note on a server that it is ready, if its console says so: not every cloud shows that of one that is off."""
        if report.baked and not server.baked:
            self.cloud.set_metadata(server.id, **{resources.META_BAKED: "yes"})
        return report.baked or server.baked

    def _desired(self, resolved: ResolvedSpec) -> DesiredState:
        desired = resolved.desired_state()
        return replace(desired, spec=self.recipe.image, rules=bake_rules(resolved.access), accounts="", users=())

    def _bake(self, resolved: ResolvedSpec, desired: DesiredState, observed: ObservedCluster, plan: Plan) -> str:
        self.cluster_dir.claim(self.cloud.place())
        self.cluster_dir.ensure_key()
        try:
            with self.progress.phase("Create the server"):
                address = self._apply(resolved, desired, observed, plan)
            with self.progress.phase("Install the software"):
                server = self._install(resolved, address)
            with self.progress.phase("Make the snapshot"):
                return self._save(server, resolved.spec.image.name)
        except _UselessError:
            # The next try has to begin anew, and nobody should have to pay for this one.
            with self.progress.phase("Remove the server"):
                self._remove()
            raise

    def _apply(self, resolved: ResolvedSpec, desired: DesiredState, observed: ObservedCluster, plan: Plan) -> str:
        """Apply the plan, and return the server's address; when the cloud fails to answer, look again."""

        def make_apply(observed: ObservedCluster) -> _Apply:
            return _Apply(
                self.cloud,
                self.cluster_dir,
                self.progress,
                resolved=resolved,
                desired=desired,
                observed=observed,
                sleep=self._sleep,
            )

        def again(_: _Apply) -> tuple[_Apply, Plan]:
            seen = self._observe()
            return make_apply(seen), bake_plan(desired, seen)

        return apply_all(make_apply(observed), plan, again, self.progress, self._sleep).addresses.floating

    def _install(self, resolved: ResolvedSpec, address: str) -> Server:
        """Wait until the server has installed everything and is off, and return it."""
        make = self._bring or (lambda at: SoftwareDelivery(resolved.spec, self.cluster_dir, at, bake=True).bring)
        bring = make(address)
        seen: set[str] = set()
        began = last = self._clock()

        def look() -> Server | Pending:
            nonlocal last
            server, state = self._look(bring, self._clock() - began)
            if server.baked and server.status == "SHUTOFF":
                return server
            self.progress.update(server.name, state)
            if state not in seen:
                seen.add(state)
                last = self._clock()
            limit = OFF_TIMEOUT if server.baked else TIMEOUT
            if self._clock() - last > limit:
                # One that was ready and runs all the same has booted again, and its disk is not clean any more.
                kind = _UselessError if server.baked else ProvisionError
                raise kind(f"{server.name}: {state}, and nothing new for {limit // 60} minutes", _GO_ON)
            return Pending(state)

        return until(look, timeout=math.inf, too_late=ProvisionError, every=PAUSE, clock=self._clock, sleep=self._sleep)

    def _look(
        self, bring: Callable[[Sequence[Node], Sequence[str]], dict[str, str]], waited: float
    ) -> tuple[Server, str]:
        """Return the server, and how far it is after so many seconds; bring it its software if it waits for that."""
        server = next((each for each in self.cloud.servers(NAME) if not each.deleting), None)
        if server is None:
            raise ProvisionError("the server was deleted while it became an image", _GO_ON)
        if server.status in BUILDING:
            return server, "building"
        if server.status == "ERROR":
            raise _UselessError(
                f"{server.name} went into ERROR: {server.fault or 'the cloud gave no reason'}",
                "Run the same command again: it makes another one.",
                "\n".join(console.tail(self.cloud.console_if_readable(server.id))),
            )
        text = self.cloud.console(server.id)
        report = console.read(text)
        if self._note_baked(server, report):
            return replace(server, baked=True), "ready, switching itself off"
        if server.status != "ACTIVE":
            raise _UselessError(
                f"{server.name} is {server.status}, and was not ready to become an image",
                "Run the same command again: it makes another one.",
                "\n".join(console.tail(text)),
            )
        if report.stalled:
            raise _UselessError(
                f"{server.name}: its kernel does not go on, and it would never be ready",
                "Run the same command again: it makes another one.",
                "\n".join(console.tail(text)),
            )
        if report.failure and report.failure.ends(waited):
            kind, hint = (ProvisionError, _GO_ON) if report.failure.goes_on else (_UselessError, "")
            raise kind(f"{server.name}: {report.failure.reason}", hint, "\n".join(report.failure.log))
        state = report.phase or console.BOOTING
        if report.waiting:
            node = Node(server.name, server.role, server.address, server.id, server.status, report.host_keys)
            obstacles = bring([node], [server.name])
            state = f"{state}: {obstacles[server.name]}" if server.name in obstacles else state
        return server, state

    def _save(self, server: Server, base: str) -> str:
        """Have the cloud make the image, and wait until it is active; return its id."""
        found = self._snapshot(server)
        made = found.id if found else images.snapshot(self.cloud, server.id, self.recipe.image, base)
        began = self._clock()

        def look() -> str | Pending:
            image = next((each for each in images.golden_images(self.cloud) if each.id == made), None)
            if image is None or image.status in {"killed", "deleted", "pending_delete"}:
                raise ProvisionError("the cloud has failed to make the snapshot", _GO_ON)
            if image.status == "active":
                return self._whole(image)
            self.progress.update(ITEM, f"{image.status}, {(self._clock() - began) / 60:.0f} min")
            return Pending(image.status)

        image_id = until(
            look,
            timeout=SAVE_TIMEOUT,
            too_late=lambda status: ProvisionError(
                f"the snapshot is {status!r} after {SAVE_TIMEOUT // 60} minutes", _GO_ON
            ),
            every=PAUSE,
            clock=self._clock,
            sleep=self._sleep,
        )
        self.progress.update(ITEM, "baked")
        return image_id

    def _snapshot(self, server: Server) -> CloudImage | None:
        """Find the snapshot that an interrupted run has asked for."""
        mine = (image for image in images.golden_images(self.cloud) if image.server == server.id)
        return next((image for image in mine if image.inputs == self.recipe.image), None)

    def _whole(self, image: CloudImage) -> str:
        """Return the id of an active image. Raises ProvisionError for one without a disk in it."""
        if image.size:
            return image.id
        images.delete(self.cloud, image.id)
        raise _UselessError(
            "the cloud has put the server's disk on a volume: its snapshot is an image without a disk",
            "Ask for a flavor with a disk of its own, by --flavor.",
        )

    def _remove(self) -> None:
        """Remove everything but the image."""
        observed = self.cloud.observe(NAME)
        if observed:
            with self.progress.phase("Remove what the bake has made"):
                for _ in range(ROUNDS):
                    # A second round finds what a request that was under way during the first one has created.
                    remove_all(self.cloud, NAME, observed, self.progress, self._sleep)
                    observed = self.cloud.observe(NAME)
                    if not observed:
                        break
                else:
                    left = ", ".join(f"{kind} {thing}" for kind, thing in observed.listed())
                    raise ProvisionError(f"these come back each time they are removed: {left}", _GO_ON)
        self.cluster_dir.remove()
