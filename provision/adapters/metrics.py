"""The store of metrics: queries, targets and alerts over Prometheus' HTTP API."""

from __future__ import annotations

from typing import Any, Final

import requests

from provision.base.errors import ProvisionError, UsageError

_HINT: Final = "`provision cloud status` shows what runs of it, `provision cloud logs monitoring` says more."


class Metrics:
    """The store at `url`, with its account; a request may take `timeout` seconds."""

    def __init__(self, url: str, user: str, password: str, timeout: float = 30) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._session = requests.Session()
        # It runs on this machine: a proxy named in the environment must not be asked.
        self._session.trust_env = False
        self._session.auth = (user, password)

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
        try:
            answer = self._session.get(self._url + path, params=parameters, timeout=self._timeout)
        except requests.RequestException as error:
            raise ProvisionError("monitoring does not answer", _HINT, str(error)) from error
        try:
            document = answer.json()
        except ValueError as error:
            # The store passes questions about alerts on to vmalert.
            raise ProvisionError("a part of monitoring does not answer", _HINT, answer.text) from error
        if answer.status_code == requests.codes.unprocessable_entity:
            raise UsageError(
                "the query is wrong", "It is PromQL: `up`, or `rate(NAME[5m])`.", document.get("error", "")
            )
        if not answer.ok:
            raise ProvisionError("monitoring refuses the question", detail=str(document.get("error", document)))
        return document["data"]
