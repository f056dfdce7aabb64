"""The weather station's client against the stand-in: both ways to a token, its end, refusals, and what answers mean."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from provision_data.netatmo import MARGIN, PATIENCE, WAIT, ApiError, Client, readings
from provision_data.standin import APPLICATION, USER, StandIn, recorded, start


class Clock:
    """Goes when it is told to."""

    def __init__(self):
        self.now = 1000.0
        self.slept = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def api():
    stand_in = StandIn(lambda: recorded(1_468_157_806, 26.3, 22.8))
    stop = start(stand_in)
    yield stand_in
    stop()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def client(api, clock):
    client = Client(api.url, *APPLICATION, clock, clock.sleep)
    client.log_in(*USER)
    api.log.clear()
    return client


def test_a_password_gets_a_token(api, client):
    assert client.stations()["status"] == "ok"
    assert api.log == ["stations"]


def test_an_owners_consent_gets_a_token(api, clock):
    client = Client(api.url, *APPLICATION, clock, clock.sleep)
    page = client.consent_url("http://here.example/back", "a & state")
    back = requests.get(page, allow_redirects=False, timeout=30).headers["Location"]
    assert parse_qs(urlsplit(back).query)["state"] == ["a & state"]
    client.redeem(back.partition("code=")[2].partition("&")[0], "http://here.example/back")
    assert client.stations()["status"] == "ok"
    assert api.log == ["authorization_code", "stations"]


def test_wrong_words_get_none(api, clock):
    client = Client(api.url, *APPLICATION, clock, clock.sleep)
    with pytest.raises(ApiError, match="400: invalid_grant"):
        client.log_in(USER[0], "wrong")
    with pytest.raises(ApiError, match="log in first"):
        client.stations()


@pytest.mark.parametrize(
    ("before_its_end", "asked"), [(MARGIN + 1, ["stations"]), (MARGIN, ["refresh_token", "stations"])]
)
def test_a_token_is_renewed_at_the_edge_and_not_before(api, client, clock, before_its_end, asked):
    clock.now += api.lasts - before_its_end
    client.stations()
    assert api.log == asked


def test_each_refresh_token_is_good_for_one_use(api, client, clock):
    for _ in range(3):
        clock.now += api.lasts
        client.stations()
    assert api.log == ["refresh_token", "stations"] * 3


def test_the_time_of_the_request_counts_not_that_of_the_answer(api, clock):
    client = Client(api.url, *APPLICATION, clock, clock.sleep)
    give = api.give

    def slowly():
        clock.now += 30
        return give()

    api.give = slowly
    client.log_in(*USER)
    assert client.token.ends == 1000 + api.lasts


def test_a_server_whose_clock_is_ahead_ends_a_token_early(api, client):
    api.valid.clear()
    assert client.stations()["status"] == "ok"
    assert api.log == ["stations", "refresh_token", "stations"]


def test_a_refusal_that_stays_is_told(api, client):
    api.troubles = [(403, {}), (403, {})]
    with pytest.raises(ApiError, match="403: not now"):
        client.stations()
    assert api.log == ["stations", "refresh_token", "stations"]


def test_a_withdrawn_consent_is_told(api, client):
    api.valid.clear()
    api.refresh.clear()
    with pytest.raises(ApiError, match="400"):
        client.stations()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"Retry-After": "7"}, 7), ({}, WAIT), ({"Retry-After": "soon"}, WAIT), ({"Retry-After": "²"}, WAIT)],
)
def test_too_soon_is_asked_again_later(api, client, clock, headers, seconds):
    api.troubles = [(429, headers)]
    assert client.stations()["status"] == "ok"
    assert clock.slept == [seconds]


def test_too_soon_for_ever_is_told_and_not_waited_for_in_vain(api, client, clock):
    api.troubles = [(429, {})] * PATIENCE
    with pytest.raises(ApiError, match="429"):
        client.stations()
    assert clock.slept == [WAIT] * (PATIENCE - 1)


@pytest.mark.parametrize("lasts", [None, "long", []])
def test_a_token_that_lasts_nobody_knows_how_long_is_told(api, client, lasts):
    api.lasts = lasts
    with pytest.raises(ApiError, match="200: a token that lasts"):
        client.log_in(*USER)


BODIES = {
    "an object": (400, {"error": {"code": 21, "message": "no device"}}, "400: no device"),
    "words": (400, {"error": "invalid_grant"}, "400: invalid_grant"),
    "a list": (500, ["try", "later"], r"500: \['try', 'later'\]"),
    "text": (503, "later", "503: later"),
    "a list without an error": (200, [], "200: something that is no object"),
}


@pytest.mark.parametrize("case", BODIES)
def test_whatever_comes_back_instead_of_an_answer_is_told(api, client, case):
    status, body, words = BODIES[case]
    api.ask = lambda authorization: (status, body, {})
    with pytest.raises(ApiError, match=words):
        client.stations()


def changed(change):
    said = recorded(1_468_157_806, 26.3, 22.8)
    change(said["body"])
    return {(point.tags["module_name"], point.measurement): point for point in readings(said)}


def test_each_value_is_a_point():
    found = changed(lambda body: None)
    assert {name for module, name in found if module == "Living room, south"} == {
        "Temperature", "CO2", "Humidity", "Noise", "Pressure", "max_temp"
    }  # fmt: skip
    outdoors = found["Outdoors", "Temperature"]
    assert (outdoors.fields, outdoors.seconds) == ({"value": 22.8}, 1_468_157_799)
    assert outdoors.tags == {"station_name": "My Station", "module_name": "Outdoors"}


def test_a_station_without_modules():
    found = changed(lambda body: body["devices"][0].pop("modules"))
    assert {module for module, _ in found} == {"Living room, south"}


def test_missing_values_and_modules_out_of_reach():
    def change(body):
        station = body["devices"][0]
        station["dashboard_data"].update(CO2=None, Noise="-")
        station["modules"][0].pop("dashboard_data")
        station["modules"][1]["dashboard_data"].pop("Rain")
        station.pop("module_name")

    found = changed(change)
    assert {name for _, name in found} == {"Temperature", "Humidity", "Pressure", "max_temp"}
    assert {module for module, _ in found} == {"70:ee:50:00:00:01"}


def test_who_likes_fahrenheit_gets_celsius_too():
    found = changed(lambda body: body["user"]["administrative"].update(unit=1))
    assert found["Living room, south", "Temperature"].fields == {"value": 26.3}
    assert found == changed(lambda body: None)
