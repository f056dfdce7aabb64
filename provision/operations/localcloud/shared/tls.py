"""TLS towards the `local` cloud's users: the installation's own certificate, or the user's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provision.adapters import net
from provision.adapters.host.certificates import ensure_certificate
from provision.adapters.host.files import ensure_private
from provision.base import paths
from provision.base.errors import UsageError
from provision.base.model import Tls
from provision.model.localcloud import ovn
from provision.model.localcloud.backup import AUTHORITY_FILES
from provision.model.localcloud.settings import GivenTls, peer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from provision.adapters.docker.engine import Engine
    from provision.model.localcloud.settings import Settings

_ADDRESSES: Final = ("127.0.0.1", "::1")
_NAMES: Final = ("localhost", peer("haproxy"))
_SERVICE: Final = "haproxy"
_AUTHORITY: Final = "provision local cloud"


def authority(settings: Settings) -> Path | None:
    """Say which file users have to trust; None: what everybody trusts."""
    return settings.tls.authority if settings.tls else _folder() / "ca.pem"


def ensure_tls(settings: Settings) -> None:
    """Write the certificate and key that HAProxy shows: made once, and anew 30 days before it expires."""
    if settings.tls:
        # Checked again at every start: they are renewed under the same names.
        accept(settings.tls)
        text = f"{settings.tls.cert.read_text().rstrip()}\n{settings.tls.key.read_text()}"
    else:
        made = ensure_certificate(_folder(), "api", _AUTHORITY, _NAMES, _ADDRESSES)
        text = made.cert + made.key
    # Every container of HAProxy sees the folder that it was made with.
    for folder in (_shown().parent, *_shown().parent.glob("*/")):
        ensure_private(folder / _shown().name, text)


def ensure_ovn(settings: Settings) -> None:
    """Have the certificate that OVN's databases and their clients show each other on several hosts."""
    if settings.swarm:
        ensure_certificate(_folder(), "ovn", _AUTHORITY, ("ovn",), (), mutual=True)


def ovn_files(settings: Settings) -> dict[str, str]:
    """Read that certificate, its key and its authority, by the names that containers know; nothing on one machine."""
    there = {ovn.AUTHORITY: "ca.pem", ovn.CERTIFICATE: "ovn.pem", ovn.KEY: "ovn.key"} if settings.swarm else {}
    return {name: (_folder() / file).read_text() for name, file in there.items()}


def authority_files() -> dict[str, str]:
    """Read the installation's own authority, certificate and key, by file name; nothing where it has made none."""
    there = {name: _folder() / name for name in AUTHORITY_FILES}
    return {name: path.read_text() for name, path in there.items()} if all(map(Path.exists, there.values())) else {}


def write_authority(files: Mapping[str, str]) -> None:
    """Put another authority in the place of the installation's own: certificates of the old one are made anew."""
    for name, text in files.items():
        ensure_private(_folder() / name, text)


def hand_over(engine: Engine, settings: Settings) -> str:
    """Have HAProxy show that certificate, without a pause; return what this waits for, or an empty text."""
    wanted = net.leaf(_shown().read_text())
    served = net.served_certificate("127.0.0.1", settings.ports.keystone)
    if served == wanted:
        return ""
    if served is not None:
        for state in engine.states():
            if state.service == _SERVICE and state.state == "running":
                engine.execute(state.container, ["/entrypoint", "certificate"])
    return "HAProxy's certificate"


def accept(given: GivenTls) -> GivenTls:
    """Check the user's own files, and fill in the name that they are for; raises UsageError with what is wrong."""
    # Not before it is needed: it brings in all of `cryptography`.
    from provision.clusterfile import tls

    for problem in tls.problems(Tls(given.cert, given.key)):
        raise UsageError(f"the certificate for HAProxy: {problem.wrong}", problem.fix)
    if given.authority and not given.authority.is_file():
        raise UsageError(f"{given.authority} is not there", "Name the certificate (PEM) of what signed yours.")
    names = tls.names(given.cert)
    host = "127.0.0.1" if "127.0.0.1" in names else next((each for each in names if "*" not in each), "")
    if not host:
        raise UsageError(f"{given.cert} is for no name that can be asked for", "Give one for a host name.")
    if net.address_of(host) != "127.0.0.1":
        raise UsageError(
            f"{given.cert} is for {host}, which does not lead to 127.0.0.1 on this machine",
            f"The APIs are open to this machine alone: write `127.0.0.1 {host}` into /etc/hosts.",
        )
    return replace(given, host=host)


def _folder() -> Path:
    return paths.localcloud_dir() / "tls"


def _shown() -> Path:
    return paths.localcloud_dir() / "etc" / _SERVICE / "tls.pem"
