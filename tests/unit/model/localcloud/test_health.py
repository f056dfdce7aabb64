from __future__ import annotations

from provision.model.localcloud.health import BackendServer, healthy, instances, instances_of, servers
from provision.model.localcloud.host import ServiceState
from provision.model.localcloud.status import service_line, table, wanted_of

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


def test_a_line_per_service():
    known = instances(SERVICES, {"service:b:1": check("b:1", "critical")})
    told = [
        ServiceState("web", "a", "running", id="a" * 16, image="provision/web:1", digest="sha256:1", registers=True),
        ServiceState("web", "b", "running", id="b" * 16, image="provision/web:2", digest="sha256:2", registers=True),
        ServiceState("web", "c", "exited", id="c" * 16, image="provision/web:2", digest="sha256:2", registers=True),
    ]
    web = service_line("web", 3, told, known=known, drifts=["image", "", "image"], host="box")
    assert (web.running, web.healthy, web.up, web.drift) == (2, 1, False, "image")
    assert web.images == ("provision/web:1", "provision/web:2")
    quiet = service_line("worker", 1, [ServiceState("worker", "w", "running")], known=known, drifts=[""], host="box")
    assert (quiet.healthy, quiet.up, quiet.drift) == (None, True, "")
    absent = service_line("gone", 1, [], known=known, drifts=[], host="box")
    assert (absent.running, absent.up, absent.host) == (0, False, "")
    assert table([web, quiet, absent]) == [
        "service  copies  healthy  image        host  out of date",
        "web      2/3     1        web:1 web:2  box   image",
        "worker   1/1     -        -            box   -",
        "gone     0/1     -        -            -     -",
    ]


def test_names_and_numbers():
    assert wanted_of("provision", "nova-api", 3, control="provision") == ("nova-api", 3)
    assert wanted_of("provision-compute-1", "libvirt", 1, control="provision") == ("compute-1 libvirt", 1)
