"""Neutron's workers beside its API: what it does on a schedule, and the one that keeps OVN's databases right.

Neutron would have a process for each, and one above them; here they are threads of one, since they wait nearly always,
and the code that each process loads takes a hundred megabytes.
"""

import sys

import neutron.cmd.eventlet  # noqa: F401 - it has to be the first: it changes how threads and sockets work
from neutron import manager, server
from neutron.api import extensions
from neutron_lib.api import attributes
from neutron_lib.plugins import directory
from oslo_config import cfg
from oslo_service import service


def run_workers() -> None:
    """Run what Neutron's plugins want to have run, until this is told to end."""
    manager.init()
    extensions.PluginAwareExtensionManager.get_instance().extend_resources("2.0", attributes.RESOURCES)
    launcher = service.ServiceLauncher(cfg.CONF, restart_method="mutate")
    for plugin in directory.get_unique_plugins():
        for worker in plugin.get_workers() if hasattr(plugin, "get_workers") else ():
            launcher.launch_service(worker)
    launcher.wait()


sys.exit(server.boot_server(run_workers))
