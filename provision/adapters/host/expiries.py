"""The door to what certificates on this machine say of themselves: the clusters' own and the cloud's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.model.localcloud.doctor.observed import Certificate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path


def certificates(folder: Path, cluster: str = "") -> list[Certificate]:
    """Read every certificate in a folder's PEM files: of a chain, the one that ends first, of copies the outermost."""
    found, known = [], set()
    files = (*folder.rglob("*.pem"), *folder.rglob("*.crt"))
    for path in sorted(files, key=lambda each: (len(each.parts), each)):
        chain = list(_read(path))
        if chain and path.read_bytes() not in known:
            known.add(path.read_bytes())
            ends, authority = min(chain)
            found.append(Certificate(str(path), ends, cluster, authority))
    return found


def _read(path: Path) -> Iterator[tuple[datetime, bool]]:
    from cryptography import x509

    try:
        for each in x509.load_pem_x509_certificates(path.read_bytes()):
            try:
                authority = each.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
            except x509.ExtensionNotFound:
                authority = False
            yield each.not_valid_after_utc, authority
    except (OSError, ValueError):
        # A key, or nothing of ours.
        return
