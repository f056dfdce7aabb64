"""What a fresh OpenStack lacks: accounts, endpoints, flavors, the external network. Each found or made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from provision.base.model import Flavor
from provision.model.localcloud.settings import EXTERNAL_NETWORK, PHYSICAL_NETWORK, PROJECT, REGION, apis
from provision.operations.localcloud.shared import tls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openstack.connection import Connection
    from openstack.identity.v3._proxy import Proxy

    from provision.model.localcloud.settings import Settings

FLAVORS: Final = (
    Flavor("m1.tiny", 1, 512, 4),
    Flavor("m1.small", 2, 2048, 8),
    Flavor("m1.medium", 2, 4096, 16),
    Flavor("m1.large", 4, 8192, 32),
)


def admin_login(settings: Settings, password: str) -> dict[str, Any]:
    """Write the keyword arguments of openstack.connect() for the administrator."""
    return _login(settings, "admin", "admin", password)


def user_entry(settings: Settings, password: str) -> dict[str, Any]:
    """Write the clouds.yaml entry of the cloud's ordinary user."""
    return _login(settings, PROJECT, PROJECT, password)


def _login(settings: Settings, user: str, project: str, password: str) -> dict[str, Any]:
    trusted = tls.authority(settings)
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
    } | ({"cacert": str(trusted)} if trusted else {})


def ensure_accounts(
    cloud: Connection, settings: Settings, passwords: Mapping[str, str], note: Callable[[str], None]
) -> None:
    """Make the services' accounts and endpoints and the ordinary user, as Keystone's administrator."""
    identity = cast("Proxy", cloud.identity)
    domain = identity.find_domain("Default", ignore_missing=False).id
    roles = {role.name: role for role in identity.roles()}
    for name in ("service", "member", "reader"):
        if name not in roles:
            roles[name] = identity.create_role(name=name)
    projects = {project.name: project for project in identity.projects(domain_id=domain)}
    for name in ("service", PROJECT):
        if name not in projects:
            note(f"project {name}")
            projects[name] = identity.create_project(name=name, domain_id=domain)
    users = {user.name: user for user in identity.users(domain_id=domain)}
    granted = {
        (given.user["id"], given.scope["project"]["id"], given.role["id"])
        for given in identity.role_assignments()
        if given.user and "project" in (given.scope or {})
    }
    wanted = [(api.user, "service", ("admin", "service")) for api in apis(settings) if api.user and not api.idle]
    for name, project, its_roles in (*wanted, (PROJECT, PROJECT, ("member", "reader"))):
        if name not in users:
            note(f"user {name}")
            users[name] = identity.create_user(name=name, password=passwords[name], domain_id=domain)
        for role in its_roles:
            if (users[name].id, projects[project].id, roles[role].id) not in granted:
                identity.assign_project_role_to_user(projects[project], users[name], roles[role])
    _ensure_endpoints(identity, settings, note)


def reset_passwords(cloud: Connection, settings: Settings, passwords: Mapping[str, str]) -> None:
    """Give the accounts the passwords of this installation: data may have outlived the files that held them."""
    identity = cast("Proxy", cloud.identity)
    domain = identity.find_domain("Default", ignore_missing=False).id
    ours = {api.user for api in apis(settings) if api.user} | {PROJECT}
    for user in identity.users(domain_id=domain):
        if user.name in ours:
            identity.update_user(user, password=passwords[user.name])


def _ensure_endpoints(identity: Proxy, settings: Settings, note: Callable[[str], None]) -> None:
    services = {service.type: service for service in identity.services()}
    endpoints = {(each.service_id, each.interface): each for each in identity.endpoints()}
    for api in apis(settings):
        if not api.user or api.idle:
            # Keystone's own come from its migration.
            continue
        service = services.get(api.type) or identity.create_service(name=api.user, type=api.type)
        urls = {
            "public": settings.public_url(api.port, api.path),
            "internal": settings.internal_url(api.port, api.path),
        }
        for interface, url in urls.items():
            there = endpoints.get((service.id, interface))
            if there is None:
                note(f"endpoint {api.type} {interface}")
                identity.create_endpoint(service_id=service.id, interface=interface, url=url, region_id=REGION)
            elif there.url != url:
                note(f"endpoint {api.type} {interface} at {url}")
                identity.update_endpoint(there, url=url)


def ensure_resources(cloud: Connection, settings: Settings, note: Callable[[str], None]) -> None:
    """Make the flavors and the external network, as the administrator."""
    ensure_flavors(cloud, note)
    network = cloud.network.find_network(EXTERNAL_NETWORK)
    if network is None:
        note(f"network {EXTERNAL_NETWORK}")
        network = cloud.network.create_network(
            name=EXTERNAL_NETWORK,
            is_router_external=True,
            provider_network_type="flat",
            provider_physical_network=PHYSICAL_NETWORK,
        )
    if not list(cloud.network.subnets(network_id=network.id)):
        first, last = settings.floating
        cloud.network.create_subnet(
            name=EXTERNAL_NETWORK,
            network_id=network.id,
            ip_version=4,
            cidr=str(settings.provider),
            gateway_ip=str(settings.gateway),
            is_dhcp_enabled=False,
            allocation_pools=[{"start": str(first), "end": str(last)}],
        )


def ensure_flavors(cloud: Connection, note: Callable[[str], None]) -> None:
    """Make the flavors, as the administrator."""
    have = {flavor.name for flavor in cloud.compute.flavors(details=False)}
    for flavor in FLAVORS:
        if flavor.name not in have:
            note(f"flavor {flavor.name}")
            cloud.compute.create_flavor(name=flavor.name, vcpus=flavor.vcpus, ram=flavor.ram, disk=flavor.disk)
