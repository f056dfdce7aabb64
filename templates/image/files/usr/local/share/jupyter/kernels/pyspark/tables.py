"""Tables that stay and that others see: what `saveAsTable` makes is found again by every notebook of every user.

Each session has a catalog of its own, in memory. What all share is the warehouse, a folder whose owners and rights are
the files': a table's folder holds its rows and, in `_table.json`, what they are. A session that is asked for a table
looks whether folders came, changed or went since it looked last, and enters them into its catalog. So there is no
service to run, rights are those of the files (a table is changed and dropped by its owner), and whoever keeps /shared
keeps the tables.
"""

import functools
import json
import os
import pwd
import re
from pathlib import Path

from provision_kernel.words import Told

DESCRIPTION = "_table.json"
"""Spark's readers skip names that begin with an underscore."""
# What another user wrote is data: none of these can run code or reach outside the table's folder.
_PROVIDERS = ("parquet", "orc", "json", "csv", "text")
_PLAIN = re.compile(r"[a-z_]+(\(\d+(,-?\d+)?\))?")
_NAME = re.compile(r"\w+")
_CHANGES = re.compile(r"(?i)(/\*.*?\*/|--[^\n]*\n|\s)*(create|alter|replace|drop|msck|repair|truncate|insert|with|refresh)\b", re.DOTALL)


def watch(spark):
    """Let a new session know the warehouse's tables (a hook of session.py)."""
    _install()
    _State.warehouse = Warehouse(spark)


class _State:
    warehouse = None
    installed = False


def folders(root):
    """Return the warehouse's tables, as {(database, table): folder}: the children of `root` and of its `*.db` folders."""
    found = {}
    for child in _children(root):
        if child.name.endswith(".db"):
            database = child.name.removesuffix(".db")
            found |= {(database, table.name): Path(table.path) for table in _children(child.path)}
        else:
            found["default", child.name] = Path(child.path)
    return found


def _children(path):
    try:
        with os.scandir(path) as entries:
            return [each for each in entries if _NAME.fullmatch(each.name.removesuffix(".db")) and each.is_dir(follow_symlinks=False)]
    except OSError:
        # No warehouse yet, or a database whose owner keeps it closed.
        return []


def stamp(folder):
    """Return what changes when a table is written: None for a folder that is not described, or not ours to read."""
    try:
        description, rows = (folder / DESCRIPTION).stat(), folder.stat()
    except OSError:
        return None
    return rows.st_ino, rows.st_mtime_ns, description.st_ino, description.st_mtime_ns


def statement(database, table, folder, description):
    """Return the CREATE TABLE for a folder, as its description says. Raises ValueError where that is not to be trusted.

    Everything in it was written by the table's owner, who may be anybody: it is parsed and quoted, never copied.
    """
    provider = description["provider"]
    if provider not in _PROVIDERS:
        raise ValueError(f"{provider} is not a format of the shared warehouse")
    columns = ", ".join(
        f"{_name(field['name'])} {_type(field['type'])}"
        + (f" COMMENT {_text(field['metadata']['comment'])}" if "comment" in field["metadata"] else "")
        for field in description["schema"]["fields"]
    )
    text = f"CREATE TABLE {_name(database)}.{_name(table)} ({columns}) USING {provider}"
    options = {key: value for key, value in description["options"].items() if key.lower() not in ("path", "paths")}
    if options:
        text += f" OPTIONS ({', '.join(f'{_text(key)} {_text(value)}' for key, value in options.items())})"
    if description["partitions"]:
        text += f" PARTITIONED BY ({', '.join(_name(name) for name in description['partitions'])})"
    return f"{text} LOCATION {_text(folder.as_uri())}"


def _type(kind):
    """Write a type of a schema's JSON as SQL. Raises ValueError for what is none."""
    if isinstance(kind, str):
        if not _PLAIN.fullmatch(kind):
            raise ValueError(f"{kind!r} is not a type of the shared warehouse")
        return kind
    if kind["type"] == "array":
        return f"array<{_type(kind['elementType'])}>"
    if kind["type"] == "map":
        return f"map<{_type(kind['keyType'])}, {_type(kind['valueType'])}>"
    if kind["type"] == "struct":
        return f"struct<{', '.join(_name(each['name']) + ': ' + _type(each['type']) for each in kind['fields'])}>"
    raise ValueError(f"{kind['type']!r} is not a type of the shared warehouse")


def _name(name):
    return "`" + name.replace("`", "``") + "`"


def _text(text):
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not text")
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class Warehouse:
    """A session's catalog, and the shared folder that it is kept in step with.

    Both are asked for when a table is: a session makes its catalog then, which takes seconds that the first cell has not.
    """

    def __init__(self, spark):
        self.java = spark._jsparkSession
        self.jvm = spark._jvm
        self.known = {}
        """Tables that this catalog has from their folder, with the stamp of then."""
        self.looking = False

    @functools.cached_property
    def catalog(self):
        return self.java.sessionState().catalog()

    @functools.cached_property
    def root(self):
        """The warehouse's folder; None for one that is not this machine's."""
        location = self.java.conf().get("spark.sql.warehouse.dir")
        return Path(location.removeprefix("file:")) if location.startswith(("file:", "/")) else None

    def look(self):
        """Enter tables that came since the last look, refresh those that changed, forget those that went."""
        if self.root is None or self.looking:
            return
        self.looking = True
        try:
            self._compare()
        finally:
            self.looking = False

    def _compare(self):
        found = folders(self.root)
        stamps = {key: mark for key, folder in found.items() if (mark := stamp(folder))}
        for key in self.known.keys() - stamps.keys():
            del self.known[key]
            if key not in found and self._has(key):
                self._forget(key)
        for key, mark in stamps.items():
            if self.known.get(key) == mark:
                continue
            try:
                self._enter(key, found[key])
                _refresh_client(key)
            except Exception as error:
                print(f"The table {'.'.join(key)} cannot be used: {str(error).splitlines()[0]}")
            self.known[key] = mark

    def note(self):
        """Describe the tables of this user's that the catalog has, where their folder does not say so yet."""
        if self.root is None:
            return
        for key, folder in folders(self.root).items():
            if _owner(folder) != os.getuid() or not self._has(key):
                continue
            table = self.catalog.getTableMetadata(self._identifier(key))
            if table.tableType().name() != "MANAGED" or _path(table) != str(folder):
                continue
            names = table.partitionColumnNames()
            description = {
                "provider": table.provider().get().lower(),
                "schema": json.loads(table.schema().json()),
                "partitions": [names.apply(index) for index in range(names.size())],
                "options": dict(self.jvm.scala.jdk.javaapi.CollectionConverters.asJava(table.storage().properties())),
            }
            description["options"] = {
                key: value for key, value in description["options"].items() if key not in ("path", "serialization.format")
            }
            path, text = folder / DESCRIPTION, json.dumps(description)
            if not path.exists() or path.read_text() != text:
                new = folder / f"{DESCRIPTION}.{os.getpid()}"
                new.write_text(text)
                new.replace(path)
            self.known[key] = stamp(folder)

    def refuse_others(self, before):
        """Raise Told if a table that was there `before` has left the catalog, while its folder is another user's."""
        for key, folder in before.items():
            uid = _owner(folder)
            if uid not in (None, os.getuid()) and not self._has(key):
                self.known.pop(key, None)
                self.look()
                owner = pwd.getpwuid(uid).pw_name
                raise Told(f"{'.'.join(key)} is {owner}'s table: only {owner} can drop or replace it.")

    def _identifier(self, key):
        return self.jvm.org.apache.spark.sql.catalyst.TableIdentifier(key[1], self.jvm.scala.Option.apply(key[0]))

    def _has(self, key):
        return self.catalog.databaseExists(key[0]) and self.catalog.tableExists(self._identifier(key))

    def _forget(self, key):
        """Drop the catalog's entry alone, and no file: what is external keeps its files."""
        self._set_type(key, "EXTERNAL")
        self.catalog.dropTable(self._identifier(key), True, False)

    def _enter(self, key, folder):
        database, table = key
        description = json.loads((folder / DESCRIPTION).read_text())
        create = statement(database, table, folder, description)
        if not self.catalog.databaseExists(database):
            self.java.sql(f"CREATE DATABASE {_name(database)} LOCATION {_text(folder.parent.as_uri())}")
        if self._has(key):
            same = json.loads(self.catalog.getTableMetadata(self._identifier(key)).schema().json())
            if same == description["schema"]:
                # Others' new rows: Spark keeps lists of a table's files.
                self.catalog.refreshTable(self._identifier(key))
                return
            self._forget(key)
        self.java.sql(create)
        # One's own is dropped with its files, as where it was made; of another's nobody else removes a file.
        self._set_type(key, "MANAGED" if folder.stat().st_uid == os.getuid() else "EXTERNAL")

    def _set_type(self, key, kind):
        table = self.catalog.getTableMetadata(self._identifier(key))
        types = self.jvm.org.apache.spark.sql.catalyst.catalog.CatalogTableType
        fields = [table.productElement(index) for index in range(table.productArity())]
        names = [table.productElementName(index) for index in range(table.productArity())]
        fields[names.index("tableType")] = getattr(types, kind)()
        # Partitions are found in the folders, and not kept in this session's catalog: others write too.
        fields[names.index("tracksPartitionsInCatalog")] = False
        self.catalog.alterTable(table.copy(*fields))


def _refresh_client(key):
    """Let Spark Connect's session forget which files a table has: its own memory of that is not the classic session's."""
    from provision_kernel import connect

    if connect.client() is not None:
        connect.client().sql(f"REFRESH TABLE {_name(key[0])}.{_name(key[1])}")


def _owner(folder):
    """Return whose a table's folder is: None for one that its owner has dropped at this moment."""
    try:
        return folder.stat().st_uid
    except FileNotFoundError:
        return None


def _path(table):
    return table.location().getPath().rstrip("/")


def _before(*_):
    if _State.warehouse is not None:
        _State.warehouse.look()


def _install():
    """Let PySpark's ways to a table pass by the warehouse; the client's of Spark Connect too, in its kernel."""
    if _State.installed:
        return
    _State.installed = True
    from pyspark.sql import DataFrameReader, DataFrameWriter, DataFrameWriterV2, SparkSession
    from pyspark.sql.catalog import Catalog
    from pyspark.sql.streaming import DataStreamWriter

    from provision_kernel import session

    kinds = [(SparkSession, DataFrameReader, DataFrameWriter, DataFrameWriterV2, DataStreamWriter, Catalog)]
    if session.CONNECT:
        from pyspark.sql.connect import readwriter
        from pyspark.sql.connect.catalog import Catalog as ConnectCatalog
        from pyspark.sql.connect.session import SparkSession as ConnectSession
        from pyspark.sql.connect.streaming.readwriter import DataStreamWriter as ConnectStreamWriter

        names = ("DataFrameReader", "DataFrameWriter", "DataFrameWriterV2")
        frames = [getattr(readwriter, name) for name in names]
        kinds.append((ConnectSession, *frames, ConnectStreamWriter, ConnectCatalog))
    for sessions, readers, writers, second, streams, catalogs in kinds:
        _wrap(sessions, "table", changes=False)
        _wrap(readers, "table", changes=False)
        _wrap(sessions, "sql", changes=lambda query, *_, **__: bool(_CHANGES.match(query)))
        for method in ("saveAsTable", "insertInto"):
            _wrap(writers, method, changes=True)
        for method in ("create", "replace", "createOrReplace", "append", "overwrite", "overwritePartitions"):
            _wrap(second, method, changes=True)
        _wrap(streams, "toTable", changes=True)
        for method in ("createTable", "dropTable", "truncateTable", "dropDatabase"):
            _wrap(catalogs, method, changes=True)
        catalog = sessions.catalog
        read = catalog.fget if isinstance(catalog, property) else catalog.func
        sessions.catalog = property(functools.wraps(read)(lambda self, read=read: (_before(), read(self))[1]))


def _wrap(owner, name, changes):
    """Look at the warehouse before a method, and describe its tables after one that changes them.

    `changes` says whether it does: true, false, or a function of the method's arguments.
    """
    original = getattr(owner, name)

    @functools.wraps(original)
    def method(self, *arguments, **named):
        warehouse = _State.warehouse
        if warehouse is None or warehouse.root is None or warehouse.looking:
            return original(self, *arguments, **named)
        warehouse.look()
        if not (changes(*arguments, **named) if callable(changes) else changes):
            return original(self, *arguments, **named)
        before = {key: warehouse.root / _place(key) for key in warehouse.known}
        try:
            return original(self, *arguments, **named)
        finally:
            warehouse.refuse_others(before)
            warehouse.note()

    setattr(owner, name, method)


def _place(key):
    return key[1] if key[0] == "default" else f"{key[0]}.db/{key[1]}"
