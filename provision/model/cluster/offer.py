"""What a cloud offers, and what of it fits a cluster: for the cluster.yaml that `init --cloud` writes."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import yaml

from provision.base.errors import UsageError
from provision.base.model import ClusterSpec, Flavor
from provision.model.cluster.sizing import size

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LISTED: Final = 12
"""Names of a kind that a comment lists."""
COMFORT: Final = (2048, 8)
"""MiB of RAM and GiB of disk that a node should have: a cluster runs with less, and its users notice."""


@dataclass(frozen=True, slots=True)
class CloudOffer:
    """What a cloud lets a project choose from."""

    cloud: str
    flavors: tuple[Flavor, ...] = ()
    images: tuple[str, ...] = ()
    externals: tuple[str, ...] = ()
    """External networks."""


@dataclass(frozen=True, slots=True)
class OfferedSpec:
    """A spec that fits an offer, and what its file says of the rest."""

    spec: ClusterSpec
    flavors: str
    """Comments, each one line; empty where there is nothing to say."""
    images: str
    externals: str


def fitting(name: str, offer: CloudOffer) -> OfferedSpec:
    """Return the default cluster `name` with what the cloud has: the smallest flavors that do, and a network."""
    spec = replace(ClusterSpec(name), cloud=offer.cloud)
    flavors = sorted(offer.flavors, key=lambda each: (each.ram, each.vcpus, each.disk, each.name))
    fits = [each for each in flavors if _fits(spec, each)]
    comfortable = [each for each in fits if each.ram >= COMFORT[0] and each.disk >= COMFORT[1]]
    chosen = _chosen(spec.master.flavor, comfortable or fits[::-1])
    if chosen:
        spec = replace(spec, master=replace(spec.master, flavor=chosen), workers=replace(spec.workers, flavor=chosen))
    networks = sorted(set(offer.externals))
    external = spec.network.external
    if networks and external not in networks:
        spec = replace(spec, network=replace(spec.network, external=networks[0]))
    return OfferedSpec(spec, _of_flavors(offer.cloud, flavors, fits), _of_images(offer), _of_networks(offer))


def _fits(spec: ClusterSpec, flavor: Flavor) -> bool:
    """Whether a cluster's nodes may be of this flavor: sizing has the rules; nodes do not boot from volumes."""
    asked = replace(
        spec,
        master=replace(spec.master, flavor=flavor.name),
        workers=replace(spec.workers, flavor=flavor.name),
    )
    try:
        size(asked, {flavor.name: flavor})
    except UsageError:
        return False
    return flavor.disk > 0


def _chosen(default: str, flavors: Sequence[Flavor]) -> str:
    names = [each.name for each in flavors]
    return default if default in names else next(iter(names), "")


def _of_flavors(cloud: str, flavors: Sequence[Flavor], fits: Sequence[Flavor]) -> str:
    if not flavors:
        return f"{one_line(cloud)} shows no flavors."
    if not fits:
        return f"No flavor of {one_line(cloud)} fits a cluster: it has {_listed(map(described, flavors))}."
    return f"{one_line(cloud)} has {_listed(map(described, fits))}."


def _of_images(offer: CloudOffer) -> str:
    return f"{one_line(offer.cloud)} has {_listed(map(one_line, offer.images))}." if offer.images else ""


def _of_networks(offer: CloudOffer) -> str:
    if not offer.externals:
        return f"{one_line(offer.cloud)} shows no external network."
    twice = {name for name in offer.externals if offer.externals.count(name) > 1}
    found = f"{one_line(offer.cloud)} has {_listed(map(one_line, sorted(set(offer.externals))))}."
    return f"{found} Where several have one name, give an id." if twice else found


def described(flavor: Flavor) -> str:
    """Write a flavor for people: `m1.small (1 vCPU, 2 GiB, disk 8 GiB)`."""
    memory = f"{flavor.ram / 1024:g} GiB" if flavor.ram >= 1024 else f"{flavor.ram} MiB"
    return f"{one_line(flavor.name)} ({flavor.vcpus} vCPU, {memory}, disk {flavor.disk} GiB)"


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
    return ", ".join(found[:LISTED]) + more


def one_line(text: str) -> str:
    """Write a name of the cloud's into a comment: nothing in it ends the line."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def scalar(text: str) -> str:
    """Write a text as YAML has it, quoted where it might be read as something else: a number, yes or no."""
    if re.fullmatch(r"[a-z_][\w./-]*", text, re.ASCII | re.IGNORECASE) and yaml.safe_load(text) == text:
        return text
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=1 << 20).strip()
