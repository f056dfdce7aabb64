"""The program of a user's notebook server (templates/hub/notebook_server.py), before stand-ins of what it starts."""

from __future__ import annotations

import os
import subprocess
import sys

from provision.base.paths import TEMPLATES

PROGRAM = TEMPLATES / "hub/notebook_server.py"
COMMANDS = "def _yarn_config(logger):\n    raise AssertionError('Node.js is started')\n"
SINGLEUSER = """\
import sys
def main():
    from jupyterlab import commands
    print(commands._yarn_config(None), sys.argv[1:], sys.path[0])
    return 3
"""


def test_the_server_starts_as_ever_but_without_node(tmp_path):
    for path, text in (("jupyterlab/commands.py", COMMANDS), ("jupyterhub/singleuser.py", SINGLEUSER)):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text(text)
        (tmp_path / path).with_name("__init__.py").touch()
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--port=1"], env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == f"{{'yarn config': {{}}, 'npm config': {{}}}} ['--port=1'] {tmp_path}"
    assert done.returncode == 3


def test_the_bake_ends_where_there_is_no_such_function_any_more():
    assert "from jupyterlab.commands import _yarn_config\n" in (TEMPLATES / "image/setup/software").read_text().replace('"', "")
