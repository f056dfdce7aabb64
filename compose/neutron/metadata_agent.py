"""OVN's metadata agent, in a container that has its network namespaces to itself."""

from neutron import privileged
from neutron.cmd.agents.ovn_metadata import main
from oslo_privsep.priv_context import PrivContext
from ovsdbapp.backend.ovs_idl.connection import Connection, OvsdbIdl
from ovsdbapp.schema.open_vswitch.impl_idl import OvsdbIdl as Switch

BRIDGE = "br-int"


def forget_ports() -> None:
    """Remove the ports of an agent that is gone: its namespaces ended with its container.

    The new one makes interfaces of the same names. In user space Open vSwitch would go on listening to the old ones.
    """
    link = Connection(OvsdbIdl.from_server("unix:/run/openvswitch/db.sock", "Open_vSwitch"), timeout=60)
    switch = Switch(link)
    if switch.br_exists(BRIDGE).execute(check_error=True):
        for port in switch.list_ports(BRIDGE).execute(check_error=True):
            known = switch.db_get("Interface", port, "external_ids").execute(check_error=True)
            # Nova's, of VMs, have a vm-uuid; those that Open vSwitch makes itself have no iface-id.
            if "iface-id" in known and "vm-uuid" not in known:
                switch.del_port(port, BRIDGE, if_exists=True).execute(check_error=True)
    link.stop()


def call_directly() -> None:
    """Let the agent make its privileged calls itself.

    It is root here anyway: the helpers that would make them for it (oslo.privsep) take 100 MiB each, three on every
    hypervisor, and protect from nothing.
    """
    for context in vars(privileged).values():
        if isinstance(context, PrivContext):
            context.set_client_mode(False)


forget_ports()
call_directly()
main()
