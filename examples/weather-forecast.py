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
#     packages: [prophet]
#     summary: Temperatures of weeks to come, by Prophet from a year with gaps; and for fifty stations in parallel.
# ---

# %% [markdown]
# # A forecast of temperatures
#
# Prophet takes a series of numbers apart: a trend, a year, a week, a day, and what is left is noise. It goes on with
# those parts, and says between which values the next ones should lie. It minds no gaps.
#
# How good is that for the weather? A year of hourly temperatures of a station is the first try. Then fifty stations are
# done in parallel, each by a model of its own, and each forecast is compared with what came then.
#
# Prophet is not among the image's libraries: `prophet` has to be in `packages` of the cluster file. It comes as a
# wheel with its model compiled, so nothing is built, neither on the cluster nor before.

# %% tags=["parameters"]
# How many stations are done in parallel, and of how many years their models know.
stations = 50
years = 2

# %% tags=["bounds"]
assert stations >= 1
# Prophet wants to see two years; and times of pandas begin in 1677.
assert 2 <= years <= 300

# %%
import logging
import random
import shutil
import sys
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

sys.path.append("/shared/examples")
from provision_data import cluster, weather, workspace

# Prophet says at length what it does, and that plots could be interactive with one more package.
logging.getLogger("prophet.plot").setLevel(logging.CRITICAL)
try:
    from prophet import Prophet
except ImportError:
    raise RuntimeError(
        "Prophet is not on this cluster. Its operator writes `packages: [prophet]` into cluster.yaml and runs "
        "`provision up`; kernels that start afterwards have it."
    ) from None
logging.getLogger("cmdstanpy").setLevel(logging.WARNING)

folder = workspace("weather-forecast")

# %% [markdown]
# ## A year, with its faults
#
# The temperatures are made up, to be like those of a station that somebody has at home: hourly, and for some days
# there is nothing. Two series were merged, and where they do not agree the file says `DIFF` instead of a number.
# Noons differ by the weather that passes; nights differ more, since clear ones are cold.
#
# `na_values` makes them missing values, and lets the column be numbers. Prophet wants times without a zone: these
# are in UTC, and no hour comes twice when the summer ends.

# %%
climate = weather.Climate(fronts=3.0, nights=4.5)
file = folder / "hourly.csv"
with file.open("w") as out:
    out.write("time,temperature\n")
    out.writelines(f"{row.time},{row.temperature}\n" for row in weather.merged_year(climate=climate))

read = pd.read_csv(file, na_values="DIFF", parse_dates=["time"])
hourly = pd.DataFrame({"ds": read.time.dt.tz_localize(None), "y": read.temperature}).dropna()
expected = pd.date_range(hourly.ds.iloc[0], hourly.ds.iloc[-1], freq="h")
print(f"{len(expected)} hours: {len(hourly)} with a temperature, {read.temperature.isna().sum()} with DIFF")
hourly.head(3)

# %% [markdown]
# ## All hours
#
# Prophet finds out by itself which parts there may be. For the year it wants to see two of them. There is one here, so
# it is told that there is such a part, and warns. Without, spring would not come: the trend of winter would go on.


# %%
def fit(table, **options):
    """Return a model of a table with `ds` and `y`. The same one each time: its intervals are drawn by chance."""
    np.random.seed(1)
    return Prophet(yearly_seasonality=True, **options).fit(table)


def ahead(model, periods, freq):
    """Return the forecast, of the future alone."""
    return model.predict(model.make_future_dataframe(periods=periods, freq=freq, include_history=False))


def width(forecast):
    """Return how far apart the ends of the interval are on average: four fifths of all values should be in it."""
    return (forecast.yhat_upper - forecast.yhat_lower).mean()


began = time.monotonic()
by_hours = fit(hourly)
told = ahead(by_hours, 50 * 24, "h")
print(f"{time.monotonic() - began:.1f} s; the interval is {width(told):.1f} degrees wide")

# %%
import matplotlib.pyplot as plt

by_hours.plot(told, figsize=(10, 4), xlabel="", ylabel="°C")
plt.show()

# %%
by_hours.plot_components(told, figsize=(8, 8))
plt.show()

# %% [markdown]
# ## Noons only
#
# Most of that width comes from the nights. Who wants to know how warm the days will be takes one value a day, at
# 12:00 UTC. There is a twenty-fourth of the data then, and the interval is about 30 % narrower. Prophet sees that a
# day has no parts any more, and leaves the daily one out.

# %%
noons = hourly[hourly.ds.dt.hour == 12]
by_noons = fit(noons)
told_noons = ahead(by_noons, 30, "D")
narrower = 1 - width(told_noons) / width(told)
print(f"{len(noons)} noons; the interval is {width(told_noons):.1f} degrees wide, {narrower:.0%} less")

# %%
by_noons.plot(told_noons, figsize=(10, 4), xlabel="", ylabel="°C at noon")
plt.show()

# %% [markdown]
# ## A part that cannot be
#
# One of the parts is the week, as if it were colder on some days of it. The weather does not know which day it is:
# this is what noise looks like when a model is asked to find something in it. It is small beside the interval, but
# not nothing. What cannot be is better taken out of the model.

# %%
week = told_noons.weekly.max() - told_noons.weekly.min()
without = ahead(fit(noons, weekly_seasonality=False), 30, "D")
print(f"between the days of the week: {week:.2f} degrees, of an interval of {width(told_noons):.1f}")
print(f"without it the forecast is {np.abs(without.yhat - told_noons.yhat).mean():.2f} degrees different on average")

# %% [markdown]
# ## Fifty stations, and what came then
#
# A model knows one series. For many series Spark sends each station's rows as a pandas table to an executor, which
# makes a model of it (`applyInPandas`). The last thirty days are kept back, and the forecast is compared with them;
# so it is for the simplest forecast of all: as warm as it was in the last week on average.
#
# The rows of all stations are few, and Spark would put what is little together into one task: one executor would
# work, and the others wait. A `repartition` with a number says how many tasks there have to be.

# %%
last = datetime(2017, 2, 22, 12, tzinfo=UTC)
kept_back = 30


def measured(station):
    """Yield what a station has measured: each noon of some years, and of the days to come."""
    chance = random.Random(station)
    place = weather.Climate(chance.uniform(3, 9), chance.uniform(6, 12), chance.uniform(2, 4), chance.uniform(2, 3.2))
    days = round(365.25 * years) + 1
    first = last - timedelta(days=days)
    for moment, value in weather.series(first, days + kept_back, timedelta(days=1), place, seed=station):
        yield station, moment.replace(tzinfo=None), value


def forecast(table):
    """Return how good the forecast of a station is: one row."""
    import logging
    import os
    import time

    logging.getLogger("prophet.plot").setLevel(logging.CRITICAL)
    from prophet import Prophet

    logging.getLogger("cmdstanpy").setLevel(logging.WARNING)
    began = time.monotonic()
    table = table.sort_values("ds")
    known, then = table[:-kept_back], table[-kept_back:]
    np.random.seed(int(table.station.iloc[0]))
    model = Prophet(yearly_seasonality=True, weekly_seasonality=False, daily_seasonality=False).fit(known)
    told = model.predict(then[["ds"]])
    came = then.y.to_numpy()
    return pd.DataFrame(
        {
            "station": [table.station.iloc[0]],
            "error": [np.abs(told.yhat - came).mean()],
            "error_of_last_week": [np.abs(known.y[-7:].mean() - came).mean()],
            "inside": [((came >= told.yhat_lower) & (came <= told.yhat_upper)).mean()],
            "seconds": [time.monotonic() - began],
            "process": [f"{os.uname().nodename} {os.getpid()}"],
        }
    )


shutil.rmtree(folder / "noons", ignore_errors=True)
rows = sc.parallelize(range(stations), 2 * sc.defaultParallelism).flatMap(measured)
spark.createDataFrame(rows, "station INT, ds TIMESTAMP_NTZ, y DOUBLE").write.parquet(f"file://{folder}/noons")

# %% [markdown]
# The first forecast of each process takes longest: Prophet is imported then, and Spark compiles what it runs. So a few
# stations go before, and what is measured comes after them, here as on the executors.

# %%
found = cluster.wait_for_executors(sc, cluster.workers(sc))
series = spark.read.parquet(f"file://{folder}/noons")
schema = "station INT, error DOUBLE, error_of_last_week DOUBLE, inside DOUBLE, seconds DOUBLE, process STRING"


def forecasts(frame, tasks):
    """Return a row for each station of a frame, by so many tasks."""
    return frame.repartition(tasks, "station").groupBy("station").applyInPandas(forecast, schema).toPandas()


forecasts(series.where(f"station < {2 * sc.defaultParallelism}"), 2 * sc.defaultParallelism)
began = time.monotonic()
result = forecasts(series, stations)
seconds = time.monotonic() - began
# Those that were there all the time: one that others needed meanwhile was given back.
stayed = dict(found.items() & cluster.executors(sc).items())

few = [pd.DataFrame(measured(station), columns=["station", "ds", "y"]) for station in range(3)]
forecast(few[0])
began = time.monotonic()
for table in few:
    forecast(table)
alone = (time.monotonic() - began) / len(few) * stations
hosts = {process.split()[0] for process in result.process}
print(f"{stations} stations in {seconds:.1f} s, by {result.process.nunique()} processes on {len(hosts)} hosts")
print(f"one after the other it would be {alone:.1f} s: {alone / seconds:.1f} times as long")

# %%
result[["error", "error_of_last_week", "inside"]].agg(["mean", "min", "max"]).round(2)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.5))
left.scatter(result.error_of_last_week, result.error, s=14, color="#2b6f8f")
most = result[["error", "error_of_last_week"]].max().max()
left.plot([0, most], [0, most], color="grey", linewidth=0.8)
left.set(title="Mean error, °C", xlabel="as in the last week", ylabel="Prophet")
right.hist(result.inside * 100, bins=15, color="#7aa6c2")
right.axvline(80, color="#b3312c")
right.set(title="Values in the interval: of 80 % that should be", xlabel="% of a station's thirty days")
plt.show()

# %% [markdown]
# Prophet knows the season, and beats who takes the last week for the next month. More it cannot know: a front that
# comes in three days is in no series of the past. And values of days that follow each other are alike, so whole
# stations are inside the interval, or outside, together: it says little about one month.
#
# ## Checks

# %%
assert 0.2 < narrower < 0.4, f"noons: {narrower:.0%} narrower"
assert len(hourly) + read.temperature.isna().sum() == len(read) < len(expected)
assert told.ds.iloc[0] == hourly.ds.iloc[-1] + pd.Timedelta(hours=1)
assert len(told) == 1_200
assert week < 0.3 * width(told_noons)
assert sorted(result.station) == list(range(stations))
if stations >= 10:  # of fewer it is chance
    assert result.error.mean() < result.error_of_last_week.mean()
    assert 0.65 < result.inside.mean() < 0.95
assert len(hosts) >= cluster.hosts_expected(stayed, stations), f"of {stayed} only {hosts} took part"
shutil.rmtree(folder)
print("All checks hold.")
