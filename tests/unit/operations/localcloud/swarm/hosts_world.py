"""Hosts that come and go, with a Swarm that is a list."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from provision.base import paths
from provision.model.localcloud.swarm import Host
from provision.operations.localcloud.shared import installation
from provision.operations.localcloud.swarm import down, hosts

from ..fake_clock import use_clock

SHARED = {"passwords.json": '{"provision": "p"}', "choices.json": '{"swarm": true, "ha": true}'}


class FakeSwarm:
    """A Swarm as this machine, `me`, sees it."""

    def __init__(self, *hosts, me="id1", active=True):
        self.known = {host.id: host for host in hosts}
        self.me, self.active, self.left = me, active, False
        self.removed = ""
        self.mtu, self.network = 1500, 1450
        self.services = {}
        self.done = []
        self.locked = False
        self.unlocked = []
        """What was changed without the lock."""

    def state(self):
        if self.removed:
            return self.removed, False
        return ("active", True) if self.active else ("inactive", False)

    def host_id(self):
        return self.me

    def hosts(self):
        return tuple(self.known.values())

    def set_member(self, host, member):
        self._note("member")
        self.known[host] = replace(self.known[host], member=member)

    def begin(self, address):
        self.active = True
        self.known[self.me] = Host(self.me, "host-1", address, True)

    def join(self, token, address, own):
        self.active = True
        self.done.append(("join", token, address, own))
        self.known[self.me] = Host(self.me, "new", own, True)

    def leave(self, *, force=False):
        self.left = "by force" if force else True

    def desired_replicas(self):
        return self.services

    def address(self, service):
        return "192.0.2.9"

    def container(self, service):
        return f"container-{service}"

    def take_lock(self):
        self.locked = True
        return self.me

    def drop_lock(self, host):
        self.locked = False

    def _note(self, change):
        if not self.locked:
            self.unlocked.append(change)

    def deploy(self, document):
        self._note("services")
        self.done.append(("deploy", document))

    def remove(self, services):
        self._note("services")
        self.done.append(("remove", services))

    def network_mtu(self, name):
        return self.network

    def registry_answers(self):
        return True

    def token(self):
        return "TOKEN"

    def __getattr__(self, name):
        return lambda *words: self.done.append((name, *words))


class FakeEngine:
    def __init__(self, shared):
        self.shared = shared

    def purge(self, line):
        line("nothing")

    def host(self):
        return "host-1"

    def states(self, project=""):
        return []

    def remove_bridge(self, bridge):
        pass

    def execute(self, container, argv):
        return (0, json.dumps(self.shared)) if self.shared else (1, "")


class FakeTags(dict):
    """A tag for every image family."""

    def __missing__(self, family):
        return "ab"


def host(number, member=0, **more):
    return Host(f"id{number}", more.pop("name", f"host-{number}"), f"192.0.2.{number}", True, member)


@pytest.fixture(name="world")
def make_world(monkeypatch, tmp_path):
    """Run commands against one FakeSwarm; what builds and renders is left out."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))

    def use(swarm, shared=None):
        for module in (hosts, down):
            monkeypatch.setattr(module, "swarm_adapter", lambda _: swarm)
            monkeypatch.setattr(module, "Engine", lambda: FakeEngine(shared))
        monkeypatch.setattr(hosts, "interface_mtu", lambda _: swarm.mtu)
        monkeypatch.setattr(hosts.compose, "require", lambda: None)
        monkeypatch.setattr(hosts, "ensure_images", lambda *_: FakeTags())
        use_clock(monkeypatch)
        return swarm

    return use


def install(settings):
    installation.save_settings(settings)
    installation.ensure_private(paths.localcloud_dir() / "compose.env", "")
