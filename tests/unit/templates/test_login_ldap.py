"""A directory that is named by its address: from Python 3.12 on, ldap3 itself compares names alone."""

from __future__ import annotations

import importlib

import pytest
from ldap3.core import tls
from ldap3.core.exceptions import LDAPCertificateError

from provision.base.paths import TEMPLATES


class Socket:
    """A connection to a server whose certificate has these names."""

    def __init__(self, *names):
        self.names = names

    def getpeercert(self):
        return {"subject": ((("commonName", "ldap.example.org"),),), "subjectAltName": self.names}


@pytest.fixture
def check(monkeypatch):
    monkeypatch.setattr(tls, "check_hostname", tls.check_hostname)
    monkeypatch.syspath_prepend(TEMPLATES / "image/files/usr/local/share/provision/hub")
    return importlib.import_module("login_ldap").check_hostname


@pytest.mark.parametrize(
    ("server", "names"),
    [
        ("192.0.2.7", [("DNS", "localhost"), ("IP Address", "192.0.2.7")]),
        # As OpenSSL spells it.
        ("2001:db8::7", [("IP Address", "2001:DB8:0:0:0:0:0:7\n")]),
        ("ldap.example.org", [("DNS", "ldap.example.org")]),
        ("ldap.example.org", [("DNS", "*.example.org"), ("IP Address", "192.0.2.7")]),
    ],
)
def test_a_server_has_its_name_or_address_in_its_certificate(check, server, names):
    check(Socket(*names), server, None)


@pytest.mark.parametrize(
    ("server", "names"),
    [
        ("192.0.2.7", [("IP Address", "192.0.2.8")]),
        # An address is no name: whoever may have certificates for names could have one for "192.0.2.7".
        ("192.0.2.7", [("DNS", "192.0.2.7")]),
        ("192.0.2.7", []),
        ("ldap.example.org", [("DNS", "ldap.example.com")]),
    ],
)
def test_the_certificate_of_another_is_not_believed(check, server, names):
    with pytest.raises(LDAPCertificateError):
        check(Socket(*names), server, None)
