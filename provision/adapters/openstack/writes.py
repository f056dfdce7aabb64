"""Changes to a cloud: every method is one request, and marks what it creates in that same request.

Those that may be sent twice are repeated while the cloud fails to answer. Those that create raise TransientError then:
the caller looks first at what is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provision.adapters.openstack.extensions import PORT_SECURITY, Extensions
from provision.adapters.openstack.session import KeptError, first_ipv4, repeat, retry_transient
from provision.model.cluster import resources
from provision.model.cluster.render import packed
from provision.model.cluster.resources import NODES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from provision.base.model import Role
    from provision.model.cluster.resources import Kind, Rule

_COLLECTIONS: Final[dict[str, str]] = {
    "network": "networks",
    "subnet": "subnets",
    "router": "routers",
    "security group": "security-groups",
    "port": "ports",
    "floating IP": "floatingips",
}


class Writes(Extensions):
    """Changes to the cloud."""

    def create_network(self, name: str) -> str:
        """Create the network, on which security groups have an effect; return its id."""
        # On some clouds new networks have none, and a port there cannot have groups; others refuse a word of it.
        more = {"is_port_security_enabled": True} if PORT_SECURITY in self.extensions() else {}
        with self.asking("creating the network"):
            made = self.connection.network.create_network(name=name, description=resources.mark(name), **more)
        return str(made.id)

    def create_subnet(self, name: str, network: str, cidr: str, nameservers: Sequence[str] = ()) -> str:
        """Create the subnet, with DHCP and these name servers, or else those that the cloud gives."""
        with self.asking("creating the subnet"):
            made = self.connection.network.create_subnet(
                name=name,
                description=resources.mark(name),
                network_id=network,
                ip_version=4,
                cidr=cidr,
                is_dhcp_enabled=True,
                **({"dns_nameservers": [*nameservers]} if nameservers else {}),
            )
        return str(made.id)

    @retry_transient
    def set_nameservers(self, subnet: str, nameservers: Sequence[str]) -> None:
        """Give a subnet these name servers, and no others."""
        with self.asking("changing the subnet's name servers"):
            self.connection.network.update_subnet(subnet, dns_nameservers=[*nameservers])

    def create_router(self, name: str, external: str) -> str:
        """Create the router with its gateway on the external network."""
        with self.asking("creating the router"):
            made = self.connection.network.create_router(
                name=name, description=resources.mark(name), external_gateway_info={"network_id": external}
            )
        return str(made.id)

    @retry_transient
    def set_gateway(self, router: str, external: str) -> None:
        """Move a router's gateway to another external network."""
        with self.asking("moving the router's gateway"):
            self.connection.network.update_router(router, external_gateway_info={"network_id": external})

    def add_interface(self, router: str, subnet: str) -> str:
        """Put the subnet behind the router; return the id of the router's port."""
        with self.asking("attaching the subnet to the router"):
            return str(self.connection.network.add_interface_to_router(router, subnet)["port_id"])

    @retry_transient
    def mark_interface(self, port: str, name: str) -> None:
        """Mark the port of a router that was there before the cluster, so that `down` detaches it."""
        with self.asking("marking the router's port"):
            self.connection.network.update_port(port, description=resources.interface_mark(name))

    def create_group(self, name: str) -> str:
        """Create the nodes' security group, which allows all outgoing traffic and no incoming."""
        with self.asking("creating the security group"):
            return str(self.connection.network.create_security_group(name=name, description=resources.mark(name)).id)

    def add_rules(self, group: str, rules: Iterable[Rule]) -> None:
        """Open ports, all in one request."""
        data = [
            {
                "security_group_id": group,
                "direction": "ingress",
                "ethertype": "IPv4",
                "protocol": "tcp",
                "port_range_min": rule.first,
                "port_range_max": rule.last,
                **({"remote_group_id": group} if rule.peer == NODES else {"remote_ip_prefix": rule.peer}),
            }
            for rule in sorted(rules)
        ]
        with self.asking("opening ports"):
            list(self.connection.network.create_security_group_rules(data))

    @retry_transient
    def delete_rule(self, rule: str) -> None:
        """Delete a rule of a security group."""
        with self.asking("closing ports"):
            self.connection.network.delete_security_group_rule(rule, ignore_missing=True)

    def create_port(
        self, name: str, network: str, subnet: str, groups: Sequence[str], *, role: Role = "master"
    ) -> tuple[str, str]:
        """Create the port of the master, or of the Hub's own node; return its id and address.

        `groups` are empty where security groups do nothing.
        """
        hub = role == "hub"
        with self.asking(f"creating the {role}'s port"):
            made = self.connection.network.create_port(
                name=resources.hub_name(name) if hub else resources.master_name(name),
                description=resources.hub_mark(name) if hub else resources.mark(name),
                network_id=network,
                fixed_ips=[{"subnet_id": subnet}],
                security_groups=[*groups],
            )
        return str(made.id), first_ipv4(made.fixed_ips)

    def create_worker_ports(
        self, name: str, workers: Iterable[str], network: str, subnet: str, groups: Sequence[str]
    ) -> dict[str, str]:
        """Create the ports of workers, all in one request; return their ids by the workers' names."""
        data = [
            {
                "name": worker,
                "description": resources.worker_mark(name),
                "network_id": network,
                "fixed_ips": [{"subnet_id": subnet}],
                "security_groups": [*groups],
            }
            for worker in workers
        ]
        with self.asking("creating the workers' ports"):
            return {str(port.name): str(port.id) for port in self.connection.network.create_ports(data)}

    @retry_transient
    def set_groups(self, port: str, groups: Sequence[str]) -> None:
        """Put a port into these security groups, and no others."""
        with self.asking("changing a port's security groups"):
            self.connection.network.update_port(port, security_groups=[*groups])

    def create_floating(self, name: str, external: str, port: str) -> tuple[str, str]:
        """Create the floating IP on the port of the node with the Hub; return its id and address."""
        with self.asking("creating the floating IP"):
            made = self.connection.network.create_ip(
                floating_network_id=external, port_id=port, description=resources.mark(name)
            )
        return str(made.id), str(made.floating_ip_address)

    @retry_transient
    def attach_floating(self, floating: str, port: str) -> None:
        """Attach the floating IP to a port."""
        with self.asking("attaching the floating IP"):
            self.connection.network.update_ip(floating, port_id=port)

    @retry_transient
    def tag(self, kind: Kind, id: str, name: str) -> None:  # noqa: A002 - the cloud's own word
        """Set the cluster's tags, where Neutron has tags: its mark is in the description anyway."""
        from openstack import exceptions as sdk

        with self.asking(f"tagging the {kind}"):
            answer = self.connection.network.put(
                f"/{_COLLECTIONS[kind]}/{id}/tags", json={"tags": [*resources.tags(name)]}
            )
            if answer.status_code == 404 and kind not in self.kinds_with_tags():
                return
            sdk.raise_from_response(answer)

    def create_key(self, name: str, public_key: str) -> None:
        """Register the operator's public key."""
        with self.asking("registering the key pair"):
            self.connection.compute.create_keypair(name=resources.key_name(name), public_key=public_key)

    def create_server_group(self, name: str, policy: str) -> str:
        """Create the workers' server group; return its id."""
        with self.asking("creating the server group"):
            made = self.connection.compute.create_server_group(name=resources.group_name(name), policies=[policy])
        return str(made.id)

    def create_servers(
        self,
        name: str,
        names: tuple[str, ...],
        *,
        role: Role,
        image: str,
        flavor: str,
        network: Mapping[str, str],
        groups: Sequence[str],
        user_data: str,
        zone: str = "",
        server_group: str = "",
        metadata: Mapping[str, str],
    ) -> None:
        """Create one VM, or all of `names` (`…-1` to `…-N`), in one request.

        `network` is {"port": id} or {"uuid": id}; `flavor` is an id; an empty `zone` is the cloud's choice. A port has
        its security groups already: `groups` are for those that Nova makes.
        """
        many = {"min_count": len(names), "max_count": len(names)} if len(names) > 1 else {}
        # Nova numbers the servers of a multi-create itself: NAME-1 to NAME-N.
        base_name = names[0].rpartition("-")[0] if many else names[0]
        with self.asking(f"creating {base_name}"):
            self.connection.compute.create_server(
                name=base_name,
                image_id=image,
                flavor_id=flavor,
                networks=[dict(network)],
                key_name=resources.key_name(name),
                user_data=packed(user_data),
                config_drive=True,
                metadata={resources.META_CLUSTER: name, resources.META_ROLE: role, **metadata},
                **many,
                **({"security_groups": [{"name": group} for group in groups]} if groups and "uuid" in network else {}),
                **({"availability_zone": zone} if zone else {}),
                **({"scheduler_hints": {"group": server_group}} if server_group else {}),
            )

    def set_metadata(self, server: str, **metadata: str) -> None:
        """Change some of a VM's metadata."""

        def change() -> None:
            with self.asking("changing a server's metadata"):
                self.connection.compute.set_server_metadata(server, **metadata)

        repeat(change)

    def start_server(self, server: str, status: str) -> None:
        """Start a VM that has one of the statuses STARTABLE (model/cluster/statuses.py)."""
        compute = self.connection.compute
        act = {
            "PAUSED": compute.unpause_server,
            "SUSPENDED": compute.resume_server,
            "SHELVED": compute.unshelve_server,
            "SHELVED_OFFLOADED": compute.unshelve_server,
        }.get(status, compute.start_server)
        with self.asking("starting a server"):
            act(server)

    def restart_server(self, server: str) -> None:
        """Switch a VM off and on, whatever it does."""
        with self.asking("restarting a server"):
            self.connection.compute.reboot_server(server, "HARD")

    def delete_server(self, server: str) -> None:
        """Request a VM's deletion, without waiting for it."""
        with self.asking("deleting a server"):
            self.connection.compute.delete_server(server, ignore_missing=True)

    @retry_transient
    def force_delete_server(self, server: str) -> None:
        """Have a VM deleted at once that the cloud would keep for a while (SOFT_DELETED), without waiting for it."""
        from openstack import exceptions as sdk

        with self.asking("deleting a server for good"):
            try:
                self.connection.compute.delete_server(server, force=True)
            except sdk.NotFoundException:
                return
            except sdk.ForbiddenException:
                raise KeptError(
                    f"the cloud keeps deleted servers for a while, with their ports, and this account may not have "
                    f"{server} deleted at once",
                    f"Have an administrator run `openstack server delete --force {server}`, or allow you the action "
                    "forceDelete, or wait until it is gone; then run the same command again.",
                ) from None

    def delete_key(self, name: str) -> None:
        """Delete the key pair."""
        with self.asking("deleting the key pair"):
            self.connection.compute.delete_keypair(resources.key_name(name), ignore_missing=True)

    def remove_interface(self, router: str, port: str) -> None:
        """Detach a router from the network: `port` is its port there."""
        from openstack import exceptions as sdk

        with self.asking("detaching the subnet from the router"):
            try:
                self.connection.network.remove_interface_from_router(router, port=port)
            except sdk.NotFoundException:
                return

    def delete(self, kind: Kind, id: str) -> None:  # noqa: A002
        """Delete a resource; one that is gone already is no error. Raises BusyError for one in use."""
        network = self.connection.network
        acts: dict[Kind, Callable[..., object]] = {
            "network": network.delete_network,
            "subnet": network.delete_subnet,
            "router": network.delete_router,
            "security group": network.delete_security_group,
            "port": network.delete_port,
            "floating IP": network.delete_ip,
            "server group": self.connection.compute.delete_server_group,
        }
        with self.asking(f"deleting the {kind}"):
            acts[kind](id, ignore_missing=True)
