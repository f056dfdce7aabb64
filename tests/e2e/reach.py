"""What a notebook user on the master, and a task in an executor, can read, connect to and change: a table, by trying.

docs/reference/reach.md holds the table; test_product.py compares it with a live cluster.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from provision.base.constants import PORTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DOCUMENT: Final = Path(__file__).resolve().parents[2] / "docs/reference/reach.md"
OTHER: Final = "bystander"
"""An account that a test makes: another user, with a home and a running process."""
OTHERS_ID: Final = 3999
"""Its id. `useradd` would take the next one, and that is the next notebook user's."""
READ: Final = {
    "own home": "~",
    "another user's home": f"/home/{OTHER}",
    "`/shared`": "/shared",
    "Spark's settings, with its secret": "/etc/spark/spark-defaults.conf",
    "the key of executors' tokens": "/etc/spark/executor.key",
    "the Hub's settings": "/etc/jupyterhub/jupyterhub_config.py",
    "the Hub's private key": "/etc/jupyterhub/tls/hub.key",
    "the Hub's database": "/var/lib/jupyterhub/jupyterhub.sqlite",
    "password hashes": "/etc/shadow",
    "logs of other users' applications": "others /var/lib/spark/events",
    "user-data, where cloud-init keeps it": "/var/lib/cloud/instance/user-data.txt",
    "the config drive": "/dev/disk/by-label/config-2",
    "homes of removed users": "/var/backups/notebooks",
    "the environment of another user's process": "others /proc",
    "the environment of root's processes": "/proc/1/environ",
}
CONNECT: Final = {
    "the Spark master": ("MASTER", PORTS.spark_master),
    "another worker's daemon": ("WORKER", PORTS.spark_worker),
    "files, by NFS, without mounting": ("MASTER", PORTS.nfs),
    "the Spark master's page": ("MASTER", PORTS.spark_master_ui),
    "the history server": ("MASTER", PORTS.spark_history),
    "another worker's page": ("WORKER", PORTS.spark_worker_ui),
    "the Hub's own API": ("127.0.0.1", PORTS.hub_api),
    "the API of the Hub's proxy": ("127.0.0.1", PORTS.proxy_api),
    "SSH of the master": ("MASTER", PORTS.ssh),
    "SSH of another worker": ("WORKER", PORTS.ssh),
    "the instance metadata": ("169.254.169.254", 80),
}
CHANGE: Final = {
    "own home": "~/.reach",
    "`/shared`": "/shared/.reach",
    "another user's home": f"/home/{OTHER}/.reach",
    "another user's file in `/shared`": f"/shared/{OTHER}",
    "Spark's settings": "/etc/spark/spark-defaults.conf",
    "Spark itself": "/opt/spark/.reach",
    "the notebooks' Python": "/opt/jupyter/.reach",
    "what root runs": "/usr/local/lib/provision/.reach",
    "the event logs' folder": "/var/lib/spark/events/.reach",
}
# Runs on the master, and inside a task: only the standard library, and no name of this file.
PROGRAM: Final = """\
def reach(read, connect, change):
    import os, pwd, socket
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        own = probe.getsockname()[0]
    def dial(hosts, port):
        # Not the node itself: its firewall is for others.
        socket.create_connection((next((host for host in hosts if host != own), hosts[0]), port), 5).close()
    home = pwd.getpwuid(os.getuid()).pw_dir
    def attempt(act):
        try:
            act()
        except Exception:
            return False
        return True
    def look(path):
        path = path.replace("~", home)
        if path.startswith("others "):
            folder = path.removeprefix("others ")
            names = [name for name in os.listdir(folder) if folder != "/proc" or name.isdigit()]
            paths = [os.path.join(folder, name) for name in names]
            paths = [path for path in paths if os.stat(path).st_uid not in (0, os.getuid())]
            if not any(attempt(lambda: look(path + ("/environ" if folder == "/proc" else ""))) for path in paths):
                raise OSError
            return
        if os.path.isdir(path):
            return os.listdir(path)
        with open(path, "rb") as file:
            return file.read(1)
    def write(path):
        path = path.replace("~", home)
        new = not os.path.exists(path)
        with open(path, "ab"):
            pass
        if new:
            os.remove(path)
    return {
        "read": {title: attempt(lambda: look(path)) for title, path in read.items()},
        "connect": {title: attempt(lambda: dial(*at)) for title, at in connect.items()},
        "change": {title: attempt(lambda: write(path)) for title, path in change.items()},
    }
"""


def arguments(master: str, workers: Sequence[str]) -> str:
    """Return the program's arguments as a Python literal; the addresses are the nodes' own."""
    at = {"MASTER": [master], "WORKER": list(workers)}
    connect = {title: [at.get(host, [host]), port] for title, (host, port) in CONNECT.items()}
    return f"{READ!r}, {connect!r}, {CHANGE!r}"


def on_master(master: str, workers: Sequence[str]) -> str:
    """Return a program that prints what its user can reach."""
    return f"import json\n{PROGRAM}print('REACH', json.dumps(reach({arguments(master, workers)})))\n"


def in_executor(master: str, workers: Sequence[str]) -> str:
    """Return a program for spark-submit that prints what a task can reach."""
    return (
        f"import json\n{PROGRAM}"
        "from pyspark.sql import SparkSession\n"
        "sc = SparkSession.builder.getOrCreate().sparkContext\n"
        f"task = lambda _: reach({arguments(master, workers)})\n"
        "print('REACH', json.dumps(sc.parallelize([1], 1).map(task).collect()[0]))\n"
    )


def found(output: str) -> dict[str, dict[str, bool]]:
    """Read what such a program has printed."""
    line = next(line for line in output.splitlines() if line.startswith("REACH "))
    result: dict[str, dict[str, bool]] = json.loads(line.removeprefix("REACH "))
    return result


def table(user: Mapping[str, Mapping[str, bool]], executor: Mapping[str, Mapping[str, bool]]) -> str:
    """Write both as the table of the docs."""
    lines = ["| | A user on the master | A task in an executor |", "| --- | --- | --- |"]
    for verb in ("read", "connect", "change"):
        for title in user[verb]:
            words = ["yes" if side[verb][title] else "no" for side in (user, executor)]
            lines.append(f"| {verb}{' to' if verb == 'connect' else ''} {title} | {words[0]} | {words[1]} |")
    return "\n".join(lines) + "\n"
