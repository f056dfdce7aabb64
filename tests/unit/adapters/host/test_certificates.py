"""An authority and its server certificates, kept in a folder."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from provision.adapters.host import certificates
from provision.adapters.host.certificates import end_of, ensure_certificate, last_day
from provision.base.errors import ProvisionError

ADDRESS = "192.0.2.1"


def ensure(folder, *, addresses=(ADDRESS,), mutual=False):
    return ensure_certificate(folder, "server", "Test authority", ("localhost",), addresses, mutual=mutual)


def load(pem):
    return x509.load_pem_x509_certificate(pem.encode())


def test_a_certificate_is_made_once_and_signed_by_its_authority(tmp_path):
    made = ensure(tmp_path)
    assert ensure(tmp_path) == made
    certificate, authority = load(made.cert), load(made.authority)
    certificate.verify_directly_issued_by(authority)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == [ADDRESS]
    files = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert files == dict.fromkeys(("ca.pem", "ca.key", "server.pem", "server.key"), 0o600)
    assert "PRIVATE" not in repr(made)


def test_another_address_takes_another_certificate_of_the_same_authority(tmp_path):
    first = ensure(tmp_path)
    second = ensure(tmp_path, addresses=(ADDRESS, "192.0.2.2"))
    assert second.authority == first.authority
    assert second.cert != first.cert
    assert ensure(tmp_path) == second


@pytest.mark.parametrize("damage", ["authority", "certificate", "key"])
def test_what_does_not_fit_together_is_replaced(tmp_path, damage):
    first = ensure(tmp_path)
    if damage == "authority":
        (tmp_path / "ca.key").unlink()
    elif damage == "certificate":
        (tmp_path / "server.pem").write_text("no certificate")
    else:
        (tmp_path / "server.key").unlink()
    second = ensure(tmp_path)
    assert second.cert != first.cert
    assert (second.authority == first.authority) is (damage != "authority")
    load(second.cert).verify_directly_issued_by(load(second.authority))


def test_a_certificate_that_expires_soon_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(certificates, "CERTIFICATE_DAYS", certificates.RENEW_DAYS - 1)
    first = ensure(tmp_path)
    monkeypatch.undo()
    second = ensure(tmp_path)
    assert second.cert != first.cert
    assert load(second.cert).not_valid_after_utc > datetime.now(UTC) + timedelta(days=certificates.RENEW_DAYS)


@pytest.mark.parametrize(
    ("begins", "lasts", "said"),
    [(timedelta(days=-2), 1, r"expired on 20\d\d-\d\d-\d\d"), (timedelta(days=1), 3650, "is not valid before 20")],
)
def test_an_authority_that_is_not_valid_now_is_said_and_never_replaced(tmp_path, monkeypatch, begins, lasts, said):
    class Clock(datetime):
        @classmethod
        def now(cls, tz):
            return datetime.now(tz) + begins

    with monkeypatch.context() as then:
        then.setattr(certificates, "datetime", Clock)
        then.setattr(certificates, "AUTHORITY_DAYS", lasts)
        ensure(tmp_path)
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    with pytest.raises(ProvisionError) as caught:
        ensure(tmp_path)
    assert re.match(re.escape(f"{tmp_path / 'ca.pem'} ") + said, caught.value.message)
    assert f"this machine's clock says {datetime.now(UTC):%Y-%m-%d}" in caught.value.message
    assert "a new authority is made" in caught.value.hint
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


def test_a_certificate_that_is_not_valid_yet_is_replaced(tmp_path, monkeypatch):
    ensure(tmp_path)

    class Ahead(datetime):
        @classmethod
        def now(cls, tz):
            return datetime.now(tz) + timedelta(days=365)

    (tmp_path / "server.pem").unlink()
    with monkeypatch.context() as then:
        then.setattr(certificates, "datetime", Ahead)
        ahead = ensure(tmp_path)
    again = ensure(tmp_path)
    assert again.cert != ahead.cert
    assert load(again.cert).not_valid_before_utc < datetime.now(UTC)


def test_a_mutual_certificate_is_for_both_ends_and_as_long_as_its_authority(tmp_path):
    made = ensure(tmp_path, mutual=True)
    certificate = load(made.cert)
    assert certificate.not_valid_after_utc == load(made.authority).not_valid_after_utc
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


def test_what_is_said_of_a_certificate(tmp_path):
    made = ensure(tmp_path / "one")
    other = ensure(tmp_path / "two")
    der = load(made.cert).public_bytes(Encoding.DER)
    assert certificates.last_day(made.cert) == load(made.cert).not_valid_after_utc.date().isoformat()
    assert certificates.last_day(made.cert) > certificates.valid_until()
    assert certificates.signed_by(der, made.authority)
    assert not certificates.signed_by(der, other.authority)
    assert not certificates.signed_by(b"no certificate", made.authority)


def test_the_end_of_a_certificate_is_read(tmp_path):
    made = ensure(tmp_path)
    assert end_of(made.cert).date().isoformat() == last_day(made.cert)
    assert end_of("no certificate") is None


@pytest.mark.parametrize("content", [b"", b"no PEM", b"\xff"])
@pytest.mark.parametrize("name", ["ca.pem", "ca.key"])
def test_a_damaged_authority_is_named(tmp_path, name, content):
    ensure(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ProvisionError) as caught:
        ensure(tmp_path, addresses=("192.0.2.2",))
    assert caught.value.message.startswith(f"{tmp_path / name} holds no PEM")
    assert "a new authority is made" in caught.value.hint
