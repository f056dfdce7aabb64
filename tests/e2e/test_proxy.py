"""A cluster whose programs reach the outside by a proxy: this machine, which answers for every address by itself.

By itself: `E2E_HOME=/tmp/e2e pytest tests/e2e/test_proxy.py -m e2e -x -s`; after an interrupted run it goes on.
"""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from provision.base.constants import NODE, PROVIDER_NETWORK

pytestmark = [pytest.mark.e2e, pytest.mark.acceptance]

PORT = 3128
SPEC = """\
name: proxied
network: {cidr: 10.23.0.0/24}
master: {flavor: m1.small}
workers: {count: 1, flavor: m1.small}
"""
WORDS = "by the proxy"
JOB = """\
import urllib.request

from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
url = "http://outside.example/"
lines = spark._jvm.java.io.BufferedReader(
    spark._jvm.java.io.InputStreamReader(spark._jvm.java.net.URL(url).openStream())
)
print("driver's JVM:", lines.readLine())
print("driver's Python:", urllib.request.urlopen(url, timeout=60).read().decode())
urls = spark.sparkContext.parallelize([url], 1)
fetched = urls.map(lambda one: urllib.request.urlopen(one, timeout=60).read().decode())
print("executor's Python:", fetched.collect()[0])
"""


class Proxy(BaseHTTPRequestHandler):
    """Answers whatever it is asked for."""

    asked: list[str] = []  # noqa: RUF012 - one for all of the requests

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(WORDS.encode())

    def log_message(self, *_: object) -> None:
        """Be silent."""


@pytest.fixture(scope="module", autouse=True)
def _proxy(product):
    product.run("cloud", "up")
    server = ThreadingHTTPServer((str(PROVIDER_NETWORK[1]), PORT), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def file(product):
    made = product.folder / "proxied.yaml"
    made.write_text(f"{SPEC}proxy: {{http: 'http://{PROVIDER_NETWORK[1]}:{PORT}', no_proxy: [inside.example]}}\n")
    product.run("up", "--yes", "--file", str(made), timeout=7200)
    return made


def test_shells_and_apt(product, file) -> None:
    said = product.run("run", "--file", str(file), "--", "bash -lc 'curl -s http://outside.example/'")
    assert said.stdout.count(WORDS) == 2
    product.run("run", "--file", str(file), "--", "sudo apt-get -q update || true")
    assert any(path.startswith("http://") and "dists" in path for path in Proxy.asked)


def test_drivers_and_executors(product, file) -> None:
    job = product.folder / "outside.py"
    job.write_text(JOB)
    said = product.run("submit", "--file", str(file), str(job), timeout=3600).stdout
    for who in ("driver's JVM", "driver's Python", "executor's Python"):
        assert f"{who}: {WORDS}" in said


def test_the_cluster_itself_works_beside_it(product, file) -> None:
    product.run("verify", "--file", str(file), timeout=3600)


def test_without_the_line_nothing_of_it_stays(product, file) -> None:
    file.write_text(SPEC)
    product.run("up", "--yes", "--file", str(file), timeout=7200)
    seen = product.run("run", "--file", str(file), "--", f"ls {NODE.apt_proxy} {NODE.shell_proxy} 2>/dev/null || true")
    assert "proxy" not in seen.stdout
    product.run("down", "--yes", "--file", str(file))
