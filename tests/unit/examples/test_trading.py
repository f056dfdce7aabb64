"""The bot's rule on prices whose outcome is known, and properties that hold on all prices."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from provision_data.trading import DRIFTS, Rule, backtest, market, read_prices

FREE = Rule(step=0.1, gain=0.1, part=0.5, after_rises=False, fee=0)


def test_it_buys_after_a_fall_and_sells_higher():
    outcome = backtest([100, 90, 95, 100], FREE)
    assert (outcome.buys, outcome.sales, outcome.held) == (1, 1, 0)
    assert outcome.value == pytest.approx(1.05), "half of the cash has gained a tenth"
    assert outcome.hold == 1


def test_what_does_not_rise_again_waits():
    outcome = backtest([100, 90, 50], FREE)
    assert (outcome.buys, outcome.sales) == (2, 0)
    # Half of the cash at 90, half of the rest at 50.
    assert outcome.value == pytest.approx(0.5 - 0.25 + 0.5 * 50 / 90 + 0.25)
    assert outcome.hold == 0.5


def test_rises_are_bought_if_it_is_told_to():
    prices = [100, 111, 115]
    assert backtest(prices, FREE).buys == 0
    assert backtest(prices, Rule(step=0.1, gain=0.1, part=0.5, fee=0)).buys == 1


def test_a_fee_larger_than_the_gain_makes_each_sale_a_loss():
    outcome = backtest([100, 98, 99, 96, 97], Rule(0.02, 0.01, 0.5, after_rises=False, fee=0.01))
    assert outcome.sales == outcome.lost_sales == 2
    assert outcome.value < 1


@pytest.mark.parametrize("prices", [[], [1, 0], [-1], [1, math.nan, 2], [math.nan, 1], [1, math.inf], [1, -math.inf]])
def test_prices_that_are_none(prices):
    with pytest.raises(ValueError, match="prices"):
        backtest(prices, FREE)


def test_prices_are_read_as_spreadsheets_write_them(tmp_path):
    file = tmp_path / "prices.csv"
    file.write_bytes('\ufeffprice,day\r\n"1.5",1\r\n 2,2\r\n'.encode())
    assert read_prices(file) == [1.5, 2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column `price`"),
        ("cost\n1\n2\n", "no column `price`"),
        ("price\n1\n", "two prices"),
        ("price\n1\nnan\n2\n", "prices.csv, line 3: 'nan' is no price"),
        ("price\n1\ninf\n", "line 3: 'inf'"),
        ("price\n1\n0\n", "line 3: '0'"),
        ("day,price\n1,-1\n", "line 2: '-1'"),
        ("day,price\n1,2\n2\n", "line 3: None"),
        ("price\n1,50\n", "line 2: more columns"),
        ("price\nfive\n", "line 2: 'five'"),
    ],
)
def test_prices_that_cannot_be_traded_at_are_named(tmp_path, text, words):
    file = tmp_path / "prices.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=words):
        read_prices(file)


@pytest.mark.parametrize(("kind", "becomes"), [("rising", 2.46), ("falling", 0.407), ("sideways", 1)])
def test_markets_go_where_they_should(kind, becomes):
    for seed in range(5):
        prices = market(kind, 1_000, seed)
        assert prices[0] == 100
        assert prices[-1] / prices[0] == pytest.approx(becomes, rel=0.01)
        assert max(prices) / min(prices) > 1.15
    assert market(kind, 100, 1) == market(kind, 100, 1)
    assert market(kind, 1) == [100]
    assert set(DRIFTS) == {"rising", "falling", "sideways"}


rules = st.builds(
    Rule,
    step=st.floats(0.001, 0.5),
    gain=st.floats(0.001, 0.5),
    part=st.floats(0.01, 1),
    after_rises=st.booleans(),
    fee=st.floats(0, 0.02),
)


@given(st.lists(st.floats(1, 1e4), min_size=1, max_size=60), rules)
def test_no_money_comes_from_nowhere(prices, rule):
    outcome = backtest(prices, rule)
    assert 0 <= outcome.held <= 1
    assert outcome.sales <= outcome.buys
    # At most, each cash that was there at a buy gains what it asks for, or what the last price gives.
    most = 1.0
    for _ in range(outcome.buys):
        most *= 1 + max(rule.gain, prices[-1] / min(prices) - 1)
    assert 0 <= outcome.value <= most * (1 + 1e-9)
    if (1 + rule.gain) * (1 - rule.fee) ** 2 > 1.000001:
        assert outcome.lost_sales == 0
