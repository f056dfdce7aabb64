"""`%spark_doctor`: what is seen -> sentences, and how the output of programs and files is read."""

from __future__ import annotations

import copy
import importlib
import sys
import types

import pytest

from provision.base.paths import TEMPLATES

MODULES = [TEMPLATES / "hub/kernel", TEMPLATES / "image/files/usr/local/share/jupyter/kernels/pyspark"]
SPARKS_WORDS = "Initial job has not accepted any resources"
WORKER = {"state": "ALIVE", "cores": 2, "coresfree": 2, "memory": 1536, "memoryfree": 1536}
THERE = {"versions": {"Python": "3.13.5", "pandas": "2.3.0"}, "shared": True}
WELL = {
    "state": {"workers": [WORKER, WORKER], "activeapps": []},
    "problem": "",
    "ended": None,
    "connect": None,
    "units": {"spark-master": "active"},
    "context": {
        "id": "app-1", "unit": 1, "memory": 768, "granted": 2, "executors": ["0", "1"], "ever": 2, "removed": [],
        "needed": 0, "busy": False, "seconds": 900, "patience": 240, "why": "", "finished": 0, "said": [],
    },
    "python": "3.13.5",
    "packages": {"pandas": "2.3.0"},
    "versions": {"a-worker-1": THERE},
    "mismatch": "",
    "memory": {"most": 700, "now": 300, "killed": 0},
    "disks": {"/home/alice": {"problem": "", "free": True, "files": True, "least": 64}},
    "quota": None,
    "account": "",
    "log": [],
}  # fmt: skip


@pytest.fixture
def doctor(monkeypatch):
    package = types.ModuleType("provision_kernel")
    package.__path__ = [str(folder) for folder in MODULES]
    monkeypatch.setitem(sys.modules, "provision_kernel", package)
    sys.modules.pop("provision_kernel.doctor", None)
    yield importlib.import_module("provision_kernel.doctor")
    sys.modules.pop("provision_kernel.doctor", None)


def seen(**changes):
    made = copy.deepcopy(WELL)
    for key, value in changes.items():
        made[key] = {**made[key], **value} if isinstance(value, dict) and isinstance(made[key], dict) else value
    return made


IDLE = {"executors": [], "granted": 0}
# What is seen -> words of the one sentence that follows.
CASES = {
    "the master does not answer": (
        {"state": None, "problem": "Connection refused", "units": {"spark-master": "failed"}, "context": None},
        ("does not answer (Connection refused; its unit is failed)", "`provision doctor`"),
    ),
    "the master of another node does not answer": (
        {"state": None, "problem": "Connection refused", "units": {"spark-master": ""}, "context": None},
        ("does not answer (Connection refused). ", "`provision doctor`"),
    ),
    "a JVM that was killed": (
        {"ended": -9, "context": None},
        ("The driver's JVM has ended (by signal 9)", "start Spark anew with `%spark_config` in a cell of its own, or restart the kernel"),
    ),
    "a JVM whose heap was full": ({"ended": 52, "context": None}, ("its own memory ran out", "spark.driver.memory")),
    "no worker": ({"state": {"workers": [], "activeapps": []}}, ("No worker is registered", SPARKS_WORDS)),
    "a worker that is dead": (
        {"state": {"workers": [WORKER | {"state": "DEAD"}], "activeapps": []}},
        ("No worker is registered",),
    ),
    "no context": ({"context": None}, ("has no SparkContext that uses the cluster",)),
    "too many cores": (
        {"context": {"unit": 8, **IDLE}},
        ("executors of 8 cores, and the largest worker has 2", "spark.executor.cores 2", SPARKS_WORDS),
    ),
    "too much memory": (
        {"context": {"memory": 4096, **IDLE}},
        ("executors of 4096 MiB, and the largest worker has 1536", "spark.executor.memory 1536m", SPARKS_WORDS),
    ),
    "cores that others hold": (
        {"context": {"needed": 2, "why": "Waiting for cores: bob holds 4 of 4.", **IDLE}},
        ("Waiting for cores: bob holds 4 of 4.", SPARKS_WORDS),
    ),
    "executors that end at once": (
        {
            "context": {
                "executors": [], "ever": 0, "finished": 3, "said": ["Caused by: finishConnect(..) failed: /10.0.0.1:7100"]
            }
        },
        ("end before they have reached it (3 so far): they could not connect back to this notebook.", "   | Caused by:", SPARKS_WORDS),
    ),
    "executors whose words cannot be read": (
        {"context": {"executors": [], "ever": 0, "finished": 2}},
        ("what they said cannot be read from here", SPARKS_WORDS),
    ),
    "executors that the worker refuses": (
        {
            "context": {
                "executors": [], "ever": 0, "finished": 2,
                "said": ["The executor could not be started: user alice has number 5 on this node"],
            }
        },
        ("the worker did not start them (user alice has number 5 on this node)",),
    ),
    "executors that never come": (
        {"context": {"executors": [], "ever": 0, "seconds": 900}},
        ("been given 2 cores and no executor has reached it", SPARKS_WORDS),
    ),
    "executors that are starting": (
        {"context": {"executors": [], "ever": 0, "seconds": 20, "needed": 1}},
        ("been given 2 cores, and its executors are starting", SPARKS_WORDS),
    ),
    "executors that were lost": (
        {"context": {"removed": ["idle", "Command exited with code 137"]}},
        ("1 executors of this notebook were lost; the last one: Command exited with code 137",),
    ),
    "another Python": (
        {"versions": {}, "mismatch": "Python in worker has different version (3.11)"},
        ("The workers' Python is not this notebook's: Python in worker has different version (3.11).",),
    ),
    "another pandas": (
        {"versions": {"a-worker-2": THERE | {"versions": {"Python": "3.13.5", "pandas": "3.0.0"}}}},
        ("a-worker-2 has other versions than this notebook: pandas 3.0.0 (here 2.3.0)",),
    ),
    "/shared is not mounted": (
        {"versions": {"a-worker-1": THERE | {"shared": False}}},
        ("a-worker-1 does not have /shared mounted",),
    ),
    "a program was ended": ({"memory": {"killed": 2}}, ("ended 2 times", "may take 700 MiB")),
    "memory is nearly used up": ({"memory": {"now": 690}}, ("take 690 of 700 MiB",)),
    "a disk that is full": (
        {"disks": {"/home/alice": {"problem": "", "free": False, "files": True, "least": 64}}},
        ("/home/alice is full",),
    ),
    "a disk without inodes": (
        {"disks": {"/home/alice": {"problem": "", "free": True, "files": False, "least": 64}}},
        ("/home/alice has no inodes left",),
    ),
    "a folder that cannot be read": (
        {"disks": {"/home/alice": {"problem": "Stale file handle", "free": True, "files": True, "least": 64}}},
        ("/home/alice cannot be read: Stale file handle",),
    ),
    "a quota that is reached": ({"quota": {"used": 1020, "limit": 1024}}, ("take 1020 of the 1024 MiB", "quota exceeded")),
    "an account that has expired": ({"account": "has expired on Jan 01, 2020"}, ("Your account has expired",)),
    "a kernel that died": (
        {"log": ["No module named x", "restarting kernel (1/5)"]},
        ("A kernel of yours has died lately", "   | restarting kernel (1/5)"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_seen_gives_this_sentence(doctor, case):
    changes, words = CASES[case]
    (sentence,) = doctor.diagnose(seen(**changes))
    for word in words:
        assert word in sentence


def test_a_jvm_that_has_ended_is_not_asked(doctor, monkeypatch):
    def refuse():
        raise ConnectionRefusedError(111, "Connection refused")

    context = types.SimpleNamespace(_jsc=object(), master="spark://m:7077", getConf=refuse)
    gateway = types.SimpleNamespace(proc=types.SimpleNamespace(poll=lambda: -9))
    spark = types.SimpleNamespace(_active_spark_context=context, _gateway=gateway)
    monkeypatch.setitem(sys.modules, "pyspark", types.SimpleNamespace(SparkContext=spark))
    monkeypatch.setitem(sys.modules, "provision_kernel.session", types.SimpleNamespace(CONNECT=False))
    sys.modules["provision_kernel"].session = sys.modules["provision_kernel.session"]
    monkeypatch.setattr(doctor, "_ask", lambda url: ({"workers": [WORKER], "activeapps": []}, ""))
    monkeypatch.setattr(doctor, "_run", lambda *_: "")
    monkeypatch.setattr(doctor, "memory", lambda: {"most": 700, "now": 300, "killed": 1})
    monkeypatch.setattr(doctor, "disk", lambda _: WELL["disks"]["/home/alice"])
    jvm, memory = doctor.diagnose(doctor.look())
    assert jvm.startswith("The driver's JVM has ended (most likely for memory, of which your notebooks together may take 700 MiB")
    assert "ended 1 times" in memory


def test_a_notebook_that_is_well_has_no_problem(doctor, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "look", lambda: WELL)
    doctor.magic("")
    assert capsys.readouterr().out.splitlines()[1:] == [
        "No problem found: 2 workers with 4 cores, this notebook has 2 executors, all with Python 3.13.5."
    ]


def test_problems_are_numbered(doctor, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "look", lambda: seen(account="has expired on x", memory={"killed": 1}))
    doctor.magic("")
    assert [line[:3] for line in capsys.readouterr().out.splitlines()[1:]] == ["1. ", "2. "]


def test_an_idle_notebook_without_executors_waits_for_nothing(doctor):
    assert doctor.diagnose(seen(context=IDLE)) == []


def test_one_that_has_just_got_cores_is_given_time(doctor):
    assert doctor.diagnose(seen(context={"executors": [], "ever": 0, "seconds": 20})) == []


def test_the_quota_is_read(doctor):
    head = "Disk quotas for user alice (uid 2001): \n     Filesystem  blocks   quota   limit   grace   files\n"
    assert doctor.quota(f"{head}      /dev/vda1     596       0       0              51       0       0\n") is None
    over = f"{head}      /dev/vda1  1048576*      0 1048576      6days      51       0       0\n"
    assert doctor.quota(over) == {"used": 1024, "limit": 1024}
    assert doctor.quota("") is None


def test_the_account_is_read(doctor):
    never = "Last password change\t\t: Nov 28, 2026\nPassword expires\t: never\nAccount expires\t\t: never\n"
    assert doctor.account(never) == ""
    assert doctor.account("Account expires\t: Jan 02, 2020\n") == "has expired on Jan 02, 2020: the next login is refused"
    assert doctor.account("Account expires\t: Jan 02, 2999\n") == ""
    assert "new password" in doctor.account("Last password change : password must be changed\n")


def test_the_memory_of_the_servers_unit_is_read(doctor, tmp_path):
    (tmp_path / "own").write_text("0::/notebooks.slice/notebook-alice.service\n")
    unit = tmp_path / "notebooks.slice/notebook-alice.service"
    unit.mkdir(parents=True)
    assert doctor.memory(str(tmp_path), str(tmp_path / "own")) == {}
    for name, text in (("max", f"{700 << 20}"), ("current", f"{3 << 20}"), ("events", "low 0\noom 3\noom_kill 2")):
        (unit / f"memory.{name}").write_text(f"{text}\n")
    assert doctor.memory(str(tmp_path), str(tmp_path / "own")) == {"most": 700, "now": 3, "killed": 2}
    (unit / "memory.max").write_text("max\n")
    assert doctor.memory(str(tmp_path), str(tmp_path / "own"))["most"] == 0


def test_a_folder_with_room_is_well_and_one_that_is_not_there_says_so(doctor, tmp_path):
    assert doctor.disk(str(tmp_path), 0) == {"problem": "", "free": True, "files": True, "least": 0}
    assert not doctor.disk(str(tmp_path), 1 << 30)["free"]
    assert doctor.disk(str(tmp_path / "missing"))["problem"] == "No such file or directory"


def test_the_console_if_readable_of_an_executor_come_from_its_workers_page(doctor, monkeypatch):
    pages = {
        "http://w1/json/": {"finishedexecutors": [{"id": 0, "appid": "app-1"}, {"id": 7, "appid": "app-2"}]},
        "http://w2/json/": {"finishedexecutors": [{"id": 2, "appid": "app-1"}]},
        "http://w2/log/?appId=app-1&executorId=2&logType=stderr&byteLength=20000": "==== Bytes 0-9\nERROR x\n\tat y\n\n",
    }
    monkeypatch.setattr(doctor, "_ask", lambda url, text=False: (pages.get(url), ""))
    workers = [{"state": "ALIVE", "webuiaddress": f"http://w{number}"} for number in (1, 2, 3)]
    assert doctor._ended({"workers": workers}, "app-1") == (2, ["ERROR x"])
    assert doctor._ended({"workers": workers}, "app-9") == (0, [])


def test_the_masters_page_is_known_without_a_context(doctor, monkeypatch, tmp_path):
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    assert doctor._master_of_settings() == "http://localhost:8080"
    (tmp_path / "spark-defaults.conf").write_text("a b\n# x\nspark.provision.masterUi http://10.0.0.1:8080\n")
    assert doctor._master_of_settings() == "http://10.0.0.1:8080"


def test_a_kernel_that_was_only_restarted_by_its_user_is_no_death(doctor, monkeypatch):
    monkeypatch.setattr(doctor, "_run", lambda *_: "[I] Kernel restarted: x\nNo module named y\n")
    assert doctor._log() == []
    monkeypatch.setattr(doctor, "_run", lambda *_: "x\nAsyncIOLoopKernelRestarter: restarting kernel (1/5)\n")
    assert doctor._log() == ["AsyncIOLoopKernelRestarter: restarting kernel (1/5)"]


def test_a_program_that_is_not_there_says_nothing(doctor):
    assert doctor._run("no-such-program") == ""
    assert doctor._run("echo", "x") == "x\n"
