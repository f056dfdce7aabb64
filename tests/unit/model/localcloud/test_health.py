from __future__ import annotations

from provision.model.localcloud.health import BackendServer, healthy, instances, instances_of, servers
from provision.model.localcloud.host import ServiceState

CSV = """# pxname,svname,qcur,qmax,scur,smax,slim,stot,status,addr,
stats,FRONTEND,,,1,1,5000,9,OPEN,,
keystone,FRONTEND,,,0,4,5000,70,OPEN,,
keystone,keystone1,1,1,2,4,,70,UP,172.28.0.140:5000,
keystone,keystone2,0,0,0,0,,0,UP 1/2,[fd00::7]:5000,
keystone,keystone3,0,0,3,0,,0,MAINT (resolution),,
keystone,keystone4,0,0,0,0,,0,DOWN 1/2,172.28.0.9:5000,
keystone,BACKEND,0,0,0,1,512,70,UP,,
"""


def test_haproxys_numbers():
    assert servers(CSV) == (
        BackendServer("keystone", "keystone1", "172.28.0.140:5000", up=True, requests=3, total=70),
        BackendServer("keystone", "keystone2", "[fd00::7]:5000", up=True, requests=0),
        BackendServer("keystone", "keystone3", "", up=False, requests=3),
        BackendServer("keystone", "keystone4", "172.28.0.9:5000", up=False, requests=0),
    )


def service(name, container):
    meta = {"container": container} if container else None
    return {"Service": name, "Address": "10.0.0.1", "Port": 80, "Meta": meta}


def check(service_id, status):
    return {"ServiceID": service_id, "Status": status}


SERVICES = {"a:1": service("web", "aaaa"), "a:2": service("admin", "aaaa"), "b:1": service("web", "bbbb")}


def test_consuls_word_on_a_container():
    known = instances(
        {**SERVICES, "consul": service("consul", "")},
        {
            "service:a:1": check("a:1", "passing"),
            "service:b:1": check("b:1", "passing"),
            "serfHealth": check("", "passing"),
        },
    )
    a, b, c = (ServiceState("web", name, "running", id=name * 16) for name in "abc")
    assert [each.id for each in instances_of(a, known)] == ["a:1", "a:2"]
    assert known[0].address == "10.0.0.1:80"
    assert (healthy(a, known), healthy(b, known), healthy(c, known)) == (True, True, False)


def test_one_bad_check_of_one_of_its_services_is_enough():
    own = {"service:b:1": check("b:1", "passing"), "service:a:1": check("a:1", "passing")}
    failing = instances(SERVICES, {**own, "service:a:2": check("a:2", "critical")})
    leaving = instances(SERVICES, {**own, "_service_maintenance:b:1": check("b:1", "critical")})
    a, b = (ServiceState("web", name, "running", id=name * 16) for name in "ab")
    assert (healthy(a, failing), healthy(b, failing)) == (False, True)
    assert (healthy(a, leaving), healthy(b, leaving)) == (True, False)
