"""Magics: `%%sql` runs a statement and shows its rows, `%%spark_config` starts Spark anew with other settings.

`%spark_doctor` is a module of its own: doctor.py, in the image, since the user-data has no room for it.
"""

import importlib.util
import re
import shlex

from provision_kernel.words import Told

ROWS = 1000
"""As many rows of a result are shown, and fetched from the cluster."""

_HELP = """\
%%sql [NAME << | --into NAME]
The rest of the cell is one SQL statement. Its rows are shown, or kept in NAME as a DataFrame."""
_NAMED = re.compile(r"\s*([^\W\d]\w*)\s*<<\s*(.*)", re.DOTALL)


def register(shell):
    """Give the shell the magics."""
    if importlib.util.find_spec("provision_kernel.doctor"):  # images of version 0.1 lack it
        shell.register_magic_function(_spark_doctor, "line", "spark_doctor")
    shell.register_magic_function(_sql, "line_cell", "sql")
    shell.register_magic_function(_spark_config, "line_cell", "spark_config")


def _spark_doctor(line):
    """Say what is wrong with Spark for this notebook, and what to do."""
    from provision_kernel import doctor

    doctor.magic(line)


def split(line, cell):
    """Return the statement of a `%sql` line or `%%sql` cell, and the name that its rows get or None. Raises Told."""
    name = None
    named = _NAMED.fullmatch(line)
    if named:
        name, line = named.groups()
    elif line.lstrip().startswith("--into"):
        words = line.split(None, 2)
        name, line = (words[1] if len(words) > 1 else ""), (words[2] if len(words) > 2 else "")
        if not name.isidentifier():
            raise Told(f"--into wants the name of a variable, and not {shlex.quote(name)}.\n{_HELP}")
    statement = (line + "\n" + (cell or "")).strip().rstrip(";").rstrip()
    if not statement:
        raise Told(f"There is no statement.\n{_HELP}")
    return statement, name


def words_of(error):
    """Return Spark's own message, without the Java trace behind it."""
    text = re.split(r"\n\s+at |\n\s*JVM stacktrace:", str(error), maxsplit=1)[0].strip()
    return re.sub(r"^An error occurred while calling \S+\n: ", "", text)


def _session(shell):
    """Return the notebook's session of this moment. Raises Told."""
    from pyspark.sql import SparkSession

    # The user's own variable first: it may be a second session. Spark's idea of the active one is of another thread.
    active = shell.user_ns.get("spark") or SparkSession._instantiatedSession
    if active is None:
        raise Told("There is no Spark session: make one with `spark = SparkSession.builder.getOrCreate()`.")
    return active


def _sql(line, cell=None):
    from IPython import get_ipython
    from IPython.display import HTML, display
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    shell = get_ipython()
    statement, name = split(line, cell)
    session = _session(shell)
    try:
        frame = session.sql(statement)
        if name:
            shell.push({name: frame})
            print(f"{name}: {', '.join(f'{column} {kind}' for column, kind in frame.dtypes)}")
            return
        if not frame.columns:
            print("Done.")
            return
        table = frame.limit(ROWS + 1).toPandas()
    except (PySparkException, Py4JJavaError, PermissionError) as error:
        # Not `from error`: IPython would show both.
        told = Told(words_of(error))
    else:
        told = None
    if told:
        raise told from None
    display(HTML(table.head(ROWS).to_html(index=False, max_rows=ROWS)))
    if len(table) > ROWS:
        print(f"The first {ROWS} rows. `%%sql NAME <<` keeps all of them in a DataFrame.")


def _spark_config(line, cell=None):
    from provision_kernel import launch, session

    # As a line without settings: anew, with those that it had.
    settings = launch.parse(f"{line}\n{cell or ''}", "%%spark_config") if line or cell else dict(launch.EXTRA)
    print("Starting Spark anew. DataFrames and tables in memory from before are gone.", flush=True)
    session.restart(settings)
    for key, value in settings.items():
        hidden = re.search(r"(?i)secret|password|token|access\.key|credential", key)
        print(f"{key} = {'(not shown)' if hidden else value}")
