"""TLS of the local cloud's APIs: a certificate that the local cloud makes itself, or the user's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provision.adapters import net
from provision.adapters.host.certificates import authority_problem, ensure_certificate, require_authority
from provision.adapters.host.files import ensure_private
from provision.base import paths
from provision.base.errors import UsageError
from provision.base.model import Tls
from provision.base.poll import Pending
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
    """Return the CA that users have to trust; None if the certificate is publicly trusted."""
    return settings.tls.authority if settings.tls else _folder() / "ca.pem"


def ensure_tls(settings: Settings) -> None:
    """Write the certificate and key for HAProxy; one of our own is made once, and renewed 30 days before it expires."""
    if settings.tls:
        # Checked at every start: the user renews them under the same names.
        accept(settings.tls)
        text = f"{settings.tls.cert.read_text().rstrip()}\n{settings.tls.key.read_text()}"
    else:
        made = ensure_certificate(_folder(), "api", _AUTHORITY, _NAMES, _ADDRESSES)
        text = made.cert + made.key
    # Each HAProxy container sees the folder that it was created with.
    for folder in (_shown().parent, *_shown().parent.glob("*/")):
        ensure_private(folder / _shown().name, text)


def ensure_ovn(settings: Settings) -> None:
    """Make the certificate that OVN's databases and their clients show each other on several hosts."""
    if settings.swarm:
        ensure_certificate(_folder(), "ovn", _AUTHORITY, ("ovn",), (), mutual=True)


def ovn_files(settings: Settings) -> dict[str, str]:
    """Read OVN's certificate, key and CA by their names in the containers; nothing on one host."""
    files = {ovn.AUTHORITY: "ca.pem", ovn.CERTIFICATE: "ovn.pem", ovn.KEY: "ovn.key"} if settings.swarm else {}
    return {name: (_folder() / file).read_text() for name, file in files.items()}


def authority_files() -> dict[str, str]:
    """Read the local cloud's own CA, certificate and key, by file name; nothing where it has made none."""
    files = {name: _folder() / name for name in AUTHORITY_FILES}
    return {name: path.read_text() for name, path in files.items()} if all(map(Path.exists, files.values())) else {}


def require_usable(settings: Settings) -> None:
    """Raise what `ensure_tls` would raise, for commands that make or remove other things before."""
    if settings.tls:
        accept(settings.tls)
    else:
        require_authority(_folder())


def require_restorable(settings: Settings, files: Mapping[str, str]) -> None:
    """Raise what `ensure_tls` would raise after `write_authority(files)`, before anything is removed for it."""
    if settings.tls or problem_of(files):
        require_usable(settings)


def problem_of(files: Mapping[str, str]) -> str:
    """Say why a CA (as `authority_files` returns it) cannot be the local cloud's, as a predicate; empty if it can."""
    return authority_problem(files.get(AUTHORITY_FILES[0], "").encode())


def write_authority(files: Mapping[str, str]) -> None:
    """Replace the local cloud's own CA; certificates that the old one signed are then made again.

    One that `problem_of` finds fault with is left out: nothing could be signed with it.
    """
    for name, text in files.items() if not problem_of(files) else ():
        ensure_private(_folder() / name, text)


def hand_over(engine: Engine, settings: Settings) -> Pending | None:
    """Tell a running HAProxy to load the current certificate; return Pending until it shows it."""
    wanted = net.leaf(_shown().read_text())
    served = net.served_certificate("127.0.0.1", settings.ports.keystone)
    if served == wanted:
        return None
    if served is not None:
        for state in engine.states():
            if state.service == _SERVICE and state.state == "running":
                engine.execute(state.container, ["/entrypoint", "certificate"])
    return Pending("HAProxy's certificate")


def accept(given: GivenTls) -> GivenTls:
    """Check the user's certificate and return it with the host name that it is for, which stays once it is chosen.

    Raises UsageError for one that cannot be used.
    """
    # Imported only when needed: it loads all of `cryptography`.
    from provision.clusterfile import tls

    for problem in tls.problems(Tls(given.cert, given.key), unreadable="Name a file that you may read."):
        raise UsageError(f"the certificate for HAProxy: {problem.wrong}", problem.fix)
    if given.authority and not given.authority.is_file():
        raise UsageError(f"{given.authority} does not exist", "Name the certificate (PEM) of the CA that signed yours.")
    names = tls.names(given.cert)
    if given.host and not any(_covers(name, given.host) for name in names):
        # It was renewed: services, users and clouds.yaml know the APIs by the name of before.
        raise UsageError(
            f"{given.cert} is not for {given.host}, where the APIs are",
            "Renew it for that name too; or name it again (`provision cloud up --tls-cert`) to move them to its own.",
        )
    first = "127.0.0.1" if "127.0.0.1" in names else next((name for name in names if "*" not in name), "")
    host = given.host or first
    if not host:
        raise UsageError(f"{given.cert} names no host that can be connected to", "Use a certificate for a host name.")
    if net.address_of(host) != "127.0.0.1":
        raise UsageError(
            f"{given.cert} is for {host}, which does not lead to 127.0.0.1 on this machine",
            f"Only this machine can reach the APIs: write `127.0.0.1 {host}` into /etc/hosts.",
        )
    return replace(given, host=host)


def _covers(name: str, host: str) -> bool:
    """Whether a certificate with this name is for a host."""
    return name == host or (name.startswith("*.") and name[2:] == host.partition(".")[2])


def _folder() -> Path:
    return paths.localcloud_dir() / "tls"


def _shown() -> Path:
    return paths.localcloud_dir() / "etc" / _SERVICE / "tls.pem"
