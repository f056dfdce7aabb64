"""Proxies as programs take them."""

from __future__ import annotations

import os
from ipaddress import IPv4Network
from urllib.request import proxy_bypass_environment

import pytest

from provision.base.model import Addresses, ClusterSpec, NetworkSpec, ProxySpec
from provision.model.proxies import apt_conf, bare_place, context, is_loopback, variables

URL = "http://proxy.example.org:3128"
ADDRESSES = Addresses("10.20.0.10", "192.0.2.10")


def of(*direct, http=URL, https=URL, cidr="10.20.0.0/24"):
    return context(
        ClusterSpec("a", network=NetworkSpec(cidr=IPv4Network(cidr)), proxy=ProxySpec(http, https, direct)), ADDRESSES
    )


def test_without_a_proxy_there_is_nothing():
    found = context(ClusterSpec("a"), ADDRESSES)
    assert (found["variables"], found["java"], found["http"], found["https"]) == ({}, "", "", "")
    assert variables(ProxySpec()) == {}


def test_the_environment_in_both_spellings():
    found = of(".internal.example")["variables"]
    assert found["http_proxy"] == found["HTTPS_PROXY"] == URL
    direct = "localhost,127.0.0.1,169.254.169.254,10.20.0.0/24,10.20.0.10,192.0.2.10,.internal.example"
    assert found["no_proxy"] == found["NO_PROXY"] == direct


def test_one_of_the_two_alone():
    found = of(https="")
    assert "https_proxy" not in found["variables"]
    assert "-Dhttps." not in found["java"]


@pytest.mark.parametrize(("host", "asked"), [("127.0.0.1", False), ("10.20.0.10", False), ("packages.example", True)])
def test_pythons_own_programs_go_by_it(host, asked):
    found = of()["variables"]
    proxies = {"http": found["http_proxy"], "no": found["no_proxy"]}
    assert proxy_bypass_environment(host, proxies) is not asked, os.name


def test_java():
    options = of(".internal.example", "repo.example.org", "repo", "198.51.100.7")["java"].split()
    assert options[:4] == [
        "-Dhttp.proxyHost=proxy.example.org",
        "-Dhttp.proxyPort=3128",
        "-Dhttps.proxyHost=proxy.example.org",
        "-Dhttps.proxyPort=3128",
    ]
    name, _, patterns = options[4].partition("=")
    assert name == "-Dhttp.nonProxyHosts"
    assert patterns.split("|") == [
        "localhost",
        "127.*",
        "169.254.169.254",
        "10.20.0.*",
        "10.20.0.10",
        "192.0.2.10",
        "*.internal.example",
        "repo.example.org",
        "*.repo.example.org",
        "repo",
        "198.51.100.7",
    ]


@pytest.mark.parametrize(
    ("cidr", "patterns"),
    [
        ("10.0.0.0/8", ["10.*"]),
        ("172.16.0.0/12", [f"172.{number}.*" for number in range(16, 32)]),
        ("10.20.0.0/16", ["10.20.*"]),
        ("10.20.4.0/22", [f"10.20.{number}.*" for number in range(4, 8)]),
        ("10.20.0.64/26", ["10.20.0.*"]),
        ("192.0.2.7/32", ["192.0.2.7"]),
    ],
)
def test_ranges_for_java(cidr, patterns):
    found = of(cidr=cidr)["java"].partition("nonProxyHosts=")[2].split("|")
    assert found[3 : 3 + len(patterns)] == patterns


def test_apt_gets_the_hosts_that_it_can_take():
    assert of(".internal.example", "repo.example.org", "198.51.100.0/24")["hosts"] == ["repo.example.org"]


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://127.0.0.1:5000/v3", True),
        ("https://localhost:5000", True),
        ("http://me:hunter2@mirror.localhost/", True),
        ("http://[::1]:5000", True),
        ("127.0.0.1:3128", True),
        ("me:hunter2@127.0.0.1:3128", True),
        ("http://0.0.0.0:3128", True),
        ("http://[::]:3128", True),
        ("https://localhost.:5000", True),
        ("http://mirror.localhost./", True),
        ("https://192.0.2.1/v3", False),
        ("https://cloud.example.org/v3", False),
        ("proxy.example.org:3128", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_what_is_this_machine_itself(url, own):
    assert is_loopback(url) == own


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://me:hunter2@proxy:3128/x", "proxy:3128"),
        ("socks5://hunter2@[::1]:1080", "[::1]:1080"),
        ("me:hunter2@proxy:3128", "proxy:3128"),
        ("http://me:hunt@er2@proxy", "proxy"),
        ("proxy:3128", "proxy:3128"),
    ],
)
def test_of_a_url_its_place_alone_is_shown(url, place):
    assert bare_place(url) == place


def test_apts_configuration():
    proxies = {"Acquire::http::Proxy": URL, "Acquire::http::Proxy::near.example.org": "DIRECT"}
    assert apt_conf(proxies, "/settings/authorities.pem").splitlines() == [
        'Acquire::https::CAInfo "/settings/authorities.pem";',
        f'Acquire::http::Proxy "{URL}";',
        'Acquire::http::Proxy::near.example.org "DIRECT";',
    ]
    assert apt_conf({}) == ""
