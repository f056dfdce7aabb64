# ---
# jupyter:
#   jupytext:
#     notebook_metadata_filter: provision
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: PySpark
#     language: python
#     name: pyspark
#   provision:
#     summary: A trading bot's rule against buying and holding, for thousands of settings and three kinds of markets.
# ---

# %% [markdown]
# # A trading bot, tried on the past
#
# A bot that is for rent promises a profit at every sale: whatever it buys, it offers at once for a few percent
# more, and waits until somebody takes it. That is true, and says little: what does not rise again is not sold. Does
# the rule beat buying once and holding?
#
# Before anybody trusts a bot it is tried on prices of the past. One try takes milliseconds; thousands of settings,
# in many markets, are what a cluster is for.
#
# **This is no advice.** The prices are made up, unless you give your own, and nothing that worked on prices of the
# past has to work on those to come.

# %% tags=["parameters"]
# Hours of prices, and made-up markets of each kind.
hours = 500
markets = 2
# A CSV file with a column `price`, in your home unless it is a whole path: tried too.
prices_file = ""

# %% tags=["bounds"]
# In fewer hours too little is bought and sold; in more, what a market gains in all is little beside its swings. What
# the best settings of a single market keep is chance.
assert 100 <= hours <= 3_000
assert markets >= 2

# %%
import itertools
import sys
import time

sys.path.append("/shared/examples")
from provision_data import at_home, cluster, trading

prices = {(kind, seed): trading.market(kind, hours, seed) for kind in trading.DRIFTS for seed in range(1, markets + 1)}
if prices_file:
    prices["given", 1] = trading.read_prices(at_home(prices_file))

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 3, figsize=(12, 3), sharey=True)
for axis, kind in zip(axes, trading.DRIFTS, strict=True):
    for seed in range(1, markets + 1):
        axis.plot(prices[kind, seed], linewidth=0.7)
    axis.set(title=kind, yscale="log", xlabel="hours")
plt.show()

# %% [markdown]
# ## One try
#
# The bot buys for a part of its cash when the price has moved by a step since its last trade. The offer stays in
# the exchange's book. Each trade costs a fee, which a promise of "3 % at every sale" leaves out.

# %%
for kind in trading.DRIFTS:
    outcome = trading.backtest(prices[kind, 1], trading.Rule())
    print(
        f"{kind:9} 1 became {outcome.value:.2f}, by holding {outcome.hold:.2f}; {outcome.buys} buys, "
        f"{outcome.sales} sales, {outcome.lost_sales} at a loss; {outcome.held:.0%} waits for a higher price"
    )

# %% [markdown]
# ## Thousands of settings, in parallel
#
# The settings are spread over the executors; the prices go to each of them once, as a broadcast variable, and not
# with every task. The first task of each process takes longest, since Python starts and imports what it needs. So a
# few settings go before, and what is measured comes after them.

# %%
percents = [0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08]
parts = [0.02, 0.05, 0.1, 0.2, 0.35, 0.5]
fees = [0.0, 0.001, 0.0025]
rules = [
    trading.Rule(step, gain, part, rises, fee)
    for step, gain, part, rises, fee in itertools.product(percents, percents, parts, [True, False], fees)
]
known = sc.broadcast(prices)


def tries(rule):
    for (kind, seed), past in known.value.items():
        half = len(past) // 2
        whole, first, second = (trading.backtest(part, rule) for part in (past, past[:half], past[half:]))
        yield (
            *(kind, seed, rule.step, rule.gain, rule.part, rule.after_rises, rule.fee),
            *(whole.value, whole.hold, whole.sales, whole.lost_sales, whole.held, first.value, second.value),
        )


schema = (
    "kind STRING, seed INT, step DOUBLE, gain DOUBLE, part DOUBLE, after_rises BOOLEAN, fee DOUBLE, value DOUBLE, "
    "hold DOUBLE, sales INT, lost_sales INT, held DOUBLE, first_half DOUBLE, second_half DOUBLE"
)


def tried(some, tasks):
    """Return a row for each try of some settings, by so many tasks."""
    return spark.createDataFrame(sc.parallelize(some, tasks).flatMap(tries), schema)


cluster.wait_for_executors(sc, cluster.workers(sc))
tried(rules[: 2 * sc.defaultParallelism], 2 * sc.defaultParallelism).count()
began = time.monotonic()
trials = tried(rules, 4 * sc.defaultParallelism).cache()
count = trials.count()
seconds = time.monotonic() - began

began = time.monotonic()
alone = sum(1 for rule in rules[:: len(rules) // 10] for _ in tries(rule))
rate = alone / (time.monotonic() - began)
print(f"{len(rules)} settings, {count} tries in {seconds:.1f} s")
print(f"{count / seconds:.0f} a second; one process alone does {rate:.0f}")

# %% [markdown]
# ## Where it pays
#
# How the bot did against holding, over all settings. In a rising market it sells too early what it should have
# kept. In a falling one it loses less, since a part of it is still cash: not because the rule is good there. It is
# made for prices that go up and down and come back. What it gains there, after fees, is little.

# %%
from pyspark.sql import functions as F

result = (
    trials.where("fee = 0.0025")
    .groupBy("kind")
    .agg(
        F.round(F.median("value"), 3).alias("bot"),
        F.round(F.median("hold"), 3).alias("hold"),
        F.round(F.avg(F.expr("int(value > hold)")), 3).alias("better_than_holding"),
        F.round(F.avg(F.expr("int(value > 1)")), 3).alias("gains"),
        F.round(F.avg("held"), 2).alias("still_waits"),
    )
    .orderBy("kind")
    .toPandas()
    .set_index("kind")
)
result

# %% [markdown]
# ## What fees do
#
# The same settings in the sideways markets. With small gains there are many sales, and each pays twice.

# %%
by_fee = (
    trials.where("kind = 'sideways'")
    .groupBy("gain", "fee")
    .agg(F.avg("value").alias("value"), F.avg("sales").alias("sales"))
    .orderBy("gain", "fee")
    .toPandas()
)
plt.figure(figsize=(7, 3.5))
for fee, rows in by_fee.groupby("fee"):
    plt.plot(rows.gain * 100, rows.value, marker="o", label=f"{fee:.2%} of each trade")
plt.axhline(1, color="grey", linewidth=0.8)
plt.xlabel("gain that is asked for, %")
plt.ylabel("1 became")
plt.legend()
plt.show()

# %% [markdown]
# ## The best settings of the past
#
# Who tries thousands of settings finds some that did splendidly, part of it by chance. The check is to choose by
# the first half of the prices, and to look at the second: what the best tenth of the first half has more than all
# settings on average, and its rank among them (1 is the best, 0.5 the middle).
#
# While a trend lasts, the same settings stay in front, those that hold much or little: they follow the trend, which
# nobody knows beforehand. In the sideways markets a part of the advantage was chance and is gone; and these are made
# so that they swing in the second half as in the first, which no real one promises.

# %%
halves = ["first", "second"]
ranked = trials.where("fee = 0.0025").selectExpr(
    "kind",
    "first_half",
    "second_half",
    "percent_rank() OVER (PARTITION BY kind, seed ORDER BY first_half) AS first_rank",
    "percent_rank() OVER (PARTITION BY kind, seed ORDER BY second_half) AS second_rank",
)
best = "CASE WHEN first_rank >= 0.9 THEN {} END"
chosen = (
    ranked.groupBy("kind")
    .agg(
        *(F.round(F.avg(F.expr(best.format(f"{half}_rank"))), 2).alias(f"rank_in_{half}_half") for half in halves),
        *(
            F.round(F.avg(F.expr(best.format(f"{half}_half"))) - F.avg(f"{half}_half"), 3).alias(f"more_in_{half}_half")
            for half in halves
        ),
    )
    .orderBy("kind")
    .toPandas()
    .set_index("kind")
)
chosen

# %% [markdown]
# ## Checks

# %%
assert count == len(rules) * len(prices)
assert len(rules) > 2_000
assert result.loc["rising", "better_than_holding"] < 0.2
assert result.loc["falling", "better_than_holding"] > 0.8
assert result.loc["sideways", "gains"] > result.loc["falling", "gains"]
assert result.loc["falling", "bot"] < 1, "it loses where prices fall: no rule makes up for that"
losses = trials.where("lost_sales > 0 AND (1 + gain) * (1 - fee) * (1 - fee) > 1")
assert losses.count() == 0, "a sale above what was paid and both fees is a profit"
assert trials.where("fee = 0.0025 AND gain = 0.005 AND sales > 0 AND lost_sales < sales").count() == 0
average = by_fee.groupby("fee").value.mean()
assert average.is_monotonic_decreasing
sideways = chosen.loc["sideways"]
assert sideways.rank_in_second_half < sideways.rank_in_first_half, "the best of the past were so partly by chance"
assert sideways.more_in_second_half < sideways.more_in_first_half
print("All checks hold.")
