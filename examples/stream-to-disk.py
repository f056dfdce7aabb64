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
#     summary: An API's answers of any size to disk, page by page, with the memory that a small one takes; and Spark.
# ---

# %% [markdown]
# # An answer that does not fit into memory
#
# An API is asked for data, the answer is decoded, and what came out is saved: three lines of Python, and good ones,
# until an answer has gigabytes. Then the program is ended by the system, after an hour of fetching. On a cluster the
# memory belongs to others too.
#
# Here the answer goes to disk while it arrives, compressed, and nothing of it stays in memory. What makes people
# decode it all the same is that they need something of it: most often where the next page is. That is found while
# the bytes pass by.
#
# The API is a stand-in in another process of this machine. It makes up as many tweets as it is asked for, while it
# sends them.

# %% tags=["parameters"]
# What is taken into memory at once, in megabytes, and how many times of it are streamed.
megabytes = 24
times = 10
# Pages of so many megabytes that Spark then reads.
pages = 8
page_megabytes = 2
# Below which folder the pages go, in your home unless it is a whole path: all can read what is in /shared.
place = "/shared"

# %% tags=["bounds"]
# What a smaller answer takes is not told from what Python itself does.
assert megabytes >= 10
assert times >= 1
# save_pages takes more for a circle.
assert 1 <= pages <= 10_000
assert page_megabytes >= 1

# %%
import contextlib
import gzip
import hashlib
import shutil
import sys
import time

sys.path.append("/shared/examples")
from provision_data import bulk, ingest, stream, workspace

folder = workspace("stream-to-disk")
target = workspace("stream-to-disk", place)
server = contextlib.ExitStack()
url = server.enter_context(bulk.serving())


def tweets(size, **options):
    """Return the address of so many megabytes of tweets."""
    asked = {"records": round(size * 1e6 / bulk.RECORD), **options}
    return f"{url}/tweets?" + "&".join(f"{name}={value}" for name, value in asked.items())


# %% [markdown]
# ## How much memory each way takes
#
# Each download runs in a process of its own. The system keeps the most memory that a process ever had, so nobody has
# to look at the right moment.
#
# An answer that is decoded is there several times: the bytes, the text, and an object for each value, which takes
# more than its digits.

# %%
found = {"at_once": {}, "as_it_comes": {}}
for way, sizes in {
    "at_once": [megabytes / 4, megabytes / 2, megabytes],
    "as_it_comes": [megabytes / 4, megabytes, times * megabytes],
}.items():
    for size in sizes:
        measured = found[way][size] = ingest.measure(way, tweets(size), folder / "answer.json.gz")
        print(
            f"{way:12} {size:6g} MB: {measured.peak / 1e6:6.1f} MB of memory, {measured.taken / 1e6:6.1f} MB of it "
            f"for the answer; {measured.seconds:.1f} s, {size / measured.seconds:.0f} MB/s"
        )

# %%
import matplotlib.pyplot as plt

labels = {"at_once": "all at once", "as_it_comes": "streamed"}
plt.figure(figsize=(7, 4))
for way, points in found.items():
    plt.plot(points.keys(), [each.peak / 1e6 for each in points.values()], marker="o", label=labels[way])
plt.axhline(measured.idle / 1e6, color="grey", linewidth=0.8, label="Python before it asks")
plt.ylim(bottom=0)
plt.xscale("log")
plt.xlabel("size of the answer, MB")
plt.ylabel("memory of the process, MB")
plt.legend()
plt.show()

# %% [markdown]
# ## When the connection breaks off
#
# An hour's download breaks off sooner or later. The server says which version its answer is of (`ETag`), and a
# client that has a part of it asks for the rest of the same version (`Range`, `If-Range`). If there is another version
# by then, the server sends all of it, and the client begins anew. Here each answer breaks off after 2 MB.
#
# The file has another name until it is whole. A program that sees it can rely on it.


# %%
def fingerprint(path):
    """Return a checksum of what is in a compressed file."""
    with gzip.open(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


pauses = []
smooth = stream.save(tweets(10), folder / "smooth.json.gz")
broken = stream.save(
    tweets(10, breaks=2_000_000), folder / "broken.json.gz", watch=stream.Bar(sys.stdout), sleep=pauses.append
)
same = fingerprint(smooth.path) == fingerprint(broken.path)
print(f"broke off {len(pauses)} times; the two files hold the same: {same}")

# %% [markdown]
# ## Page after page
#
# Each answer ends with the number of the page that follows, after megabytes of tweets: `"paging": {"next": 2}`. To
# search each piece of the answer for it fails on the day when it lies across two pieces; and a tweet whose text has
# these letters would be believed. So what passes by is followed as JSON is read: how deep it is, whether in a string,
# below which key. No more is kept of it than the value itself.
#
# Each page becomes a file, since a compressed file can only be read from its beginning: with one large file one
# executor would work and all others wait. (For Spark gzip is the right choice. `.zst` is smaller and faster, and for
# other readers: Spark needs a native library of Hadoop for it, which the image has not.)

# %%
shutil.rmtree(target / "pages", ignore_errors=True)
first = tweets(page_megabytes, pages=pages)
began = time.monotonic()
saved = stream.save_pages(
    f"{first}&page=1", target / "pages", field="paging.next", next_url=lambda marker: f"{first}&page={marker}"
)
seconds = time.monotonic() - began
whole = sum(page.bytes for page in saved)
on_disk = sum(page.path.stat().st_size for page in saved)
print(f"{len(saved)} pages, {whole / 1e6:.1f} MB in {seconds:.1f} s, {on_disk / 1e6:.1f} MB on disk")
[(page.path.name, page.found) for page in saved[:2] + saved[-1:]]

# %% [markdown]
# ## Read by Spark
#
# A task for each file. The schema is given: else Spark would read everything once more, only to guess it.

# %%
from pyspark.sql import functions as F

schema = "data ARRAY<STRUCT<id: LONG, user: STRUCT<id: INT>, likes: INT, tag: STRING, text: STRING>>"
everything = spark.read.schema(schema).json(f"file://{target}/pages").select(F.explode("data").alias("tweet"))
by_tag = (
    everything.select("tweet.*")
    .groupBy("tag")
    .agg(F.count("id").alias("tweets"), F.sum("likes").alias("likes"), F.countDistinct("user.id").alias("users"))
    .orderBy(F.desc("likes"))
    .toPandas()
)
by_tag

# %% [markdown]
# ## Checks

# %%
server.close()
naive, few = found["at_once"][megabytes], found["as_it_comes"][megabytes]
many = found["as_it_comes"][times * megabytes]
assert naive.taken > 2e6 * megabytes, "decoded it is there more than twice"
assert naive.taken > 20 * max(few.taken, 1e6), (naive, few)
assert abs(many.peak / few.peak - 1) < 0.1, f"{times} times as much: {many} instead of {few}"
assert same, "a download that broke off is the same as one that did not"
assert len(pauses) >= 4
assert [page.found for page in saved] == [*map(str, range(2, pages + 1)), None]
records = round(page_megabytes * 1e6 / bulk.RECORD)
assert by_tag.tweets.sum() == pages * records
assert by_tag.likes.sum() == pages * sum(map(bulk.likes, range(records)))
assert sorted(by_tag.tag) == sorted(bulk.TAGS)
shutil.rmtree(target)
shutil.rmtree(folder)
print("All checks hold.")
