"""Fair shares of the cluster between notebooks: a thread in every kernel with Spark (a hook of session.py).

Standalone Spark knows no users: whoever registers first gets what they ask for. So the kernels share among themselves.
Each one publishes what it could use, as a small file on the master, where all of them run; the Spark master says who holds
what. From that each kernel works out the same shares (`fair_shares`), lets its dynamic allocation grow to its own share
only, and gives executors back while others wait for theirs. They are decommissioned: tasks in flight end, shuffle data
moves. A notebook that waits for cores says so, and who holds them.

This is cooperation, not enforcement: the users of one cluster trust each other. A program that does not take part
(spark-submit) is bounded by spark.cores.max, and counts as what it holds.
"""

import atexit
import collections
import heapq
import json
import os
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from typing import NamedTuple

PERIOD = 3
"""Seconds between two looks at the cluster."""
LONGEST_PERIOD = 20
"""The same on a machine that is slow or busy."""
GRACE = 20
"""Seconds for which a notebook keeps its executors after a job while others wait: people run the next cell soon."""
PATIENCE = 10
"""Seconds of waiting for cores before the notebook says so."""
SLOW_START = 60
"""Seconds that an executor takes to start, at most: one that had to wait for cores says nothing about that."""
SLOW_IDLE = {
    "spark.dynamicAllocation.executorIdleTimeout": "300s",
    "spark.dynamicAllocation.shuffleTracking.timeout": "300s",
}
"""How long executors stay without tasks where another takes minutes to start, instead of the cluster's minute: longer than
it takes to read a result and write the next cell. A notebook that waits for cores gets them within seconds all the same."""
SIZE_AT_MOST = 4096
"""Bytes of a published file that are read."""


ALL_CORES = 2**31 - 1
"""No limit, as Spark writes a number of cores."""
QUIET = ("ExecutorAllocationManager", "scheduler.TaskSchedulerImpl")
"""Spark's classes that would warn of cores that are waited for, over and over, and of executors that go."""


class App(NamedTuple):
    """An application: cores that it holds and could use."""

    id: str
    user: str
    holds: int
    wants: int
    unit: int = 1
    """Cores of one executor."""
    leaving: int = 0
    """Cores of executors that it is giving back already."""
    elastic: bool = True
    """Whether it gives executors back: others keep what they hold."""


def fair_shares(apps, cores, user_cores):
    """Return every application's fair number of cores, by id: max-min fair between users, then between a user's own.

    Executors are dealt one by one to the user with the fewest cores who can use one more, so nobody gets more while
    somebody else could use it; an odd one stays with who has it. `cores` is the cluster's number, `user_cores` a user's
    limit; a user's first executor may exceed the limit, so that nobody is locked out. Before all others come programs that
    give nothing back: they keep what they hold, and have what they want, for they may not run with less.
    """
    shares = {app.id: 0 if app.elastic else app.holds for app in apps}
    left = cores - sum(shares.values())
    for app in apps:
        if not app.elastic:
            more = max(min(app.wants - app.holds, left), 0)
            shares[app.id] += more
            left -= more
    holds = dict.fromkeys((app.user for app in apps), 0)
    dealt = dict(holds)
    for app in apps:
        holds[app.user] += app.holds
        dealt[app.user] += shares[app.id]
    # Heaps: thousands of executors are dealt at each look of each kernel, all on one machine.
    queues = {user: [] for user in dealt}
    for app in apps:
        queues[app.user].append((shares[app.id], -app.holds, app.id, app.wants, app.unit))
    for queue in queues.values():
        heapq.heapify(queue)
    users = [(dealt[user], -holds[user], user) for user in dealt]
    heapq.heapify(users)
    while users:
        has, held, user = users[0]
        queue = queues[user]
        while queue:
            share, holding, name, wants, unit = queue[0]
            if share < wants and unit <= left and (not has or has + unit <= user_cores):
                shares[name] += unit
                left -= unit
                heapq.heapreplace(queue, (share + unit, holding, name, wants, unit))
                heapq.heapreplace(users, (has + unit, held, user))
                break
            # Nor will it ever: what is left gets less, and what the user has more.
            heapq.heappop(queue)
        else:
            heapq.heappop(users)
    return shares


def room(me, apps, cores, user_cores):
    """Return the cores up to which `me` may grow: its fair share if it could use everything, within its user's limit."""
    eager = me._replace(wants=cores)
    share = fair_shares([eager if app.id == me.id else app for app in apps], cores, user_cores)[me.id]
    own = sum(app.holds - app.leaving for app in apps if app.user == me.user and app.id != me.id)
    return share if not own else max(min(share, user_cores - own), 0)


def to_give_back(me, apps, cores, user_cores):
    """Return how many executors `me` should give back now: above its share, while others wait or its user's limit is passed.

    Those who hold the most above their share give first; each kernel works out the same list, and its own part of it.
    """
    shares = fair_shares(apps, cores, user_cores)
    surplus = {app.id: app.holds - app.leaving - shares[app.id] for app in apps if app.elastic}
    missing = {app.id: max(min(shares[app.id], app.wants) - app.holds, 0) for app in apps}
    stays = {app.id: app.holds - app.leaving for app in apps}
    donors = sorted((app for app in apps if surplus.get(app.id, 0) >= app.unit), key=lambda a: (-surplus[a.id], a.id))
    own = [app for app in apps if app.user == me.user]
    # What the cluster lacks, from everybody; what the user's limit lacks, from their own.
    lacking = sum(missing.values()) + sum(stays.values()) - cores
    over = sum(missing[app.id] + stays[app.id] for app in own) - max(user_cores, me.unit)
    return max(_part(me, donors, surplus, lacking), _part(me, [app for app in donors if app in own], surplus, over))


def _part(me, donors, surplus, need):
    """Return how many executors `me` gives when `donors` cover `need` cores, one after the other."""
    for donor in donors:
        count = min(surplus[donor.id] // donor.unit, -(-max(need, 0) // donor.unit))
        need -= count * donor.unit
        if donor.id == me.id:
            return count
    return 0


def who_holds(apps, cores, user):
    """Say in words who holds the cluster's cores: `bob holds 3 of 4 (2 notebooks), carol 1`."""
    by_user = {}
    for app in apps:
        if app.holds:
            by_user.setdefault(app.user, []).append(app.holds)
    parts = []
    for name, held in sorted(by_user.items(), key=lambda entry: (-sum(entry[1]), entry[0])):
        many = f" ({len(held)} notebooks)" if len(held) > 1 else ""
        who = ("you hold" if name == user else f"{name} holds") if not parts else "you" if name == user else name
        parts.append(f"{who} {sum(held)}{f' of {cores}' if not parts else ''}{many}")
    return ", ".join(parts) or f"nobody holds any of the {cores}"


def emulated():
    """Whether this machine's processor is emulated, as far as that can be told."""
    found = subprocess.run(["systemd-detect-virt", "--vm"], capture_output=True, text=True, check=False)
    return found.stdout.strip() == "qemu"


def size_settings(environment, shared=True, slow=False):
    """Return the Spark settings of the size that was chosen at the server's start (SPARK_SIZE), names to values.

    `shared` says whether the kernel takes part in this (`watch`): then no number of cores but its share limits it, and
    on a `slow` machine it keeps executors longer. Whatever else takes part in nothing has the cluster's default limit
    for a program (spark.deploy.defaultCores).
    """
    entries = (entry.partition("=") for entry in environment.get("SPARK_SIZE", "").split())
    settings = {key: value for key, _, value in entries}
    return {"spark.cores.max": str(ALL_CORES), **(SLOW_IDLE if slow else {}), **settings} if shared else settings


class Folder:
    """The folder in which every application publishes {wants, unit, leaving} under its id; its sticky bit is set.

    All three are cores. One that gives nothing back adds `elastic: false`.
    """

    def __init__(self, path):
        self.path = path
        self.written = {}

    def publish(self, app_id, entry):
        """Write this application's entry, if it has changed."""
        if self.written.get(app_id) == entry:
            return
        path = os.path.join(self.path, app_id)
        new = f"{path}.{os.getpid()}.new"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644), "w") as file:
            json.dump(entry, file)
        os.replace(new, path)
        self.written[app_id] = entry

    def remove(self, app_id):
        """Remove this application's entry."""
        self.written.pop(app_id, None)
        with suppress(OSError):
            os.remove(os.path.join(self.path, app_id))

    def read(self, app_id):
        """Return an application's entry; None if it has none, or no proper one."""
        try:
            # Anybody may put anything here: no link is followed, and no pipe is waited for.
            handle = os.open(os.path.join(self.path, app_id), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with open(handle, "rb") as file:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    return None
                entry = json.loads(file.read(SIZE_AT_MOST))
            numbers = {key: int(entry[key]) for key in ("wants", "unit", "leaving")}
            elastic = entry.get("elastic", True) is True
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return {**numbers, "elastic": elastic} if numbers["unit"] > 0 and min(numbers.values()) >= 0 else None


def applications(state, read):
    """Return the cluster's cores and the running applications from the Spark master's JSON and the published entries."""
    cores = sum(worker["cores"] for worker in state["workers"] if worker["state"] == "ALIVE")
    apps = []
    for each in state["activeapps"]:
        entry = read(each["id"])
        holds = each["cores"]
        if entry:
            apps.append(App(each["id"], each["user"], holds, **entry))
        else:
            # It says nothing: one executor, if it has none and waits.
            wants = max(holds, 1 if each["state"] == "WAITING" else 0)
            apps.append(App(each["id"], each["user"], holds, wants, elastic=False))
    return cores, apps


class Allocation:
    """The running SparkContext's dynamic allocation, as far as it is to be steered.

    Spark reads spark.dynamicAllocation.maxExecutors only once. The field that holds it is not public: it is set by
    reflection; everything else are Spark's developer interfaces and metrics.
    """

    def __init__(self, context):
        self.context = context
        self.spark = context._jsc.sc()
        conf = context.getConf()
        self.master = conf.get("spark.provision.masterUi")
        self.app_id = context.applicationId
        self.unit = int(conf.get("spark.executor.cores", "1"))
        self.folder = Folder(conf.get("spark.provision.shares"))
        self.configured = int(conf.get("spark.provision.userCores", "0"))
        self.most = min(
            int(conf.get("spark.cores.max", str(ALL_CORES))) // self.unit,
            int(conf.get("spark.dynamicAllocation.maxExecutors", str(ALL_CORES))),
        )
        self.idle = conf.get("spark.dynamicAllocation.executorIdleTimeout", "60s")
        manager = self.spark.executorAllocationManager()
        self.manager = manager.get() if manager.isDefined() else None
        self.given_back = set()
        self.start = None
        self.miscounts = False
        if self.manager is not None:
            self.gauges = self.manager.executorAllocationManagerSource().metricRegistry().getGauges()
            self.limit = self.manager.getClass().getDeclaredField("maxNumExecutors")
            self.limit.setAccessible(True)
            self.limited_to = None
        self._be_quiet()

    def _be_quiet(self):
        """Silence the warnings about what is meant to happen; this module says it in a sentence. Errors are still shown."""
        from py4j.java_gateway import JavaClass

        # By their whole names: the JVM would look for `org`, `org.apache` and so on in all of Spark's jars first.
        client = self.context._gateway._gateway_client
        configurator = JavaClass("org.apache.logging.log4j.core.config.Configurator", client)
        error = JavaClass("org.apache.logging.log4j.Level", client).ERROR
        for name in QUIET:
            configurator.setLevel(f"org.apache.spark.{name}", error)

    def user_cores(self, cores):
        """Return the limit of a user's cores; by default three quarters of the cluster's, at least one executor."""
        return self.configured or max(cores - max(cores // 4, 1), self.unit)

    def needed(self):
        """Return how many executors could be busy now with running and pending tasks."""
        if self.manager is None:
            return int(self._is_busy())
        count = int(self.gauges.get("executors.numberMaxNeededExecutors").getValue())
        # Spark loses count when a job is cancelled while its tasks start, and counts too few from then on (SPARK-58446).
        self.miscounts = self.miscounts or count < 0
        if count > 0 or not self.miscounts or not self._is_busy():
            return max(count, 0)
        if not self.executors()[0]:
            # For a job of one task it would never ask for an executor.
            self._request(1)
        return 1

    def _is_busy(self):
        return bool(self.context.statusTracker().getActiveStageIds())

    def _request(self, count):
        self.spark.requestTotalExecutors(count, 0, self.context._jvm.PythonUtils.toScalaMap({}))

    def executors(self):
        """Return the ids of the executors that stay, and of those that are being given back and still there."""
        registered = set(_each(self.spark.schedulerBackend().getExecutorIds()))
        self.given_back &= registered
        return registered - self.given_back, set(self.given_back)

    def start_seconds(self):
        """Return how long an executor takes to start here, as the first one did; the most while there is none."""
        if self.start is None:
            found = _each(self.spark.statusStore().executorList(True))
            times = [each.addTime().getTime() for each in found if each.id() != "driver"]
            if not times:
                return SLOW_START
            self.start = min((min(times) - self.context.startTime) / 1000, SLOW_START)
        return self.start

    def grow_to(self, count):
        """Let dynamic allocation ask for `count` executors at most, all in all."""
        if count != self.limited_to:
            self.limit.set(self.manager, count)
            self.limited_to = count
        targets = self.manager.numExecutorsTargetPerResourceProfileId()
        # With several resource profiles (stage-level scheduling) the limit is for each, and lowering is left to Spark.
        if targets.size() == 1 and targets.contains(0) and targets.apply(0) > count:
            targets.put(0, count)
            self._request(count)

    def give_back(self, count, turn):
        """Decommission `count` executors: idle ones first, and from the hosts that have the most of them.

        `turn` is the place of the host to begin with, where they are equal.
        """
        staying, _ = self.executors()
        found = [each for each in _each(self.spark.statusStore().executorList(True)) if each.id() in staying]
        hosts = [each.hostPort().rpartition(":")[0] for each in found]
        places = {host: (place - turn) % len(set(hosts)) for place, host in enumerate(sorted(set(hosts)))}
        rows = [(each.activeTasks() > 0, each.memoryUsed(), host, each.id()) for each, host in zip(found, hosts)]
        chosen = []
        while rows and len(chosen) < count:
            many = collections.Counter(row[2] for row in rows)
            rows.sort(key=lambda row: (row[0], -many[row[2]], places[row[2]], row[1], row[3]))
            chosen.append(rows.pop(0)[3])
        jvm, gateway = self.context._jvm, self.context._gateway
        pairs = gateway.new_array(jvm.scala.Tuple2, len(chosen))
        for place, executor in enumerate(chosen):
            why = jvm.org.apache.spark.scheduler.ExecutorDecommissionInfo("others wait", jvm.scala.Option.empty())
            pairs[place] = jvm.scala.Tuple2(executor, why)
        self.given_back.update(chosen)
        self.spark.schedulerBackend().decommissionExecutors(pairs, False, False)


class Watcher:
    """What one kernel does every few seconds (`look`); `say` puts a line into the notebook."""

    def __init__(self, say, clock=time.monotonic):
        self.say = say
        self.clock = clock
        self.allocation = None
        self.busy_at = None
        self.busy_since = None
        self.gave = 0
        self.waits_since = None
        self.told = False

    def follow(self, context):
        """Take the SparkContext of this moment: the user may have stopped one, and made another."""
        if self.allocation is not None and self.allocation.context is context:
            return
        if self.allocation is not None:
            self.allocation.folder.remove(self.allocation.app_id)
        self.allocation = None
        self.busy_at, self.busy_since = None, None
        self.gave, self.waits_since, self.told = 0, None, False
        # Not one that is being made or stopped, nor one that computes on the master alone (local[2]).
        if getattr(context, "_jsc", None) and context.master.startswith("spark://"):
            self.allocation = Allocation(context)

    def look(self):
        """Publish what this notebook could use, take and give back what is fair, and say what it waits for."""
        mine = self.allocation
        if mine is None:
            return
        needed = mine.needed()
        staying, leaving = mine.executors()
        now = self.clock()
        self.busy_since = (self.busy_since or now) if needed else None
        if needed:
            self.busy_at = now
        elif self.busy_at is not None and now - self.busy_at < GRACE:
            needed = len(staying)
        if mine.manager is not None:
            entry = {"wants": min(needed, mine.most) * mine.unit, "unit": mine.unit, "leaving": len(leaving) * mine.unit}
            mine.folder.publish(mine.app_id, entry)
        if not (needed or staying or leaving):
            self._waited(now, None)
            return
        state = ask(mine.master)
        cores, apps = applications(state, mine.folder.read)
        me = next((app for app in apps if app.id == mine.app_id), None)
        if me is None:
            return
        limit = mine.user_cores(cores)
        if me.elastic:
            self._share(me, apps, cores, limit, self._soon_done(now))
        waits = needed and not staying and not me.holds
        self._waited(now, waiting(me, apps, cores, limit, state, mine) if waits else None)

    def _soon_done(self, now):
        """Say whether the job may well end before another executor would be there: its start would only slow the job."""
        return self.busy_since is None or now - self.busy_since < self.allocation.start_seconds()

    def _share(self, me, apps, cores, user_cores, stay):
        mine = self.allocation
        most = min(room(me, apps, cores, user_cores) // me.unit, mine.most)
        # What the master has granted may still be starting.
        mine.grow_to(min(most, me.holds // me.unit) if stay and me.holds else most)
        count = to_give_back(me, apps, cores, user_cores)
        # Twice in a row: the others may have told of their needs a moment ago, or be about to end.
        if count and self.gave:
            # Each notebook begins with another host: what is given back is to be all over the cluster.
            turn = sorted(app.id for app in apps).index(me.id)
            mine.give_back(min(count, self.gave), turn)
            count = 0
        self.gave = count

    def _waited(self, now, why):
        if why is None:
            if self.told:
                self.say("The cores are there: going on.")
            self.waits_since, self.told = None, False
            return
        if self.waits_since is None:
            self.waits_since = now
        if not self.told and now - self.waits_since >= PATIENCE:
            self.say(why)
            self.told = True


def waiting(me, apps, cores, user_cores, state, mine):
    """Say why an application has no cores, in a sentence or three."""
    workers = [worker for worker in state["workers"] if worker["state"] == "ALIVE"]
    if not workers:
        return "Waiting for workers: none is registered with the Spark master."
    if max(worker["coresfree"] for worker in workers) >= mine.unit:
        memory = next(each["memoryperexecutor"] for each in state["activeapps"] if each["id"] == me.id)
        if all(worker["memoryfree"] < memory for worker in workers if worker["coresfree"] >= mine.unit):
            who = who_holds(apps, cores, me.user)
            return f"Waiting for memory: no worker has {memory} MiB for an executor ({who})."
    limit = ""
    if sum(app.holds for app in apps if app.user == me.user) >= user_cores:
        limit = f" Your limit is {user_cores}, over all of your notebooks."
    return (
        f"Waiting for cores: {who_holds(apps, cores, me.user)}.{limit} Yours come when they are free; idle notebooks give "
        f"theirs back after {mine.idle}."
    )


def ask(master):
    """Return the Spark master's state. Raises OSError when it does not answer."""
    # No proxy of the environment: the master is this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{master}/json/", timeout=60) as answer:
        return json.load(answer)


def watch(spark):
    """Start the thread, once in a kernel. It follows whichever SparkContext is active, and never raises.

    In Connect's kernel none is: then it is that of the session that was given last.
    """
    from pyspark import SparkContext

    _Given.context = None if SparkContext._active_spark_context else spark.sparkContext
    if any(thread.name == "shares" for thread in threading.enumerate()):
        return
    threading.Thread(target=_watch, name="shares", daemon=True).start()


class _Given:
    context = None


def _watch():
    from pyspark import SparkContext

    watcher = Watcher(_say)
    atexit.register(watcher.follow, None)
    trouble = ""
    while True:
        began = time.monotonic()
        try:
            watcher.follow(SparkContext._active_spark_context or _Given.context)
            watcher.look()
        except Exception as error:
            # A context that is being stopped, a master that restarts: the next look may be better. Into the Hub's log;
            # but that the JVM of a kernel that ends is no longer there is no trouble.
            if trouble != repr(error) and threading.main_thread().is_alive():
                trouble = repr(error)
                print(f"shares: {trouble}", file=sys.__stderr__, flush=True)
        # Of a slow processor this takes a tenth; but others wait for what is given back.
        time.sleep(min(max(PERIOD, 9 * (time.monotonic() - began)), LONGEST_PERIOD))


def _say(line):
    """Print a line below the cell that runs."""
    from IPython import get_ipython

    shell = get_ipython()
    if shell is not None and hasattr(shell, "kernel"):
        # This thread was not started by a cell: without a parent its output would belong to none.
        sys.stdout.set_parent(shell.kernel.get_parent("shell"))
    print(line, flush=True)


def _each(iterable):
    iterator = iterable.iterator()
    while iterator.hasNext():
        yield iterator.next()
