"""Certificates in a folder: found in whatever chain they stand, and the first that ends counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from provision.adapters.host.expiries import certificates

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def certificate(days, *, authority=None, begins=0):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), 1, NOW + timedelta(days=begins), NOW + timedelta(days=days)
    )
    if authority is not None:
        builder = builder.add_extension(x509.BasicConstraints(authority, None), critical=True)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return pem, secret


def test_every_certificate_is_found_and_nothing_else(tmp_path):
    leaf, key = certificate(10, authority=False, begins=2)
    authority, _ = certificate(3650, authority=True)
    folder = tmp_path / "etc" / "haproxy"
    folder.mkdir(parents=True)
    (folder / "site.pem").write_text(key + authority + leaf)
    (tmp_path / "ca.crt").write_text(authority)
    (folder / "0123456789ab").mkdir()
    (folder / "0123456789ab" / "site.pem").write_text(key + authority + leaf)
    (tmp_path / "plain.pem").write_text(certificate(5)[0])
    (tmp_path / "key.pem").write_text(key)
    (tmp_path / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n")
    (tmp_path / "other.txt").write_text(leaf)
    found = {each.path.rpartition("/")[2]: each for each in certificates(tmp_path, "analytics")}
    assert {name: (each.ends - NOW).days for name, each in found.items()} == {
        "site.pem": 10,
        "ca.crt": 3650,
        "plain.pem": 5,
    }
    # A chain is valid when all of it is.
    assert {name for name, each in found.items() if each.begins > NOW} == {"site.pem"}
    assert found["site.pem"].path == str(folder / "site.pem")
    assert {name for name, each in found.items() if each.authority} == {"ca.crt"}
    assert {each.cluster for each in found.values()} == {"analytics"}
    assert certificates(tmp_path / "nowhere") == []
