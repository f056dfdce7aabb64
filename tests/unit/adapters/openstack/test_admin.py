"""What Nova's list of services says of copies, and what is taken out of it."""

from __future__ import annotations

from types import SimpleNamespace

from openstack.exceptions import SDKException

from provision.adapters.openstack.admin import Admin


class FakeNova:
    def __init__(self, *listed):
        self.listed = [SimpleNamespace(host=host, binary=binary, state=state) for host, binary, state in listed]
        self.away = False

    def services(self):
        if self.away:
            raise SDKException("no answer")
        return list(self.listed)

    def delete_service(self, each):
        self.listed.remove(each)

    def hypervisors(self, *, details):
        return []


def admin(nova):
    made = Admin({})
    made.__dict__["connection"] = SimpleNamespace(compute=nova, network=SimpleNamespace(agents=list))
    return made


def test_every_copy_has_to_report_itself():
    nova = FakeNova(
        ("nova-scheduler-1", "nova-scheduler", "up"),
        ("nova-conductor-1", "nova-conductor", "up"),
        ("nova-conductor-2", "nova-conductor", "down"),
    )
    assert admin(nova).lacking(()) == {}
    assert admin(nova).lacking((), {"nova-conductor": 3, "nova-api": 2}) == {
        "nova-conductor-2": "reported down",
        "nova-conductor-3": "not reported yet",
    }


def test_copies_that_are_gone_are_forgotten_and_nothing_else():
    nova = FakeNova(
        ("nova-scheduler", "nova-scheduler", "down"),  # before copies had numbers
        ("nova-scheduler-1", "nova-scheduler", "down"),
        ("nova-conductor-2", "nova-conductor", "up"),
        ("nova-conductor-3", "nova-conductor", "up"),
        ("compute-9", "nova-compute", "down"),
    )
    assert admin(nova).forget_services({"nova-conductor": 2}) == ["nova-scheduler", "nova-conductor-3"]
    assert [each.host for each in nova.listed] == ["nova-scheduler-1", "nova-conductor-2", "compute-9"]
    nova.away = True
    assert admin(nova).forget_services({}) == []


def test_a_hypervisor_that_is_gone_is_forgotten_by_nova_and_neutron():
    def listed(made):
        return lambda **wanted: [each for each in made if all(getattr(each, key) == wanted[key] for key in wanted)]

    services = [SimpleNamespace(host=host, binary="nova-compute") for host in ("host-1", "host-2")]
    agents = [SimpleNamespace(host=host) for host in ("host-1", "host-2", "host-2")]
    made = Admin({})
    made.__dict__["connection"] = SimpleNamespace(
        compute=SimpleNamespace(services=listed(services), delete_service=services.remove),
        network=SimpleNamespace(agents=listed(agents), delete_agent=agents.remove),
    )
    made.forget_hypervisor("host-2")
    assert [each.host for each in (*services, *agents)] == ["host-1", "host-1"]
