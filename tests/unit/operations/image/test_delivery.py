"""Software for nodes of a stock image: who gets it, how often, and what is in the way."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from dataclasses import replace

import pytest

from provision.adapters.cluster_dir import ClusterDir
from provision.adapters.host.process import Result
from provision.base.errors import UsageError
from provision.base.model import ClusterSpec, ImageSpec, Node, PackagesSpec, ProxySpec
from provision.model.cluster.steps import Plan, Step
from provision.model.image.stock import PackageSources
from provision.model.localcloud.image_families import AptMirrors
from provision.model.proxies import variables
from provision.operations.image import delivery

NODES = (
    Node("a-master", "master", "10.20.0.10", "1", "ACTIVE", ("ssh-ed25519 AAAA",)),
    Node("a-worker-1", "worker", "10.20.0.11", "2", "ACTIVE", ("ssh-ed25519 BBBB",)),
)
READ = delivery.host_sources
HOST = PackageSources(pip_conf="[global]\nindex-url = https://pypi.example/simple\n")


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(delivery, "host_sources", lambda proxy: HOST)

    def make(send, spec=None, now=None):
        spec = spec or ClusterSpec("a", image=ImageSpec("debian-13", stock=True))
        clock = (now or [0.0]).__getitem__
        return delivery.SoftwareDelivery(spec, ClusterDir("a"), "192.0.2.1", send=send, clock=lambda: clock(0))

    return make


def files_in(text):
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(text))) as archive:
        return {name: archive.extractfile(name).read().decode() for name in archive.getnames()}


def test_each_node_gets_it_over_ssh(make):
    sent = []
    bring = make(lambda argv, text: sent.append((argv, text)) or Result(tuple(argv), 0, "", "")).bring
    assert bring(NODES, ["a-master", "a-worker-1"]) == {}
    assert [argv[3] for argv, _ in sent] == ["a-master", "a-worker-1"]
    assert all(argv[:2] == ["ssh", "-F"] and "software.tgz" in argv[-1] for argv, _ in sent)
    found = files_in(sent[0][1])
    assert "image/setup/install.py" in found
    assert found["settings/pip.conf"] == ""
    assert '"python": ""' in found["settings/install.json"]


def test_a_node_without_host_keys_gets_nothing(make):
    nodes = (NODES[0], replace(NODES[1], host_keys=()))
    sent = []
    bring = make(lambda argv, text: sent.append(argv[3]) or Result(tuple(argv), 0, "", "")).bring
    assert bring(nodes, ["a-master", "a-worker-1"]) == {}
    assert sent == ["a-master"]


def test_a_node_whose_console_lags_behind_gets_it_once(make):
    now, sent = [0.0], []
    bring = make(lambda argv, text: sent.append(argv[3]) or Result(tuple(argv), 0, "", ""), now=now).bring
    for now[0] in (0.0, 10.0, 80.0, 95.0):
        bring(NODES, ["a-master"])
    assert sent == ["a-master", "a-master"]


def test_what_is_in_the_way_is_said_and_the_node_asked_again(make):
    answers = [Result((), 255, "", "banner\nConnection refused\n"), Result((), 124, "", ""), Result((), 0, "", "")]
    bring = make(lambda argv, text: answers.pop(0)).bring
    assert bring(NODES, ["a-master"]) == {"a-master": "Connection refused"}
    assert bring(NODES, ["a-master"]) == {"a-master": "ssh ended with 124"}
    assert bring(NODES, ["a-master"]) == {}
    assert bring(NODES, ["a-master"]) == {}, "nothing was sent"


def test_the_settings_of_this_machine_go_with_it_if_the_spec_says_so(make):
    sent = []
    spec = ClusterSpec(
        "a", image=ImageSpec("d", stock=True, sources="host"), packages=PackagesSpec(requirements=("polars==1",))
    )
    make(lambda argv, text: sent.append(text) or Result((), 0, "", ""), spec).bring(NODES, ["a-master"])
    found = files_in(sent[0])
    assert found["settings/pip.conf"] == HOST.pip_conf
    assert '"python": "3.13"' in found["settings/install.json"]


@pytest.mark.parametrize("sources", ["image", "host"])
def test_the_proxy_of_the_spec_holds_for_the_installation(make, sources, monkeypatch):
    sent = []
    monkeypatch.setattr(delivery, "host_sources", READ)
    monkeypatch.setenv("https_proxy", "http://mine:1")
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:1080")
    monkeypatch.setattr(delivery, "apt_proxies", lambda: {"Acquire::http::Proxy": "http://mine:2"})
    proxy = ProxySpec("http://proxy:3128", "http://proxy:3128")
    spec = ClusterSpec("a", image=ImageSpec("d", stock=True, sources=sources), proxy=proxy)
    make(lambda argv, text: sent.append(text) or Result((), 0, "", ""), spec).bring(NODES, ["a-master"])
    environment = json.loads(files_in(sent[0])["settings/install.json"])["environment"]
    assert environment["https_proxy"] == environment["HTTP_PROXY"] == "http://proxy:3128"
    assert "all_proxy" not in environment
    assert "settings/apt.conf" not in files_in(sent[0])


def test_no_variable_of_this_machine_is_beside_the_proxy_of_the_spec(monkeypatch, tmp_path):
    file = tmp_path / "pip.conf"
    file.write_text("[global]\nproxy = http://pips.example:1\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.setenv("https_proxy", "http://mine:1")
    monkeypatch.setenv("no_proxy", ".mine.example")
    found = delivery.host_sources(ProxySpec("http://proxy:3128"))
    assert found.environment == dict(variables(ProxySpec("http://proxy:3128")))
    assert "proxy = http://pips.example:1" in found.pip_conf


def test_what_this_machine_uses(monkeypatch, tmp_path):
    file = tmp_path / "pip.conf"
    file.write_text("[global]\nindex-url = https://pypi.example/simple\n")
    authority = tmp_path / "ca.pem"
    authority.write_text("PEM")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.setenv("PIP_CERT", str(authority))
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setattr(delivery, "apt_proxies", lambda: {"Acquire::http::Proxy": "http://apt.example:3142"})
    found = delivery.host_sources(ProxySpec())
    assert found.apt_proxies == {"Acquire::http::Proxy": "http://apt.example:3142"}
    assert "index-url = https://pypi.example/simple" in found.pip_conf
    assert "cert = /var/lib/provision-install/settings/authorities.pem" in found.pip_conf
    assert found.authorities.startswith("PEM")
    assert found.environment["HTTPS_PROXY"] == "http://proxy.example:3128"


def test_of_an_image_that_is_baked_the_node_knows_so(make, monkeypatch):
    sent = []
    bring = make(lambda argv, text: sent.append(text) or Result((), 0, "", ""))
    bring._bake = True
    bring.bring(NODES[:1], ["a-master"])
    assert '"bake": true' in files_in(sent[0])["settings/install.json"]


def test_a_proxy_of_this_machine_itself_is_refused_before_a_node_is_made(monkeypatch):
    monkeypatch.setattr(delivery, "apt_mirrors", AptMirrors)
    monkeypatch.setattr(delivery, "apt_proxies", dict)
    monkeypatch.setenv("http_proxy", "http://me:hunter2@127.0.0.1:3128")
    spec = ClusterSpec("a", image=ImageSpec("d", stock=True, sources="host"))
    create = Plan("a", (Step("create", "server", "a-master", "there is none"),))
    with pytest.raises(UsageError, match=r"(?i)http_proxy \(127.0.0.1:3128\) is on this machine itself") as caught:
        delivery.check_sources(spec, create)
    assert "`proxy` in cluster.yaml" in caught.value.hint
    delivery.check_sources(spec, Plan("a", (Step("update", "security group", "a", "other rules"),)))
    delivery.check_sources(replace(spec, proxy=ProxySpec("http://proxy:3128", "http://proxy:3128")), create)
    delivery.check_sources(replace(spec, image=ImageSpec("d", stock=True)), create)
