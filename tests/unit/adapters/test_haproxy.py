"""HAProxy's page of statistics, served by a real socket."""

from __future__ import annotations

import http.server
import threading

from provision.adapters.haproxy import Proxy

CSV = b"# pxname,svname,qcur,scur,stot,status,addr,\nweb,web1,0,2,9,UP,10.0.0.1:80,\nweb,BACKEND,0,2,9,UP,,\n"


def test_it_answers_or_it_does_not():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(statuses.pop(0))
            self.send_header("Content-Length", str(len(CSV)))
            self.end_headers()
            self.wfile.write(CSV)

        def log_message(self, *_):
            pass

    asked, statuses = [], [200, 503]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    door = Proxy(f"http://127.0.0.1:{server.server_port}/")
    found = door.servers()
    assert [(each.backend, each.name, each.address, each.up, each.requests, each.total) for each in found] == [
        ("web", "web1", "10.0.0.1:80", True, 2, 9)
    ]
    assert asked == ["/;csv"]
    assert door.servers() is None
    server.shutdown()
    server.server_close()
    assert door.servers() is None
