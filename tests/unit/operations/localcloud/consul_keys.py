"""Which containers of a service serve, as Consul would say."""

from __future__ import annotations

from provision.adapters.consul.http import ConsulUnavailableError


class ConsulKeys:
    """Answers for these services; Consul is away for all others."""

    def __init__(self, **containers):
        self.there = containers

    def containers(self, service):
        if service not in self.there:
            raise ConsulUnavailableError("away")
        return self.there[service]
