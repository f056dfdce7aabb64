"""The local cloud's certificate: made once, renewed in time, or the user's own; and how HAProxy gets it."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from provision.adapters import net
from provision.adapters.host import certificates
from provision.adapters.host.certificates import ensure_certificate
from provision.base import paths
from provision.base.errors import ProvisionError, UsageError
from provision.base.progress import Silent
from provision.model.localcloud.host import ServiceState
from provision.model.localcloud.settings import GivenTls, Settings
from provision.operations.localcloud.shared import installation, login, tls


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def shown():
    return paths.localcloud_dir() / "etc/haproxy/tls.pem"


def test_it_is_made_once_for_this_machines_users_alone_to_read():
    tls.ensure_tls(Settings())
    text = shown().read_text()
    tls.ensure_tls(Settings())
    assert shown().read_text() == text
    assert "PRIVATE KEY" in text
    cert = x509.load_pem_x509_certificate(text.encode())
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    cert.verify_directly_issued_by(x509.load_pem_x509_certificate(tls.authority(Settings()).read_bytes()))
    for path in paths.localcloud_dir().rglob("*.*"):
        assert path.stat().st_mode & 0o777 == 0o600, path


def test_one_that_expires_within_a_month_is_made_anew_by_the_same_authority(monkeypatch):
    monkeypatch.setattr(certificates, "CERTIFICATE_DAYS", 29)
    tls.ensure_tls(Settings())
    old, authority = shown().read_text(), tls.authority(Settings()).read_text()
    monkeypatch.setattr(certificates, "CERTIFICATE_DAYS", 397)
    tls.ensure_tls(Settings())
    assert net.leaf(shown().read_text()) != net.leaf(old)
    assert tls.authority(Settings()).read_text() == authority


def test_every_folder_that_a_container_of_haproxy_sees_has_it():
    folders = [shown().parent / each for each in ("0123456789ab", "ba9876543210")]
    for folder in folders:
        folder.mkdir(parents=True)
    tls.ensure_tls(Settings())
    for folder in folders:
        assert (folder / "tls.pem").read_text() == shown().read_text()
        assert (folder / "tls.pem").stat().st_mode & 0o777 == 0o600


def test_another_authority_signs_anew_and_nobody_has_to_trust_another():
    tls.ensure_tls(Settings())
    kept, old = tls.authority_files(), shown().read_text()
    tls.authority(Settings()).unlink()
    assert tls.authority_files() == {}
    tls.ensure_tls(Settings())
    tls.write_authority(kept)
    tls.ensure_tls(Settings())
    authority = x509.load_pem_x509_certificate(kept["ca.pem"].encode())
    x509.load_pem_x509_certificate(shown().read_bytes()).verify_directly_issued_by(authority)
    assert net.leaf(shown().read_text()) != net.leaf(old)
    assert tls.authority_files() == kept


def test_a_lost_authority_is_made_anew_with_all_that_it_signed():
    tls.ensure_tls(Settings())
    tls.authority(Settings()).unlink()
    tls.ensure_tls(Settings())
    authority = x509.load_pem_x509_certificate(tls.authority(Settings()).read_bytes())
    x509.load_pem_x509_certificate(shown().read_bytes()).verify_directly_issued_by(authority)


def given(folder, names=("cloud.example.org",), addresses=()):
    made = ensure_certificate(folder, "mine", "example", names, addresses)
    return made, GivenTls("", folder / "mine.pem", folder / "mine.key", folder / "ca.pem")


def test_the_users_own_is_shown_and_read_again_when_it_was_renewed(tmp_path, monkeypatch):
    monkeypatch.setattr(net, "address_of", {"cloud.example.org": "127.0.0.1"}.get)
    made, files = given(tmp_path / "given")
    installation.choose_tls(Silent(), files)
    settings = installation.load_settings()
    assert settings.host == "cloud.example.org"
    tls.ensure_tls(settings)
    assert net.leaf(shown().read_text()) == net.leaf(made.cert)
    assert login.user_entry(settings, "p")["cacert"] == str(tmp_path / "given/ca.pem")
    files.cert.unlink()
    again, _ = given(tmp_path / "given")
    tls.ensure_tls(settings)
    assert net.leaf(shown().read_text()) == net.leaf(again.cert)
    installation.choose_tls(Silent(), None)
    assert installation.load_settings() == Settings()
    assert login.user_entry(Settings(), "p")["cacert"] == str(paths.localcloud_dir() / "tls/ca.pem")


def test_what_everybody_trusts_needs_no_authority(tmp_path):
    _, files = given(tmp_path / "given", addresses=("127.0.0.1",))
    settings = Settings(tls=tls.accept(GivenTls("", files.cert, files.key)))
    assert settings.host == "127.0.0.1"
    assert "cacert" not in login.user_entry(settings, "p")


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda files: files.cert.write_text("x"), "no PEM certificate"),
        (lambda files: files.key.unlink(), "mine.key"),
        (lambda files: files.authority.unlink(), "ca.pem does not exist"),
        (lambda files: None, "cloud.example.org, which does not lead to 127.0.0.1"),
    ],
)
def test_what_cannot_be_used_is_refused_and_changes_nothing(tmp_path, monkeypatch, break_it, said):
    monkeypatch.setattr(net, "address_of", lambda _: "192.0.2.1")
    _, files = given(tmp_path / "given")
    break_it(files)
    with pytest.raises(UsageError, match=said):
        installation.choose_tls(Silent(), files)
    assert installation.load_settings() == Settings()


class FakeEngine:
    """Containers that take a certificate when they are told to."""

    def __init__(self, states):
        self._states = states
        self.told = []

    def states(self):
        return self._states

    def execute(self, container, argv):
        self.told.append((container, argv))
        return 0, ""


def test_only_a_proxy_that_shows_another_certificate_is_given_it(monkeypatch):
    tls.ensure_tls(Settings())
    engine = FakeEngine(
        [
            ServiceState("haproxy", "h-1", "running"),
            ServiceState("haproxy", "h-2", "exited"),
            ServiceState("x", "x-1", "running"),
        ]
    )
    served = [None, b"old", net.leaf(shown().read_text())]
    monkeypatch.setattr(net, "served_certificate", lambda *_: served.pop(0))
    assert tls.hand_over(engine, Settings())
    assert not engine.told, "it does not answer yet"
    assert tls.hand_over(engine, Settings())
    assert engine.told == [("h-1", ["/entrypoint", "certificate"])]
    assert tls.hand_over(engine, Settings()) is None


def test_ovn_has_a_certificate_on_several_hosts_that_both_ends_show():
    tls.ensure_ovn(Settings())
    assert tls.ovn_files(Settings()) == {}
    assert not (paths.localcloud_dir() / "tls").exists()
    settings = Settings(ha=True, swarm=True)
    tls.ensure_ovn(settings)
    files = tls.ovn_files(settings)
    authority = x509.load_pem_x509_certificate(files["ovn-authority.pem"].encode())
    cert = x509.load_pem_x509_certificate(files["ovn-certificate.pem"].encode())
    cert.verify_directly_issued_by(authority)
    purposes = cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH} == set(purposes)
    # Nobody has to renew it while the authority is good: one that expires would end all networks at once.
    assert cert.not_valid_after_utc == authority.not_valid_after_utc
    tls.ensure_ovn(settings)
    assert tls.ovn_files(settings) == files


def test_a_certificate_that_is_not_there_is_no_matter_of_a_spec(tmp_path):
    with pytest.raises(UsageError, match=r"the certificate for HAProxy: .*c\.pem cannot be read") as refused:
        tls.accept(GivenTls("", tmp_path / "c.pem", tmp_path / "c.key"))
    assert refused.value.hint == "Name a file that you may read."


def test_the_apis_stay_at_their_name_when_the_certificate_is_renewed(tmp_path, monkeypatch):
    monkeypatch.setattr(net, "address_of", lambda _: "127.0.0.1")
    _, files = given(tmp_path / "given")
    installation.choose_tls(Silent(), files)
    settings = installation.load_settings()
    for names in (("more.example.org", "cloud.example.org"), ("*.example.org",)):
        files.cert.unlink()
        given(tmp_path / "given", names)
        assert tls.accept(settings.tls).host == "cloud.example.org"
    files.cert.unlink()
    given(tmp_path / "given", ("other.example.org",))
    for refuse in (tls.ensure_tls, tls.require_usable):
        with pytest.raises(UsageError, match=r"is not for cloud\.example\.org, where the APIs are"):
            refuse(settings)
    # Named again, it moves them.
    installation.choose_tls(Silent(), files)
    assert installation.load_settings().host == "other.example.org"


def test_an_authority_that_nothing_can_be_signed_with_takes_no_other_s_place(tmp_path):
    tls.ensure_tls(Settings())
    kept = tls.authority_files()
    useless = {**kept, "ca.pem": "no certificate"}
    assert tls.problem_of(kept) == ""
    assert tls.problem_of(useless) == tls.problem_of({}) == "holds no PEM certificate"
    tls.write_authority(useless)
    assert tls.authority_files() == kept
    tls.require_usable(Settings())
    tls.authority(Settings()).write_text("no certificate")
    with pytest.raises(ProvisionError, match="holds no PEM certificate"):
        tls.require_usable(Settings())
