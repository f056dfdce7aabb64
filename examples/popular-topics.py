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
#     summary: The hashtags that are used most in 24,271 tweets, counted with RDDs, with DataFrames, and at scale.
# ---

# %% [markdown]
# # Popular topics in a timeline
#
# Which topics do the people whom I follow write about? The hashtags of their last week's tweets are counted on all
# workers, once with RDDs and once with DataFrames, and then the same is done with as many tweets as you like.
#
# The tweets are generated, since nobody gives them away for free any more: as many, and with the same hashtags, as
# somebody found in a real timeline of 600 people in July 2015. So we know what has to come out.

# %% tags=["parameters"]
# How many tweets the last part counts. A cluster of real processors takes ten million in its stride.
large = 500_000

# %% tags=["bounds"]
# Of fewer it is chance which topics are popular.
assert large >= 1_000

# %%
import json
import shutil
import sys
import time
from datetime import timedelta

sys.path.append("/shared/examples")
from provision_data import cluster, tweets, wordcloud, workspace

folder = workspace("popular-topics")

# %% [markdown]
# ## The data
#
# Eight files with a tweet a line, in the home folder. All workers see it, so each reads its part of the files:
# nothing goes through the driver. Loading everything into a list there, and spreading it with `sc.parallelize`,
# works only as long as it fits into one program's memory.

# %%
shutil.rmtree(folder / "tweets", ignore_errors=True)
(folder / "tweets").mkdir()
files = [(folder / "tweets" / f"{number}.json").open("w") for number in range(8)]
for number, tweet in enumerate(tweets.tweets()):
    files[number % 8].write(json.dumps(tweet) + "\n")
for file in files:
    file.close()
print(json.dumps(tweet, indent=2))

# %% [markdown]
# ## Filter and count, with RDDs
#
# A transformation (`map`, `filter`) only notes what is to be done. An action (`count`) does it. The parsed tweets
# are used several times, so they are kept in the executors' memory.
#
# Times carry their zone: `age_of` compares points in time, not what clocks on a wall show, so the result is the
# same on a machine in Oslo and on one in UTC.

# %%
before = cluster.wait_for_executors(sc, cluster.workers(sc))
week = timedelta(days=tweets.DAYS)
everything = sc.textFile(f"file://{folder}/tweets", 8).map(json.loads).cache()
tagged = everything.filter(lambda tweet: tweet["entities"]["hashtags"])
recent = tagged.filter(lambda tweet: tweets.age_of(tweet) < week)

total, with_tags, left = everything.count(), tagged.count(), recent.count()
print(f"{total} tweets: {total - with_tags} without a hashtag, {with_tags - left} too old, {left} left")
print("tasks by executor:", cluster.completed_tasks(sc))

# %% [markdown]
# A word count: each hashtag becomes a pair (hashtag, 1), and pairs of the same hashtag are added up, first on each
# worker and then across them. `takeOrdered` takes the smallest, so the order is by the negative count; and by the
# name where counts are equal, or the list would differ from run to run.

# %%
counts = (
    recent.flatMap(lambda tweet: [tag["text"].lower() for tag in tweet["entities"]["hashtags"]])
    .map(lambda tag: (tag, 1))
    .reduceByKey(lambda one, other: one + other)
    .cache()
)
top = counts.takeOrdered(20, key=lambda pair: (-pair[1], pair[0]))
tags = counts.values().sum()
print(f"{tags} hashtags, {tags / left:.2f} a tweet")
top

# %%
import matplotlib.pyplot as plt

names, numbers = zip(*reversed(top), strict=True)
plt.figure(figsize=(8, 5))
plt.barh(names, numbers, color="#2b6f8f")
plt.xlabel("uses in the last week")
plt.title("The twenty most popular hashtags")
plt.tight_layout()
plt.show()

# %%
wordcloud.draw(dict(counts.collect()))
plt.show()

# %% [markdown]
# ## The same with DataFrames
#
# Today this is how one would write it. Spark is told what the columns are, so it reads only those that are asked
# for, optimises the whole query, and runs it in the JVM: no tweet is ever a Python object. `explain` shows the
# plan: the files are read with two columns, filtered, and counted in two steps with an exchange between them, which
# is what `reduceByKey` did above.

# %%
from pyspark.sql import functions as F

schema = "created_at STRING, entities STRUCT<hashtags: ARRAY<STRUCT<text: STRING>>>"
frame = spark.read.schema(schema).json(f"file://{folder}/tweets")
# The name of the week's day is no part of the time.
created = F.to_timestamp(F.substring("created_at", 5, 26), "MMM dd HH:mm:ss Z yyyy")
# The same point in time in whatever zone this session is.
limit = F.timestamp_seconds(F.lit((tweets.NOW - week).timestamp()))
by_frame = (
    frame.where((F.size("entities.hashtags") > 0) & (created > limit))
    .select(F.explode("entities.hashtags.text").alias("tag"))
    .groupBy(F.lower("tag").alias("tag"))
    .count()
    .orderBy(F.desc("count"), "tag")
)
by_frame.explain()
top_by_frame = [(row["tag"], row["count"]) for row in by_frame.limit(20).collect()]
by_frame.limit(5).toPandas()

# %% [markdown]
# ## The same with many more tweets
#
# Each worker makes its own part of them with NumPy and Arrow (`mapInArrow` hands over whole columns), as many with
# and without hashtags as above and each hashtag as often. They are written as Parquet first: what is measured is
# the counting.

# %%
shutil.rmtree(folder / "large", ignore_errors=True)
all_tags = tweets.tag_counts()
shares = [count / tweets.TAGS for count in all_tags.values()]
tagged_share = tweets.RECENT / total
extra = tweets.TAGS / tweets.RECENT - 1


def generate(batches):
    import numpy as np
    import pyarrow as pa

    pool = pa.array(list(all_tags))
    for batch in batches:
        ids = batch.column(0)
        if not len(ids):
            continue
        chance = np.random.default_rng(ids[0].as_py())
        lengths = (chance.random(len(ids)) < tagged_share) * (1 + chance.poisson(extra, len(ids)))
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype("int32")
        drawn = pool.take(pa.array(chance.choice(len(pool), offsets[-1], p=shares)))
        yield pa.RecordBatch.from_arrays([ids, pa.ListArray.from_arrays(offsets, drawn)], ["id", "tags"])


began = time.monotonic()
parts = 2 * sc.defaultParallelism
made = spark.range(0, large, 1, parts).mapInArrow(generate, "id LONG, tags ARRAY<STRING>")
made.write.parquet(f"file://{folder}/large")
print(f"made and written in {time.monotonic() - began:.1f} s")

# %%
began = time.monotonic()
many = (
    spark.read.parquet(f"file://{folder}/large")
    .select(F.explode("tags").alias("tag"))
    .groupBy("tag")
    .count()
    .orderBy(F.desc("count"), "tag")
    .toPandas()
)
seconds = time.monotonic() - began
print(f"{large:,} tweets in {seconds:.1f} s: {large / seconds:,.0f} a second")
many.head()

# %% [markdown]
# ## Checks

# %%
assert (total, total - with_tags, with_tags - left, left) == (24_271, 17_150, 4_665, 2_456)
assert top == sorted(tweets.TOP.items(), key=lambda pair: (-pair[1], pair[0]))
assert (tags, round(tags / left, 2)) == (4_030, 1.64)
assert top_by_frame == top, "RDDs and DataFrames count the same"
done = cluster.completed_tasks(sc)
assert all(done.get(executor, 1) for executor in before), f"executors without a task: {done}"
# Chance alone moves each share by a few standard deviations at the most.
drawn = int(many["count"].sum())
assert abs(drawn / large / (tweets.TAGS / total) - 1) < 5 / drawn**0.5 + 0.01
for tag, count in top[:5]:
    expected = drawn * count / tags
    assert abs(int(many.set_index("tag")["count"].get(tag, 0)) - expected) < 5 * expected**0.5, tag
shutil.rmtree(folder)
print("All checks hold.")
