"""Proxies in a spec: what is taken, and what is refused in words, without showing a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.base.errors import UsageError
from provision.base.model import ProxySpec
from provision.clusterfile.loading import check
from provision.clusterfile.proxies import direct, proxy
from provision.clusterfile.units import Wrong

URL = "http://proxy.example.org:3128"


def read(text):
    return check(f"name: analytics\n{text}\n", Path("cluster.yaml")).proxy


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ProxySpec()),
        ("proxy:", ProxySpec()),
        (f"proxy: {URL}", ProxySpec(URL, URL)),
        (f"proxy: {URL}/", ProxySpec(URL, URL)),
        (f"proxy: {{http: {URL}}}", ProxySpec(URL)),
        (
            f"proxy: {{https: {URL}, no_proxy: [.example.org, 192.0.2.0/24, 198.51.100.7, repo]}}",
            ProxySpec("", URL, (".example.org", "192.0.2.0/24", "198.51.100.7", "repo")),
        ),
        ("proxy: http://192.0.2.1:80", ProxySpec("http://192.0.2.1:80", "http://192.0.2.1:80")),
    ],
)
def test_what_is_taken(text, found):
    assert read(text) == found
    assert bool(read(text)) is bool(found.http or found.https)


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("proxy: proxy.example.org:3128", "proxy", "does not begin with http://"),
        ("proxy: https://proxy.example.org:3128", "proxy", "does not begin with http://"),
        ("proxy: socks5://proxy:1080", "proxy", "does not begin with http://"),
        ("proxy: http://proxy.example.org", "proxy", "names no port"),
        ("proxy: http://proxy:port", "proxy", "is not the address of a proxy"),
        ("proxy: http://proxy:99999", "proxy", "is not the address of a proxy"),
        ("proxy: http://:3128", "proxy", "is not the address of a proxy"),
        ("proxy: 'http://a b:3128'", "proxy", "is not the address of a proxy"),
        ("proxy: \"http://a';reboot;':3128\"", "proxy", "is not the address of a proxy"),
        ("proxy: http://-a:3128", "proxy", "is not the address of a proxy"),
        ("proxy: http://proxy:3128/path", "proxy", "more than a host and a port"),
        ("proxy: http://proxy:3128?x=1", "proxy", "more than a host and a port"),
        ("proxy: 3128", "proxy", "where an address belongs"),
        ("proxy: true", "proxy", "where an address belongs"),
        ("proxy: [a]", "proxy", "where an address belongs"),
        ("proxy: {}", "proxy", "it names no proxy"),
        ("proxy: {no_proxy: [a]}", "proxy", "it names no proxy"),
        (f"proxy: {{ftp: '{URL}'}}", "proxy.ftp", "no such field"),
        ("proxy: {http: proxy}", "proxy.http", "does not begin with http://"),
        ("proxy: {https: 1}", "proxy.https", "where text belongs"),
        (f"proxy: {{http: '{URL}', no_proxy: a}}", "proxy.no_proxy", "is not a list"),
        (f"proxy: {{http: '{URL}', no_proxy: ['*']}}", "proxy.no_proxy[0]", "no proxy is ever asked"),
        (f"proxy: {{http: '{URL}', no_proxy: ['a,b']}}", "proxy.no_proxy[0]", "more than one host"),
        (f"proxy: {{http: '{URL}', no_proxy: ['a b']}}", "proxy.no_proxy[0]", "more than one host"),
        (f"proxy: {{http: '{URL}', no_proxy: [192.0.2.1/24]}}", "proxy.no_proxy[0]", "neither an IPv4 address nor"),
        (f"proxy: {{http: '{URL}', no_proxy: [192.0.2.300]}}", "proxy.no_proxy[0]", "neither an IPv4 address nor"),
        (f"proxy: {{http: '{URL}', no_proxy: ['a|b']}}", "proxy.no_proxy[0]", "is not a host"),
        (f"proxy: {{http: '{URL}', no_proxy: ['']}}", "proxy.no_proxy[0]", "is not a host"),
        (f"proxy: {{http: '{URL}', no_proxy: [8]}}", "proxy.no_proxy[0]", "where text belongs"),
    ],
)
def test_what_is_refused(text, field, said):
    with pytest.raises(UsageError) as caught:
        read(text)
    assert caught.value.message.startswith(f"cluster.yaml:2: {field}: ")
    assert said in caught.value.message
    assert caught.value.hint.endswith((".", "?"))


@pytest.mark.parametrize("text", ["http://me:hunter2@proxy:3128", "me:hunter2@proxy", "http://hunter2@proxy:3128"])
def test_a_password_is_refused_and_not_shown(text):
    with pytest.raises(Wrong) as caught:
        proxy(text)
    assert "hunter2" not in caught.value.wrong + caught.value.fix
    assert "let in the nodes by their addresses" in caught.value.fix


@pytest.mark.parametrize("text", ["a.example.org", ".example.org", "192.0.2.0/24", "192.0.2.1", "repo-1"])
def test_hosts_without_a_proxy(text):
    assert direct(text) == text
