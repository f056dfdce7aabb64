"""The Swarm's registry, over HTTP: which images it has, and the removal of those that no host needs any more."""

from __future__ import annotations

from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import requests

from provision.base.errors import ProvisionError
from provision.model.localcloud.swarm import REGISTRY_USER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_MANIFESTS: Final = ", ".join(
    (
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
    )
)
"""Kinds of manifests, as engines with and without the containerd image store push them: one not named is not shown."""
_TIMEOUT: Final = 30


class Registry:
    """The registry at `address` (host:port), which speaks plain HTTP on the host's own loopback address."""

    def __init__(self, address: str, password: str) -> None:
        self._address = address
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.auth = (REGISTRY_USER, password)
        self._session.headers["Accept"] = _MANIFESTS

    def drop_others(self, kept: Collection[str]) -> list[str]:
        """Delete all images but `kept` (names in the registry, with tag and maybe digest); return the deleted ones.

        Their layers stay until the registry collects its garbage. Raises ProvisionError when it does not answer.
        """
        with self._errors():
            there = self._images()
            names = {name.removeprefix(f"{self._address}/").partition("@")[0] for name in kept}
            needed = {digest for name in names for digest in there.get(name, ())}
            for name, _, digest in (each.removeprefix(f"{self._address}/").partition("@") for each in kept):
                # A tag may have been given to another image since.
                needed.update(self._manifests(name.rpartition(":")[0], digest) if digest else ())
            old = {
                name: digests
                for name, digests in there.items()
                if digests and name not in names and needed.isdisjoint(digests)
            }
            for name, digests in old.items():
                for digest in digests:
                    self._request("DELETE", f"{name.rpartition(':')[0]}/manifests/{digest}")
        return list(old)

    def _images(self) -> dict[str, tuple[str, ...]]:
        """Return the digests of every image's manifests, by its name with tag."""
        found: dict[str, tuple[str, ...]] = {}
        for repository in self._read("_catalog").get("repositories") or ():
            for tag in self._read(f"{repository}/tags/list").get("tags") or ():
                found[f"{repository}:{tag}"] = self._manifests(repository, tag)
        return found

    def _manifests(self, repository: str, reference: str) -> tuple[str, ...]:
        """Return the digest of a manifest, and of those that it lists; nothing if it is gone."""
        answer = self._request("GET", f"{repository}/manifests/{reference}")
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return ()
        listed = (each["digest"] for each in answer.json().get("manifests") or ())
        return (answer.headers["Docker-Content-Digest"], *listed)

    def _read(self, path: str) -> dict[str, Any]:
        answer = self._request("GET", path)
        # A repository of which everything was deleted is still in the catalogue.
        found: dict[str, Any] = {} if answer.status_code == HTTPStatus.NOT_FOUND else answer.json()
        return found

    def _request(self, method: str, path: str) -> requests.Response:
        answer = self._session.request(method, f"http://{self._address}/v2/{path}", timeout=_TIMEOUT)
        if answer.status_code != HTTPStatus.NOT_FOUND:
            answer.raise_for_status()
        return answer

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (requests.RequestException, LookupError, TypeError) as error:
            raise ProvisionError("the registry does not answer as it should", detail=str(error)) from error
