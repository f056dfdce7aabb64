"""Ask a cloud what it offers, for the cluster.yaml that `init --cloud` writes."""

from __future__ import annotations

from provision.adapters.openstack.cloud import connect
from provision.adapters.openstack.details import image_names
from provision.model.cluster.offer import CloudOffer


def ask_offer(cloud: str) -> CloudOffer:
    """Return what a cloud of clouds.yaml offers. Raises UsageError if there is none, ProvisionError if it is silent."""
    asked = connect(cloud)
    return CloudOffer(cloud, tuple(asked.flavors().values()), image_names(asked), asked.externals())
