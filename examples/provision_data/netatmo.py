"""A client of a weather station's API, as Netatmo's: two ways to a token, its refresh, and what the answers mean."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import requests

from provision_data.lineprotocol import Point

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MARGIN: Final = 60
"""Seconds before its end at which a token is renewed: a request must not arrive with one that ends on its way."""
PATIENCE: Final = 3
"""How often a request is sent, at most, that comes too soon (429)."""
WAIT: Final = 10
"""Seconds to wait when a 429 does not say how long."""
_SCOPE: Final = "read_station"
_NOT_MEASURED: Final = ("time_utc", "date_")


class ApiError(Exception):
    """The API said no, or something that is no answer."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"the weather API answered {status}: {words}")
        self.status = status


@dataclass(frozen=True)
class Token:
    """What a client shows to the API."""

    access: str
    refresh: str
    ends: float
    """By the client's own clock: what the server's says does not matter."""


class Client:
    """Speaks to the API. `clock` goes evenly and never back; other ones, and another `sleep`, in tests only."""

    def __init__(
        self,
        url: str,
        client_id: str,
        client_secret: str,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url
        self.token: Token | None = None
        self._application = {"client_id": client_id, "client_secret": client_secret}
        self._session = requests.Session()
        self._clock = clock
        self._sleep = sleep

    # --- ways to a token

    def log_in(self, username: str, password: str) -> None:
        """Get a token for one's own station, with one's own password. Raises ApiError."""
        self._get_token(grant_type="password", username=username, password=password, scope=_SCOPE)

    def consent_url(self, redirect_uri: str, state: str) -> str:
        """Return the page on which the owner of a station lets this application read it.

        Afterwards the owner's browser asks for `redirect_uri` with `code` and the same `state`.
        """
        asked = {
            "client_id": self._application["client_id"],
            "redirect_uri": redirect_uri,
            "scope": _SCOPE,
            "state": state,
            "response_type": "code",
        }
        return f"{self.url}/oauth2/authorize?{urlencode(asked)}"

    def redeem(self, code: str, redirect_uri: str) -> None:
        """Get a token for the code that came back from the owner's consent. Raises ApiError."""
        self._get_token(grant_type="authorization_code", code=code, redirect_uri=redirect_uri, scope=_SCOPE)

    def _get_token(self, **grant: str) -> None:
        began = self._clock()
        answer = self._patiently(
            lambda: self._session.post(f"{self.url}/oauth2/token", data={**grant, **self._application}, timeout=30)
        )
        said = _body(answer)
        try:
            # From when it was asked for: the way back takes time too.
            self.token = Token(said["access_token"], said["refresh_token"], began + float(said["expires_in"]))
        except KeyError as missing:
            raise ApiError(answer.status_code, f"a token without {missing}") from None
        except (TypeError, ValueError):
            raise ApiError(answer.status_code, f"a token that lasts {said['expires_in']!r} seconds") from None

    # --- questions

    def stations(self) -> dict[str, Any]:
        """Return all stations with their modules and newest readings, as the API says it. Raises ApiError."""
        if self.token is None:
            raise ApiError(401, "log in first")
        if self._clock() >= self.token.ends - MARGIN:
            self._refresh(self.token)
        answer = self._ask()
        if answer.status_code in (401, 403):
            # The server may count otherwise than we do, or has withdrawn the token: once, with a new one.
            self._refresh(self.token)
            answer = self._ask()
        return _body(answer)

    def _refresh(self, token: Token) -> None:
        self._get_token(grant_type="refresh_token", refresh_token=token.refresh)

    def _ask(self) -> requests.Response:
        # In the header: addresses end up in logs.
        access = self.token.access if self.token else ""
        headers = {"Authorization": f"Bearer {access}"}
        return self._patiently(
            lambda: self._session.get(f"{self.url}/api/getstationsdata", headers=headers, timeout=30)
        )

    def _patiently(self, send: Callable[[], requests.Response]) -> requests.Response:
        for left in reversed(range(PATIENCE)):
            answer = send()
            if answer.status_code != requests.codes.too_many_requests or not left:
                break
            said = answer.headers.get("Retry-After", "")
            self._sleep(float(said) if said.isdecimal() else WAIT)
        return answer


def _body(answer: requests.Response) -> dict[str, Any]:
    try:
        said = answer.json()
    except ValueError:
        raise ApiError(answer.status_code, "something that is no JSON") from None
    if not answer.ok:
        error = said.get("error", said) if isinstance(said, dict) else said
        raise ApiError(answer.status_code, str(error.get("message", error) if isinstance(error, dict) else error))
    if not isinstance(said, dict):
        raise ApiError(answer.status_code, "something that is no object")
    return said


def readings(said: dict[str, Any]) -> Iterator[Point]:
    """Yield each measured value of an answer: by the name of what was measured, tagged with station and module.

    The API answers in metric units, whatever its `user` likes to see: https://github.com/Gulivertx/cbatmo/issues/9.
    A module that is out of reach has no readings, and a value that is missing is left out.
    """
    for station in said["body"]["devices"]:
        name = station.get("station_name") or station["_id"]
        for module in (station, *station.get("modules", ())):
            measured = module.get("dashboard_data") or {}
            if "time_utc" not in measured:
                continue
            tags = {"station_name": name, "module_name": module.get("module_name") or module["_id"]}
            for key, value in measured.items():
                if key.startswith(_NOT_MEASURED) or isinstance(value, bool) or not isinstance(value, int | float):
                    continue
                yield Point(key, {"value": float(value)}, int(measured["time_utc"]), tags)
