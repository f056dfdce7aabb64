"""The resources that a new OpenStack lacks: accounts, endpoints, flavors, the external network. Each is found or made.

`note` is called with the name of everything that is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from provision.model.localcloud.settings import EXTERNAL_NETWORK, FLAVORS, PHYSICAL_NETWORK, PROJECT, REGION, apis

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openstack.identity.v3._proxy import Proxy

    from provision.adapters.openstack.admin import Admin
    from provision.model.localcloud.settings import Settings


def ensure_accounts(
    admin: Admin, settings: Settings, passwords: Mapping[str, str], note: Callable[[str], None]
) -> None:
    """Make the services' accounts and endpoints, and the ordinary user with its project."""
    identity = cast("Proxy", admin.logged_in().identity)
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
        (assignment.user["id"], assignment.scope["project"]["id"], assignment.role["id"])
        for assignment in identity.role_assignments()
        if assignment.user and "project" in (assignment.scope or {})
    }
    accounts = [(api.user, "service", ("admin", "service")) for api in apis(settings) if api.user and not api.idle]
    for name, project, account_roles in (*accounts, (PROJECT, PROJECT, ("member", "reader"))):
        if name not in users:
            note(f"user {name}")
            users[name] = identity.create_user(name=name, password=passwords[name], domain_id=domain)
        for role in account_roles:
            if (users[name].id, projects[project].id, roles[role].id) not in granted:
                identity.assign_project_role_to_user(projects[project], users[name], roles[role])
    _ensure_endpoints(identity, settings, note)


def reset_passwords(admin: Admin, settings: Settings, passwords: Mapping[str, str]) -> None:
    """Give the accounts the passwords of this installation: data may have outlived the files that held them."""
    identity = cast("Proxy", admin.logged_in().identity)
    domain = identity.find_domain("Default", ignore_missing=False).id
    ours = {api.user for api in apis(settings) if api.user} | {PROJECT}
    for user in identity.users(domain_id=domain):
        if user.name in ours:
            identity.update_user(user, password=passwords[user.name])


def ensure_resources(admin: Admin, settings: Settings, note: Callable[[str], None]) -> None:
    """Make the flavors and the external network."""
    ensure_flavors(admin, note)
    cloud = admin.connection
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


def ensure_flavors(admin: Admin, note: Callable[[str], None]) -> None:
    """Make the flavors."""
    compute = admin.connection.compute
    present = {flavor.name for flavor in compute.flavors(details=False)}
    for flavor in FLAVORS:
        if flavor.name not in present:
            note(f"flavor {flavor.name}")
            compute.create_flavor(name=flavor.name, vcpus=flavor.vcpus, ram=flavor.ram, disk=flavor.disk)


def _ensure_endpoints(identity: Proxy, settings: Settings, note: Callable[[str], None]) -> None:
    services = {service.type: service for service in identity.services()}
    endpoints = {(endpoint.service_id, endpoint.interface): endpoint for endpoint in identity.endpoints()}
    for api in apis(settings):
        if not api.user or api.idle:
            # Keystone's own endpoints come from its bootstrap, beside its migration.
            continue
        service = services.get(api.type) or identity.create_service(name=api.user, type=api.type)
        urls = {
            "public": settings.public_url(api.port, api.path),
            "internal": settings.internal_url(api.port, api.path),
        }
        for interface, url in urls.items():
            endpoint = endpoints.get((service.id, interface))
            if endpoint is None:
                note(f"endpoint {api.type} {interface}")
                identity.create_endpoint(service_id=service.id, interface=interface, url=url, region_id=REGION)
            elif endpoint.url != url:
                note(f"endpoint {api.type} {interface} at {url}")
                identity.update_endpoint(endpoint, url=url)
