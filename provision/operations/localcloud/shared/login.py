"""How to log in to the local cloud: as its administrator, and as its ordinary user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provision.model.localcloud.settings import PROJECT, REGION
from provision.operations.localcloud.shared import tls

if TYPE_CHECKING:
    from provision.model.localcloud.settings import Settings


def admin_login(settings: Settings, password: str) -> dict[str, Any]:
    """Return the keyword arguments of openstack.connect() for the administrator."""
    return _login(settings, "admin", "admin", password)


def user_entry(settings: Settings, password: str) -> dict[str, Any]:
    """Return the clouds.yaml entry of the cloud's ordinary user."""
    return _login(settings, PROJECT, PROJECT, password)


def _login(settings: Settings, user: str, project: str, password: str) -> dict[str, Any]:
    authority = tls.authority(settings)
    return {
        "auth": {
            "auth_url": settings.public_url(settings.ports.keystone, "/v3"),
            "username": user,
            "password": password,
            "project_name": project,
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        },
        "region_name": REGION,
        "interface": "public",
        "identity_api_version": 3,
    } | ({"cacert": str(authority)} if authority else {})
