"""A project of an OpenStack cloud, and the login to it. openstacksdk is imported only when it is used: it is slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.adapters.openstack.reads import External, Image, Reads
from provision.adapters.openstack.session import UP_HINT, BusyError, TransientError
from provision.adapters.openstack.writes import Writes
from provision.base import paths
from provision.base.constants import LOCAL_CLOUD
from provision.base.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BusyError", "Cloud", "External", "Image", "TransientError", "connect"]


class Cloud(Reads, Writes):
    """One project of one cloud. Tests of operations use a fake of it (tests/unit/operations/conftest.py)."""


def connect(name: str, source: str = "") -> Cloud:
    """Log in to the cloud `name` of clouds.yaml; `source` names the spec's file for errors.

    Raises UsageError when there is no such entry, ProvisionError when it cannot be reached or refuses the login.
    """
    import logging

    import openstack
    from keystoneauth1 import exceptions as keystone
    from openstack import exceptions as sdk

    for library in ("keystoneauth", "openstack"):
        # What they warn of either ends in an error of ours or does not concern the user.
        logging.getLogger(library).addHandler(logging.NullHandler())
    file = paths.clouds_yaml()
    try:
        connection = openstack.connect(cloud=name, app_name="provision")
    except (sdk.ConfigException, keystone.MissingRequiredOptions, OSError) as error:
        hint = UP_HINT if name == LOCAL_CLOUD else f"Add it to {file}, or name another one in the spec (field `cloud`)."
        reason = _file_problem(file) or str(error)
        # `cloud up` writes the local cloud's entry, so a missing one is no mistake in the spec.
        where = f"{source}: cloud: " if source and name != LOCAL_CLOUD else ""
        raise UsageError(f"{where}there is no usable cloud {name!r} in clouds.yaml: {reason}", hint) from None
    except Exception as error:
        # A clouds.yaml that is not YAML, or whose entries have another shape, surfaces as almost anything.
        raise UsageError(f"clouds.yaml cannot be read: {type(error).__name__}: {error}", f"Look at {file}.") from None
    cloud = Cloud(name, connection)
    with cloud.asking("logging in"):
        # Not connection.authorize(): it turns every failure into the same error.
        connection.session.get_token()
    return cloud


def _file_problem(file: Path) -> str:
    """Say why a clouds.yaml cannot be read: the SDK skips such a file silently. Empty when it can be read."""
    import yaml

    try:
        yaml.safe_load(file.read_text())
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, yaml.YAMLError) as error:
        return f"{file} cannot be read: {' '.join(str(error).split())}"
    return ""
