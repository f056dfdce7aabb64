"""Every way to log in, expired tokens and long lists: openstacksdk's own requests, to a small cloud on the loopback."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from openstack.config import loader

from provision.adapters.openstack.cloud import connect
from provision.base.errors import ProvisionError
from provision.model.cluster import resources

pytestmark = pytest.mark.filterwarnings("ignore")

PAGE = 500
PASSWORD = {
    "username": "u",
    "password": "p",
    "project_name": "x",
    "user_domain_id": "default",
    "project_domain_id": "default",
}


class SmallCloud(ThreadingHTTPServer):
    """Keystone and Nova, as far as a login and a list of servers need them."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.logins, self.lists = [], 0
        self.servers = []
        self.valid, self.expire_after = 0, None
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body, status=200, **headers):
        text = json.dumps(body).encode()
        self.send_response(status)
        for key, value in ({"Content-Type": "application/json", "Content-Length": str(len(text))} | headers).items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(text)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        cloud = self.server
        cloud.logins.append(body["auth"])
        cloud.valid += 1
        urls = {
            "compute": f"{cloud.url}/compute/v2.1",
            "network": f"{cloud.url}/network",
            "image": f"{cloud.url}/image",
        }
        catalog = [
            {
                "type": kind,
                "name": kind,
                "id": kind,
                "endpoints": [
                    {"id": f"{region}-{kind}", "interface": "public", "region": region, "region_id": region, "url": url}
                    for region in ("one", "two")
                ],
            }
            for kind, url in urls.items()
        ]
        token = {
            "methods": ["password"],
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "issued_at": "2020-01-01T00:00:00.000000Z",
            "user": {"id": "u", "name": "u", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p", "name": "x", "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": "m", "name": "member"}],
            "catalog": catalog,
        }
        self.answer({"token": token}, 201, X_Subject_Token=f"token-{cloud.valid}")

    def do_GET(self):
        cloud, url = self.server, urlsplit(self.path)
        if url.path.startswith("/v3"):
            links = [{"rel": "self", "href": f"{cloud.url}/v3/"}]
            self.answer({"version": {"id": "v3.14", "status": "stable", "links": links}})
        elif url.path.rstrip("/") == "/compute/v2.1":
            links = [{"rel": "self", "href": f"{cloud.url}/compute/v2.1/"}]
            version = {"id": "v2.1", "status": "CURRENT", "version": "2.96", "min_version": "2.1", "links": links}
            self.answer({"version": version})
        elif url.path.rstrip("/") in ("/network", "/image"):
            number = "v2.0"
            links = [{"rel": "self", "href": f"{cloud.url}{url.path.rstrip('/')}/{number}/"}]
            self.answer({"versions": [{"id": number, "status": "CURRENT", "links": links}]})
        elif self.headers.get("X-Auth-Token") != f"token-{cloud.valid}":
            self.answer({"error": {"code": 401, "message": "expired"}}, 401)
        else:
            self.servers(cloud, parse_qs(url.query))

    def servers(self, cloud, query):
        cloud.lists += 1
        if cloud.lists == cloud.expire_after:
            cloud.valid += 1
        marker, limit = query.get("marker", [None])[0], min(PAGE, int(query.get("limit", [PAGE])[0]))
        start = next((place + 1 for place, each in enumerate(cloud.servers) if each["id"] == marker), 0)
        page = cloud.servers[start : start + limit]
        found = {"servers": page}
        if start + limit < len(cloud.servers):
            more = f"{cloud.url}/compute/v2.1/servers/detail?limit={limit}&marker={page[-1]['id']}"
            found["servers_links"] = [{"rel": "next", "href": more}]
        self.answer(found)

    def log_message(self, *_):
        pass


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    for name in ("OS_CLOUD", "OS_CLIENT_CONFIG_FILE", "OS_CLIENT_SECURE_FILE", "OS_AUTH_URL"):
        monkeypatch.delenv(name, raising=False)
    # The SDK adds to these lists what the environment names, for the rest of the process.
    for name in ("CONFIG_FILES", "SECURE_FILES"):
        monkeypatch.setattr(loader, name, list(getattr(loader, name)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with SmallCloud() as made:
        yield made
        made.shutdown()


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write an entry `mine` into the clouds.yaml that is read."""

    def act(entry, secure=None):
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
        (tmp_path / "clouds.yaml").write_text(yaml.safe_dump({"clouds": {"mine": entry}}))
        if secure:
            monkeypatch.setenv("OS_CLIENT_SECURE_FILE", str(tmp_path / "secure.yaml"))
            (tmp_path / "secure.yaml").write_text(yaml.safe_dump({"clouds": {"mine": secure}}))

    return act


def vm(number, cluster="a"):
    """A server as Nova lists it."""
    return {
        "id": f"id-{number:05}",
        "name": f"{cluster}-worker-{number}",
        "status": "ACTIVE",
        "tenant_id": "p",
        "metadata": {resources.META_CLUSTER: cluster, resources.META_ROLE: "worker"},
        "flavor": {"original_name": "m1.small"},
    }


def test_a_password_in_secure_yaml(cloud, write):
    auth = {key: value for key, value in PASSWORD.items() if key != "password"}
    write({"auth": auth | {"auth_url": f"{cloud.url}/v3"}, "region_name": "one"}, {"auth": {"password": "secret"}})
    connect("mine")
    assert cloud.logins[0]["identity"]["password"]["user"]["password"] == "secret"


def test_an_application_credential(cloud, write):
    auth = {"auth_url": f"{cloud.url}/v3", "application_credential_id": "i", "application_credential_secret": "s"}
    write({"auth_type": "v3applicationcredential", "auth": auth, "region_name": "one"})
    connect("mine")
    assert cloud.logins[0]["identity"]["methods"] == ["application_credential"]
    assert "scope" not in cloud.logins[0]


def test_the_environment_alone(cloud, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for key, value in (PASSWORD | {"auth_url": f"{cloud.url}/v3", "region_name": "two"}).items():
        monkeypatch.setenv(f"OS_{key.upper()}", value)
    connect("envvars")
    assert cloud.logins


def test_a_vendors_profile_in_a_file(cloud, write, tmp_path, monkeypatch):
    (tmp_path / "clouds-public.yaml").write_text(
        yaml.safe_dump({"public-clouds": {"acme": {"auth": {"auth_url": f"{cloud.url}/v3"}, "region_name": "one"}}})
    )
    monkeypatch.setattr(loader, "VENDOR_FILES", [str(tmp_path / "clouds-public.yaml")])
    write({"profile": "acme", "auth": PASSWORD})
    connect("mine")
    assert cloud.logins


def test_a_region_of_several_is_used_and_a_wrong_one_is_named_with_those_that_exist(cloud, write):
    entry = {"auth": PASSWORD | {"auth_url": f"{cloud.url}/v3"}}
    write(entry | {"region_name": "two"})
    assert connect("mine").connection.config.get_region_name() == "two"
    write(entry | {"region_name": "three"})
    with pytest.raises(ProvisionError, match="has no region 'three'") as caught:
        connect("mine")
    assert "one, two" in caught.value.hint


def test_1200_servers_are_all_seen_and_a_token_that_ends_meanwhile_is_renewed(cloud, write):
    cloud.servers = [vm(number, "a" if number % 100 == 0 else "other") for number in range(1200)]
    write({"auth": PASSWORD | {"auth_url": f"{cloud.url}/v3"}, "region_name": "one"})
    mine = connect("mine")
    # The token ends after the second of three pages.
    cloud.expire_after = 2
    assert len(mine.servers("a")) == 12
    assert cloud.lists >= 3
    assert len(cloud.logins) == 2


def test_a_token_that_ends_in_a_long_wait_is_renewed(cloud, write):
    cloud.servers = [vm(1)]
    write({"auth": PASSWORD | {"auth_url": f"{cloud.url}/v3"}, "region_name": "one"})
    mine = connect("mine")
    for _ in range(3):
        cloud.valid += 1
        assert [server.name for server in mine.servers("a")] == ["a-worker-1"]
    assert len(cloud.logins) == 4


@pytest.fixture
def login(cloud, write):
    cloud.servers = [vm(1)]
    write({"auth": PASSWORD | {"auth_url": f"{cloud.url}/v3"}, "region_name": "one"})
    return lambda: connect("mine")


def test_the_next_command_does_not_log_in(cloud, login):
    for _ in range(3):
        assert [server.name for server in login().servers("a")] == ["a-worker-1"]
    assert len(cloud.logins) == 1


def test_another_users_password_gets_no_token_of_ours(cloud, login, write):
    login()
    write({"auth": PASSWORD | {"auth_url": f"{cloud.url}/v3", "password": "other"}, "region_name": "one"})
    login()
    assert len(cloud.logins) == 2


def test_a_token_that_was_revoked_since_is_replaced_for_those_that_follow_too(cloud, login):
    login()
    cloud.valid += 1
    assert login().servers("a")
    assert len(cloud.logins) == 2
    assert login().servers("a")
    assert len(cloud.logins) == 2


def test_a_cloud_that_is_gone_is_said_at_once_though_its_token_would_hold(cloud, login):
    login()
    cloud.shutdown()
    cloud.server_close()
    with pytest.raises(ProvisionError, match="cannot be reached"):
        login()


def test_a_catalogue_that_no_longer_holds_is_asked_for_again(cloud, login, write):
    login()
    write({"auth": PASSWORD | {"auth_url": f"{cloud.url}/v3"}, "region_name": "three"})
    for _ in range(2):
        with pytest.raises(ProvisionError, match="has no region 'three'"):
            login()
    # A region may be new: each time the cloud itself has said that there is none.
    assert len(cloud.logins) == 3
