"""Monitoring's page in the Hub: a service of tornado's, with a login that stands for the Hub's."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

import pytest
from tornado import httpserver, simple_httpclient, testing

from provision.adapters.docker.image_builder import inputs
from provision.base.constants import NODE
from provision.base.paths import TEMPLATES

PROGRAM = TEMPLATES / f"image/files{NODE.dashboards}"
PREFIX = "/services/dashboards/"


def load(monkeypatch):
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    loader = SourceFileLoader("dashboards", str(PROGRAM))
    module = module_from_spec(spec_from_loader("dashboards", loader))
    loader.exec_module(module)
    return module


class Alice:
    """A login that everybody has passed."""

    def get_current_user(self):
        return {"name": "alice"}


class Nobody:
    """A login that nobody has passed."""

    def get_current_user(self):
        return None

    def get_login_url(self):
        return "/hub/login"


def ask(monkeypatch, path="", login=Alice, **headers):
    """Return the answer of the service, whose page says which time span it was asked for."""
    program = load(monkeypatch)
    pages = program.spark_pages(str(TEMPLATES / f"image/files{NODE.pages}"))
    made = program.application(pages, PREFIX, login, lambda span: (503 if span == "bad" else 200, f"<p>{span}</p>"))

    async def asked():
        server = httpserver.HTTPServer(made)
        socket, port = testing.bind_unused_port()
        server.add_sockets([socket])
        client = simple_httpclient.SimpleAsyncHTTPClient()
        try:
            return await client.fetch(
                f"http://127.0.0.1:{port}{PREFIX}{path}", headers=headers, raise_error=False, follow_redirects=False
            )
        finally:
            client.close()
            server.stop()

    return asyncio.run(asked())


@pytest.mark.parametrize(("path", "code", "body"), [("", 200, b"<p></p>"), ("?span=6h", 200, b"<p>6h</p>"), ("?span=bad", 503, b"<p>bad</p>")])
def test_the_page_is_drawn_for_the_span_and_never_kept(monkeypatch, path, code, body):
    answer = ask(monkeypatch, path)
    assert (answer.code, answer.body) == (code, body)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_whoever_has_not_logged_in_is_sent_to_the_login(monkeypatch):
    answer = ask(monkeypatch, login=Nobody)
    assert (answer.code, answer.headers["Location"].startswith("/hub/login")) == (302, True)


def test_another_site_s_script_is_refused(monkeypatch):
    answer = ask(monkeypatch, **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"})
    assert answer.code == 403


def test_there_is_one_page(monkeypatch):
    assert ask(monkeypatch, "other").code == 404


def test_the_image_has_all_that_draws_it_and_no_more(tmp_path, monkeypatch):
    program = load(monkeypatch)
    assert program.MODULES == NODE.page_modules
    assert program.SPARK_PAGES == NODE.pages
    place = f"image/files{NODE.page_modules}/"
    files = {name.removeprefix(place): data for name, data in inputs().items() if name.startswith(place)}
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    # A change of the local cloud's must not make another image.
    assert not [name for name in files if "localcloud" in name or "constants" in name]
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from provision.operations.hub_page import hub_page\n"
        "import provision\n"
        f"assert provision.__file__.startswith({str(tmp_path)!r})\n"
        "import json; print(json.dumps(hub_page('http://127.0.0.1:1', 'a', 10, '', '/hub/home')))\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    status, page = json.loads(done.stdout)
    assert status == 503
    assert "monitoring does not answer" in page
