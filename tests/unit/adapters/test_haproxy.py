"""HAProxy's statistics page, served by a real socket."""

from __future__ import annotations

import pytest

from provision.adapters.haproxy import HAProxy
from provision.base.errors import ProvisionError

CSV = b"# pxname,svname,qcur,scur,stot,status,addr,\nweb,web1,0,2,9,UP,10.0.0.1:80,\nweb,BACKEND,0,2,9,UP,,\n"


def test_servers_of_backends(http_server):
    http_server.body = CSV
    found = HAProxy(f"{http_server.url}/").servers()
    assert [(each.backend, each.name, each.address, each.up, each.requests, each.total) for each in found] == [
        ("web", "web1", "10.0.0.1:80", True, 2, 9)
    ]
    assert [path for _, path, *_ in http_server.requests] == ["/;csv"]


def test_the_page_as_it_is(http_server):
    http_server.body = CSV
    assert HAProxy(http_server.url).statistics() == CSV.decode()


@pytest.mark.parametrize("away", [False, True])
def test_an_haproxy_that_does_not_answer(http_server, away):
    http_server.status = 503
    proxy = HAProxy("http://127.0.0.1:1" if away else http_server.url)
    assert proxy.servers() is None
    with pytest.raises(ProvisionError, match="HAProxy does not answer"):
        proxy.statistics()
