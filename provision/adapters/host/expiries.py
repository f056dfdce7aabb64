"""When certificates on this machine begin and end: those of the clusters and of the local cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.model.localcloud.doctor.observed import Certificate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path


def certificates(folder: Path, cluster: str = "") -> list[Certificate]:
    """Read the certificates in the PEM files below a folder; `cluster` is the cluster that they belong to, if any.

    A chain is valid from its last beginning to its first end. Of identical files, the one in the fewest folders counts.
    """
    found, known = [], set()
    files = (*folder.rglob("*.pem"), *folder.rglob("*.crt"))
    for path in sorted(files, key=lambda path: (len(path.parts), path)):
        chain = list(_read(path))
        if chain and path.read_bytes() not in known:
            known.add(path.read_bytes())
            ends, authority, _ = min(chain)
            begins = max(begins for _, _, begins in chain)
            found.append(Certificate(str(path), begins, ends, cluster, authority))
    return found


def _read(path: Path) -> Iterator[tuple[datetime, bool, datetime]]:
    """Yield of each certificate its end, whether it is an authority's, and its beginning."""
    from cryptography import x509

    try:
        for certificate in x509.load_pem_x509_certificates(path.read_bytes()):
            try:
                authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
            except x509.ExtensionNotFound:
                authority = False
            yield certificate.not_valid_after_utc, authority, certificate.not_valid_before_utc
    except (OSError, ValueError):
        # A key, or no PEM file.
        return
