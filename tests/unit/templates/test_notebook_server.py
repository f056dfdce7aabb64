"""The program of a user's notebook server (templates/hub/notebook_server.py), before stand-ins of what it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

from provision.base.paths import TEMPLATES

PROGRAM = TEMPLATES / "hub/notebook_server.py"
STAND_INS = {
    "jupyterlab/commands.py": "def _yarn_config(logger):\n    raise AssertionError('Node.js is started')\n",
    "jupyter_core/application.py": """
class JupyterApp:
    def migrate_config(self):
        raise OSError('Disk quota exceeded')
""",
    "jupyter_server/serverapp.py": """
class ServerWebApplication:
    def last_activity(self):
        return 'long ago'
""",
    "jupyterhub/singleuser.py": """
import sys
from types import SimpleNamespace
class Kernels(dict):
    get_kernel = dict.get
    list_kernel_ids = dict.keys
def main():
    from jupyter_core.application import JupyterApp
    from jupyter_server.serverapp import ServerWebApplication
    from jupyterlab import commands
    JupyterApp().migrate_config()
    print(commands._yarn_config(None), sys.argv[1:], sys.path[0])
    server = ServerWebApplication()
    for states in ([], ['idle', None], ['idle', 'busy']):
        kernels = [SimpleNamespace(execution_state=state) if state else SimpleNamespace() for state in states]
        server.settings = {'kernel_manager': Kernels(enumerate(kernels))}
        print(server.last_activity())
    return 3
""",
}


def test_the_server_starts_as_ever_but_without_what_only_keeps_it(tmp_path):
    for path, text in STAND_INS.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
        (tmp_path / path).with_name("__init__.py").touch()
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--port=1"], env=env, capture_output=True, text=True, check=False
    )
    first, *activities = done.stdout.strip().splitlines()
    assert first == f"{{'yarn config': {{}}, 'npm config': {{}}}} ['--port=1'] {tmp_path}"
    assert activities[:2] == ["long ago", "long ago"]
    # A kernel computes: that is what keeps its server.
    assert datetime.now(UTC) - datetime.fromisoformat(activities[2]) < timedelta(minutes=5)
    assert done.returncode == 3


def test_the_bake_ends_where_there_is_no_such_function_any_more():
    assert "from jupyterlab.commands import _yarn_config\n" in (TEMPLATES / "image/setup/software").read_text().replace('"', "")
