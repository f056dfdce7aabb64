"""The modules of the PySpark kernel (templates/hub/kernel), as far as they decide without Spark."""

import importlib
import json
import os
import stat
import subprocess
import sys
import types

import pytest

from provision.base.paths import TEMPLATES
from provision.clusterfile import pinned

MODULES = TEMPLATES / "hub/kernel"
FACTS = {"pinned": pinned.PINNED, "prefixes": pinned.PREFIXES, "shared": "/shared", "events": "/var/lib/spark/events"}


@pytest.fixture
def kernel(monkeypatch):
    """A function that imports a module of the kernel, as startup.py makes them a package."""
    package = types.ModuleType("provision_kernel")
    package.__path__ = [str(MODULES)]
    monkeypatch.setitem(sys.modules, "provision_kernel", package)
    for path in MODULES.glob("*.py"):
        monkeypatch.delitem(sys.modules, f"provision_kernel.{path.stem}", raising=False)
    yield lambda name: importlib.import_module(f"provision_kernel.{name}")
    for path in MODULES.glob("*.py"):
        sys.modules.pop(f"provision_kernel.{path.stem}", None)


@pytest.fixture
def launch(kernel, monkeypatch):
    module = kernel("launch")
    monkeypatch.setattr(module, "facts", lambda: FACTS)
    return module


@pytest.fixture
def told(kernel):
    return kernel("words").Told


def test_settings_are_read_as_spark_reads_them(launch):
    text = "# mine\nspark.jars.packages a:b:1\n\nspark.driver.memory=2g\n  spark.x.y :  some words  \n"
    assert launch.parse(text, "f") == {
        "spark.jars.packages": "a:b:1",
        "spark.driver.memory": "2g",
        "spark.x.y": "some words",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hello", "line 1: write `spark.name value`"),
        ("spark.a 1\nspark.b", "line 2: write"),
        ("spark.driver.port 99", "spark.driver.port cannot be set: only its fixed range of ports"),
        ("spark.authenticate false", "spark.authenticate cannot be set"),
        ("spark.ssl.enabled true", "spark.ssl.enabled cannot be set"),
    ],
)
def test_what_is_no_setting_or_the_clusters_own_is_refused(launch, told, text, words):
    with pytest.raises(told, match="^the file, ") as caught:
        launch.parse(text, "the file")
    assert words in str(caught.value)
    assert caught.value._render_traceback_() == [str(caught.value)]


def test_a_users_own_file_is_optional(launch, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert launch.own_settings() == {}
    path = tmp_path / ".config/spark/spark-defaults.conf"
    path.parent.mkdir(parents=True)
    path.write_text("spark.jars /shared/x.jar\n")
    assert launch.own_settings() == {"spark.jars": "/shared/x.jar"}


def test_the_jvm_gets_settings_in_a_file_that_only_the_user_reads(launch, kernel, monkeypatch):
    seen = {}

    def original(conf, popen_kwargs):
        seen["group"] = popen_kwargs["process_group"]
        options, path, *rest = os.environ["PYSPARK_SUBMIT_ARGS"].split()
        seen.update(option=options, path=path, rest=rest, mode=stat.S_IMODE(os.stat(path).st_mode))
        seen["text"] = open(path).read()
        raise OSError("no JVM here")

    context = types.SimpleNamespace(launch_gateway=original)
    monkeypatch.setitem(sys.modules, "pyspark", types.ModuleType("pyspark"))
    monkeypatch.setitem(sys.modules, "pyspark.core", types.SimpleNamespace(context=context))
    monkeypatch.setitem(sys.modules, "provision_kernel.session", types.SimpleNamespace(CONNECT=False))
    kernel("words")
    sys.modules["provision_kernel"].session = sys.modules["provision_kernel.session"]
    monkeypatch.setattr(kernel("shares"), "emulated", lambda: True)
    monkeypatch.setattr(launch, "own_settings", lambda: {"spark.a": "own", "spark.b": "own"})
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", "--master spark://m:7077 pyspark-shell")
    launch.EXTRA["spark.b"] = "a\\b"
    launch.install()
    with pytest.raises(OSError, match="no JVM"):
        context.launch_gateway()
    # Without a size of the server its share alone limits a notebook; on an emulated processor executors stay longer.
    patience = "".join(f"{key} {value}\n" for key, value in kernel("shares").SLOW_IDLE.items())
    assert seen["text"] == f"spark.cores.max 2147483647\n{patience}spark.a own\nspark.b a\\\\b\n"
    assert seen["mode"] == 0o600
    assert seen["group"] == 0, "ipykernel kills what is in the kernel's group when that ends"
    assert seen["option"] == "--properties-file"
    assert seen["rest"] == ["--load-spark-defaults", "--master", "spark://m:7077", "pyspark-shell"]
    assert os.environ["PYSPARK_SUBMIT_ARGS"] == "--master spark://m:7077 pyspark-shell"
    assert not os.path.exists(seen["path"])


@pytest.mark.parametrize(
    ("program", "ends"),
    [("import sys; sys.stdin.read()", True), ("import time; time.sleep(60)", False)],
    ids=["at the pipe's end", "slowly"],
)
def test_a_kernel_that_ends_leaves_the_jvm_to_itself(launch, monkeypatch, program, ends):
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE)
    wait = process.wait
    monkeypatch.setattr(process, "wait", lambda seconds: wait(seconds if ends else 0))
    context = types.SimpleNamespace(_gateway=types.SimpleNamespace(proc=process))
    monkeypatch.setitem(sys.modules, "pyspark", types.SimpleNamespace(SparkContext=context))
    launch.leave_jvm()
    assert process.poll() == (0 if ends else None)
    process.kill()
    context._gateway = None
    launch.leave_jvm()


@pytest.mark.parametrize(
    ("line", "cell", "expected"),
    [
        ("select 1", None, ("select 1", None)),
        ("", "select 1;\n", ("select 1", None)),
        ("big <<", "select\n2", ("select\n2", "big")),
        ("big << select 3", None, ("select 3", "big")),
        ("--into big", "select 4", ("select 4", "big")),
        ("--into big select 5", None, ("select 5", "big")),
        ("select 1 << 2", None, ("select 1 << 2", None)),
    ],
)
def test_a_statement_may_name_where_its_rows_go(kernel, line, cell, expected):
    assert kernel("magics").split(line, cell) == expected


@pytest.mark.parametrize(("line", "cell"), [("", "  \n"), ("--into", "select 1"), ("--into 1a", "select 1"), ("x <<", "")])
def test_a_cell_without_statement_or_with_a_wrong_name_is_refused(kernel, told, line, cell):
    with pytest.raises(told, match="%%sql"):
        kernel("magics").split(line, cell)


def test_an_error_is_shown_without_javas_trace(kernel):
    words_of = kernel("magics").words_of
    assert words_of("[X] No such table\n== SQL ==\nselect") == "[X] No such table\n== SQL ==\nselect"
    java = "An error occurred while calling o5.sql.\n: java.lang.Bad: broken\n\tat a.b(C.java:1)\n\tat d"
    assert words_of(java) == "java.lang.Bad: broken"


@pytest.fixture
def warehouse(tmp_path):
    """A warehouse with `default.one`, `sales.two`, and what is no table."""
    for folder in ("one", "sales.db/two", "not a table", ".hidden"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "one")
    (tmp_path / "one/_table.json").write_text("{}")
    return tmp_path


def test_tables_are_the_warehouses_folders(kernel, warehouse):
    tables = kernel("tables")
    assert tables.folders(warehouse) == {
        ("default", "one"): warehouse / "one",
        ("sales", "two"): warehouse / "sales.db/two",
    }
    assert tables.folders(warehouse / "none") == {}


def test_a_described_table_has_a_stamp_that_writing_changes(kernel, warehouse):
    stamp = kernel("tables").stamp
    before = stamp(warehouse / "one")
    assert before is not None
    assert stamp(warehouse / "one") == before
    (warehouse / "one/part-0").touch()
    os.utime(warehouse / "one", ns=(1, 1))
    assert stamp(warehouse / "one") != before
    assert stamp(warehouse / "sales.db/two") is None


def described(**changes):
    column = {"name": "a`b", "type": "long", "nullable": True, "metadata": {"comment": "it's"}}
    struct = {"type": "struct", "fields": [column]}
    kinds = [
        "decimal(10,2)",
        {"type": "array", "elementType": "string", "containsNull": True},
        {"type": "map", "keyType": "string", "valueType": struct, "valueContainsNull": True},
    ]
    fields = [column, *({"name": f"c{n}", "type": kind, "metadata": {}} for n, kind in enumerate(kinds))]
    whole = {"provider": "csv", "schema": {"fields": fields}, "partitions": ["c0"], "options": {"sep": "'\\"}}
    return json.loads(json.dumps(whole | changes))


def test_a_table_is_entered_as_its_description_says(kernel, tmp_path):
    text = kernel("tables").statement("d", "t", tmp_path, described())
    assert text == (
        "CREATE TABLE `d`.`t` (`a``b` long COMMENT 'it\\'s', `c0` decimal(10,2), `c1` array<string>, "
        "`c2` map<string, struct<`a``b`: long>>) USING csv OPTIONS ('sep' '\\'\\\\') PARTITIONED BY (`c0`) "
        f"LOCATION 'file://{tmp_path}'"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"provider": "jdbc"},
        {"schema": {"fields": [{"name": "a", "type": "long) USING jdbc --", "metadata": {}}]}},
        {"schema": {"fields": [{"name": "a", "type": {"type": "udt", "class": "x"}, "metadata": {}}]}},
        {"options": {"sep": 1}},
    ],
)
def test_a_description_that_asks_for_more_than_a_table_is_refused(kernel, tmp_path, changes):
    with pytest.raises(ValueError, match="is not"):
        kernel("tables").statement("d", "t", tmp_path, described(**changes))


def test_a_description_cannot_lead_to_another_place(kernel, tmp_path):
    text = kernel("tables").statement("d", "t", tmp_path, described(options={"Path": "/home/bob"}))
    assert "/home/bob" not in text


def test_connect_listens_on_the_loopback_address_beside_the_users_plugins(kernel):
    settings = kernel("connect").settings({"spark.plugins": "my.Plugin"})
    assert settings["spark.plugins"] == "my.Plugin,org.apache.spark.sql.connect.SparkConnectPlugin"
    assert settings["spark.connect.grpc.binding.address"] == "127.0.0.1"
    assert kernel("connect").settings({})["spark.plugins"] == "org.apache.spark.sql.connect.SparkConnectPlugin"


def test_a_connect_notebook_says_that_it_has_no_context(kernel):
    sc = kernel("connect").NoContext()
    with pytest.raises(AttributeError, match=r"sc\.parallelize: a Connect notebook has no SparkContext"):
        sc.parallelize([1])
    assert "Use `spark`" in repr(sc)


def test_every_module_of_the_kernel_is_on_the_nodes():
    manifest = (TEMPLATES / "node/manifest.yaml").read_text()
    assert all(f'"{path.name}"' in manifest for path in MODULES.iterdir() if path.suffix in (".py", ".java"))


class Context:
    """A SparkContext: its tags, and jobs that begin when they are asked for the second time."""

    def __init__(self):
        self.tags, self.cancelled, self.asked = [], [], 0
        self._jsc = object()

    def addJobTag(self, tag):  # noqa: N802 - Spark's name
        self.tags.append(tag)

    def removeJobTag(self, tag):  # noqa: N802 - Spark's name
        self.tags = [each for each in self.tags if each != tag]

    def statusTracker(self):  # noqa: N802 - Spark's name
        return self

    def getActiveJobsIds(self):  # noqa: N802 - Spark's name
        self.asked += 1
        if self.asked == 3:
            self._jsc = None
        return [7] if self.asked == 2 else []

    def cancelJobsWithTag(self, tag):  # noqa: N802 - Spark's name
        self.cancelled.append(tag)


@pytest.fixture
def session(kernel, monkeypatch):
    """session.py beside a PySpark whose active context is a `Context`, and without streams."""
    context = Context()
    sql = types.SimpleNamespace(SparkSession=types.SimpleNamespace(_instantiatedSession=None))
    spark = types.SimpleNamespace(SparkContext=types.SimpleNamespace(_active_spark_context=context), sql=sql)
    ipython = types.SimpleNamespace(get_ipython=None, clear_output=None)
    for name, module in (("IPython", ipython), ("IPython.display", ipython), ("pyspark", spark)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "pyspark.sql", sql)
    module = kernel("session")
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    return types.SimpleNamespace(module=module, context=context, sql=sql)


def test_the_jobs_of_a_cell_have_its_own_tag(session):
    session.context.addJobTag("the user's")
    for _ in range(3):
        session.module._tag()
    assert session.context.tags == ["the user's", "cell-3"]


def test_a_job_that_begins_after_its_cell_was_interrupted_is_cancelled(session):
    session.module._cancel_late(session.context, "cell-3")
    assert session.context.cancelled == ["cell-3"]


def test_streams_go_on(session):
    stream = types.SimpleNamespace(streams=types.SimpleNamespace(active=["a query"]))
    session.sql.SparkSession._instantiatedSession = stream
    session.module._cancel_late(session.context, "cell-3")
    assert session.context.cancelled == []


class Linkable:
    """PySpark's SparkContext, as far as its link goes."""

    applicationId = "app-1"  # noqa: N815 - PySpark's name

    def __init__(self, url):
        self.url = url

    @property
    def uiWebUrl(self):  # noqa: N802 - PySpark's name
        return self.url

    def _repr_html_(self):
        return f'<p><a href="{self.uiWebUrl}">Spark UI</a></p>'


@pytest.fixture
def linked(kernel, monkeypatch, tmp_path):
    """A function that makes a kind of contexts with links through a Hub, whose program is there or not."""
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = None
    display = types.ModuleType("IPython.display")
    display.clear_output = None
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    program = tmp_path / "spark-pages"

    def linked(*, there=True):
        if there:
            program.touch()
        context = type("Linked", (Linkable,), {"uiWebUrl": property(Linkable.uiWebUrl.fget)})
        pages = {"program": str(program), "hub": "https://192.0.2.1", "path": "/services/spark/"}
        kernel("session")._show_links(context, pages)
        return context

    return linked


def test_a_contexts_page_is_behind_the_hub(linked):
    context = linked()("http://10.20.0.10:4040")
    assert context.uiWebUrl == "https://192.0.2.1/services/spark/app/app-1/"
    # By whatever name the browser has found the Hub.
    assert context._repr_html_() == '<p><a href="/services/spark/app/app-1/" target="_blank">Spark UI</a></p>'


def test_a_context_without_a_page_has_no_link(linked):
    assert linked()(None).uiWebUrl is None


def test_on_an_older_image_the_page_is_sparks_own(linked):
    assert linked(there=False)("http://10.20.0.10:4040").uiWebUrl == "http://10.20.0.10:4040"
