"""Neutron's workers beside its API: what it does on a schedule, and the one that keeps OVN's databases right.

Neutron has a program for each; together they load the same code once, and share its memory.
"""

import sys

import neutron.cmd.eventlet  # noqa: F401 - it has to be the first: it changes how threads and sockets work
from neutron import manager, server, service
from neutron.api import extensions
from neutron_lib.api import attributes


def run_workers() -> None:
    """Run what Neutron's plugins want to have run, each in a process of its own, until this is told to end."""
    manager.init()
    extensions.PluginAwareExtensionManager.get_instance().extend_resources("2.0", attributes.RESOURCES)
    service.start_plugins_workers().wait()


sys.exit(server.boot_server(run_workers))
