"""A project of an OpenStack cloud, and the login to it. openstacksdk is imported only when it is used: it is slow."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from provision.adapters.openstack import config
from provision.adapters.openstack.existing import ExistingGroup, ExistingNetwork, ExistingRouter, ExistingSubnet, Image
from provision.adapters.openstack.kept_token import KeptToken
from provision.adapters.openstack.reads import External, Reads
from provision.adapters.openstack.session import AT_ONCE, BusyError, KeptError, TransientError, repeat, use_no_proxy
from provision.adapters.openstack.writes import Writes
from provision.base.constants import LOCAL_CLOUD
from provision.base.errors import ProvisionError
from provision.base.threads import together
from provision.model.proxies import is_loopback

if TYPE_CHECKING:
    from pathlib import Path

    from openstack.config.cloud_region import CloudRegion
    from openstack.connection import Connection

__all__ = [
    "AT_ONCE",
    "BusyError",
    "Cloud",
    "ExistingGroup",
    "ExistingNetwork",
    "ExistingRouter",
    "ExistingSubnet",
    "External",
    "Image",
    "KeptError",
    "TransientError",
    "connect",
]


class Cloud(Reads, Writes):
    """One project of one cloud. Tests of operations use a fake of it (tests/unit/operations/conftest.py)."""


def connect(name: str, source: str = "") -> Cloud:
    """Log in to the cloud `name` of clouds.yaml, or take the token of an earlier login that still holds.

    Either way the cloud has answered when this returns. `source` names the spec's file for errors.
    Raises UsageError when there is no such entry, or it names what the cloud does not have; ProvisionError when the
    cloud cannot be reached or refuses the login.
    """
    import logging

    from keystoneauth1.exceptions import ClientException
    from openstack.exceptions import SDKException

    for library in ("keystoneauth", "openstack"):
        # What they warn of either ends in an error of ours or does not concern the user.
        logging.getLogger(library).addHandler(logging.NullHandler())
    region, file = config.find(name, source)
    cloud = _cloud(name, region, file)
    if cloud.token and cloud.token.load():
        try:
            with cloud.asking("looking for the services"):
                config.check_scope(name, region, cloud.connection, file)
                session, url = cloud.connection.session, region.config["auth"]["auth_url"]
                # The SDK takes the catalogue's word for a service that does not answer; a look at Keystone tells.
                together(lambda: session.get(url, authenticated=False), lambda: _discover(cloud.connection))
        except ProvisionError:
            # Whatever it is, a new login either mends it or says it.
            cloud.token.discard()
            cloud = _cloud(name, region, file)
        else:
            return cloud

    def log_in() -> None:
        with cloud.asking("logging in"):
            # Not connection.authorize(): it turns every failure into the same error.
            cloud.connection.session.get_token()
            config.check_scope(name, region, cloud.connection, file)

    # One that cannot be reached at all is said at once: the local cloud may not run, and auth_url may be wrong.
    repeat(log_in, unreachable=False)
    with suppress(SDKException, ClientException, OSError):
        # One that fails now is asked again, and fails with words, when it is needed.
        _discover(cloud.connection)
    return cloud


def _cloud(name: str, region: CloudRegion, file: Path | None) -> Cloud:
    from openstack.connection import Connection

    connection = Connection(config=region)
    if name == LOCAL_CLOUD or is_loopback(str(region.config["auth"].get("auth_url", ""))):
        use_no_proxy(connection)
    # Where openstacksdk itself keeps the token in the keyring, a second copy is of no use.
    token = KeptToken(connection.session.auth) if region.skip_auth_cache() else None
    return Cloud(name, connection, file, token)


def _discover(connection: Connection) -> None:
    """Make the SDK's clients, and ask Nova for its versions, before each thread would do so by itself."""
    connection.compute.get_endpoint_data()
    # Of Neutron the SDK knows one version, and asks nothing.
    _ = connection.network
