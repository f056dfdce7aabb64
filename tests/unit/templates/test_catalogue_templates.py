"""Consul's and HAProxy's configuration; integration/test_catalogue.py has both read by the programs themselves."""

from __future__ import annotations

import json

import jinja2
import pytest

from provision.model.templating import render


def test_consul_is_json():
    text = render(
        "openstack/consul.json.j2",
        node_name='a"b',
        address="192.0.2.2",
        recursors=["127.0.0.11"],
        script_checks=False,
        passwords={"consul_gossip": "key", "consul_management": "all"},
    )
    config = json.loads(text)
    assert (config["node_name"], config["bind_addr"]) == ('a"b', "192.0.2.2")
    assert config["dns_config"]["only_passing"] is True
    assert config["encrypt"] == "key"
    assert config["acl"] == {
        "enabled": True,
        "default_policy": "deny",
        "tokens": {"master": "all", "agent": "all"},
    }
    assert config["enable_script_checks"] is False


def test_each_service_has_a_frontend_and_a_backend_of_its_srv_name():
    services = [{"name": "a", "port": 1, "health": "/x"}, {"name": "b", "port": 2, "health": "/", "timeout": "1h"}]
    text = render("openstack/haproxy.cfg.j2", services=services, consul_address="192.0.2.2")
    for each in services:
        part = text.partition(f"\nfrontend {each['name']}\n")[2].partition("\nfrontend ")[0]
        assert f"bind :{each['port']}\n" in part
        assert f"uri {each['health']} " in part
        assert f"server-template {each['name']} 10 _{each['name']}._tcp.service.consul resolvers consul" in part
        assert ("timeout server 1h" in part) == ("timeout" in each)


def test_nothing_is_left_out_in_silence():
    with pytest.raises(jinja2.UndefinedError):
        render("openstack/haproxy.cfg.j2", services=[{"name": "a", "port": 1}], consul_address="192.0.2.2")
