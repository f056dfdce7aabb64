"""What users do with Spark, as metrics: servers stand in for the Spark master, for drivers and for the Hub."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from types import SimpleNamespace

import pytest

from provision.base.paths import TEMPLATES

PROGRAM = TEMPLATES / "image/files/usr/local/lib/provision/spark-metrics"
LATE = float("inf")
ACCOUNTS = {"alice": 2001, "bob": 2002, "provision": 1000, "spark": 990}
MASTER = {
    "workers": [
        {"host": "10.20.0.11", "state": "ALIVE", "cores": 2, "coresused": 1, "memory": 1536, "memoryused": 768},
        {"host": "10.20.0.12", "state": "DEAD", "cores": 2, "coresused": 0, "memory": 1536, "memoryused": 0},
    ],
    "activeapps": [
        {"id": "app-1", "user": "alice", "cores": 1, "state": "RUNNING"},
        {"id": "app-2", "user": "alice", "cores": 0, "state": "WAITING"},
        {"id": "app-3", "user": 'x"} 1\nspark_user_cores{user="bob', "cores": 9, "state": "RUNNING"},
    ],
}


@pytest.fixture(name="program")
def _program(monkeypatch):
    loader = SourceFileLoader("spark_metrics", str(PROGRAM))
    module = module_from_spec(spec_from_loader("spark_metrics", loader))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    loader.exec_module(module)
    names = {uid: name for name, uid in ACCOUNTS.items()}
    fake = SimpleNamespace(
        getpwnam=lambda name: SimpleNamespace(pw_uid=ACCOUNTS[name]),
        getpwuid=lambda uid: SimpleNamespace(pw_name=names[uid]),
    )
    monkeypatch.setattr(module, "pwd", fake)
    return module


@pytest.fixture(name="serve")
def _serve():
    """Start a server whose answers are a mapping of paths to documents; return its port."""
    servers = []

    def start(answers):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                found = answers.get(self.path)
                self.send_response(200 if found is not None else 404)
                self.end_headers()
                self.wfile.write(json.dumps(found).encode())

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def executor(number, **more):
    done = {"completedTasks": 0, "failedTasks": 0, "totalShuffleRead": 0, "totalShuffleWrite": 0}
    return {"id": number, "isActive": True, "activeTasks": 0, "memoryUsed": 0, **done, **more}


def samples(lines):
    return dict(line.rsplit(" ", 1) for line in lines)


def sockets_of(program, monkeypatch, *found):
    """Have these (port, uid, inode) listen."""
    monkeypatch.setattr(program, "listeners", lambda lines, ports: [each for each in found if each[0] in ports])


def test_the_master_says_who_holds_what_and_what_a_name_smuggles_in_is_others(program, serve):
    metrics = program.SparkMetrics("127.0.0.1", serve({"/json/": MASTER}), range(1))
    found = samples(metrics.of_master())
    assert found["spark_master_answers"] == "1"
    assert found['spark_worker_alive{address="10.20.0.11"}'] == "1"
    assert found['spark_worker_memory_used_bytes{address="10.20.0.11"}'] == str(768 << 20)
    assert not any("10.20.0.12" in name for name in found)
    assert found['spark_user_cores{user="alice"}'] == "1"
    assert found['spark_user_applications{user="alice"}'] == "2"
    assert found['spark_user_applications_without_cores{user="alice"}'] == "1"
    assert found['spark_user_cores{user="others"}'] == "9"
    assert not any("bob" in name for name in found)


def test_a_master_that_does_not_answer_gives_nothing(program, serve):
    assert program.SparkMetrics("127.0.0.1", 1, range(1)).of_master() == []
    assert program.SparkMetrics("127.0.0.1", serve({"/json/": {"workers": 1}}), range(1)).of_master() == []


def driver(rows, app="app-1"):
    return {"/api/v1/applications": [{"id": app}], f"/api/v1/applications/{app}/allexecutors": rows}


def test_whose_an_application_is_the_kernel_says(program, serve, monkeypatch):
    rows = [
        executor("driver", activeTasks=5),
        executor("0", activeTasks=2, memoryUsed=10, totalShuffleRead=100),
        executor("1", isActive=False, totalShuffleRead=50),
    ]
    port = serve(driver(rows))
    metrics = program.SparkMetrics("127.0.0.1", 1, [port])
    sockets_of(program, monkeypatch, (port, 2002, 7))
    found = samples(metrics.of_drivers(LATE))
    assert found['spark_user_executors{user="bob"}'] == "1"
    assert found['spark_user_active_tasks{user="bob"}'] == "2"
    # What was done before the first look is not of now.
    assert found['spark_user_shuffle_read_bytes_total{user="bob"}'] == "0"
    rows[1]["totalShuffleRead"] = 130
    rows.append(executor("2", totalShuffleRead=5))
    assert samples(metrics.of_drivers(LATE))['spark_user_shuffle_read_bytes_total{user="bob"}'] == "35"


def test_what_was_counted_stays_when_an_application_ends_and_another_begins(program, serve, monkeypatch):
    first, second = [executor("0", completedTasks=1)], [executor("0", completedTasks=3)]
    ports = serve(driver(first)), serve(driver(second, "app-2"))
    metrics = program.SparkMetrics("127.0.0.1", 1, ports)
    name = 'spark_user_tasks_completed_total{user="alice"}'
    sockets_of(program, monkeypatch, (ports[0], 2001, 7))
    metrics.of_drivers(LATE)
    first[0]["completedTasks"] = 11
    assert samples(metrics.of_drivers(LATE))[name] == "10"
    sockets_of(program, monkeypatch, (ports[1], 2001, 8))
    assert samples(metrics.of_drivers(LATE))[name] == "13"
    sockets_of(program, monkeypatch)
    found = samples(metrics.of_drivers(LATE))
    assert (found[name], found['spark_user_executors{user="alice"}']) == ("13", "0")
    assert (metrics.apps, metrics.before) == ({}, {})


@pytest.mark.parametrize("rows", [None, 7, ["x"], [{"completedTasks": "many", "isActive": True}], [{"id": {}}]])
def test_what_a_driver_answers_is_not_trusted(program, serve, monkeypatch, rows):
    port = serve(driver(rows))
    metrics = program.SparkMetrics("127.0.0.1", 1, [port])
    sockets_of(program, monkeypatch, (port, 2001, 7))
    metrics.of_drivers(LATE)
    assert samples(metrics.of_drivers(LATE))['spark_user_tasks_completed_total{user="alice"}'] == "0"


def test_another_s_socket_on_the_same_port_is_not_asked(program, serve, monkeypatch):
    port = serve(driver([executor("0")]))
    metrics = program.SparkMetrics("127.0.0.1", 1, [port])
    answers = iter([[(port, 2001, 7)], [(port, 2002, 8)]])
    monkeypatch.setattr(program, "listeners", lambda lines, ports: next(answers))
    assert samples(metrics.of_drivers(LATE))['spark_user_executors{user="alice"}'] == "0"


class Drivers(dict):
    """What drivers answer by port: in a second of a clock of its own, or never."""

    def __init__(self, program, metrics, monkeypatch):
        super().__init__()
        self.asked = []
        self.now = 0
        self.seconds = program.SECONDS
        monkeypatch.setattr(program, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(metrics, "ask", self.ask)

    def ask(self, place, late):
        self.asked.append(place[0])
        if self.get(place[0]) is None:
            self.now = min(self.now + self.seconds, late)
            raise TimeoutError
        self.now += 1
        return self[place[0]]


def test_all_drivers_have_their_turn_and_keep_their_figures_until_then(program, monkeypatch):
    ports = range(1, 11)
    metrics = program.SparkMetrics("127.0.0.1", 1, ports)
    drivers = Drivers(program, metrics, monkeypatch)
    drivers |= {port: [executor("0", completedTasks=100, activeTasks=port)] for port in ports}
    sockets_of(program, monkeypatch, *((port, 2001, port) for port in ports))
    executors, done = (f'spark_user_{name}{{user="alice"}}' for name in ("executors", "tasks_completed_total"))
    found = [samples(metrics.of_drivers(drivers.now + program.TOGETHER)) for _ in range(2)]
    assert drivers.asked == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert [each[executors] for each in found] == ["5", "10"]
    # What was done before the first answer is nobody's work of now, however late that came.
    assert found[1][done] == "0"
    drivers |= {port: [executor("0", completedTasks=101)] for port in ports}
    assert samples(metrics.of_drivers(drivers.now + program.TOGETHER))[done] == "5"
    assert samples(metrics.of_drivers(drivers.now + program.TOGETHER))[done] == "10"


def test_a_driver_that_had_less_than_its_time_is_the_first_to_be_asked_next(program, monkeypatch):
    ports = range(1, 6)
    metrics = program.SparkMetrics("127.0.0.1", 1, ports)
    drivers = Drivers(program, metrics, monkeypatch)
    drivers |= {port: [executor("0")] for port in ports}
    drivers[4] = None
    sockets_of(program, monkeypatch, *((port, 2001, port) for port in ports))
    for _ in range(2):
        began = drivers.now
        metrics.of_drivers(began + program.TOGETHER)
        assert drivers.now - began == program.TOGETHER
    # It has had its time now, and keeps nobody up.
    assert drivers.asked == [1, 2, 3, 4, 4, 5, 1]


def test_all_of_a_page_has_one_limit(program, monkeypatch):
    metrics = program.SparkMetrics("127.0.0.1", 1, range(1))
    clock = [0.0]
    monkeypatch.setattr(program, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(metrics, "of_master", lambda: clock.append(clock.pop() + 2) or [])
    monkeypatch.setattr(metrics, "of_drivers", lambda late: [late - clock[0]])
    assert metrics.lines() == [program.TOGETHER - 2]


def test_what_is_asked_late_is_waited_for_no_longer_than_is_left(program):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        with pytest.raises((OSError, program.http.client.HTTPException)):
            program.read("127.0.0.1", port, "/", late=began + 0.2)
        assert time.monotonic() - began < program.SECONDS - 1
        with pytest.raises(TimeoutError):
            program.read("127.0.0.1", port, "/", late=began)


def test_a_slow_driver_keeps_its_figures_and_a_new_one_counts_from_its_start(program, monkeypatch):
    metrics = program.SparkMetrics("127.0.0.1", 1, [1, 2])
    drivers = Drivers(program, metrics, monkeypatch)
    executors, done = (f'spark_user_{name}{{user="alice"}}' for name in ("executors", "tasks_completed_total"))
    sockets_of(program, monkeypatch, (1, 2001, 7))
    metrics.of_drivers(LATE)
    drivers[1] = [executor("0", completedTasks=50)]
    assert samples(metrics.of_drivers(LATE))[done] == "0"
    drivers[1] = None
    assert samples(metrics.of_drivers(LATE))[executors] == "1"
    sockets_of(program, monkeypatch, (1, 2001, 7), (2, 2001, 8))
    metrics.of_drivers(LATE)
    drivers[2] = [executor("0", completedTasks=3)]
    found = samples(metrics.of_drivers(LATE))
    assert (found[executors], found[done]) == ("2", "3")


def test_daemons_and_the_operator_are_no_users(program, serve, monkeypatch):
    port = serve(driver([executor("0")]))
    metrics = program.SparkMetrics("127.0.0.1", 1, [port])
    sockets_of(program, monkeypatch, (port, 1000, 7), (port, 990, 8), (port, 4711, 9))
    assert metrics.of_drivers(LATE) == []


def test_a_driver_that_is_silent_or_slow_holds_nobody_up(program, monkeypatch):
    monkeypatch.setattr(program, "SECONDS", 0.5)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def drip():
        connection, _ = listener.accept()
        with connection:
            for letter in "HTTP/1.0 200 OK\r\n" + "X: y\r\n" * 50:
                try:
                    connection.sendall(letter.encode())
                except OSError:
                    return
                time.sleep(0.1)

    threading.Thread(target=drip, daemon=True).start()
    began = time.monotonic()
    with pytest.raises((OSError, program.http.client.HTTPException)):
        program.read("127.0.0.1", port, "/")
    assert time.monotonic() - began < 3
    listener.close()


def test_the_kernel_s_list_of_sockets_is_read(program):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        found = program.listeners(program.kernel_lines(), [port])
        inode = int(os.readlink(f"/proc/self/fd/{listener.fileno()}").strip("socket:[]"))
        assert (port, os.getuid(), inode) in found


def test_a_kernel_without_ipv6_has_one_list(program, monkeypatch):
    def without(path, **more):
        if path.endswith("tcp6"):
            raise FileNotFoundError(path)
        return open(path, **more)

    monkeypatch.setattr(program, "open", without, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert program.listeners(program.kernel_lines(), [listener.getsockname()[1]])


def test_a_hub_that_does_not_answer_has_no_certificate(program):
    assert program.Certificate(1).lines() == []


def test_the_end_of_the_hub_s_certificate_is_asked_now_and_then(program, tmp_path):
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "20"]
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert"), "-subj", "/CN=a"]
    subprocess.run([*made, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            connection, _ = listener.accept()
            asked.append(connection)
            with context.wrap_socket(connection, server_side=True):
                pass

        threading.Thread(target=answer, daemon=True).start()
        certificate = program.Certificate(listener.getsockname()[1])
        (first,) = certificate.lines()
        assert certificate.lines() == [first]
    assert len(asked) == 1
    name, _, ends = first.partition(" ")
    assert name == "hub_certificate_ends_timestamp_seconds"
    assert abs(int(ends) - time.time() - 20 * 86400) < 3600


def test_the_page_is_what_the_store_reads(program, monkeypatch):
    port = socket.create_server(("127.0.0.1", 0)).getsockname()[1]
    source = SimpleNamespace(lines=lambda: [program.written("a_total", 1, user="alice"), program.written("b", 2.5)])
    threading.Thread(target=program.serve, args=(port, [source]), daemon=True).start()
    for _ in range(50):
        try:
            connection = program.http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/metrics")
            break
        except OSError:
            time.sleep(0.05)
    assert connection.getresponse().read() == b'a_total{user="alice"} 1\nb 2.5\n'
