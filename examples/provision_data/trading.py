"""A trading bot's rule that never sells for less than it bought, tried on prices of the past. No advice to anybody."""

from __future__ import annotations

import csv
import heapq
import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provision_data.weather import fronts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

DRIFTS = {"rising": 0.9, "falling": -0.9, "sideways": 0.0}
"""Kinds of markets: what the logarithm of their price gains from the first price to the last one."""


@dataclass(frozen=True)
class Rule:
    """The bot's settings. It buys when the price has moved by `step` since its last trade, for a `part` of its cash."""

    step: float = 0.03
    gain: float = 0.03
    """How much more than it paid it asks for, in an order that stays until the price is reached."""
    part: float = 0.2
    after_rises: bool = True
    """Whether it also buys when the price has risen by a step, not only when it has fallen."""
    fee: float = 0.0025
    """What the exchange takes of each trade."""


@dataclass(frozen=True)
class Outcome:
    """What became of 1 in cash."""

    value: float
    """Cash and what it holds, at the last price and without the fee for selling that."""
    hold: float
    """What buying at the first price and waiting would have become."""
    buys: int
    sales: int
    lost_sales: int
    """Sales that brought less than was paid, fees included."""
    held: float
    """Part of the value that waits for a higher price."""


def market(kind: str, steps: int, seed: int = 1) -> list[float]:
    """Return hourly prices, the first one 100: rising, falling or sideways, and as nervous as such prices are."""
    chance = random.Random(seed)
    # What comes back (a price around which others are), and what does not.
    swings = fronts(steps, 1, chance, lasts=30)
    walk, nervous = 0.0, []
    for swing in swings:
        nervous.append(walk + 0.05 * swing)
        walk += chance.gauss(0, 0.002)
    # All in all chance adds nothing: a sideways market ends where it began.
    begin, last = nervous[0], max(steps - 1, 1)
    slope = (DRIFTS[kind] - (nervous[-1] - begin)) / last
    return [100 * math.exp(value - begin + slope * number) for number, value in enumerate(nervous)]


def read_prices(path: Path) -> list[float]:
    """Return the column `price` of a CSV file. Raises ValueError where it, or a line of it, has none."""
    # Spreadsheets write a mark of the encoding before the first name.
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file)
        if "price" not in (table.fieldnames or ()):
            raise ValueError(f"{path} has no column `price`")
        prices = [_price(row, f"{path}, line {table.line_num}") for row in table]
    if len(prices) < 2:
        raise ValueError(f"{path}: two prices at least, or there is nothing to trade")
    return prices


def _price(row: Mapping[str | None, Any], where: str) -> float:
    # Behind the last name: 1,50 without quotes is two columns.
    if None in row:
        raise ValueError(f"{where}: more columns than there are names")
    try:
        price = float(row["price"] or "")
    except ValueError:
        price = math.nan
    if not 0 < price < math.inf:
        raise ValueError(f"{where}: {row['price']!r} is no price")
    return price


def backtest(prices: Sequence[float], rule: Rule) -> Outcome:
    """Let the bot trade at each of the prices, in their order. Raises ValueError where there are none."""
    # In a sum each value that is no number shows; a minimum passes it by.
    if not prices or min(prices) <= 0 or not math.isfinite(sum(prices)):
        raise ValueError("prices have to be finite and more than nothing, and one at least")
    cash, last = 1.0, prices[0]
    orders: list[tuple[float, float, float]] = []
    buys = sales = lost = 0
    for price in prices:
        while orders and orders[0][0] <= price:
            asked, amount, paid = heapq.heappop(orders)
            brought = amount * asked * (1 - rule.fee)
            cash += brought
            last = asked
            sales += 1
            lost += brought < paid
        fell = price <= last * (1 - rule.step)
        rose = rule.after_rises and price >= last * (1 + rule.step)
        spent = cash * rule.part
        # An exchange refuses what is too little.
        if (fell or rose) and spent > 0.001:
            cash -= spent
            heapq.heappush(orders, (price * (1 + rule.gain), spent * (1 - rule.fee) / price, spent))
            last = price
            buys += 1
    held = sum(amount for _, amount, _ in orders) * prices[-1]
    hold = (1 - rule.fee) * prices[-1] / prices[0]
    return Outcome(cash + held, hold, buys, sales, lost, held / (cash + held))
