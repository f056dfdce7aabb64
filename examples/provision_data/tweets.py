"""Tweets as Twitter's API gave them in 2015, generated: so many, with so many hashtags, that known counts come out."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2015, 7, 13, 12, tzinfo=UTC)
DAYS = 7
"""A tweet is recent if it is younger."""
WITHOUT_TAGS = 17_150
TOO_OLD = 4_665
RECENT = 2_456
TAGS = 4_030
"""Hashtags in the recent tweets, all in all."""
TOP = {
    "bigdata": 114,
    "openstack": 92,
    "gophercon": 71,
    "machinelearning": 68,
    "sdn": 66,
    "datascience": 58,
    "docker": 56,
    "dtm": 46,
    "audisport": 44,
    "dtmzandvoort": 42,
    "hpc": 40,
    "welcomechallenges": 38,
    "devops": 37,
    "analytics": 36,
    "awssummit": 36,
    "infosec": 33,
    "security": 32,
    "openstacknow": 29,
    "renewturn": 29,
    "mobil1scgp": 28,
}
"""The twenty hashtags that are used most in the recent tweets, and how often."""
_FIRST = "cloud data open big smart deep edge code micro quant geo bio net web game race track agile lean meta".split()
_SECOND = (
    "summit ops lab day meetup stack week talk con hub flow mining news jobs camp tools forum night wars 2015 "
    "expo fest hero guru life team code love fail world"
).split()
_USERS = 600
_SHAPE = "%a %b %d %H:%M:%S +0000 %Y"


def tag_counts() -> dict[str, int]:
    """Return how often each hashtag is used in the recent tweets: the top twenty, and many that are rarer."""
    counts = dict(TOP)
    left = TAGS - sum(counts.values())
    many = len(_SECOND)
    pairs = (first + _SECOND[(place + turn) % many] for turn in range(many) for place, first in enumerate(_FIRST))
    names = [name for name in pairs if name not in TOP]
    for rank, name in enumerate(names):
        counts[name] = min(27 * 55 // (55 + rank), left)
        left -= counts[name]
        if not left:
            break
    return counts


def tweets(seed: int = 1) -> Iterator[dict[str, Any]]:
    """Yield all tweets in a random order, as dictionaries with the fields of the API that matter here."""
    chance = random.Random(seed)
    pool = [tag for tag, count in tag_counts().items() for _ in range(count)]
    chance.shuffle(pool)
    # Each recent tweet has one at least; the rest go to whoever.
    lengths = [1] * RECENT
    for place in chance.choices(range(RECENT), k=len(pool) - RECENT):
        lengths[place] += 1
    plan: list[tuple[bool, list[str]]] = []
    for length in lengths:
        plan.append((True, pool[:length]))
        del pool[:length]
    common = list(tag_counts())
    plan += [(False, chance.choices(common, k=chance.choice((1, 1, 2, 3)))) for _ in range(TOO_OLD)]
    plan += [(chance.random() < 0.35, []) for _ in range(WITHOUT_TAGS)]
    chance.shuffle(plan)
    for number, (recent, tags) in enumerate(plan):
        week = DAYS * 86_400
        age = chance.uniform(60, week - 60) if recent else chance.uniform(week + 60, 8 * week)
        yield {
            "id": 620_000_000_000_000_000 + number,
            "created_at": (NOW - timedelta(seconds=age)).strftime(_SHAPE),
            "user": {"id": chance.randrange(_USERS)},
            "entities": {"hashtags": [{"text": _written(tag, chance)} for tag in tags], "urls": []},
        }


def age_of(tweet: dict[str, Any]) -> timedelta:
    """Return how old a tweet is, by the clock of these tweets."""
    return NOW - datetime.strptime(tweet["created_at"], "%a %b %d %H:%M:%S %z %Y")


def _written(tag: str, chance: random.Random) -> str:
    """Return a hashtag as one of many people writes it."""
    return chance.choice((tag, tag, tag.capitalize(), tag.upper()))
