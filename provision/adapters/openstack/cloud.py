"""The door to an OpenStack cloud: nothing else speaks openstacksdk, which is imported when it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.adapters.openstack.reads import External, Reads
from provision.adapters.openstack.session import UP_HINT, BusyError, TransientError
from provision.adapters.openstack.writes import Writes
from provision.base import paths
from provision.base.constants import LOCAL_CLOUD
from provision.base.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BusyError", "Cloud", "External", "TransientError", "connect"]


class Cloud(Reads, Writes):
    """One project of one cloud. The unit tests replace it whole (tests/unit/fakes.py)."""


def connect(name: str, source: str = "") -> Cloud:
    """Log in to the cloud `name` of clouds.yaml; `source` names the spec's file for errors.

    Raises UsageError when there is no such entry, ProvisionError when it cannot be reached or refuses the login.
    """
    import logging

    import openstack
    from keystoneauth1 import exceptions as keystone
    from openstack import exceptions as sdk

    for library in ("keystoneauth", "openstack"):
        # What they warn of ends in an error of ours, or is no business of the user's.
        logging.getLogger(library).addHandler(logging.NullHandler())
    file = paths.clouds_yaml()
    try:
        connection = openstack.connect(cloud=name, app_name="provision")
    except (sdk.ConfigException, keystone.MissingRequiredOptions, OSError) as error:
        hint = UP_HINT if name == LOCAL_CLOUD else f"Add it to {file}, or name another one in the spec (field `cloud`)."
        why = _damage(file) or str(error)
        # The local cloud's entry is written by `cloud up`: that it is missing is no mistake in the spec.
        where = f"{source}: cloud: " if source and name != LOCAL_CLOUD else ""
        raise UsageError(f"{where}there is no usable cloud {name!r} in clouds.yaml: {why}", hint) from None
    except Exception as error:
        # A clouds.yaml that is not YAML, or whose entries have another shape, surfaces as almost anything.
        raise UsageError(f"clouds.yaml cannot be read: {type(error).__name__}: {error}", f"Look at {file}.") from None
    cloud = Cloud(name, connection)
    with cloud.asking("logging in"):
        # Not connection.authorize(): it wraps what went wrong into one kind of error.
        connection.session.get_token()
    return cloud


def _damage(file: Path) -> str:
    """Say what is wrong with a clouds.yaml that the SDK skipped as a whole; empty when it can be read."""
    import yaml

    try:
        yaml.safe_load(file.read_text())
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, yaml.YAMLError) as error:
        return f"{file} cannot be read: {' '.join(str(error).split())}"
    return ""
