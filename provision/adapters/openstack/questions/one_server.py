"""Questions for one VM, by its id."""

from __future__ import annotations

from provision.adapters.openstack.questions.quotas import Quotas
from provision.adapters.openstack.session import retry_transient
from provision.base.errors import ProvisionError


class OneServer(Quotas):
    """Questions for one VM."""

    @retry_transient
    def server_status(self, server: str) -> str:
        """Return a VM's status, also of one that lists leave out (SOFT_DELETED); empty when there is none."""
        from openstack import exceptions as sdk

        with self.asking("looking for a server"):
            try:
                return str(self.connection.compute.get_server(server).status or "")
            except sdk.NotFoundException:
                return ""

    @retry_transient
    def console(self, server: str) -> str:
        """Return the console's text so far; empty while there is none."""
        return self._console(server)

    def console_if_readable(self, server: str) -> str:
        """Return the console's text to add to what is known of a VM: empty where it cannot be had at once."""
        try:
            return self._console(server)
        except ProvisionError:
            return ""

    def _console(self, server: str) -> str:
        from openstack import exceptions as sdk

        with self.asking("reading a console"):
            try:
                answer = self.connection.compute.get_server_console_output(server)
            except (sdk.ConflictException, sdk.NotFoundException):
                return ""
        return str((answer or {}).get("output") or "")
