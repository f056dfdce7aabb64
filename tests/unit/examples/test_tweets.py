"""The tweets: so many that the published counts come out."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from provision_data import tweets


def test_the_counts_that_were_published():
    made = list(tweets.tweets())
    tagged = [tweet for tweet in made if tweet["entities"]["hashtags"]]
    recent = [tweet for tweet in tagged if tweets.age_of(tweet) < timedelta(days=7)]
    assert (len(made), len(made) - len(tagged), len(tagged) - len(recent), len(recent)) == (24271, 17150, 4665, 2456)
    counts = Counter(tag["text"].lower() for tweet in recent for tag in tweet["entities"]["hashtags"])
    assert (counts.total(), round(counts.total() / len(recent), 2)) == (4030, 1.64)
    assert counts == tweets.tag_counts()
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    assert dict(ranked[:20]) == tweets.TOP
    assert ranked[20][1] < 28


def test_a_seed_makes_the_same_tweets():
    assert next(tweets.tweets(3)) == next(tweets.tweets(3)) != next(tweets.tweets(4))
