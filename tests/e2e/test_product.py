"""The whole product, for real and in order: from a machine without a cloud to a notebook, and back to nothing.

One scenario: each test stands on the one before it, and pytest runs them in this order and stops at the first failure.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import ssl
import statistics
import subprocess
import time
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import openstack
import pytest
import yaml
from directory import SUFFIX, directory, group_dn
from oidc_server import oidc_server

from provision.adapters.net import source_address
from provision.base import paths
from provision.base.constants import LOCALCLOUD_LABEL, LOCALCLOUD_PORTS, METADATA_ADDRESS, PORTS, SPARK_PAGES
from provision.clusterfile.units import reserved_users

from . import browser, causes, notebooks, reach
from .conftest import OTHER_CLOUDS, say

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

MEGABYTES = 30
KINDS = {
    "servers": lambda cloud: cloud.compute.servers(),
    "key pairs": lambda cloud: cloud.compute.keypairs(),
    "networks": lambda cloud: cloud.network.networks(),
    "subnets": lambda cloud: cloud.network.subnets(),
    "routers": lambda cloud: cloud.network.routers(),
    "ports": lambda cloud: (port for port in cloud.network.ports() if not port.device_owner.startswith("network:")),
    "security groups": lambda cloud: cloud.network.security_groups(),
    "floating IPs": lambda cloud: cloud.network.ips(),
}


def connect(product) -> openstack.connection.Connection:
    """Log in to the local cloud as its ordinary user."""
    clouds = yaml.safe_load((product.home / "clouds.yaml").read_text())["clouds"]
    return openstack.connect(load_yaml_config=False, load_envvars=False, **clouds["local"])


def held(product) -> dict[str, list[str]]:
    """Return what the cloud itself lists, kind by kind."""
    cloud = connect(product)
    return {kind: sorted(thing.id for thing in ask(cloud)) for kind, ask in KINDS.items()}


def note_what_is_held(product) -> None:
    """Keep the cloud's lists as they are now, for `held_before`."""
    (product.home / "before.json").write_text(json.dumps(held(product)))


def held_before(product) -> dict[str, list[str]]:
    """Return what the cloud listed before there was a cluster."""
    return json.loads((product.home / "before.json").read_text())


def passwords(product) -> dict[str, str]:
    """Read the file that `up` names in its summary, as a user does."""
    file = product.home / "state/provision/clusters/analytics/passwords"
    assert file.stat().st_mode & 0o777 == 0o600
    return dict(line.split() for line in file.read_text().splitlines() if line and not line.startswith("#"))


def playbook(product, name: str) -> tuple[dict[str, int], dict[str, int]]:
    """Run a playbook as the README says and return changed and failed per host."""
    inventory = paths.INVENTORIES / "provision"
    done = product.command(
        ["ansible-playbook", "-i", str(inventory), str(paths.PLAYBOOKS / name)], env={"ANSIBLE_NOCOLOR": "1"}
    )
    recap = re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", done.output, re.M)
    assert recap, done.output[-2000:]
    hosts = [row for row in recap if row[0] != "localhost"]
    return {h: int(c) for h, c, _, _ in hosts}, {h: int(u) + int(f) for h, _, u, f in hosts}


def bring_users(product, *names: str) -> None:
    """Have users.yml give the cluster these users, and no others."""
    (product.folder / "cluster.yaml").write_text(f"name: analytics\nhub: {{users: [{', '.join(names)}]}}\n")
    _, failed = playbook(product, "users.yml")
    assert set(failed.values()) == {0}
    (product.folder / "cluster.yaml").unlink()


@pytest.fixture(scope="session")
def hub_url(product) -> str:
    # A worker may just be starting again: the address is the same.
    return json.loads(product.run("status", "--json", code=None).stdout)["hub"]["url"]


def test_the_cloud_comes_up_from_nothing(product) -> None:
    product.killed("cloud", "up", at=r"mariadb")
    product.run("cloud", "up")
    again = product.run("cloud", "up")
    assert again.seconds < 15
    assert product.json("cloud", "status")
    product.run("cloud", "doctor")


def test_every_document_is_rendered_offline(product) -> None:
    listed = product.run("render").stdout.split()
    assert len(listed) > 5
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        assert all(done.stdout.strip() for done in pool.map(lambda document: product.run("render", document), listed))


def test_a_wrong_spec_changes_nothing(product) -> None:
    before = held(product)
    spec = product.folder / "wrong.yaml"
    spec.write_text("name: wrong\nworkers: {flavor: m1.nonesuch}\n")
    refused = product.run("up", "--yes", "-f", str(spec), code=2)
    for word in ("wrong.yaml", "workers.flavor", "m1.nonesuch"):
        assert word in refused.output
    assert held(product) == before


def test_init_asks_the_cloud_what_there_is(product, tmp_path) -> None:
    clouds = yaml.safe_load((product.home / "clouds.yaml").read_text())
    clouds["clouds"]["company"] = clouds["clouds"]["local"]
    (tmp_path / "clouds.yaml").write_text(yaml.safe_dump(clouds))
    env = {"OS_CLIENT_CONFIG_FILE": str(tmp_path / "clouds.yaml")}
    file = tmp_path / "cluster.yaml"
    init = [str(product.executable), "init", "-f", str(file), "--cloud"]
    product.command([*init, "company"], env=env)
    spec = yaml.safe_load(file.read_text())
    assert (spec["cloud"], spec["network"]["external"], spec["master"]["flavor"]) == ("company", "public", "m1.small")
    assert "m1.medium (2 vCPU, 4 GiB, disk 16 GiB)" in file.read_text()
    file.unlink()
    product.command([*init, "nowhere"], env=env, code=2)
    assert not file.exists()


def test_an_image_comes_in_large_pieces_and_slowly(product) -> None:
    # As Nova's snapshots do, by glanceclient's pieces of one MiB; others send larger ones, and pause.
    pieces = [2 << 20, 1 << 20, 1, 1 << 20]

    def body() -> Iterator[bytes]:
        for number, size in enumerate(pieces):
            time.sleep(6 if number == 2 else 0)
            yield bytes(size)

    cloud = connect(product)
    asked = {"name": "pieces", "disk_format": "raw", "container_format": "bare"}
    made = cloud.image.post("/images", json=asked).json()["id"]
    headers = {"Content-Type": "application/octet-stream"}
    taken = cloud.image.put(f"/images/{made}/file", data=body(), headers=headers)
    assert taken.status_code == 204, taken.text
    assert cloud.image.get_image(made).size == sum(pieces)
    cloud.image.delete_image(made)


def test_up_finishes_however_often_it_is_killed(product) -> None:
    note_what_is_held(product)
    for moment in MOMENTS:
        product.killed("up", "--yes", at=moment)
    done = product.run("up", "--yes")
    assert "https://" in done.output
    assert "499500" in done.output


# Where `up` is killed: while the network is made, the image baked, the servers asked for, and twice while they boot.
MOMENTS = [
    r"router analytics: create",
    r"golden image: ",
    r"server analytics-master: create",
    r"worker-1: boot",
    r"master: cloud-init",
]


def test_a_second_up_has_nothing_to_do(product) -> None:
    there = held(product)
    again = product.run("up", "--yes")
    assert "nothing to do" in again.output.lower()
    assert again.seconds < 20
    assert held(product) == there
    assert product.json("plan")["steps"] == []


EARLY = """\
import ipykernel.connect
print('early' in open('/proc/self/cmdline').read(), 'early' in ipykernel.connect.get_connection_file(), __session__)
"""
ON_WORKERS = """\
def here(_):
    import socket, time
    time.sleep(1)
    return socket.gethostname()
sorted(set(sc.parallelize(range(16), 16).map(here).collect()))
"""
PANDAS_ON_WORKERS = """\
def here(frames):
    import socket, time
    import pandas
    for frame in frames:
        time.sleep(1)
        yield pandas.DataFrame({"host": [socket.gethostname()]})
sorted({row.host for row in spark.range(16, numPartitions=16).mapInPandas(here, "host string").collect()})
"""
WRITTEN_BY_EXECUTORS = """\
import os
spark.range(1000).write.mode("overwrite").parquet("/shared/numbers")
owners = {os.stat(f"/shared/numbers/{name}").st_uid for name in os.listdir("/shared/numbers")}
owners == {os.getuid()}, spark.read.parquet("/shared/numbers").count()
"""
READ_FROM_HOME = """\
open("mine.csv", "w").write("1\\n2\\n3\\n")
os.chmod("mine.csv", 0o600)
spark.read.csv("mine.csv").count()
"""
LEARNING = """\
from pyspark.ml.evaluation import RegressionEvaluator
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.regression import LinearRegression
numbers = spark.range(100).selectExpr("id", "2.0 * id + 1 AS label")
data = VectorAssembler(inputCols=["id"], outputCol="features").transform(numbers)
model = LinearRegression().fit(data)
RegressionEvaluator(metricName="rmse").evaluate(model.transform(data)) < 0.01
"""
NEW_SESSION = """\
from pyspark.sql import SparkSession
spark.stop()
spark = SparkSession.builder.getOrCreate()
sc = spark.sparkContext
"""


def test_a_notebook_computes_on_both_workers(product, hub_url, tmp_path) -> None:
    # Where this runs again her server still does, and has had its early kernel; the Hub looks after it twice a minute.
    product.run("ssh", "--", "! sudo systemctl stop notebook-alice 2> /dev/null || sleep 35")
    with browser.user_at(hub_url, tmp_path) as page:
        browser.log_in(page, "alice", passwords(product)["alice"])
        browser.open_pyspark(page)
        # In one cell: executors that leave between two take minutes to start anew here.
        output = browser.run_cell(page, f"print(sc.parallelize(range(1000)).sum())\n{ON_WORKERS}")
        # Begun with the server, and called as the server calls it.
        assert "True False" in (names := browser.run_cell(page, EARLY))
        assert "Untitled" in names
        # The kernel holds the cluster's cores until it is shut down.
        browser.shut_down_kernels(page, "alice")
    assert all(word in output for word in ("499500", "worker-1", "worker-2"))


@pytest.mark.acceptance
def test_a_notebook_learns_plots_and_is_interrupted(product, hub_url, tmp_path) -> None:
    with browser.user_at(hub_url, tmp_path) as page:
        browser.log_in(page, "alice", passwords(product)["alice"])
        browser.open_pyspark(page)
        assert "499500" in browser.run_cell(page, "spark.range(1000).toPandas()['id'].sum()")
        hosts = browser.run_cell(page, PANDAS_ON_WORKERS)
        assert "worker-1" in hosts
        assert "worker-2" in hosts
        assert "(True, 1000)" in browser.run_cell(page, WRITTEN_BY_EXECUTORS)
        assert "3" in browser.run_cell(page, READ_FROM_HOME)
        assert "True" in browser.run_cell(page, LEARNING)
        assert browser.shows_a_picture(page, "import matplotlib.pyplot as plt\nplt.plot([1, 4, 9]);")
        # The button ends the running job, whichever SparkContext it belongs to.
        browser.run_cell(page, NEW_SESSION)
        slow = browser.start_cell(page, "sc.parallelize(range(4), 4).foreach(lambda n: __import__('time').sleep(3600))")
        page.wait_for_timeout(20_000)
        browser.interrupt_kernel(page, "alice")
        assert "cancelled" in browser.finished(slow).inner_text()
        assert "6" in browser.run_cell(page, "sc.parallelize(range(4)).sum()")
        browser.shut_down_kernels(page, "alice")


# Spark's own examples, and one of ours, with a word of what each prints. Their data lies beside them, on every node.
EXAMPLES = {
    "pi.py 4": r"Pi is roughly 3\.1",
    "wordcount.py data/mllib/pagerank_data.txt": r"1: \d+",
    "ml/als_example.py": r"Root-mean-square error = [0-2]\.\d",
    "ml/kmeans_example.py": r"Silhouette with squared euclidean distance = 0\.99",
    "ml/logistic_regression_with_elastic_net.py": r"Multinomial coefficients: ",
    "sql/arrow.py": r"Pandas DataFrame result statistics",
    "~/sums.py": r"sums \[14850, 14950, 15050\]",
}
PANDAS_ON_SPARK = """\
import pyspark.pandas as ps
frame = ps.DataFrame({"group": [n % 3 for n in range(300)], "value": range(300)})
print("sums", sorted(frame.groupby("group").value.sum().to_dict().values()))
"""


@pytest.mark.acceptance
def test_sparks_own_examples_pass(product) -> None:
    program = f"cat > ~/sums.py << 'END'\n{PANDAS_ON_SPARK}END\n"
    product.run("ssh", "--", f"sudo -iu alice sh -s << 'OUTER'\n{program}OUTER\n")

    def passes(example: str) -> None:
        path = example if example == "~/sums.py" else f"examples/src/main/python/{example}"
        submit = f"cd /opt/spark && spark-submit {path}"
        assert re.search(EXAMPLES[example], product.run("ssh", "--", f"sudo -iu alice sh -c '{submit}'").output), (
            example
        )

    # Two at a time, as the default master has memory for.
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(passes, EXAMPLES))


@pytest.mark.acceptance
def test_two_examples_pass(product, tmp_path) -> None:
    for name, *fewer in (("popular-topics", "-p", "large=100_000"), ("weather-station",)):
        done = product.run("examples", "run", name, "--as", "alice", "-o", str(tmp_path), *fewer)
        assert f"{name}: passed" in done.output
    assert "gophercon" in (tmp_path / "popular-topics.html").read_text()


@pytest.mark.acceptance
def test_the_other_examples_pass(product, tmp_path) -> None:
    names = ("stream-to-disk", "trading-backtest", "weather-learning")
    done = product.run("examples", "run", *names, "--as", "alice", "-o", str(tmp_path), timeout=5400)
    assert all(f"{name}: passed" in done.output for name in names)


def test_verify_passes(product) -> None:
    # Its job takes longer than all of its other checks: `up` and the notebook have just run theirs.
    done = product.run("verify", "-k", "not job")
    assert int(re.search(r"(\d+) passed", done.output)[1]) >= 40


@pytest.mark.acceptance
def test_the_job_of_verify_runs_on_every_worker(product) -> None:
    product.run("verify", "-k", "job")


def test_no_user_can_have_the_name_of_an_account_of_the_node(product) -> None:
    ask = "awk -F: '$3 < 1000 || $3 == 65534 {print $1}' /etc/passwd /etc/group"
    there = set(product.run("ssh", "--", ask).stdout.split())
    assert len(there) > 40
    assert there <= reserved_users(), "templates/spec/accounts.txt says how it is renewed"


# Prints each TCP port of a host at which something answers, be it with a refusal: what a firewall lets through. (nmap
# does the same, and is on no node. asyncio had not ended there after a quarter of an hour.)
SCAN = """\
import errno, resource, select, socket, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
for first in range(1, 65536, 2000):
    asked, poller = {}, select.poll()
    for port in range(first, min(first + 2000, 65536)):
        link = socket.socket()
        link.setblocking(False)
        link.connect_ex((sys.argv[1], port))
        asked[link.fileno()] = link, port
        poller.register(link, select.POLLOUT)
    end = time.monotonic() + 4
    while asked and time.monotonic() < end:
        for number, _ in poller.poll(1000 * (end - time.monotonic())):
            link, port = asked.pop(number)
            poller.unregister(number)
            if link.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in (0, errno.ECONNREFUSED):
                print(port)
            link.close()
    for link, _ in asked.values():
        link.close()
"""


def span(first: int, last: int) -> set[int]:
    return set(range(first, last + 1))


@pytest.mark.acceptance
def test_open_ports_are_those_of_their_one_home(product) -> None:
    state = product.json("status")
    outside = subprocess.run(
        ["python3", "-c", SCAN, state["hub"]["url"].removeprefix("https://")],
        capture_output=True, text=True, check=True, timeout=1200,
    ).stdout  # fmt: skip
    assert set(map(int, outside.split())) == {PORTS.ssh, 443}
    master, worker, other = (node["address"] for node in state["nodes"])
    between = {
        master: {
            PORTS.spark_master, PORTS.nfs, *span(PORTS.driver, PORTS.driver + PORTS.retries),
            *span(PORTS.driver_block_manager, PORTS.driver_block_manager + PORTS.retries),
        },
        other: span(PORTS.block_manager, PORTS.block_manager + PORTS.retries),
    }  # fmt: skip
    for target, wanted in between.items():
        asked = f"sudo python3 - {target} << 'END'\n{SCAN}END"
        inside = product.run("ssh", "analytics-worker-1", "--", asked).stdout
        assert set(map(int, inside.split())) == wanted, f"from {worker} to {target}"


@pytest.mark.acceptance
def test_thirty_megabytes_pass_from_here_to_a_vm_and_between_vms(product) -> None:
    # As a switch in user space leaves a guest's interface now and then.
    down = "for nic in /sys/class/net/tap*; do ip link set ${nic##*/} down; done"
    subprocess.run(["docker", "exec", "provision-compute-1-switch-1", "sh", "-c", down], check=True)
    blob = os.urandom(MEGABYTES << 20)
    wanted = hashlib.sha256(blob).hexdigest()
    sent = subprocess.run(
        [product.executable, "ssh", "--", "cat > /tmp/blob && sha256sum /tmp/blob"],
        input=blob,
        capture_output=True,
        check=True,
        env=product.env,
        cwd=product.folder,
        timeout=600,
    )
    assert wanted in sent.stdout.decode()
    address = next(node["address"] for node in product.json("status")["nodes"] if node["role"] == "master")
    # A port that is open between the nodes: the last of the drivers' range.
    port = PORTS.driver + PORTS.retries
    product.run("ssh", "--", f"sudo systemd-run --unit=blob python3 -m http.server {port} --directory /tmp")
    fetched = product.run("run", "--role", "workers", "--", f"curl -sS http://{address}:{port}/blob | sha256sum")
    product.run("ssh", "--", "sudo systemctl stop blob; rm /tmp/blob")
    assert fetched.output.count(wanted) == 2


def test_site_yml_changes_nothing_and_mends_a_hand_made_change(product) -> None:
    changed, failed = playbook(product, "site.yml")
    assert set(changed.values()) == {0}
    assert set(failed.values()) == {0}
    product.run(
        "ssh", "analytics-worker-1", "--", "echo spark.ui.enabled false | sudo tee -a /etc/spark/spark-defaults.conf"
    )
    changed, failed = playbook(product, "site.yml")
    assert {host for host, count in changed.items() if count} == {"analytics-worker-1"}
    assert set(failed.values()) == {0}
    asked = product.run("ssh", "analytics-worker-1", "--", "sudo cat /etc/spark/spark-defaults.conf")
    assert "spark.ui.enabled" not in asked.stdout


def test_users_yml_adds_a_user_and_removes_her(product) -> None:
    bring_users(product, "alice", "carol")
    product.run("ssh", "--", "sudo -u alice mkdir /shared/ours && sudo -u alice touch /shared/ours/part")
    product.run("ssh", "--", "sudo -u carol cat /shared/ours/part")
    refused = product.run("ssh", "--", "sudo -u carol rm -r /shared/ours", code=None)
    assert re.search("Permission denied|not permitted", refused.output)
    assert product.run("ssh", "--", "sudo -u carol touch /shared/ours/mine", code=None).code != 0
    bring_users(product, "alice")
    assert product.run("ssh", "--", "id carol", code=None).code != 0


GROUPS_ON_WORKERS = """\
def here(frame):
    # Longer than it takes to start a second executor.
    import socket, time
    import pandas
    time.sleep(10)
    return pandas.DataFrame({"host": [socket.gethostname()]})
spark.conf.set("spark.sql.shuffle.partitions", 16)
spark.conf.set("spark.sql.adaptive.enabled", False)
sorted({row.host for row in spark.range(16).groupBy("id").applyInPandas(here, "host string").collect()})
"""
TAKEN_FROM_ANOTHER = """\
import glob, os
for act in (lambda: spark.range(1).write.mode("overwrite").parquet("/shared/lent"),
            lambda: os.remove(glob.glob("/shared/lent/part-*")[0]),
            lambda: os.rename("/shared/lent", "/shared/hers")):
    try:
        act()
        print("was possible")
    except Exception as error:
        print("refused:", type(error).__name__)
spark.read.parquet("/shared/lent").count()
"""
ONLY_ON_THE_MASTER = """\
open("/tmp/only-here.csv", "w").write("1\\n")
for act in (lambda: spark.range(4, numPartitions=2).write.csv("/tmp/lost"),
            lambda: spark.read.csv("file:///tmp/only-here.csv").count(),
            lambda: sc.textFile("/tmp/only-here.csv").count()):
    try:
        act()
        print("was possible")
    except Exception as error:
        print("advice:", "/shared" in str(error))
"""
LENT = """\
import os, pandas
os.makedirs("/shared/lent", exist_ok=True)
pandas.DataFrame({"id": range(1000)}).to_parquet("/shared/lent/part-0.parquet")
"""


@pytest.mark.acceptance
def test_a_colleague_reads_in_a_notebook_of_her_own(product, hub_url, tmp_path) -> None:
    bring_users(product, "alice", "carol")
    product.run("ssh", "--", f"sudo -iu alice /opt/jupyter/bin/python - << 'END'\n{LENT}END")
    with browser.user_at(hub_url, tmp_path) as page:
        browser.log_in(page, "carol", passwords(product)["carol"])
        browser.open_pyspark(page)
        assert "1000" in browser.run_cell(page, "spark.read.parquet('/shared/lent').count()")
        hosts = browser.run_cell(page, GROUPS_ON_WORKERS)
        assert "worker-1" in hosts
        assert "worker-2" in hosts
        browser.run_cell(page, "spark.range(10).write.mode('overwrite').saveAsTable('tens')")
        assert "45" in browser.run_cell(page, "%%sql\nSELECT sum(id) FROM tens")
        assert browser.run_cell(page, ONLY_ON_THE_MASTER).count("advice: True") == 3
        taken = browser.run_cell(page, TAKEN_FROM_ANOTHER)
        # She leaves the cluster, and what nobody has an account for comes back from a backup as root's.
        browser.run_cell(page, "spark.sql('DROP TABLE tens')")
        browser.shut_down_kernels(page, "carol")
    assert taken.count("refused:") == 3
    assert "1000" in taken
    product.run("ssh", "--", "sudo systemctl stop notebook-carol")
    bring_users(product, "alice")


TOO_MANY = """\
import subprocess
children = []
try:
    for _ in range(4000):
        children.append(subprocess.Popen(["sleep", "600"]))
except OSError as error:
    print("refused after", len(children), error)
"""
TOO_LARGE = """\
import os
try:
    with open("/shared/hoard", "wb") as file:
        while True:
            file.write(bytes(16 << 20))
except OSError as error:
    print("no room:", error)
os.remove("/shared/hoard")
"""
TOO_MUCH = "hoard = [bytearray(64 << 20) for _ in range(1000)]"


def seconds_to_answer(url: str, times: int) -> float:
    """Return the median time in which the Hub answers."""
    unverified = ssl._create_unverified_context()
    took = []
    for _ in range(times):
        began = time.monotonic()
        with urllib.request.urlopen(f"{url}/hub/health", context=unverified, timeout=120) as answer:
            assert answer.status == 200
        took.append(time.monotonic() - began)
    return statistics.median(took)


@pytest.mark.acceptance
def test_a_user_who_takes_everything_harms_nobody(product, hub_url, tmp_path) -> None:
    product.run("ssh", "--", "sudo systemctl stop notebook-alice", code=None)
    (product.folder / "cluster.yaml").write_text("name: analytics\nhub: {limits: {disk: 1g}}\n")
    product.run("up", "--yes")
    bring_users(product, "alice", "carol")
    job = [
        product.executable,
        "ssh",
        "--",
        # As in her terminal in the Hub: among all users' units, not among the operator's programs.
        "sudo systemd-run --quiet --wait --pipe --uid=carol --slice=notebooks.slice"
        " sh -lc 'cd /opt/spark && spark-submit examples/src/main/python/pi.py 4'",
    ]
    with browser.user_at(hub_url, tmp_path) as page:
        browser.log_in(page, "alice", passwords(product)["alice"])
        browser.open_pyspark(page)
        assert "no room: [Errno 122] Disk quota exceeded" in browser.run_cell(page, TOO_LARGE)
        before = seconds_to_answer(hub_url, 15)
        with subprocess.Popen(job, stdout=subprocess.PIPE, text=True, env=product.env, cwd=product.folder) as running:
            assert "refused after" in browser.run_cell(page, TOO_MANY)
            browser.start_cell(page, TOO_MUCH)
            during = seconds_to_answer(hub_url, 30)
            result, _ = running.communicate(timeout=1800)
    say(f"the Hub answers in {before:.3f} s, and in {during:.3f} s meanwhile: {during / before:.1f} times")
    assert "Pi is roughly 3.1" in result
    unit = "/sys/fs/cgroup/notebooks.slice/notebook-alice.service"
    for file, event in (("memory.events", "oom_kill"), ("pids.events", "max")):
        count = re.search(rf"^{event} (\d+)", product.run("ssh", "--", f"cat {unit}/{file}").stdout, re.M)
        assert int(count[1]) >= 1, file
    assert product.run("ssh", "--", "systemctl is-active jupyterhub spark-master").stdout.split() == ["active"] * 2
    product.run("ssh", "--", "sudo systemctl stop notebook-alice")
    bring_users(product, "alice")


@pytest.mark.acceptance
def test_what_a_user_can_reach_is_what_the_docs_say(product) -> None:
    master, *workers = (node["address"] for node in product.json("status")["nodes"])
    made = (
        f"sudo useradd -m -u {reach.OTHERS_ID} {reach.OTHER}; sudo -u {reach.OTHER} touch /shared/{reach.OTHER};"
        f"sudo systemd-run --uid={reach.OTHER} --unit={reach.OTHER} sleep 3600"
    )
    for node in ("analytics-master", "analytics-worker-1", "analytics-worker-2"):
        product.run("ssh", node, "--", made, code=None)
    try:
        (product.folder / "reach.py").write_text(reach.in_executor(master, workers))
        product.run("put", "reach.py", "alice:")
        notebooks.bring_token(product, "alice")
        user = product.run("ssh", "--", f"sudo -iu alice python3 - << 'END'\n{reach.on_master(master, workers)}END")
        executor = product.run("ssh", "--", "sudo -iu alice sh -c 'spark-submit reach.py'")
    finally:
        gone = f"sudo systemctl stop {reach.OTHER}; sudo userdel -r {reach.OTHER}; sudo rm -f /shared/{reach.OTHER}"
        for node in ("analytics-worker-2", "analytics-worker-1", "analytics-master"):
            product.run("ssh", node, "--", gone, code=None)
    found = reach.table(reach.found(user.stdout), reach.found(executor.output))
    say(found)
    assert found in reach.DOCUMENT.read_text(), "write this table into the document, or mend what it shows"


def test_files_go_in_and_out(product) -> None:
    (product.folder / "table.csv").write_text("1\n2\n")
    product.run("put", "table.csv", "/shared/")
    product.run("put", "table.csv", "alice:")
    assert "2001 644" in product.run("ssh", "--", "stat -c '%u %a' /shared/table.csv").stdout
    (product.folder / "table.csv").unlink()
    product.run("get", "alice:table.csv", ".")
    assert (product.folder / "table.csv").read_text() == "1\n2\n"
    assert product.run("get", "alice:nothing.csv", ".", code=2)


SUBMITTED = """\
import sys
from pyspark.sql import SparkSession
import ours_too
spark = SparkSession.builder.getOrCreate()
count = spark.sparkContext.parallelize(range(8), 4).map(lambda n: ours_too.ONE).sum()
for number in range(100_000):
    print(number)
if "wait" in sys.argv:
    spark.sparkContext.parallelize(range(4), 4).foreach(lambda n: __import__("time").sleep(3600))
sys.exit(count)
"""


@pytest.mark.acceptance
def test_a_program_is_submitted_and_nothing_is_left(product) -> None:
    (product.folder / "count.py").write_text(SUBMITTED)
    (product.folder / "ours_too.py").write_text("ONE = 1\n")
    submit = ["submit", "--as", "alice", "--py-files", "ours_too.py", "count.py"]
    # 8 tasks of 1: the program's own exit code.
    done = product.run(*submit, code=8)
    assert done.stdout == "".join(f"{number}\n" for number in range(100_000))
    interrupted = product.command(
        [str(product.executable), *submit, "wait"], code=130, interrupt_when=lambda line: line == "99999\n"
    )
    assert interrupted.code == 130
    notebooks.until("no application is left", lambda: product.json("status")["spark"]["applications"] == 0)
    # The machine that waits dies: nothing tells the master.
    product.command([str(product.executable), *submit, "wait"], code=None, kill_when=lambda line: line == "99999\n")
    notebooks.until("no application is left", lambda: product.json("status")["spark"]["applications"] == 0)
    states = [(job["state"], job["code"]) for job in product.json("jobs")]
    assert states == [("failed", 8), ("ended", None), ("ended", None)]


@pytest.mark.acceptance
def test_what_goes_on_is_watched(product) -> None:
    states: list[dict] = []

    def seen(line: str) -> bool:
        if line.startswith("{"):
            states.append(json.loads(line))
        return bool(states) and all(node["load"] for node in states[-1]["nodes"])

    watching = [str(product.executable), "status", "--watch", "2", "--json"]
    product.command(watching, code=130, interrupt_when=seen, timeout=300)
    state = states[-1]
    assert {node["status"] for node in state["nodes"]} == {"ACTIVE"}
    assert [node["registered"] for node in state["nodes"]] == [None, True, True]
    assert state["spark"]["cores"] == product.json("status")["spark"]["cores"]
    assert "alice" in {user["name"] for user in state["users"]}
    assert state["problems"] == []


@pytest.mark.acceptance
def test_the_report_is_one_page_with_everything(product, tmp_path) -> None:
    product.run("report", "-o", str(tmp_path / "report.html"))
    text = (tmp_path / "report.html").read_text()
    for words in ("It works", "analytics-worker-2", "spark-worker, until registered with the master", "cloud-config"):
        assert words in text
    # The ports are the security group's, the versions those of the nodes.
    for words in ("10.20.0.0/24", "7100-7132", "JupyterLab"):
        assert words in text
    assert passwords(product)["alice"] not in text
    with browser.user_at((tmp_path / "report.html").as_uri(), tmp_path) as page:
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") == width


MARK = "sudo systemd-run --quiet --collect --unit=job-mark-1 --slice=notebooks.slice echo mark-of-$(hostname)"


@pytest.mark.acceptance
def test_the_logs_of_all_nodes_are_one(product) -> None:
    lines = [json.loads(line) for line in product.run("logs", "--json", "-n", "20").stdout.splitlines()]
    assert len({line["node"] for line in lines}) == 3
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    assert all(word in product.run("logs", "spark-wrker", code=2).output for word in ("spark-worker", "notebook-alice"))
    marked: set[str] = set()

    def all_marked(line: str) -> bool:
        marked.update(re.findall(r"\| mark-of-(\S+)", line))
        return len(marked) == 3

    follow = [str(product.executable), "logs", "--follow", "-n", "0", "job-*"]
    with ThreadPoolExecutor(1) as pool:
        followed = pool.submit(product.command, follow, code=130, interrupt_when=all_marked, timeout=600)
        # A unit that did not exist when it began: again, until it is being followed on every node.
        while not followed.done():
            product.run("run", "--", MARK)
            time.sleep(10)
        followed.result()
    left = product.run("run", "--", "pgrep -c journalctl || true")
    assert set(left.stdout.split()) == {"0"}


MODULE = """\
import socket
def host(_):
    import ours
    return socket.gethostname(), ours.ANSWER
"""
ASK_EXECUTORS = f"""\
{MODULE}
from pyspark.sql import SparkSession
sc = SparkSession.builder.getOrCreate().sparkContext
print("answers", sorted(set(sc.parallelize(range(8), 8).map(host).collect())), host(0)[1])
"""


def wheel(folder: Path) -> Path:
    """Make a small wheel: what a team has of its own."""
    path = folder / "ours-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("ours.py", "ANSWER = 42\n")
        made.writestr("ours-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: ours\nVersion: 1.0\n")
        made.writestr(
            "ours-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        made.writestr(
            "ours-1.0.dist-info/RECORD", "ours.py,,\nours-1.0.dist-info/METADATA,,\nours-1.0.dist-info/WHEEL,,\n"
        )
    return path


@pytest.mark.acceptance
def test_packages_come_to_live_nodes_and_go(product) -> None:
    spec = product.folder / "cluster.yaml"
    boots = product.run("run", "--role", "all", "--", "cat /proc/sys/kernel/random/boot_id").stdout
    spec.write_text("name: analytics\npackages: [no-such-package-of-anybody==1]\n")
    assert "no-such-package-of-anybody" in product.run("up", "--yes", code=2).output
    spec.write_text(f"name: analytics\npackages: [{wheel(product.folder).name}]\n")
    product.run("up", "--yes")
    (product.folder / "ask.py").write_text(ASK_EXECUTORS)
    product.run("put", "ask.py", "alice:")
    done = product.run("ssh", "--", "sudo -iu alice sh -c 'spark-submit ask.py'")
    assert re.search(r"answers \[\(.*worker-1.*, 42\), \(.*worker-2.*, 42\)\] 42", done.output)
    # Without any spec `up` would be refused: the cluster was made from a file.
    spec.write_text("name: analytics\n")
    product.run("up", "--yes")
    spec.unlink()
    assert product.run("ssh", "--", "/opt/jupyter/bin/python -c 'import ours'", code=None).code != 0
    assert product.run("run", "--role", "all", "--", "cat /proc/sys/kernel/random/boot_id").stdout == boots


@pytest.mark.acceptance
def test_verify_names_the_worker_and_the_unit_that_is_down(product) -> None:
    product.run("ssh", "analytics-worker-2", "--", "sudo systemctl stop spark-worker")
    failed = product.run("verify", "-k", "unit", code=1)
    assert re.search(r"analytics-worker-2.*spark-worker", failed.output)
    product.run("ssh", "analytics-worker-2", "--", "sudo systemctl start spark-worker")


@pytest.mark.acceptance
def test_cluster_monitoring_sees(product, hub_url, tmp_path) -> None:
    spec = product.folder / "cluster.yaml"
    boots = product.run("run", "--role", "all", "--", "cat /proc/sys/kernel/random/boot_id").stdout
    spec.write_text("name: analytics\nmonitoring: true\n")
    product.run("up", "--yes")
    try:
        assert product.run("run", "--role", "all", "--", "cat /proc/sys/kernel/random/boot_id").stdout == boots
        # Rates need a minute of figures, and panels of users a user with an application.
        product.run("ssh", "--", "sudo -iu alice sh -c 'spark-submit /opt/spark/examples/src/main/python/pi.py 4'")
        until_no_panel_is_empty(product, "dashboards")
        product.run("alerts")
        product.run("verify")
        with browser.user_at(hub_url, tmp_path) as page:
            browser.log_in(page, "alice", passwords(product)["alice"])
            assert browser.dashboard(page, "/services/dashboards/") == "No alert fires."
            product.run("ssh", "analytics-worker-2", "--", "sudo systemctl stop spark-worker")
            stopped = time.monotonic()
            try:
                browser.figure(page, "Workers away", "1", seconds=30)
                say(f"the stopped worker is on the dashboard after {time.monotonic() - stopped:.0f} s at most")
                words = browser.alert(page, seconds=max(60 - (time.monotonic() - stopped), 1))
                say(f"its alert fires after {time.monotonic() - stopped:.0f} s at most")
                assert words.startswith("spark-worker on analytics-worker-2 is stopped")
                failed = product.run("alerts", code=1)
                assert "spark-worker on analytics-worker-2: is stopped" in failed.output
                # The doctor says it in the same words.
                assert "spark-worker on analytics-worker-2: is stopped" in product.run("doctor", code=1).output
            finally:
                product.run("ssh", "analytics-worker-2", "--", "sudo systemctl start spark-worker")
            # An emulated worker takes its time to start.
            browser.no_alert(page, seconds=300)
            browser.figure(page, "Workers away", "0", seconds=60)
        product.run("report", "-o", str(tmp_path / "report.html"))
        text = (tmp_path / "report.html").read_text()
        for words in ("The last hour", "Cores in use", "UnitDown analytics-worker-2"):
            assert words in text
        # A user's terminal does not reach what monitoring keeps.
        for port in (PORTS.metrics, PORTS.alerts, PORTS.spark_metrics):
            asked = f"sudo -u alice curl --silent --max-time 5 http://127.0.0.1:{port}/metrics"
            assert product.run("ssh", "--", asked, code=7).stdout == ""
        product.run("dashboards", "--grafana", str(tmp_path / "grafana"))
    finally:
        spec.write_text("name: analytics\n")
        product.run("up", "--yes")
        spec.unlink()
    product.run("verify")
    assert "monitoring of cluster analytics is off" in product.run("dashboards", code=2).output
    assert product.run("ssh", "--", "systemctl is-active provision-metrics", code=None).stdout.strip() == "inactive"


@pytest.mark.acceptance
def test_horizon_shows_the_instances_of_the_project(product, tmp_path) -> None:
    product.run("cloud", "scale", "horizon=1")
    login = yaml.safe_load((product.home / "clouds.yaml").read_text())["clouds"]["local"]["auth"]
    with browser.user_at(f"https://127.0.0.1:{LOCALCLOUD_PORTS.horizon}/", tmp_path) as page:
        browser.log_in_to_horizon(page, login["username"], login["password"])
        assert browser.instances(page) == {"analytics-master", "analytics-worker-1", "analytics-worker-2"}
    product.run("cloud", "scale", "horizon=0")


@pytest.mark.acceptance
def test_vms_have_metadata_from_an_agent_that_was_replaced(product) -> None:
    subprocess.run(["docker", "restart", "provision-compute-1-metadata-agent-1"], check=True, timeout=60)
    ask = f"sudo curl -s -m 10 -o /dev/null -w '%{{http_code}}' http://{METADATA_ADDRESS}/"
    notebooks.until("metadata", lambda: product.run("ssh", causes.ONE, "--", ask, code=None).stdout.strip() == "200")


@pytest.mark.acceptance
def test_monitoring_sees_the_whole_cloud_and_what_breaks(product, tmp_path) -> None:
    product.run("cloud", "enable", "monitoring")
    try:
        # Rates need a minute of figures.
        until_no_panel_is_empty(product, "cloud", "dashboards")
        product.run("cloud", "alerts")
        product.run("cloud", "scale", "horizon=1")
        password = json.loads((product.home / "state/provision/local/passwords.json").read_text())["admin"]
        with browser.user_at(f"https://127.0.0.1:{LOCALCLOUD_PORTS.horizon}/", tmp_path) as page:
            browser.log_in_to_horizon(page, "admin", password)
            assert browser.dashboard(page) == "No alert fires."
            agent = "provision-compute-1-nova-compute-1"
            product.command(["docker", "stop", agent])
            try:
                # The page looks again by itself. The alert comes within a minute; guests take the processors here.
                assert browser.alert(page, seconds=120).startswith("nova-compute on compute-1 is down")
                failed = product.run("cloud", "alerts", code=1)
                assert "nova-compute on compute-1: is down" in failed.output
            finally:
                product.command(["docker", "start", agent])
            browser.no_alert(page, seconds=120)
        login = yaml.safe_load((product.home / "clouds.yaml").read_text())["clouds"]["local"]["auth"]
        with browser.user_at(f"https://127.0.0.1:{LOCALCLOUD_PORTS.horizon}/", tmp_path) as page:
            browser.log_in_to_horizon(page, login["username"], login["password"])
            assert not browser.may_see(page, "/admin/monitoring/")
        product.run("cloud", "scale", "horizon=0")
    finally:
        product.run("cloud", "disable", "monitoring", "--purge", "--yes")


def until_no_panel_is_empty(product, *command: str, seconds: float = 180) -> None:
    """Wait until each panel of the dashboards has something to show: a metric that nobody gives fails the test."""
    deadline = time.monotonic() + seconds
    while True:
        panels = [panel for board in product.json(*command).values() for panel in board]
        empty = [f"{panel['section']}: {panel['panel']}" for panel in panels if not panel["series"]]
        if panels and not empty:
            return
        assert time.monotonic() < deadline, f"nothing to show: {empty}"
        time.sleep(10)


# Without what a notebook server keeps of itself while it runs; with the password's hash.
OWNERS_AND_SUMS = (
    "sudo getent shadow alice | cut -d: -f 1,2; "
    "cd / && sudo find home/alice shared -type f -not -path '*/runtime/*' -printf '%u %m %p ' "
    "-exec sha256sum {} \\; | sort"
)
LARGE = "sudo -u alice dd if=/dev/urandom of=/home/alice/large bs=1M count=1024 status=none"


def test_the_cloud_offers_what_it_has_and_nothing_else(product) -> None:
    cloud = connect(product)
    assert len(list(cloud.image.metadef_namespaces())) > 20
    methods = cloud.image.get("/info/import").json()["import-methods"]["value"]
    assert "web-download" not in methods
    master = cloud.compute.find_server("analytics-master")
    asked = {"remote_console": {"protocol": "serial", "type": "serial"}}
    refused = cloud.compute.post(f"/servers/{master.id}/remote-consoles", json=asked, microversion="2.6")
    assert refused.status_code == 403
    assert cloud.compute.get_server_console_output(master)["output"]


@pytest.mark.acceptance
def test_what_people_have_survives_a_new_master_and_a_reboot(product) -> None:
    with notebooks.Kernel(product, "alice") as kernel:
        kernel.run("spark.range(10).write.mode('overwrite').saveAsTable('kept')")
        kernel.run("spark.range(10).write.mode('overwrite').parquet('/shared/kept'); print('written')")
        notebooks.until("a table and a file are written", lambda: kernel.has_shown("written"))
    before = product.run("ssh", "--", OWNERS_AND_SUMS).stdout
    (product.folder / "cluster.yaml").write_text("name: analytics\nmaster: {flavor: m1.medium}\n")
    assert "lost" not in product.run("plan", code=None).output
    product.run("up", "--yes", "--replace")
    assert product.run("ssh", "--", OWNERS_AND_SUMS).stdout == before
    seen = product.run("run", "--role", "workers", "--", "sudo cat /shared/kept/_SUCCESS && findmnt -no FSTYPE /shared")
    assert seen.output.count("nfs4") == 2
    product.run("run", "--role", "all", "--", "sudo systemd-run --on-active=2 systemctl reboot")
    time.sleep(60)
    product.run("verify", code=None)
    assert product.run("ssh", "--", OWNERS_AND_SUMS).stdout == before
    seen = product.run("run", "--role", "workers", "--", "sudo cat /shared/kept/_SUCCESS && findmnt -no FSTYPE /shared")
    assert seen.output.count("nfs4") == 2
    with notebooks.Kernel(product, "alice") as kernel:
        kernel.run("print('the sum is', spark.table('kept').selectExpr('sum(id)').first()[0])")
        notebooks.until("the table is read", lambda: kernel.has_shown("the sum is 45"))
    (product.folder / "cluster.yaml").unlink()


QUOTA = "name: analytics\nworkers: {count: 90}\n"


@pytest.mark.acceptance
def test_the_doctor_finds_nothing_on_a_cluster_that_is_well(product) -> None:
    notebooks.until("the doctor finds nothing", lambda: first_finding(product) == "")
    (product.folder / "many.yaml").write_text(QUOTA)
    said = product.run("doctor", "-f", "many.yaml", code=1).stdout
    assert re.search(r"1. the workers: 88 of 90 do not exist on the cloud, and the project's quota is too small", said)


@pytest.mark.acceptance
@pytest.mark.parametrize("cause", causes.CAUSES)
def test_the_doctor_names_each_cause(product, cause) -> None:
    """One by one, each taken back: `-k "each_cause and secret"` runs one alone, on a cluster that is well."""
    with provoked(product, causes.CAUSES[cause]) as says:
        notebooks.until(cause, lambda: re.search(says, first_finding(product)) is not None)
    notebooks.until("and it is well again", lambda: first_finding(product) == "")


@contextmanager
def provoked(product, cause) -> Iterator[str]:
    """Make a cause, and take it back whatever happens; the value is what the doctor has to say first."""
    if isinstance(cause, causes.OnCloud):
        with cause.provoke(connect(product)):
            yield cause.says
        return
    try:
        product.run("ssh", cause.node, "--", f"sudo sh -c {shlex.quote(cause.provoke)}")
        yield cause.says
    finally:
        product.run("ssh", cause.node, "--", f"sudo sh -c {shlex.quote(cause.undo)}", code=None)


def first_finding(product) -> str:
    """Return the doctor's first finding in a line; of what has passed only while its cause is the first and newest."""
    found = json.loads(product.run("doctor", "--json", code=None).stdout)["findings"]
    known = product.home / "passed.json"
    before = json.loads(known.read_text()) if known.exists() else []
    new = [each for each in found if f"{each['where']}: {each['wrong'][:20]}" not in before]
    passed = [f"{each['where']}: {each['wrong'][:20]}" for each in found if each["rule"] in causes.PASSED]
    known.write_text(json.dumps(sorted({*before, *passed})))
    return f"{new[0]['where']}: {new[0]['wrong']}" if new else ""


LONG = "sc.parallelize(range(400), 400).map(lambda n: (__import__('time').sleep(5), n)[1]).sum()"
FORTY_SECONDS = "sc.parallelize(range(40), 40).foreach(lambda n: __import__('time').sleep(1))"
SHORT = "sc.parallelize(range(8), 8).map(lambda n: n + {number}).sum()"


@pytest.mark.acceptance
def test_users_share_the_cores(product) -> None:
    """Four cores on two workers. The master has memory for five notebooks: the test before gave it a larger flavor."""
    bring_users(product, "alice", "bob", "carol")
    with ExitStack() as stack:

        def kernel(user: str) -> notebooks.Kernel:
            return stack.enter_context(notebooks.Kernel(product, user))

        alice, bob, carol = everybody = [kernel(user) for user in ("alice", "bob", "carol")]
        for each in everybody:
            each.run(LONG)
        notebooks.until("each of three has a share", lambda: _held(product) == [1, 1, 2])
        carol.interrupt()
        notebooks.until("carol's idle notebook holds nothing", lambda: notebooks.held(product)["carol"] == [0])
        notebooks.until("the others have it", lambda: _held(product) == [0, 2, 2])
        carol.run(SHORT.format(number=1))
        notebooks.until("and computes again when asked", lambda: carol.has_shown("36"))
        carol.run("spark.stop()")
        bob.interrupt()
        for each in [kernel("alice") for _ in range(3)]:
            each.run(LONG)
        # Three quarters of the cluster are a user's.
        notebooks.until("alice's four notebooks hold three", lambda: notebooks.held(product)["alice"] == [0, 1, 1, 1])
        bob.run(SHORT.format(number=2))
        notebooks.until("bob computes beside alice's four", lambda: bob.has_shown("44"))
        assert len(notebooks.held(product)["alice"]) == 4
        assert any(each.has_shown("Waiting for cores: ") for each in (alice, bob, carol))
    bring_users(product, "alice")


def _held(product) -> list[int]:
    return sorted(cores for apps in notebooks.held(product).values() for cores in apps)


@pytest.mark.acceptance
def test_each_user_sees_own_pages_alone(product, hub_url, tmp_path) -> None:
    bring_users(product, "alice", "carol")
    with notebooks.Kernel(product, "carol") as carol:
        carol.run("print('APP', sc.applicationId)")
        notebooks.until("carol's notebook runs", lambda: carol.has_shown("APP app-"))
        theirs = next(re.search(r"APP (\S+)", text)[1] for text in carol.shown if "APP app-" in text)
        with browser.user_at(hub_url, tmp_path) as page:
            browser.log_in(page, "alice", passwords(product)["alice"])
            browser.open_pyspark(page)
            slow = browser.start_cell(
                page, "sc.parallelize(range(40), 40).foreach(lambda n: __import__('time').sleep(1))"
            )
            slow.locator("progress").first.wait_for()
            assert re.search(r"Spark: 1 stage, \d+ s", browser.finished(slow).inner_text())
            own = re.search(r"https://\S+/", browser.run_cell(page, "print(sc.uiWebUrl)"))[0]
            assert own.startswith(f"{hub_url}{SPARK_PAGES}app/app-")
            for tab in ("jobs", "stages", "SQL"):
                assert page.goto(f"{own}{tab}/").status == 200
                assert "pyspark-shell" in page.title()
            # It asks Spark's REST API for its rows.
            page.goto(f"{own}executors/")
            page.wait_for_selector("#active-executors-table tbody td")
            refused = page.goto(f"{hub_url}{SPARK_PAGES}app/{theirs}/jobs/")
            assert refused.status == 403
            assert "another user's application" in page.inner_text("body")
            page.goto(f"{hub_url}/user/alice/lab")
            browser.shut_down_kernels(page, "alice")
        # Nor past the Hub, in a terminal: carol's notebook came first, so it has the first port.
        ask = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)"
        address = product.json("status")["nodes"][0]["address"]
        for port in (PORTS.app_ui, PORTS.spark_history):
            product.run("ssh", "--", f"sudo python3 -c '{ask}' {address} {port}")
            tried = product.run("ssh", "--", f"sudo -u alice python3 -c '{ask}' {address} {port}", code=None)
            assert "refused" in tried.output.lower(), port
    bring_users(product, "alice")


SHUFFLE = """\
from pyspark.sql import SparkSession
spark = SparkSession.builder.config("spark.shuffle.compress", False).getOrCreate()
rows = spark.range(0, {megabytes} * 16, 1, 64).selectExpr("id", "repeat(cast(id % 10 AS string), 65536) AS text")
print("sum", rows.repartition(64, "id").selectExpr("sum(length(text)) AS sum").first()["sum"])
executors, shuffled = spark.sparkContext._jsc.sc().statusStore().executorList(False).iterator(), 0
while executors.hasNext():
    shuffled += executors.next().totalShuffleWrite()
print("shuffled", shuffled)
"""


@pytest.mark.acceptance
def test_a_shuffle_larger_than_memory_passes(product) -> None:
    memory = product.run("ssh", "analytics-worker-1", "--", "awk '/MemTotal/ {print $2}' /proc/meminfo").stdout
    megabytes = 3 * int(memory) // 1024
    (product.folder / "shuffle.py").write_text(SHUFFLE.format(megabytes=megabytes))
    product.run("put", "shuffle.py", "alice:")
    done = product.run("ssh", "--", "sudo -iu alice sh -c 'spark-submit shuffle.py'")
    assert f"sum {megabytes << 20}" in done.output
    assert int(re.search(r"shuffled (\d+)", done.output)[1]) > megabytes << 20


@pytest.mark.acceptance
def test_a_gigabyte_comes_back_into_a_new_cluster(product) -> None:
    product.run("ssh", "--", LARGE)
    before = product.run("ssh", "--", OWNERS_AND_SUMS).stdout
    product.env["RESTIC_PASSWORD"] = "of this test"
    product.run("backup", str(product.home / "backups"))
    product.run("down", "--yes")
    product.run("up", "--yes")
    product.run("restore", "--yes", str(product.home / "backups"))
    assert product.run("ssh", "--", OWNERS_AND_SUMS).stdout == before


GROUPS_OF_EXECUTORS = """\
def groups(_):
    import os
    yield sorted(os.getgroups())
sc.parallelize(range(4), 4).mapPartitions(groups).collect()
"""
CHOSEN = "her own: correct horse"


@pytest.mark.acceptance
def test_users_come_change_their_first_password_and_go(product, tmp_path) -> None:
    """Only `down` follows: the cluster is from then on made from cluster.yaml, and no more the default one."""
    spec = product.folder / "cluster.yaml"
    spec.write_text("name: analytics   # ours\nhub:\n  # people\n  users: [alice]\n")
    assert "system" in product.run("users", "add", "root", code=2).output
    product.run("users", "add", "carol", "--group", "team", "--must-change-password")
    carol = "{name: carol, groups: [team], must_change_password: true}"
    assert spec.read_text() == f"name: analytics   # ours\nhub:\n  # people\n  users: [alice, {carol}]\n"
    assert _listed(product, "carol") | {"last_activity": None} == {
        "name": "carol", "admin": False, "groups": ["team"], "in_spec": True, "on_master": True,
        "password": "must_change", "server": "", "last_activity": None,
    }  # fmt: skip
    assert "Nothing to do" in product.run("up", "--yes").output
    hub = product.json("status")["hub"]["url"]
    with browser.user_at(hub, tmp_path) as page:
        browser.change_first_password(page, "carol", passwords(product)["carol"], CHOSEN)
        browser.open_pyspark(page)
        assert "10001" in browser.run_cell(page, GROUPS_OF_EXECUTORS)
        assert (_listed(product, "carol")["server"], _listed(product, "carol")["password"]) == ("running", "ok")
        browser.shut_down_kernels(page, "carol")
    product.run(
        "ssh", "--", "sudo -u carol sh -c 'mkdir /shared/team && chgrp team /shared/team && chmod 2770 /shared/team'"
    )
    assert product.run("ssh", "--", "sudo -u alice ls /shared/team", code=None).code != 0
    product.run("users", "add", "alice", "--group", "team")
    product.run("ssh", "--", "sudo -u alice touch /shared/team/hers && sudo -u carol cat /shared/team/hers")
    given = product.run("users", "passwd", "carol", "--generate").stdout.strip()
    with browser.user_at(hub, tmp_path) as page:
        browser.log_in(page, "carol", given)
    assert "removes carol" in product.run("users", "remove", "carol", code=2).output
    product.run("users", "remove", "carol", "--yes")
    assert product.run("ssh", "--", "id carol || systemctl is-active notebook-carol", code=None).code != 0
    assert "carol-" in product.run("ssh", "--", "sudo ls /var/backups/notebooks").output
    assert _listed(product, "carol") is None
    assert "Nothing to do" in product.run("up", "--yes").output
    spec.unlink()


def _listed(product, name: str) -> dict[str, object] | None:
    return next((each for each in product.json("users", "list")["users"] if each["name"] == name), None)


OIDC = """\
    oidc: {{issuer: "{issuer}", client_id: provision, client_secret_file: client.secret}}
    ca_file: {ca}
    allowed_users: [{names}]
"""
LDAP = """\
    ldap: {{server: {host}, port: {port}, user_dn: "uid={{username}},ou=people,{suffix}"}}
    ca_file: {ca}
    allowed_groups: ["{group}"]
"""


def _bring_logins(product, text: str) -> None:
    """Bring logins of this kind to the cluster; those by PAM without text."""
    login = f"  login:\n{text}" if text else ""
    (product.folder / "cluster.yaml").write_text(f"name: analytics\nhub:\n  users: [alice]\n{login}")
    product.run("up", "--yes")


@pytest.mark.acceptance
def test_logins_by_oidc_make_accounts_and_end(product, tmp_path) -> None:
    hub = product.json("status")["hub"]["url"]
    # Where nodes reach this machine.
    address = source_address(urlsplit(hub).hostname)
    (product.folder / "client.secret").write_text("any is right\n")
    with oidc_server(tmp_path, address) as server:
        server.knows("1", preferred_username="Dora.Smith")
        server.knows("2", preferred_username="erin")
        _bring_logins(product, OIDC.format(issuer=server.issuer, ca=server.ca, names="Dora.Smith, frank"))
        with browser.user_at(hub, tmp_path) as page:
            browser.log_in_elsewhere(page, "1")
            browser.open_lab(page)
            browser.open_pyspark(page)
            assert "10" in browser.run_cell(page, "spark.range(10).count()")
            # Her executors have her number on the workers.
            assert "20001" in browser.run_cell(
                page, "sc.parallelize(range(2), 2).map(lambda _: __import__('os').getuid()).collect()"
            )
            dora = _listed(product, "dora-smith")
            assert dora is not None
            assert (dora["password"], dora["server"], dora["in_spec"]) == ("login", "running", False)
        with browser.user_at(hub, tmp_path) as page:
            browser.log_in_elsewhere(page, "2")
            assert "Erin is not on the list of those who may use this cluster" in browser.refusal(page)
        assert product.run("ssh", "--", "id erin", code=None).code != 0
        assert "login server" in product.run("users", "passwd", "alice", "--generate", code=2).output
        _bring_logins(product, OIDC.format(issuer=server.issuer, ca=server.ca, names="frank"))
        end = time.monotonic() + 600
        while _listed(product, "dora-smith")["server"]:
            assert time.monotonic() < end, "the server of one who is taken off the list goes on"
        assert product.run("ssh", "--", "systemctl is-active notebook-dora-smith", code=None).code != 0
        with browser.user_at(hub, tmp_path) as page:
            browser.log_in_elsewhere(page, "1")
            assert "is not on the list" in browser.refusal(page)
    _bring_logins(product, "")
    # Her account and her files are still there.
    product.run("ssh", "--", "sudo ls /home/dora-smith")
    (product.folder / "cluster.yaml").unlink()


@pytest.mark.acceptance
def test_logins_by_ldap_make_accounts(product, tmp_path) -> None:
    hub = product.json("status")["hub"]["url"]
    address = source_address(urlsplit(hub).hostname)
    people = {"gina": "gina's own", "henry": "henry's own"}
    with directory(tmp_path, people, {"lab": ["gina"]}, address) as found:
        text = LDAP.format(host=found.host, port=found.ldaps, suffix=SUFFIX, ca=found.ca, group=group_dn("lab"))
        _bring_logins(product, text)
        with browser.user_at(hub, tmp_path) as page:
            browser.log_in(page, "gina", people["gina"])
        assert _listed(product, "gina")["password"] == "login"
        with browser.user_at(hub, tmp_path) as page:
            browser.send_form(page, "henry", people["henry"])
            assert "Henry is not on the list" in browser.refusal(page)
    _bring_logins(product, "")
    (product.folder / "cluster.yaml").unlink()


def test_down_leaves_the_cloud_as_it_was(product) -> None:
    product.run("down", "--yes")
    assert held(product) == held_before(product)


def test_down_removes_a_half_made_cluster(product) -> None:
    product.killed("up", "--yes", at=r"worker-\d: (building|boot)")
    assert held(product) != held_before(product)
    product.run("down", "--yes")
    assert held(product) == held_before(product)


def test_purge_leaves_nothing(product) -> None:
    said = product.run("cloud", "down", "--purge", "--yes").output
    # Docker may have lost count of a network's containers (docker/client.py::remove_network): then that is said.
    miscounted = set(re.findall(r"the network (\S+) stays until Docker restarts", said))
    for kind in ("ps -a --format {{.Names}}", "volume ls -q", "network ls --format {{.Name}}"):
        listed = subprocess.run(
            ["docker", *kind.split(), "--filter", f"label={LOCALCLOUD_LABEL}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert set(listed.split()) <= miscounted, f"docker {kind} still lists {listed}"
    images = subprocess.run(["docker", "images", "-q", "provision/*"], capture_output=True, text=True, check=True)
    assert not images.stdout.strip()
    left = [path for path in Path(product.home, "state").rglob("*") if path.is_file()]
    assert not left
    clouds = (product.home / "clouds.yaml").read_text()
    assert yaml.safe_load(clouds) == yaml.safe_load(OTHER_CLOUDS)
    assert OTHER_CLOUDS.splitlines()[0] in clouds
