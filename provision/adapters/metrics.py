"""The store of metrics: queries, targets and alerts over Prometheus' HTTP API."""

from __future__ import annotations

import json
from typing import Any, Final, Protocol

import requests

from provision.base.errors import ProvisionError, UsageError

_LOCAL_HINT: Final = "`provision cloud status` shows what runs of it, `provision cloud logs monitoring` says more."


class WayToStore(Protocol):
    """How the store is asked."""

    def get(self, path: str, parameters: dict[str, str]) -> tuple[int, str]:
        """Return the HTTP status and the text of the answer. Raises ProvisionError where there is none."""


class WebStore:
    """A store at an address that this program reaches, with its account."""

    def __init__(self, url: str, user: str = "", password: str = "", *, timeout: float = 30, hint: str) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._hint = hint
        self._session = requests.Session()
        # It runs on this machine: a proxy named in the environment must not be asked.
        self._session.trust_env = False
        if user:
            self._session.auth = (user, password)

    def get(self, path: str, parameters: dict[str, str]) -> tuple[int, str]:
        """Ask it."""
        try:
            answer = self._session.get(self._url + path, params=parameters, timeout=self._timeout)
        except requests.RequestException as error:
            raise ProvisionError("monitoring does not answer", self._hint, str(error)) from error
        return answer.status_code, answer.text


class Metrics:
    """The store of metrics; `hint` says what to do where it does not answer."""

    def __init__(self, store: WayToStore, hint: str) -> None:
        self._store = store
        self._hint = hint

    @classmethod
    def at(cls, url: str, user: str = "", password: str = "", timeout: float = 30, hint: str = _LOCAL_HINT) -> Metrics:
        """Return the store at `url`, by default the local cloud's; a request may take `timeout` seconds."""
        return cls(WebStore(url, user, password, timeout=timeout, hint=hint), hint)

    def query(self, text: str) -> dict[str, Any]:
        """Return the answer to a query at this moment; raises UsageError for one that is wrong."""
        return dict(self._get("/api/v1/query", {"query": text}))

    def query_range(self, text: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Return each series of the answer, with its values from `start` to `end` (Unix time), one each `step` s."""
        times = {"start": f"{start:.0f}", "end": f"{end:.0f}", "step": f"{step:.0f}"}
        # From its cache the store answers for times that are whole steps: the newest value would be up to a step old.
        return list(self._get("/api/v1/query_range", {"query": text, **times, "nocache": "1"})["result"])

    def targets(self) -> list[dict[str, Any]]:
        """Return what is gathered, and whether it answers."""
        return list(self._get("/api/v1/targets", {"state": "active"})["activeTargets"])

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that are pending or fire."""
        return list(self._get("/api/v1/alerts", {})["alerts"])

    def _get(self, path: str, parameters: dict[str, str]) -> Any:  # noqa: ANN401 - JSON
        status, text = self._store.get(path, parameters)
        try:
            document = json.loads(text)
        except ValueError as error:
            # The store passes questions about alerts on to vmalert.
            raise ProvisionError("a part of monitoring does not answer", self._hint, text) from error
        if status == requests.codes.unprocessable_entity:
            raise UsageError(
                "the query is wrong", "It is PromQL: `up`, or `rate(NAME[5m])`.", document.get("error", "")
            )
        if status >= requests.codes.bad_request:
            raise ProvisionError("monitoring refuses the question", detail=str(document.get("error", document)))
        return document["data"]
