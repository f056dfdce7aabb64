"""A stand-in for a weather station's API on this machine: it gives tokens, lets them end, and answers as recorded."""

from __future__ import annotations

import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

USER = ("someone@weather.example", "correct horse")
APPLICATION = ("an-application", "its-secret")


class StandIn:
    """What the stand-in knows. Tests and notebooks change it between requests."""

    def __init__(self, answer: Callable[[], dict[str, Any]]) -> None:
        self.answer = answer
        self.url = ""
        self.lasts = 10_800
        """Seconds that it says a token lasts."""
        self.valid: set[str] = set()
        """Access tokens that it takes."""
        self.refresh: set[str] = set()
        """Refresh tokens: each is good for one use."""
        self.codes: set[str] = set()
        self.troubles: list[tuple[int, dict[str, str]]] = []
        """Statuses and headers of the next answers to questions, before it answers as it should."""
        self.log: list[str] = []
        """What was asked, with the grant."""

    def give(self) -> dict[str, Any]:
        """Make a new token, and forget the others."""
        access, refresh = secrets.token_urlsafe(12), secrets.token_urlsafe(12)
        self.valid, self.refresh = {access}, {refresh}
        return {"access_token": access, "refresh_token": refresh, "expires_in": self.lasts, "scope": ["read_station"]}

    def grant(self, asked: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Return the status and body for a request for a token."""
        kind = asked.get("grant_type", "")
        self.log.append(kind)
        good = {
            "password": (asked.get("username"), asked.get("password")) == USER,
            "authorization_code": asked.get("code") in self.codes,
            "refresh_token": asked.get("refresh_token") in self.refresh,
        }
        if (asked.get("client_id"), asked.get("client_secret")) != APPLICATION or not good.get(kind):
            return 400, {"error": "invalid_grant"}
        self.codes.discard(asked.get("code", ""))
        return 200, self.give()

    def ask(self, authorization: str) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Return the status, body and headers for a question about stations."""
        self.log.append("stations")
        if self.troubles:
            status, headers = self.troubles.pop(0)
            return status, {"error": {"code": status, "message": "not now"}}, headers
        if authorization.removeprefix("Bearer ") not in self.valid:
            return 403, {"error": {"code": 3, "message": "Access token expired"}}, {}
        return 200, self.answer(), {}


def start(stand_in: StandIn) -> Callable[[], None]:
    """Let it answer on a free port of the loopback address, which its `url` then has; return what stops it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._send(*stand_in.grant(dict(parse_qsl(body))), {})

        def do_GET(self) -> None:
            asked = dict(parse_qsl(urlsplit(self.path).query))
            if self.path.startswith("/oauth2/authorize"):
                # The owner consents at once.
                code = secrets.token_urlsafe(6)
                stand_in.codes.add(code)
                back = urlencode({"code": code, "state": asked["state"]})
                self._send(302, {}, {"Location": f"{asked['redirect_uri']}?{back}"})
            else:
                self._send(*stand_in.ask(self.headers.get("Authorization", "")))

        def _send(self, status: int, body: dict[str, Any], headers: dict[str, str]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            for key, value in {**headers, "Content-Type": "application/json", "Content-Length": str(len(data))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name there
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stand_in.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def stop() -> None:
        server.shutdown()
        server.server_close()

    return stop


def recorded(seconds: int, indoors: float, outdoors: float, humidity: int = 52) -> dict[str, Any]:
    """Return an answer in the API's shape: a station with a module outdoors and one for rain."""
    return {
        "status": "ok",
        "body": {
            "devices": [
                {
                    "_id": "70:ee:50:00:00:01",
                    "station_name": "My Station",
                    "module_name": "Living room, south",
                    "type": "NAMain",
                    "data_type": ["Temperature", "CO2", "Humidity", "Noise", "Pressure"],
                    "dashboard_data": {
                        "time_utc": seconds,
                        "Temperature": indoors,
                        "CO2": 431,
                        "Humidity": 46,
                        "Noise": 37,
                        "Pressure": 1001.9,
                        "temp_trend": "stable",
                        "max_temp": round(indoors + 0.4, 1),
                        "date_max_temp": seconds - 3_600,
                    },
                    "modules": [
                        {
                            "_id": "02:00:00:00:00:01",
                            "module_name": "Outdoors",
                            "type": "NAModule1",
                            "data_type": ["Temperature", "Humidity"],
                            "dashboard_data": {"time_utc": seconds - 7, "Temperature": outdoors, "Humidity": humidity},
                        },
                        {
                            "_id": "05:00:00:00:00:01",
                            "module_name": "Rain=Gauge",
                            "type": "NAModule3",
                            "data_type": ["Rain"],
                            "dashboard_data": {"time_utc": seconds - 7, "Rain": 0},
                        },
                    ],
                }
            ],
            "user": {"mail": USER[0], "administrative": {"unit": 0}},
        },
    }
