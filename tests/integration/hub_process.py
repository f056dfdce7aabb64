"""A real JupyterHub with the rendered configuration, and accounts of its own: useradd's files are copies.

It runs in a mount namespace in which /etc and /home are other folders, so that logins make accounts for real, and none
of them is this machine's. What needs systemd or the proxy is left out: a user's server is a small web server.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests

from provision.base.constants import NODE
from provision.base.paths import TEMPLATES
from provision.model.cluster.example import documents

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from provision.base.model import ClusterSpec

FILES = TEMPLATES / "image/files"
WAIT = 400
TIMEOUT = 180

OTHER_SETTINGS = """
import os, sys
from jupyterhub.proxy import Proxy

class NoProxy(Proxy):
    should_start = False
    routes = {{}}
    async def add_route(self, routespec, target, data):
        self.routes[routespec] = {{"routespec": routespec, "target": target, "data": data}}
    async def delete_route(self, routespec):
        self.routes.pop(routespec, None)
    async def get_all_routes(self):
        return dict(self.routes)

del c.JupyterHub.ssl_cert, c.JupyterHub.ssl_key
c.JupyterHub.bind_url = "http://127.0.0.1:{public}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.services = c.JupyterHub.services[:1]
c.JupyterHub.load_roles = c.JupyterHub.load_roles[:1]
# As the Hub's own account: others need not reach this Python.
c.JupyterHub.spawner_class = "jupyterhub.spawner.SimpleLocalProcessSpawner"
c.SimpleLocalProcessSpawner.home_dir_template = "{home}/{{username}}"
c.Spawner.cmd = [sys.executable, "-I", "{server}"]
c.Spawner.args = []
# Servers go on while the Hub starts again, as on a master.
c.JupyterHub.cleanup_servers = False
EndsServers.SECONDS = 1
"""
SERVER = """\
import os, http.server, threading, urllib.parse

end = threading.Timer(1800, os._exit, (0,))
end.daemon = True
end.start()

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(os.getuid()).encode())

port = urllib.parse.urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"]).port
http.server.ThreadingHTTPServer(("127.0.0.1", port), Answer).serve_forever()
"""
PREPARE = """\
set -e
mount --bind {folder}/etc /etc
mount --bind {folder}/home /home
for group in spark notebook notebook-admin; do getent group $group >/dev/null || groupadd --system $group; done
exec "$@"
"""


@dataclass
class HubProcess:
    """A running Hub."""

    url: str
    folder: Path
    etc: Path

    def browser(self) -> Browser:
        """Return somebody's browser."""
        return Browser(self.url)

    def accounts(self) -> dict[str, list[str]]:
        """Return the lines of /etc/passwd as the Hub sees it, by name."""
        lines = (self.etc / "passwd").read_text().splitlines()
        return {words[0]: words for words in (line.split(":") for line in lines)}

    def ask(self, path: str) -> Any:
        """Ask the Hub's API as the operator does."""
        token = (self.folder / "state/operator.token").read_text()
        answer = requests.get(f"{self.url}/hub/api{path}", headers={"Authorization": f"token {token}"}, timeout=TIMEOUT)
        answer.raise_for_status()
        return answer.json()

    def server_of(self, name: str) -> bool:
        """Return whether a user's server runs."""
        return bool(self.ask(f"/users/{name}")["server"])


class Browser(requests.Session):
    """Somebody's browser: keeps cookies, follows links, sends forms."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.hub = url
        self.headers["Sec-Fetch-Mode"] = "navigate"

    def log_in_at(self, server: Any, subject: str) -> requests.Response:
        """Press the Hub's button, log in at the OIDC server, and come back."""
        # The page gives the Hub's own cookies.
        page = self.get(f"{self.hub}/hub/login", timeout=TIMEOUT)
        assert "Sign in with" in page.text, page.text
        there = self.get(f"{self.hub}/hub/oauth_login?next=%2Fhub%2Ftoken", verify=str(server.ca), timeout=TIMEOUT)
        if not there.url.startswith(server.issuer):
            return there
        return self.post(there.url, data={"sub": subject}, verify=str(server.ca), timeout=TIMEOUT)

    def log_in(self, name: str, password: str) -> requests.Response:
        """Fill in the Hub's form."""
        self.get(f"{self.hub}/hub/login", timeout=TIMEOUT)
        form = {"username": name, "password": password, "_xsrf": self.cookies.get("_xsrf", path="/hub/") or ""}
        return self.post(f"{self.hub}/hub/login?next=%2Fhub%2Ftoken", data=form, timeout=TIMEOUT)

    def start_server(self, name: str) -> requests.Response:
        """Start the user's server by the Hub's API, as its pages do."""
        xsrf = self.cookies.get("_xsrf", path="/hub/")
        headers = {"X-XSRFToken": xsrf or "", "Referer": f"{self.hub}/hub/home"}
        return self.post(f"{self.hub}/hub/api/users/{name}/server", headers=headers, timeout=TIMEOUT)


def said(page: requests.Response) -> str:
    """Return what the login page says is wrong."""
    found = re.search(r'class="login_error"[^>]*>([^<]*)<', page.text)
    return " ".join(found[1].split()).replace("&#39;", "'") if found else ""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def write_configuration(folder: Path, spec: ClusterSpec, port: int, secret: str) -> Path:
    """Render what the master gets for this spec, and adapt its places to this machine."""
    rendered = documents(spec, "cluster.yaml", ())
    given = json.loads(rendered["master/login.json"])
    (folder / "login.json").write_text(json.dumps(given | {"secret": secret}))
    text = rendered["master/jupyterhub_config.py"]
    for there, here in (
        (NODE.hub_login_settings, folder / "login.json"),
        (NODE.hub_login, folder / "pages"),
        (NODE.hub_state, folder / "state"),
    ):
        text = text.replace(f'"{there}"', f'"{here}"')
    (folder / "server.py").write_text(SERVER)
    text += OTHER_SETTINGS.format(port=port, public=_free_port(), server=folder / "server.py", home=folder / "home")
    (folder / "config.py").write_text(text)
    return folder / "config.py"


@contextmanager
def hub(folder: Path, spec: ClusterSpec, secret: str = "EXAMPLE-SECRET") -> Iterator[HubProcess]:
    """Run the Hub; a second run in the same folder has the accounts and the state of the first."""
    if not (folder / "etc").exists():
        subprocess.run(["cp", "-a", "/etc", str(folder / "etc")], check=True)
        shutil.copytree(FILES / NODE.hub_login.lstrip("/"), folder / "pages")
        for name in ("home", "state", "bin"):
            (folder / name).mkdir()
        # There is no systemd to ask for limits.
        (folder / "bin/systemctl").write_text("#!/bin/sh\n")
        (folder / "bin/systemctl").chmod(0o755)
        folder.chmod(0o755)
    port = _free_port()
    config = write_configuration(folder, spec, port, secret)
    private = ["unshare", "--mount", "--propagation", "private", "sh", "-c", PREPARE.format(folder=folder), "sh"]
    log = folder / "hub.log"
    env = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"}
    with log.open("a") as file:
        process = subprocess.Popen(
            [*_as_root(), *private, sys.executable, "-m", "jupyterhub", "-f", str(config)],
            cwd=folder / "state",
            env=env,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    found = HubProcess(f"http://127.0.0.1:{port}", folder, folder / "etc")
    try:
        _await(found, process, log)
        yield found
    except BaseException:
        print(log.read_text()[-6000:])
        raise
    finally:
        process.terminate()
        process.wait(TIMEOUT)


def _as_root() -> list[str]:
    return [] if os.geteuid() == 0 else ["sudo", "--preserve-env"]


def _await(found: HubProcess, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()[-4000:]
        try:
            requests.get(f"{found.url}/hub/api", timeout=5)
        except requests.RequestException:
            time.sleep(0.5)
        else:
            return
    raise AssertionError(log.read_text()[-4000:])
