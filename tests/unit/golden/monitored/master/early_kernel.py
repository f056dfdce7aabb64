"""A PySpark kernel begun with its user's notebook server: Spark starts while the server and its page still do.

It is what Jupyter would start, in the folder where the last server's first one was. The server's first kernel is this one if
it would be alike, and else ends it; so does time. Nothing but the standard library is imported before it runs.
"""

import asyncio
import json
import os
import site
import subprocess
import threading
from contextlib import suppress
from glob import glob
from pathlib import Path

OWN = ("~/.config/spark/spark-defaults.conf", "~/.ipython/profile_default/*.py", "~/.ipython/profile_default/startup/*.*py")
"""Files of the user's that a kernel reads when it starts."""
UNUSED = 600
"""Seconds after which it ends if nobody has asked for a kernel."""
LAST_FOLDER = Path("~/.local/share/jupyter/pyspark-folder")
"""Holds the folder of the last server's first notebook with this kernel."""
MEMORY = Path("/sys/fs/cgroup/notebooks.slice")
"""All users' notebook servers."""


class EarlyKernel:
    """One that runs, and that nobody has asked for yet."""

    def __init__(self, spec: str, read: list) -> None:
        """Start one of `spec`, the path of a kernel.json, which reads the files `read` when it starts, beside the user's.

        Raises OSError, and ValueError for a kernel.json that is none.
        """
        self.spec = json.loads(Path(spec).read_text())
        self.read = read
        self.found = _state(read)
        self.folder = _last_folder()
        runtime = Path(os.environ["JUPYTER_RUNTIME_DIR"])
        runtime.mkdir(mode=0o700, exist_ok=True)
        self.connection, self.names = runtime / "early-kernel.json", runtime / "early-kernel-names.json"
        env = {**os.environ, **self.spec["env"], "JPY_PARENT_PID": str(os.getpid()), "EARLY_KERNEL_NAMES": str(self.names)}
        self.process = subprocess.Popen(
            # It writes the file of its connection, which is not there.
            [each.replace("{connection_file}", str(self.connection)) for each in self.spec["argv"]],
            cwd=self.folder,
            env=env,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._wanted = threading.Lock()
        self._timer = threading.Timer(UNUSED, self.end)
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        """End it, and with it its JVM, unless it has been taken."""
        if self._wanted.acquire(blocking=False):
            self.process.terminate()
            self.process.wait()

    async def take(self, spec, folder, names):
        """Return where it listens, as a connection file's content, if it is alike; else None: it has ended, or ends.

        `names` is what the server calls the kernel that it starts: {"connection_file": …, "environment": {…}}.
        """
        alike = spec.argv == self.spec["argv"] and spec.env == self.spec["env"]
        if alike:
            _note(folder)
        # Also in what it has read: settings, say, or the first package that the user has installed.
        alike = alike and os.path.realpath(folder) == os.path.realpath(self.folder) and _state(self.read) == self.found
        if not alike:
            threading.Thread(target=self.end, daemon=True).start()
        if not alike or not self._wanted.acquire(blocking=False):
            return None
        self._timer.cancel()
        # Where there is no room it goes by its own name.
        with suppress(OSError):
            new = self.names.with_suffix(".new")
            new.write_text(json.dumps(names))
            new.replace(self.names)
        while self.process.poll() is None:
            # Half of a file is none.
            with suppress(FileNotFoundError, ValueError):
                found = json.loads(self.connection.read_text())
                return found | {"key": found["key"].encode()}
            await asyncio.sleep(0.1)
        return None


def begin(given: str):
    """Start what the Hub's configuration says; return None where it cannot be, or while others need the memory.

    `given` is JSON: {"spec": path of a kernel.json, "read": [paths of files that it reads when it starts]}.
    """
    with suppress(OSError, ValueError, KeyError):
        if _is_roomy():
            return EarlyKernel(**json.loads(given))
    return None


def offer(early: EarlyKernel) -> None:
    """Let the first kernel that Jupyter starts be `early`, if it is alike."""
    from jupyter_client.provisioning import LocalProvisioner

    original, offered = LocalProvisioner.launch_kernel, [early]

    async def launch_kernel(self, cmd, **kwargs):
        if not offered:
            return await original(self, cmd, **kwargs)
        early, folder, env = offered.pop(), kwargs.get("cwd") or os.getcwd(), kwargs.get("env", {})
        session = {name: value for name, value in env.items() if name == "JPY_SESSION_NAME"}
        names = {"connection_file": self.parent.connection_file, "environment": session}
        found = await early.take(self.kernel_spec, folder, names)
        if found is None:
            return await original(self, cmd, **kwargs)
        self.process, self.pid, self.pgid, self.cwd = early.process, early.process.pid, early.process.pid, folder
        self.connection_info = found
        return found

    LocalProvisioner.launch_kernel = launch_kernel


def _is_roomy() -> bool:
    """Whether less than half of what all notebooks may have is taken: others, who work, come first."""
    most = (MEMORY / "memory.max").read_text().strip()
    taken = dict(line.split() for line in (MEMORY / "memory.stat").read_text().splitlines())
    return most == "max" or int(taken["anon"]) < int(most) / 2


def _state(read):
    """Return what changes with the files that a kernel reads when it starts: names to times."""
    own = [path for pattern in OWN for path in glob(os.path.expanduser(pattern))]
    return {path: os.stat(path).st_mtime_ns for path in [*read, *own, site.getusersitepackages()] if os.path.exists(path)}


def _last_folder() -> str:
    with suppress(OSError):
        folder = LAST_FOLDER.expanduser().read_text()
        if os.path.isdir(folder):
            return folder
    return os.getcwd()


def _note(folder) -> None:
    # A home may be full.
    with suppress(OSError):
        file = LAST_FOLDER.expanduser()
        if not file.exists() or file.read_text() != str(folder):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(str(folder))
