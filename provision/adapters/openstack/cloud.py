"""A project of an OpenStack cloud, and the login to it. openstacksdk is imported only when it is used: it is slow."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from provision.adapters.openstack import config
from provision.adapters.openstack.existing import ExistingNetwork, ExistingSubnet
from provision.adapters.openstack.reads import External, Image, Reads
from provision.adapters.openstack.session import BusyError, TransientError, repeat, use_no_proxy
from provision.adapters.openstack.writes import Writes
from provision.base.constants import LOCAL_CLOUD

__all__ = [
    "BusyError",
    "Cloud",
    "ExistingNetwork",
    "ExistingSubnet",
    "External",
    "Image",
    "TransientError",
    "connect",
]


class Cloud(Reads, Writes):
    """One project of one cloud. Tests of operations use a fake of it (tests/unit/operations/conftest.py)."""


def connect(name: str, source: str = "") -> Cloud:
    """Log in to the cloud `name` of clouds.yaml; `source` names the spec's file for errors.

    Raises UsageError when there is no such entry, or it names what the cloud does not have; ProvisionError when the
    cloud cannot be reached or refuses the login.
    """
    import logging

    from openstack.connection import Connection

    for library in ("keystoneauth", "openstack"):
        # What they warn of either ends in an error of ours or does not concern the user.
        logging.getLogger(library).addHandler(logging.NullHandler())
    region, file = config.find(name, source)
    connection = Connection(config=region)
    if name == LOCAL_CLOUD or is_loopback(region.config["auth"].get("auth_url", "")):
        use_no_proxy(connection)
    cloud = Cloud(name, connection, file)

    def log_in() -> None:
        with cloud.asking("logging in"):
            # Not connection.authorize(): it turns every failure into the same error.
            connection.session.get_token()
            config.check_scope(name, region, connection, file)

    # One that cannot be reached at all is said at once: the local cloud may not run, and auth_url may be wrong.
    repeat(log_in, unreachable=False)
    return cloud


def is_loopback(url: str) -> bool:
    """Whether a URL is of this machine itself, by its name or address."""
    host = urlsplit(str(url)).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
