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
#     summary: A weather station's readings, from its API in the cloud into a time series engine and into Spark.
# ---

# %% [markdown]
# # A weather station's readings
#
# A weather station at home sends what it measures to its maker's cloud. Here it is fetched from there every ten
# minutes, written as a time series, and then analysed with Spark.
#
# The maker's cloud is a stand-in on this machine: it answers in the shape of the real one, and its tokens end, so
# that all that a client has to cope with happens here too. Time goes by quickly: a client may be given another
# clock.

# %% tags=["parameters"]
# Days of readings that are fetched.
days = 4
# Where a VictoriaMetrics listens, as http://HOST:8428. Without one the lines stay in files. The readings are of 2016:
# an engine keeps them if it was started with -retentionPeriod=100y, or the like.
engine = ""

# %% tags=["bounds"]
assert days >= 1

# %%
import secrets
import shutil
import sys
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import requests

sys.path.append("/shared/examples")
from provision_data import lineprotocol, netatmo, standin, victoria, weather, workspace

folder = workspace("weather-station")

# %% [markdown]
# ## Two ways to a token
#
# The API wants a token. One's own password gets one, for one's own station: easy, but the program has the password
# then, and most services have given that way up. Or the owner of a station consents on a web page, which sends the
# owner's browser back to the program with a code, and the code gets the token: the program never sees a password,
# and the owner can take the consent back. The second way is the one to use, even for one's own station. What comes
# back has to have the `state` that only the program knows: else a code of somebody else's could be slipped to it.

# %%
start = datetime(2016, 7, 1, tzinfo=UTC)


class Clock:
    """Goes when it is told to."""

    now = start.timestamp()

    def __call__(self):
        return self.now


clock = Clock()
outdoors = dict(weather.series(start, days * 144 + 1, timedelta(minutes=10), weather.Climate(mean=8)))


def measured():
    """Return what the station shows at this moment."""
    moment = datetime.fromtimestamp(clock.now, UTC)
    return standin.recorded(int(clock.now), round(21 + outdoors[moment] / 12, 1), outdoors[moment])


api = standin.StandIn(measured)
stop = standin.start(api)

by_password = netatmo.Client(api.url, *standin.APPLICATION, clock)
by_password.log_in(*standin.USER)
print("with a password:", by_password.token.access)

client = netatmo.Client(api.url, *standin.APPLICATION, clock)
state = secrets.token_urlsafe()
page = client.consent_url("http://localhost/back", state)
back = parse_qs(urlsplit(requests.get(page, allow_redirects=False, timeout=30).headers["Location"]).query)
if back["state"] != [state]:
    raise RuntimeError("what came back is no answer to what was asked")
client.redeem(back["code"][0], "http://localhost/back")
print("with a consent: ", client.token.access)

# %% [markdown]
# ## Fetch
#
# A token lasts three hours. The client renews it a minute before its end, by its own clock, which is compared with
# nothing else: a clock of the machine's that is wrong, or set, does no harm. Should the server have ended it
# earlier, it answers 403, and the client asks once more with a new one. "Too many requests" (429) is waited for.
#
# Modules have the same shape as the station itself, so one loop reads all of them. A module whose battery is empty
# has no readings. Degrees are Celsius, whatever the owner likes to see: the answer only says what that is.

# %%
points = []
for _ in range(days * 144):
    points += netatmo.readings(client.stations())
    clock.now += 600
renewals = api.log.count("refresh_token")
print(f"{len(points)} values, {renewals} renewals of the token")
points[:4]

# %% [markdown]
# ## Write
#
# The line protocol is a line for each value: what was measured, tags that say where, the value, the time. InfluxDB
# and many others take it. Names come from people, so they have spaces, commas and equals signs in them, and those
# need a backslash: without, a module called *Living room, south* would become a tag that nobody gave.

# %%
lines = [lineprotocol.encode(point) for point in points]
print("\n".join(lines[:8]))
by_day = defaultdict(list)
for line, point in zip(lines, points, strict=True):
    # What is answered at midnight was measured up to a minute before.
    by_day[datetime.fromtimestamp(point.seconds + 60, UTC).date()].append(line)
for day, todays in by_day.items():
    (folder / f"{day}.lines").write_text("\n".join(todays) + "\n")

if engine:
    # No other run's folder has this name.
    victoria.write(engine, points, folder.name)

# %% [markdown]
# ## Read with Spark
#
# An engine answers "the last day, by the minute" at once, for a dashboard. Spark is for questions over everything,
# and over this together with other data. It reads the same lines, a file or more on each executor.

# %%
from pyspark.sql import Window
from pyspark.sql import functions as F


def rows(lines):
    for point in lineprotocol.decode("\n".join(lines)):
        tags = point.tags
        yield point.seconds, tags["station_name"], tags["module_name"], point.measurement, point.fields["value"]


schema = "seconds LONG, station STRING, module STRING, measurement STRING, value DOUBLE"
readings = spark.createDataFrame(sc.textFile(f"file://{folder}/*.lines").mapPartitions(rows), schema)
readings = readings.withColumn("time", F.timestamp_seconds("seconds")).cache()
readings.groupBy("module", "measurement").agg(
    F.count("value").alias("values"), F.min("value"), F.round(F.avg("value"), 2).alias("mean"), F.max("value")
).orderBy("module", "measurement").show(truncate=False)

# %%
import matplotlib.pyplot as plt

last_day = Window.partitionBy("module").orderBy("seconds").rangeBetween(-86_400, 0)
outside = readings.where("module = 'Outdoors' AND measurement = 'Temperature'").withColumn(
    "mean_of_a_day", F.avg("value").over(last_day)
)
table = outside.orderBy("seconds").toPandas()
plt.figure(figsize=(10, 4))
plt.plot(table.time, table.value, linewidth=0.8, color="#7aa6c2", label="outdoors")
plt.plot(table.time, table.mean_of_a_day, color="#b3312c", label="mean of the last 24 hours")
plt.ylabel("°C")
plt.legend()
plt.gcf().autofmt_xdate()
plt.show()

# %% [markdown]
# ## Checks

# %%
stop()
assert len(points) == days * 144 * 9
# Renewed when a minute or less was left of three hours, asked every ten minutes.
assert renewals == (days * 144 - 1) // 18, renewals
assert list(lineprotocol.decode("\n".join(lines))) == points
assert readings.count() == len(points), "Spark has read as many as were written"
assert readings.where("module = 'Living room, south'").count() == days * 144 * 6
mean = sum(outdoors[start + number * timedelta(minutes=10)] for number in range(days * 144)) / (days * 144)
assert abs(table.value.mean() - mean) < 1e-6
if engine:
    # The first readings are of some seconds before the start.
    kept = victoria.count(engine, folder.name, start.timestamp() + days * 86_400, days + 1)
    assert kept == len(points), f"the engine has {kept} of {len(points)} values"
shutil.rmtree(folder)
print("All checks hold.")
