"""The door to HAProxy's statistics."""

from __future__ import annotations

import requests

from provision.base.errors import ProvisionError


def statistics(url: str, timeout: float = 10) -> str:
    """Read HAProxy's page of statistics as CSV; raises ProvisionError when it does not answer."""
    with requests.Session() as session:
        # It is this machine's own: no proxy of the environment is between.
        session.trust_env = False
        try:
            answer = session.get(f"{url}/;csv", timeout=timeout)
            answer.raise_for_status()
        except requests.RequestException as error:
            raise ProvisionError("HAProxy does not answer", detail=str(error)) from error
    return answer.text
