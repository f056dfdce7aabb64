"""The user's own certificate and key: readable, in date, and belonging together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from provision.base.errors import UsageError
from provision.clusterfile import load, tls

# id: text of the file, line that is named, parts of the message, part of the hint
BAD = {
    "half of a certificate": ("name: a\nhub: {tls: {cert: a}}", 2, ["hub.tls.key", "missing"], "both"),
    "half of tls": ("name: a\nhub: {tls: {cert: a.pem}}", 2, ["hub.tls.key", "missing"], "both"),
    "unreadable tls": ("name: a\nhub: {tls: {cert: no.pem, key: no.key}}", None, ["cannot be read"], "Correct"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_spec(case, refused):
    refused(*BAD[case])


def certificate(start: int = -1, end: int = 10, secret: bytes | None = None, names=()) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hub.example.org")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=start))
        .not_valid_after(now + timedelta(days=end))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
    cert = builder.sign(key, hashes.SHA256())
    lock = BestAvailableEncryption(secret) if secret else NoEncryption()
    return (
        cert.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock),
    )


GOOD = certificate()


BAD_TLS = {
    "expired": (*certificate(-10, -1), "hub.tls.cert", "expired on"),
    "not yet": (*certificate(5, 10), "hub.tls.cert", "is not valid before"),
    "another key": (GOOD[0], certificate()[1], "hub.tls.key", "is not the key of"),
    "locked key": (*certificate(secret=b"x"), "hub.tls.key", "passphrase"),
    "no certificate": (b"hello", GOOD[1], "hub.tls.cert", "no PEM certificate"),
    "no key": (GOOD[0], b"hello", "hub.tls.key", "no PEM private key"),
    "key and certificate swapped": (GOOD[1], GOOD[0], "hub.tls.cert", "no PEM certificate"),
}


@pytest.mark.parametrize("case", BAD_TLS)
def test_bad_tls(case, tmp_path):
    cert, key, field, part = BAD_TLS[case]
    (tmp_path / "hub.pem").write_bytes(cert)
    (tmp_path / "hub.key").write_bytes(key)
    file = tmp_path / "cluster.yaml"
    file.write_text("name: a\nhub:\n  tls: {cert: hub.pem, key: hub.key}\n")
    with pytest.raises(UsageError) as caught:
        load(file)
    assert f"{file}:3: {field}" in caught.value.message
    assert part in caught.value.message
    assert load(file, files=False).name == "a"


def test_a_good_pair(tmp_path):
    (tmp_path / "hub.pem").write_bytes(GOOD[0])
    (tmp_path / "hub.key").write_bytes(GOOD[1])
    file = tmp_path / "cluster.yaml"
    file.write_text("name: a\nhub:\n  tls: {cert: hub.pem, key: hub.key}\n")
    assert load(file).hub.tls.cert == tmp_path / "hub.pem"


def test_the_names_of_a_certificate_in_their_order(tmp_path):
    file = tmp_path / "c.pem"
    alternatives = (x509.DNSName("b.example.org"), x509.IPAddress(IPv4Address("192.0.2.1")), x509.DNSName("a"))
    file.write_bytes(certificate(names=(*alternatives, x509.RFC822Name("x@example.org")))[0])
    assert tls.names(file) == ["b.example.org", "192.0.2.1", "a"]


def test_a_certificate_for_no_name(tmp_path):
    file = tmp_path / "c.pem"
    file.write_bytes(GOOD[0])
    assert tls.names(file) == []
