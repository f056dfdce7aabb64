"""Bring the software to nodes of a stock image: what they install at their first boot, over SSH."""

from __future__ import annotations

import base64
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Final

from provision.adapters.docker import image_builder
from provision.adapters.host import package_settings
from provision.adapters.host.apt_mirrors import apt_mirrors, apt_proxies
from provision.adapters.host.process import run
from provision.adapters.remote import over_ssh
from provision.base.constants import NODE, NODE_PYTHON
from provision.base.errors import UsageError
from provision.model.image.stock import AUTHORITIES, PackageSources, make_archive
from provision.model.proxies import variables
from provision.operations.cluster.nodes import write_ssh_config

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from provision.adapters.cluster_dir import ClusterDir
    from provision.adapters.host.process import Result
    from provision.base.model import ClusterSpec, Node, ProxySpec
    from provision.model.cluster.steps import Plan

AT_ONCE: Final = 8
"""Nodes: all connections go through the node with the Hub."""
SECONDS: Final = 300
"""For one node: a connection takes long on an emulated one."""
AGAIN: Final = 90
"""Seconds after which a node that still waits gets it again: its console lags behind."""
TAKE: Final = (
    f"sudo -n sh -c 'umask 077 && base64 -d > {NODE.install}/software.part"
    f" && mv {NODE.install}/software.part {NODE.install}/software.tgz'"
)


def host_sources(proxy: ProxySpec) -> PackageSources:
    """Return where this machine takes packages from; a spec's proxy is in the place of its variables and of apt's own.

    pip's and npm's settings keep theirs, which these tools take before any variable.
    Raises UsageError for a source or a proxy that is on this machine itself.
    """
    host, mirrors = package_settings.read(f"{NODE.install}/{AUTHORITIES}"), apt_mirrors()
    sources = PackageSources(
        host.pip_conf,
        host.npmrc,
        host.authorities,
        variables(proxy) or dict(host.proxies),
        mirrors.archive or "",
        mirrors.security or "",
        {} if proxy else apt_proxies(),
    )
    if own := sources.on_loopback():
        raise UsageError(
            f"image.sources: host: {own} is on this machine itself, and nodes would look for it on themselves",
            "Name it by an address of this machine that nodes reach, or leave `sources: host` out; for a proxy of the "
            "environment or of apt, `proxy` in cluster.yaml does.",
        )
    return sources


def check_sources(spec: ClusterSpec, plan: Plan) -> None:
    """Raise UsageError where a plan makes nodes that could not reach what this machine takes packages from."""
    if spec.image.stock and spec.image.sources == "host" and any(step.kind == "server" for step in plan.of("create")):
        host_sources(spec.proxy)


class SoftwareDelivery:
    """Brings the software to a cluster's nodes when they ask for it."""

    def __init__(
        self,
        spec: ClusterSpec,
        cluster_dir: ClusterDir,
        floating: str,
        *,
        bake: bool = False,
        send: Callable[[Sequence[str], str], Result] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`bake`: an image is made of the node. `send` runs a program with a text as its input; in tests another."""
        self.spec = spec
        self.cluster_dir = cluster_dir
        self.floating = floating
        self._bake = bake
        self._send = send or (lambda argv, text: run(argv, stdin=text, timeout=SECONDS))
        self._clock = clock
        self._brought: dict[str, float] = {}

    @cached_property
    def _archive(self) -> str:
        # The spec's proxy holds for the first boot too, and goes before this machine's.
        proxy = self.spec.proxy
        if self.spec.image.sources == "host":
            sources = host_sources(proxy)
        else:
            sources = PackageSources(environment=variables(proxy))
        own = self.spec.packages.requirements or self.spec.packages.wheels
        archive = make_archive(image_builder.inputs(), sources, NODE_PYTHON if own else "", bake=self._bake)
        return base64.b64encode(archive).decode()

    def bring(self, nodes: Sequence[Node], waiting: Sequence[str]) -> dict[str, str]:
        """Bring it to the nodes that wait; return by node what was in the way. They are asked for again later.

        A node whose host key is not known yet gets nothing.
        """
        nodes, ssh_config = write_ssh_config(self.cluster_dir, nodes, self.floating, self.spec.network.bastion)
        now = self._clock()
        known = {node.name for node in nodes if node.host_keys}
        names = [name for name in waiting if name in known and now - self._brought.get(name, -AGAIN) >= AGAIN]
        obstacles = {}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            results = pool.map(lambda name: self._send([*over_ssh(ssh_config, name).argv, TAKE], self._archive), names)
            for name, result in zip(names, results, strict=True):
                if result.ok:
                    self._brought[name] = self._clock()
                else:
                    said = result.stderr.strip().splitlines()
                    obstacles[name] = said[-1] if said else f"ssh ended with {result.code}"
        return obstacles
