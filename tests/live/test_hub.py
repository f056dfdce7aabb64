"""The Hub as users see it: from the operator's machine, with its certificate checked."""

from __future__ import annotations

import secrets
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from provision.adapters import net

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Cluster, Probe

# An account for these checks: users may have changed their passwords.
VISITOR = "provision-verify"
REMOVE = """
printf 'Authorization: token %%s' "$(cat /var/lib/jupyterhub/operator.token)" |
  curl --silent --output /dev/null --max-time 60 --header @- --request DELETE http://127.0.0.1:{port}/hub/api/users/{name}
! id {name} >/dev/null 2>&1 || userdel --force --remove {name} 2>/dev/null
"""


@pytest.fixture(scope="module")
def hub(cluster: Cluster) -> requests.Session:
    session = requests.Session()
    # Ignore proxies and certificates in this machine's environment.
    session.trust_env = False
    if cluster.data["hub_pinned"]:
        # The user's own certificate: its CA may be unknown here.
        session.mount("https://", net._pinned(Path(cluster.data["hub_ca"])))
    session.verify = cluster.data["hub_ca"]
    return session


@pytest.fixture(scope="module")
def url(cluster: Cluster) -> str:
    return str(cluster.data["hub_url"])


@pytest.fixture(scope="module")
def visitor(cluster: Cluster) -> Iterator[str]:
    """Make an account for these checks, yield its password, and remove the account again."""
    host, context = cluster.host(cluster.hub["name"]), cluster.context(cluster.hub["role"])
    password = secrets.token_urlsafe(12)
    crypt = ["openssl", "passwd", "-6", "-stdin"]
    hashed = subprocess.run(crypt, input=password, capture_output=True, text=True, check=True).stdout.strip()
    remove = REMOVE.format(port=context["ports"]["hub_api"], name=VISITOR).replace("%%", "%")
    add = f"useradd --no-create-home --groups {context['accounts']['hub']} --password '{hashed}' {VISITOR}"
    try:
        made = host.run("sudo bash -c %s", f"{remove}\n{add}")
        assert made.rc == 0, made.stderr
        yield password
    finally:
        host.run("sudo bash -c %s", remove)


def _log_in(hub: requests.Session, url: str, password: str) -> requests.Response:
    hub.cookies.clear()
    assert hub.get(f"{url}/hub/login", timeout=180).status_code == 200
    form: dict[str, Any] = {"username": VISITOR, "password": password, "_xsrf": hub.cookies.get("_xsrf", path="/hub/")}
    return hub.post(f"{url}/hub/login", data=form, allow_redirects=False, timeout=180)


def test_hub_is_well_and_its_certificate_is_the_clusters(hub: requests.Session, url: str) -> None:
    answer = hub.get(f"{url}/hub/health", timeout=180)
    assert answer.status_code == 200, f"unit jupyterhub answers {answer.status_code}"


def test_hub_shows_nothing_to_strangers(hub: requests.Session, url: str) -> None:
    hub.cookies.clear()
    answer = hub.get(f"{url}/hub/home", allow_redirects=False, timeout=180)
    assert answer.status_code == 302
    assert "/hub/login" in answer.headers["location"]


def test_login_through_the_form(cluster: Cluster, hub: requests.Session, url: str, visitor: str) -> None:
    kind = cluster.context(cluster.hub["role"])["hub"]["login"]["kind"]
    if kind != "pam":
        # Nobody here has a password there: whose form it is has to be enough.
        page = hub.get(f"{url}/hub/login", timeout=180).text
        assert ("Sign in with" in page) == (kind == "oidc")
        return
    answer = _log_in(hub, url, visitor)
    assert answer.status_code == 302, f"the Hub refused a right password: {answer.status_code}"
    assert VISITOR in hub.get(f"{url}/hub/home", timeout=180).text


def test_wrong_password_is_refused(hub: requests.Session, url: str, visitor: str) -> None:
    answer = _log_in(hub, url, visitor + "x")
    # 400: a form that does not come from the login server.
    assert answer.status_code in (400, 403)
    hub.cookies.clear()


def test_kernel_is_for_everyone(cluster: Cluster, hub_probe: Probe) -> None:
    import json

    node = cluster.context(cluster.hub["role"])["node"]
    kernel = json.loads(cluster.host(hub_probe.name).file(node["kernel"]).content_string)
    assert kernel["display_name"] == "PySpark"
    assert (
        kernel["env"]["PYSPARK_SUBMIT_ARGS"]
        == f"--master {cluster.context(cluster.hub['role'])['spark']['master_url']} pyspark-shell"
    )
