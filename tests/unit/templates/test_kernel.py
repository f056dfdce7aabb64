"""The modules of the PySpark kernel (templates/hub/kernel), as far as they decide without Spark."""

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


class Dead:
    """A SparkContext whose JVM has ended: PySpark's `stop` ends at the error, and the second one does the rest."""

    def __init__(self, spark):
        self.spark, self._jsc = spark, object()

    def stop(self):
        if self._jsc is not None:
            self._jsc = None
            raise ConnectionRefusedError(111, "Connection refused")
        self.spark._active_spark_context = None


def refuse():
    raise ConnectionRefusedError(111, "Connection refused")


def test_connects_client_gives_up_when_the_jvm_has_ended(launch, kernel, monkeypatch):
    policy, status = types.SimpleNamespace(can_retry=lambda error: error == "unavailable"), [None, None, -9]
    monkeypatch.setattr(launch, "ended", lambda: status.pop(0))
    kernel("connect")._give_up_with_jvm([policy])
    assert [policy.can_retry(error) for error in ("unavailable", "wrong", "unavailable")] == [True, False, False]


@pytest.mark.parametrize("connect", [False, True])
def test_a_jvm_that_has_ended_is_replaced_at_the_first_try(launch, kernel, monkeypatch, connect):
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(52)"], stdin=subprocess.PIPE)
    spark = types.SimpleNamespace(_gateway=types.SimpleNamespace(proc=process, shutdown=refuse), _jvm=object())
    context = spark._active_spark_context = Dead(spark)
    monkeypatch.setitem(sys.modules, "pyspark", types.SimpleNamespace(SparkContext=spark))
    monkeypatch.setitem(sys.modules, "provision_kernel.session", types.SimpleNamespace(CONNECT=connect))
    sys.modules["provision_kernel"].session = sys.modules["provision_kernel.session"]
    server, asked = kernel("connect")._Server, []
    client = types.SimpleNamespace(stop=lambda: client.release_session_on_close and asked.append("the server"))
    server.client, server.classic = client, types.SimpleNamespace(sparkContext=context)
    process.wait()
    assert launch.ended() == 52
    launch.end_jvm()
    assert (spark._active_spark_context, spark._gateway, asked) == (None, None, [])
    assert launch.ended() is None


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


def test_spark_starts_anew_with_the_settings_of_a_cell_or_those_that_it_had(kernel, launch, monkeypatch, capsys):
    given = []
    session = types.SimpleNamespace(restart=given.append)
    monkeypatch.setitem(sys.modules, "provision_kernel.session", session)
    sys.modules["provision_kernel"].session = session
    magics, kinds = kernel("magics"), {}
    shell = types.SimpleNamespace(register_magic_function=lambda function, kind, name: kinds.update({name: kind}))
    magics.register(shell)
    # IPython takes no cell magic without a second line.
    assert kinds["spark_config"] == "line_cell"
    launch.EXTRA["spark.a"] = "1"
    magics._spark_config("", "spark.b 2\n")
    magics._spark_config("")
    assert given == [{"spark.b": "2"}, {"spark.a": "1"}]
    assert given[1] is not launch.EXTRA, "restart empties it"
    assert "spark.a = 1" in capsys.readouterr().out


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


WRITERS = {
    "pyspark.sql": ("SparkSession", "DataFrameReader", "DataFrameWriter", "DataFrameWriterV2"),
    "pyspark.sql.catalog": ("Catalog",),
    "pyspark.sql.streaming": ("DataStreamWriter",),
    "pyspark.sql.connect.readwriter": ("DataFrameReader", "DataFrameWriter", "DataFrameWriterV2"),
    "pyspark.sql.connect.session": ("SparkSession",),
    "pyspark.sql.connect.catalog": ("Catalog",),
    "pyspark.sql.connect.streaming.readwriter": ("DataStreamWriter",),
}


class Pyspark:
    """A class of PySpark's that has every method by which there is a table."""

    catalog = property(lambda self: "the catalog")

    def _method(self, *_):
        return "done"

    sql = table = saveAsTable = insertInto = toTable = _method  # noqa: N815 - PySpark's names
    create = replace = createOrReplace = append = overwrite = overwritePartitions = _method  # noqa: N815
    createTable = dropTable = truncateTable = dropDatabase = _method  # noqa: N815


@pytest.mark.parametrize("kind", ["pyspark.sql", "pyspark.sql.connect"])
def test_every_way_to_a_table_describes_it_for_others(kernel, monkeypatch, kind):
    for name, classes in WRITERS.items():
        made = types.ModuleType(name)
        for each in classes:
            setattr(made, each, type(each, (Pyspark,), {}))
        monkeypatch.setitem(sys.modules, name, made)
    for name in ("pyspark", "pyspark.sql.connect", "pyspark.sql.connect.streaming"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["pyspark.sql.connect"].readwriter = sys.modules["pyspark.sql.connect.readwriter"]
    session = types.SimpleNamespace(CONNECT=True)
    monkeypatch.setitem(sys.modules, "provision_kernel.session", session)
    sys.modules["provision_kernel"].session = session
    tables, did = kernel("tables"), []
    tables._install()
    tables._State.warehouse = types.SimpleNamespace(
        root="/shared/warehouse", looking=False, known={}, look=lambda: did.append("look"),
        refuse_others=lambda _: None, note=lambda: did.append("note"),
    )  # fmt: skip
    streams = sys.modules["pyspark.sql.connect.streaming.readwriter" if "connect" in kind else "pyspark.sql.streaming"]
    for owner, method in ((streams.DataStreamWriter, "toTable"), (sys.modules[f"{kind}.catalog"].Catalog, "createTable")):
        did.clear()
        assert getattr(owner(), method)("t") == "done"
        assert did == ["look", "note"]


def test_anothers_table_may_be_dropped_while_ones_own_is_described(kernel, warehouse, monkeypatch):
    tables = kernel("tables")
    mine = tables.Warehouse.__new__(tables.Warehouse)
    mine.root, mine.known = warehouse, {("default", "gone"): None}
    gone = {("default", "gone"): warehouse / "gone"}
    monkeypatch.setattr(tables, "folders", lambda _: gone)
    monkeypatch.setattr(tables.Warehouse, "_has", lambda *_: False)
    mine.note()
    mine.refuse_others(gone)


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


def test_an_early_kernel_takes_the_names_that_the_server_gives_it(kernel, monkeypatch, tmp_path):
    application = types.SimpleNamespace(connection_file="early-kernel.json")
    app = types.SimpleNamespace(IPKernelApp=types.SimpleNamespace(instance=lambda: application))
    shell = types.SimpleNamespace(user_ns={})
    ipython = types.SimpleNamespace(get_ipython=lambda: shell, display=None)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(clear_output=None))
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    monkeypatch.setitem(sys.modules, "ipykernel.kernelapp", app)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    take = kernel("session")._take_names
    # One that was begun as ever.
    take(shell)
    file = tmp_path / "names.json"
    monkeypatch.setenv("EARLY_KERNEL_NAMES", str(file))
    take(shell)
    assert (application.connection_file, shell.user_ns) == ("early-kernel.json", {})
    file.write_text(json.dumps({"connection_file": "/run/kernel-1.json", "environment": {"JPY_SESSION_NAME": "a.ipynb"}}))
    monkeypatch.setenv("EARLY_KERNEL_NAMES", str(file))
    take(shell)
    assert application.connection_file == "/run/kernel-1.json"
    assert shell.user_ns == {"__session__": "a.ipynb"}
    assert os.environ.pop("JPY_SESSION_NAME") == "a.ipynb"
    assert "EARLY_KERNEL_NAMES" not in os.environ
