"""The service that shows Spark's pages: what a path means, whose an application is, and what goes through.

Real servers on the loopback address stand for a driver and for Spark's daemons; whose they are is looked up for real.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from .node_programs import load

PREFIX = "/services/spark/"
ME, OTHER = os.getuid(), os.getuid() + 1
APP, THEIRS = "app-20260301091233-0001", "app-20260301091233-0002"


pages = load("spark-pages")
Place, Refused, Socket = pages.Place, pages.Refused, pages.Socket

PLACES = {
    "/": Place("index"),
    "/history": Place("index"),
    "/history/": Place("index"),
    f"/app/{APP}": Place("app", APP, "/"),
    f"/app/{APP}/": Place("app", APP, "/"),
    f"/app/{APP}/stages/stage/": Place("app", APP, "/stages/stage/"),
    f"/history/{APP}/1/jobs/": Place("history", APP, f"/history/{APP}/1/jobs/"),
    "/static/webui.js": Place("history", "", "/static/webui.js"),
    "/api/v1/version": Place("history", "", "/api/v1/version"),
    "/api/v1/applications": Place("list"),
    "/api/v1/applications/": Place("list"),
    f"/api/v1/applications/{APP}/jobs": Place("history", APP, f"/api/v1/applications/{APP}/jobs"),
    "/master": Place("master", "", "/"),
    "/master/app/": Place("master", "", "/app/"),
    "/worker/10.20.0.11/logPage/": Place("worker", "10.20.0.11", "/logPage/"),
}
NONE = [
    "/nothing",
    "/app",
    "/app/",
    "/worker/",
    "/api/v1",
    "/api/v2/applications",
    "//",
    f"/history/{APP}/../{THEIRS}/jobs/",
    f"/history/{APP}/..",
    f"/history/{APP}/%2e%2e/{THEIRS}/",
    f"/history/{APP}/..;/{THEIRS}/",
    f"/history/{APP}//jobs/",
    f"/history/{APP}/\\..\\{THEIRS}/",
    "/history/..",
    "/static/../master/",
    "/app/./jobs/",
]


@pytest.mark.parametrize("path", PLACES)
def test_what_a_path_means(path):
    assert pages.place_of(path) == PLACES[path]


@pytest.mark.parametrize("path", NONE)
def test_what_is_no_path_of_spark_is_not_asked(path):
    with pytest.raises(Refused) as caught:
        pages.place_of(path)
    assert caught.value.status == 404


V4 = "   0: {address}:0FC8 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  {uid}        0 {inode} 1 0000 100\n"


def line(address="0A00140A", state="0A", uid=2001, inode=77):
    # Addresses are words in the machine's order: here, little-endian ones.
    turned = "".join(
        bytes.fromhex(address[at : at + 8])[:: -1 if sys.byteorder == "little" else 1].hex().upper()
        for at in range(0, len(address), 8)
    )
    return V4.format(address=turned, state=state, uid=uid, inode=inode)


MAPPED = "00000000000000000000FFFF"
SOCKETS = {
    "the address": ("0A14000A", True),
    "another address": ("0A14000B", False),
    "every address": ("00000000", True),
    "the address, as Java writes it": (MAPPED + "0A14000A", True),
    "every address, of IPv6 too": ("0" * 32, True),
    "the loopback address of IPv6": ("0" * 31 + "1", False),
}


@pytest.mark.parametrize("case", SOCKETS)
def test_which_socket_would_answer(case):
    address, answers = SOCKETS[case]
    found = pages.sockets([line(address)], "10.20.0.10")
    assert found == ([Socket(4040, 2001, 77)] if answers else [])


def test_a_connection_is_no_listening_socket():
    assert pages.sockets([line("0A14000A", state="01"), "garbage\n", ""], "10.20.0.10") == []


def test_a_port_that_two_accounts_share_is_nobodys():
    found = [Socket(4040, 2001, 1), Socket(4041, 2001, 2), Socket(4041, 2002, 3), Socket(4042, 2002, 4), Socket(9, 2001, 5)]
    assert pages.owned(found, 2001, range(4040, 4050)) == [Socket(4040, 2001, 1)]


LOG = f"appId={APP}&executorId=3&logType=stderr"


def test_the_query_for_a_log_is_written_anew():
    assert pages.log_query(LOG + "&offset=7&x=y") == (APP, LOG + "&offset=7")


@pytest.mark.parametrize(
    "query",
    ["", "appId=a", f"{LOG}&appId={THEIRS}", f"appId={APP}/../x&executorId=3", f"appId={APP}&executorId=../1", "driverId=d"],
)
def test_no_other_query_is_let_through(query):
    with pytest.raises(Refused):
        pages.log_query(query)


@pytest.mark.parametrize(
    ("value", "there"),
    [
        ("/jobs/", "/s/app/a/jobs/"),
        ("http://10.20.0.10:4040/jobs/?x=1", "/s/app/a/jobs/?x=1"),
        ("/s/app/a/jobs/", "/s/app/a/jobs/"),
        ("/s/app/abc/", "/s/app/a/s/app/abc/"),
        ("https://example.org/steal", "/s/app/a/steal"),
        ("//example.org/steal", "/s/app/a/steal"),
        ("jobs", "/s/app/a/jobs"),
        ("", "/s/app/a/"),
    ],
)
def test_a_redirect_stays_on_its_page(value, there):
    assert pages.location(value, "/s/app/a") == there


def test_scripts_of_other_sites_ask_in_vain():
    assert not pages.foreign({})
    assert not pages.foreign({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"})
    assert not pages.foreign({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})
    assert pages.foreign({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"})
    assert pages.foreign({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"})


def test_the_policy_names_the_service_alone():
    assert "connect-src hub.example.org:8443/services/spark/;" in pages.policy("hub.example.org:8443", PREFIX)
    assert "connect-src 'self';" in pages.policy("evil; script-src *", PREFIX)
    assert "frame-ancestors 'none'" in pages.protection("h", PREFIX)["Content-Security-Policy"]


class Upstream:
    """A server that answers like a driver, the history server, the master and a worker; notes what it is asked."""

    def __init__(self):
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.replies: dict[str, tuple[int, dict[str, str], bytes]] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.asked.append((self.command, self.path, dict(self.headers)))
                status, headers, body = outer.replies.get(self.path, (404, {}, b"none"))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def reply(self, path, body: Any = b"", status=200, **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.replies[path] = status, {name.replace("_", "-"): value for name, value in headers.items()}, data

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def listed(app, user="alice", completed=True):
    times = {"startTime": "2026-03-01T09:12:33.512GMT", "endTime": "2026-03-01T09:20:00.000GMT"}
    return {"id": app, "name": f"<b>{app}</b>", "attempts": [{**times, "completed": completed, "sparkUser": user}]}


@pytest.fixture
def driver():
    made = Upstream()
    made.reply("/api/v1/applications", [listed(APP)])
    yield made
    made.close()


@pytest.fixture
def daemons():
    made = Upstream()
    yield made
    made.close()


@pytest.fixture
def service(driver, daemons, tmp_path):
    """The service before a driver of this test's own account; another's event log is there too."""
    (tmp_path / f"{APP}.zstd.inprogress").touch()
    settings = {
        "address": "127.0.0.1",
        "cidr": "127.0.0.0/24",
        "app_ui": driver.port,
        "retries": 0,
        "master_ui": daemons.port,
        "worker_ui": daemons.port,
        "history": daemons.port,
        "events": str(tmp_path),
    }
    return pages.Pages(settings, PREFIX)


@pytest.fixture
def theirs(monkeypatch):
    """Another account's application: only root could make the file."""
    monkeypatch.setattr(pages, "owner_of", lambda app, _: {APP: ME, THEIRS: OTHER}.get(app))


def ask(service, path, user=ME, admin=False, query="", method="GET", **headers):
    question = pages.Question(method, PREFIX + path, query, {n.replace("_", "-"): v for n, v in headers.items()})
    return service.answer({"name": "alice", "uid": user, "admin": admin}, question)


def body(answer):
    return b"".join(answer.body).decode()


def refused(service, path, **options):
    with pytest.raises(Refused) as caught:
        ask(service, path, **options)
    return caught.value.status, caught.value.words


def test_a_drivers_page_is_its_users(service, driver):
    driver.reply(
        "/jobs/?x=1",
        b"<html>",
        Content_Type="text/html;charset=utf-8",
        Content_Security_Policy="script-src 'nonce-1'",
        Set_Cookie="_xsrf=mine; Path=/",
        Clear_Site_Data='"*"',
        Refresh="0; https://example.org",
    )
    asked = {"Accept": "text/html", "Cookie": "jupyterhub=secret", "Authorization": "token secret", "X_Other": "1"}
    answer = ask(service, f"app/{APP}/jobs/", query="x=1", **asked)
    assert (answer.status, body(answer)) == (200, "<html>")
    # What could act on the Hub's other pages has stayed behind.
    assert dict(answer.headers) == {
        "Content-Type": "text/html;charset=utf-8",
        "Content-Security-Policy": "script-src 'nonce-1'",
    }
    _, path, sent = driver.asked[-1]
    assert (path, sent["X-Forwarded-Context"]) == ("/jobs/?x=1", f"/services/spark/app/{APP}")
    assert not {"Cookie", "Authorization", "X-Other"} & set(sent)


def test_a_root_has_its_slash_and_a_redirect_its_path(service, driver):
    assert ask(service, f"app/{APP}").headers == [("Location", f"/services/spark/app/{APP}/")]
    driver.reply("/", status=302, Location=f"http://127.0.0.1:{driver.port}/jobs/")
    answer = ask(service, f"app/{APP}/")
    assert (answer.status, dict(answer.headers)["Location"]) == (302, f"/services/spark/app/{APP}/jobs/")


def test_a_head_has_no_body(service, driver):
    driver.reply("/static/a.js", b"x" * 10, Content_Type="text/javascript")
    answer = ask(service, f"app/{APP}/static/a.js", method="HEAD")
    assert (answer.status, body(answer), driver.asked[-1][0]) == (200, "", "HEAD")


def test_large_files_come_in_parts(service, driver):
    data = os.urandom(3 * pages.CHUNK + 5)
    driver.reply("/static/big.js", data, Content_Type="text/javascript")
    parts = list(ask(service, f"app/{APP}/static/big.js").body)
    assert (len(parts), b"".join(parts)) == (4, data)


def test_links_to_workers_and_applications_work(service, driver, daemons):
    port = daemons.port
    service.settings["app_ui"] = driver.port
    text = (
        f'<a href="app/?appId={THEIRS}">x</a> <a href="http://127.0.0.1:{driver.port}">name</a> '
        f'"http://127.0.0.11:{port}/logPage/?appId=a" "http://198.51.100.1:{port}/" "http://127.0.0.11:80/"'
    )
    daemons.reply("/", text.encode(), Content_Type="text/html")
    assert body(ask(service, "master/", admin=True)) == (
        f'<a href="app/?appId={THEIRS}">x</a> <a href="/services/spark/app/{THEIRS}">name</a> '
        f'"/services/spark/worker/127.0.0.11/logPage/?appId=a" "http://198.51.100.1:{port}/" "http://127.0.0.11:80/"'
    )


@pytest.mark.parametrize("path", [f"app/{THEIRS}/jobs/", f"history/{THEIRS}/jobs/", f"api/v1/applications/{THEIRS}/jobs"])
def test_anothers_application_is_refused(service, theirs, daemons, path):
    status, words = refused(service, path)
    assert (status, "another user's application" in words) == (403, True)
    assert daemons.asked == []


def test_a_driver_of_another_account_is_not_asked(service, driver, theirs):
    # The other user asks for this account's: the port listens, and is not theirs.
    assert refused(service, f"app/{APP}/jobs/", user=OTHER)[0] == 403
    assert driver.asked == []


def test_a_socket_that_changed_hands_is_not_asked(service, driver, monkeypatch):
    now = pages.listening
    assert [app.id for app in service.running(ME)] == [APP]
    count = len(driver.asked)
    looks = []

    def listening(address):
        # Between the look and the connection another program takes the port.
        looks.append(address)
        found = now(address)
        return found if len(looks) == 1 else [each._replace(inode=each.inode + 1) for each in found]

    monkeypatch.setattr(pages, "listening", listening)
    assert refused(service, f"app/{APP}/jobs/") == (404, "This application has ended.")
    assert len(driver.asked) == count


def test_admins_see_others_by_the_history_server_alone(service, theirs, driver, daemons):
    answer = ask(service, f"app/{APP}/stages/", user=OTHER + 1, admin=True)
    assert answer.headers == [("Location", f"/services/spark/history/{APP}/stages/")]
    answer = ask(service, f"app/{APP}/", user=OTHER + 1, admin=True)
    assert answer.headers == [("Location", f"/services/spark/history/{APP}/jobs/")]
    assert driver.asked == []
    daemons.reply(f"/history/{THEIRS}/jobs/", b"theirs")
    assert body(ask(service, f"history/{THEIRS}/jobs/", admin=True)) == "theirs"
    assert daemons.asked[-1][2]["X-Forwarded-Context"] == "/services/spark"


def test_an_application_that_is_nowhere(service):
    assert refused(service, "app/nope/")[0] == 404


def test_the_masters_page_is_for_admins(service, daemons):
    assert refused(service, "master/")[0] == 403
    daemons.reply("/", b"all")
    assert body(ask(service, "master/", admin=True)) == "all"


def test_a_spark_master_on_another_node_is_asked_there(service, daemons):
    service.settings["master"] = "127.0.0.9"
    apart = pages.Pages(service.settings, PREFIX)
    asked = []

    def open_(address, port, *words, **more):
        asked.append((address, port))
        raise OSError

    apart.open = open_
    assert refused(apart, "master/", admin=True)[0] == 502
    with pytest.raises(pages.Refused):
        apart.check_logs(APP, {"name": "alice", "uid": ME, "admin": True})
    assert asked == [("127.0.0.9", daemons.port)] * 2
    # It is no worker.
    assert refused(apart, "worker/127.0.0.9/", admin=True)[0] == 404


@pytest.mark.parametrize("path", ["worker/127.0.0.11/", "worker/127.0.0.11/json/", "worker/127.0.0.11/logPage/"])
def test_a_workers_page_is_for_admins(service, path):
    assert refused(service, path)[0] == 403


@pytest.mark.parametrize("name", ["10.0.0.1", "127.0.0.1", "localhost", "0x7f000001"])
def test_no_other_machine_is_asked(service, name):
    status, words = refused(service, f"worker/{name}/", admin=True)
    assert (status, words) == (404, f"{name} is not a worker.")


ALICE = {"name": "alice", "uid": ME, "admin": False}


def logs_of(service, app):
    """What of a worker a user's question for an executor's log leads to."""
    _, port, query, base, _ = service.target(Place("worker", "127.0.0.11", "/logPage/"), ALICE, LOG.replace(APP, app))
    return port, query, base


@pytest.mark.parametrize("state", ["activeapps", "completedapps"])
def test_an_executors_log_is_its_users(service, theirs, daemons, state):
    apps = [{"id": APP, "user": "alice"}, {"id": THEIRS, "user": "bob"}]
    daemons.reply("/json/", {"activeapps": [], "completedapps": [], state: apps})
    assert logs_of(service, APP) == (daemons.port, LOG, "worker/127.0.0.11")
    assert refused(service, "worker/127.0.0.11/logPage/", query=LOG.replace(APP, THEIRS))[0] == 403


@pytest.mark.parametrize("user", ["bob", None])
def test_an_event_log_named_after_anothers_application_opens_no_executors_log(service, daemons, user):
    # Another's application without an event log: this user has made one of its name.
    apps = [{"id": APP, "user": user}] if user else []
    daemons.reply("/json/", {"activeapps": apps, "completedapps": []})
    status, words = refused(service, "worker/127.0.0.11/logPage/", query=LOG)
    assert (status, "does not know" in words) == (403, True)


def test_no_executors_log_without_the_master(service, daemons):
    assert refused(service, "worker/127.0.0.11/logPage/", query=LOG)[0] == 502


def test_lists_are_of_ones_own(service, theirs, daemons):
    daemons.reply(f"/api/v1/applications?limit={pages.LISTED}", [listed(APP), listed(THEIRS, "bob")])
    assert [app["id"] for app in json.loads(body(ask(service, "api/v1/applications")))] == [APP]
    text = body(ask(service, ""))
    # It runs, so it is in the first list; what its name contains is text.
    assert f'<a href="/services/spark/app/{APP}/">{APP}</a>' in text
    assert f"&lt;b&gt;{APP}&lt;/b&gt;" in text
    assert THEIRS not in text
    text = body(ask(service, "", admin=True))
    assert f'<a href="/services/spark/history/{THEIRS}/">{THEIRS}</a>' in text
    assert "2026-03-01 09:20" in text


@pytest.fixture
def requests(tmp_path, monkeypatch):
    """Count who has asked for the history server: a function."""
    path = tmp_path / "asked.sock"
    monkeypatch.setattr(pages, "HISTORY_ASKED", str(path))
    with socket.socket(socket.AF_UNIX) as waiting:
        waiting.bind(str(path))
        waiting.listen()
        waiting.setblocking(False)

        def count():
            for number in range(100):
                try:
                    waiting.accept()[0].close()
                except BlockingIOError:
                    return number
            return 100

        yield count


@pytest.mark.parametrize("path", ["", "api/v1/applications", f"history/{APP}/jobs/", "static/webui.js"])
def test_who_asks_for_the_history_server_starts_it_and_waits(service, daemons, theirs, requests, path):
    daemons.close()
    answer = ask(service, path)
    assert requests() == 1
    assert answer.status == (200 if path == "" else 503)
    assert dict(answer.headers)["Refresh"] == "5"
    text = body(answer)
    assert "The history server is starting" in text
    # What runs has its own page meanwhile.
    assert (f'<a href="/services/spark/app/{APP}/">{APP}</a>' in text) == (path == "")


def test_a_history_server_that_answers_is_not_asked_for(service, daemons, requests):
    daemons.reply(f"/api/v1/applications?limit={pages.LISTED}", [listed(APP)])
    assert "Refresh" not in dict(ask(service, "").headers)
    assert requests() == 0


def test_on_an_image_of_before_nobody_can_be_asked(service, daemons, monkeypatch, tmp_path):
    monkeypatch.setattr(pages, "HISTORY_ASKED", str(tmp_path / "nothing"))
    daemons.close()
    assert "The history server is starting" in body(ask(service, ""))


def test_a_server_that_is_down_is_a_sentence(service, daemons):
    daemons.close()
    assert refused(service, "master/", admin=True) == (502, "Spark does not answer here: it is starting, or has ended.")


def test_a_driver_that_says_nonsense_is_passed_over(service, driver):
    driver.reply("/api/v1/applications", [])
    assert service.running(ME) == []


@pytest.mark.parametrize("name", ["{}", "{}.inprogress", "{}.zstd", "{}.lz4.inprogress", "eventlog_v2_{}"])
def test_the_owner_is_the_event_logs(tmp_path, name):
    (tmp_path / name.format("app-1")).touch()
    assert pages.owner_of("app-1", str(tmp_path)) == ME
    assert pages.owner_of("app-2", str(tmp_path)) is None


def test_a_log_that_two_accounts_claim_is_nobodys(tmp_path, monkeypatch):
    for name in ("app-1", "app-1.zstd"):
        (tmp_path / name).touch()
    look = os.lstat
    changed = os.stat_result((0, 0, 0, 0, OTHER, 0, 0, 0, 0, 0))
    monkeypatch.setattr(os, "lstat", lambda path: changed if str(path).endswith("zstd") else look(path))
    assert pages.owner_of("app-1", str(tmp_path)) is None


def test_what_names_no_file_owns_nothing(tmp_path):
    assert pages.owner_of("../" + tmp_path.name, str(tmp_path)) is None


def test_a_refusal_is_a_page():
    answer = pages.refusal(Refused(403, "<no>"), PREFIX)
    assert answer.status == 403
    assert "<h1>403 Forbidden</h1><p>&lt;no&gt;</p>" in body(answer)
