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
#     summary: Tomorrow's noon in Oslo, learned by MLlib from the weather that five cities have today.
# ---

# %% [markdown]
# # Learning tomorrow's weather
#
# Weather travels. What Stavanger has in the west today may be in Oslo tomorrow. Can a regression find that out from
# observations alone, and tell the temperature in Oslo at noon of the next day?
#
# In 2015 such a thing was sent to a service of a cloud, by CSV files in its object storage, with a schema that it
# guessed and pages to click through. Here each step is a line that can be read, run again and checked. The
# observations are made up, in the shape that the weather API of that time had.

# %% tags=["parameters"]
# How many years before are learned from in the last part: two weeks of each.
years = 3

# %% tags=["bounds"]
# Years before 1000 have fewer digits.
assert 0 <= years <= 1_000

# %%
import json
import shutil
import sys
from datetime import timedelta
from functools import reduce

sys.path.append("/shared/examples")
from provision_data import observations, workspace

folder = workspace("weather-learning")
last = observations.LAST
begins = {last.year - back: last.replace(year=last.year - back) for back in range(years + 1)}
two_weeks = timedelta(days=observations.DAYS)
weathers = {
    year: observations.Weather(day - two_weeks, observations.DAYS + 1, seed=2 if day == last else year)
    for year, day in begins.items()
}

# %% [markdown]
# ## Observations
#
# Two weeks and a day, of five cities. Each city reports every twenty minutes, some miss a report, some have more at
# odd times. All values are text. One that is missing is empty, or -999, or -9999.

# %%
shutil.rmtree(folder / "observed", ignore_errors=True)
# The weathers go along with the function. (A broadcast variable would not do: what is in one is pickled by the names of
# its classes, and executors have no package provision_data.)
days = [(year, number) for year in weathers for number in range(observations.DAYS + 1)]
sc.parallelize(days, 8).flatMap(lambda each: observations.day(weathers[each[0]], each[1])).map(
    json.dumps
).saveAsTextFile(f"file://{folder}/observed")
observed = spark.read.json(f"file://{folder}/observed").cache()
observed.where("city = 'o'").orderBy("time").limit(3).toPandas().T

# %% [markdown]
# ## One record for each time
#
# A regression sees each record for itself. So a record has what all five cities reported at the same time, each
# variable with the first letter of its city: `s_pressurem` is the pressure in Stavanger. Times that not all of them
# have are left out. The target is the same for all records of a day: what Oslo will have at noon tomorrow.
#
# A hundred variables could be a hundred columns. But Spark plans a query column by column, and makes a program for each
# step: for a thousand records that takes longer than the work itself. So numbers are one column, an array, and words
# are another; what is done with them is the same for all, and is written once.

# %%
from pyspark.sql import functions as F

kinds = (*observations.NUMBERS, *observations.FLAGS)
numbers = [f"{city.letter}_{name}" for city in observations.CITIES for name in kinds]
of_cities = [
    observed.where(F.col("city") == city.letter).select(
        "time",
        F.array(*kinds).alias(f"{city.letter}_numbers"),
        F.array(*(F.format_string(f"{city.letter}_{name} %s", name) for name in observations.WORDS)).alias(
            f"{city.letter}_words"
        ),
    )
    for city in observations.CITIES
]
targets = spark.createDataFrame(
    [
        (f"{weather.start + timedelta(days=day):%Y-%m-%d}", weather.noon_after(weather.start + timedelta(days=day)))
        for weather in weathers.values()
        for day in range(observations.DAYS + 1)
    ],
    "date STRING, target INT",
)
records = (
    reduce(lambda one, other: one.join(other, "time"), of_cities)
    .select(
        "time",
        F.substring("time", 1, 10).alias("date"),
        F.concat(*(f"{city.letter}_numbers" for city in observations.CITIES)).alias("numbers"),
        F.concat(*(f"{city.letter}_words" for city in observations.CITIES)).alias("words"),
    )
    .join(F.broadcast(targets), "date")
    .cache()
)
today = f"{last:%Y-%m-%d}"
this_year = records.where(F.substring("date", 1, 4) == str(last.year))
before = this_year.where(F.col("date") < today)
count, width = before.agg(F.count("*"), F.max(F.size("numbers") + F.size("words"))).first()
width += 2  # the time, and the target
print(f"{count} records of {observations.DAYS} days, with {width} variables; {records.count()} of all years")

# %% [markdown]
# ## Values that are none
#
# There is no wind of -9999. Left as a number it spoils each mean, and the regression can no longer use what the other
# values say; that the error grows little, since other variables say nearly the same, makes it easy to miss. So such
# values become NULL, and NULL becomes the mean of the records that are learned from: of those alone, since the others
# are not known yet.
#
# Words (wind directions, conditions) become a variable for each word, 0 or 1.

# %%
from pyspark.ml.feature import CountVectorizer, VectorAssembler
from pyspark.ml.functions import array_to_vector
from pyspark.ml.regression import LinearRegression

texts = ", ".join(f"'{missing}'" for missing in observations.MISSING)


def as_numbers(frame, clean=True):
    """Return the records with numbers instead of texts; NULL where there is none."""
    text = f"IF(text IN ({texts}), NULL, text)" if clean else "text"
    return frame.withColumn("numbers", F.expr(f"transform(numbers, text -> try_cast({text} AS DOUBLE))"))


def means_of(frame):
    """Return the mean of each variable; 0 for one without any value."""
    each = frame.select(F.posexplode("numbers").alias("place", "value")).groupBy("place").agg(F.avg("value"))
    means = dict(each.collect())
    return [means[place] or 0.0 for place in range(len(numbers))]


flags = CountVectorizer(inputCol="words", outputCol="flags", binary=True).fit(records)
assembler = VectorAssembler(inputCols=["values", "flags"], outputCol="features")
names = [*numbers, *flags.vocabulary]


def prepared(frame, means):
    """Return the records with all variables in one vector, and what is NULL filled with these means."""
    values = F.transform("numbers", lambda value, place: F.coalesce(value, F.get(F.lit(means), place)))
    return assembler.transform(flags.transform(frame.withColumn("values", array_to_vector(values)))).select(
        "time", "date", "target", "features"
    )


# %% [markdown]
# ## Learn from nine days, look at the last four
#
# The split is by time. Records of the same day are nearly alike, and have the same target: a random split would test
# with what was learned. The day between the two is left out. Its target is the next day's noon, which nobody knows at
# midnight, when the first of the four days begins.
#
# A regularised regression (elastic net) pays for large weights, and sets those to zero that do not help. With
# nearly as many variables as there are hours, it would otherwise remember the days instead of what they have in
# common.


# %%
def split(frame, year, days=observations.LEARNED):
    """Return the records of two weeks to learn from, of so many days, and to look at."""
    return [frame.where(F.col("date").isin(dates)) for dates in observations.split(begins[year], days)]


def learn(learned_from, others):
    """Return the model, and each set of records with predictions."""
    means = means_of(learned_from)
    model = LinearRegression(labelCol="target", regParam=0.3, elasticNetParam=0.5).fit(prepared(learned_from, means))
    return model, [model.transform(prepared(each, means)) for each in others]


def judge(predicted):
    """Return the root mean square error and the bias: predicted less actual, on average."""
    off = F.col("prediction") - F.col("target")
    row = predicted.agg(F.sqrt(F.avg(off * off)).alias("rmse"), F.avg(off).alias("bias")).first()
    return row["rmse"], row["bias"]


clean = as_numbers(this_year).cache()
first, rest = split(clean, last.year)
model, (tested, told) = learn(first, [rest, clean.where(F.col("date") == today)])
rmse, bias = judge(tested)
mean = first.agg(F.avg("target")).first()[0]
baseline = rest.agg(F.sqrt(F.avg((F.col("target") - mean) ** 2))).first()[0]

raw = as_numbers(this_year, clean=False)
raw_first, raw_rest = split(raw, last.year)
raw_rmse, _ = judge(learn(raw_first, [raw_rest])[1][0])
wind = numbers.index("s_wspdm")
winds = {"with -9999": means_of(raw_first)[wind], "without": means_of(first)[wind]}
print("mean wind in Stavanger:", ", ".join(f"{name} {mean:.0f} km/h" for name, mean in winds.items()))
print(f"error (RMSE): {rmse:.2f} degrees; always the mean: {baseline:.2f}; with -9999 as a number: {raw_rmse:.2f}")

# %%
import matplotlib.pyplot as plt

residuals = tested.selectExpr("prediction - target AS residual").toPandas().residual
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4))
left.hist(residuals, bins=24, color="#2b6f8f")
left.axvline(0, color="grey")
left.axvline(bias, color="#b3312c", label=f"bias {bias:+.2f}")
left.set(title="Residuals of the last four days", xlabel="predicted less actual, °C")
left.legend()

# A weight times how much its variable varies: what a usual change of it does.
from pyspark.ml.stat import Summarizer

deviations = prepared(first, means_of(first)).select(Summarizer.std(F.col("features"))).first()[0]
weights = {name: float(model.coefficients[place] * deviations[place]) for place, name in enumerate(names)}
important = sorted(weights.items(), key=lambda item: -abs(item[1]))[:12]
shown = important[::-1]
right.barh([name for name, _ in shown], [weight for _, weight in shown], color="#7aa6c2")
right.set(title="What matters most", xlabel="degrees for a usual change")
plt.tight_layout()
plt.show()

# %% [markdown]
# What matters most is in the west, the pressure in Stavanger above all; what Oslo itself has comes far behind.
#
# ## Tomorrow
#
# Each record of today tells tomorrow's noon for itself. Together they show how sure that is.

# %%
actual = weathers[last.year].noon_after(last)
predictions = told.select("time", "prediction").orderBy("time").toPandas()
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 3.5))
left.hist(predictions.prediction, bins=16, color="#2b6f8f")
left.axvline(actual, color="#b3312c", label="what it was")
left.set(title=f"Predictions for {last + timedelta(days=1):%d %B %Y}, 12:00 UTC", xlabel="°C")
left.legend()
right.plot(predictions.prediction.to_numpy(), color="#2b6f8f")
right.axhline(actual, color="#b3312c")
right.set(title="By the time of the observation", xlabel="record of the day", ylabel="°C")
plt.show()
print(f"{predictions.prediction.mean():.1f} degrees on average of {len(predictions)} predictions; it was {actual}")

# %% [markdown]
# ## More data, less bias
#
# How far a model is off on average depends on how much it has seen. One period says little about that, so the same
# is done for two weeks of May in several years, each judged by its last days: learned from three days before these,
# and from nine.
#
# It depends on what the data is, too. The nine days of all years together are several times as much, but of weather
# that was another: the model is drawn to what is usual in May, and is off by about as much as before.

# %%
everything = as_numbers(records).cache()
parts = {year: split(everything, year) for year in begins}
few = {year: split(everything, year, days=3)[0] for year in begins}
together = reduce(lambda one, other: one.union(other), [learned for learned, _ in parts.values()])
judged = {
    "three days": [judge(learn(few[year], [rest])[1][0]) for year, (_, rest) in parts.items()],
    "nine days": [judge(learn(learned, [rest])[1][0]) for learned, rest in parts.values()],
    "nine days of all years": [judge(each) for each in learn(together, [rest for _, rest in parts.values()])[1]],
}
curve = {
    name: (sum(rmse for rmse, _ in found) / len(found), sum(abs(bias) for _, bias in found) / len(found))
    for name, found in judged.items()
}
for name, (error, off) in curve.items():
    print(f"learned from {name}: RMSE {error:.2f}, off by {off:.2f} on average")

# %% [markdown]
# ## Checks

# %%
assert (count, width) == (844, 97)
assert rmse < 0.7 * baseline, (rmse, baseline)
assert winds["with -9999"] < 0 < winds["without"] < 100, "a value that is none must not be a number"
assert all(not name.startswith("o_") for name, _ in important[:2]), important
assert sum(weight == 0 for weight in model.coefficients) > 20, "regularisation leaves out what does not help"
assert abs(predictions.prediction.mean() - actual) < 2
assert all(three > nine for three, nine in zip(curve["three days"], curve["nine days"], strict=True)), curve
assert curve["three days"][1] > curve["nine days of all years"][1], curve
shutil.rmtree(folder)
print("All checks hold.")
