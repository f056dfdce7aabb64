"""A user's notebook server: jupyterhub-singleuser, less what JupyterLab does at each start for nobody here.

It starts Node.js to read Yarn's settings, for who builds extensions on this machine: half of the server's start, measured
on a busy machine. Without a Node.js it goes on with the same empty answer. (The bake ends when JupyterLab has no such
function any more.)
"""

import os
import sys
from datetime import UTC, datetime

early = None
if "EARLY_KERNEL" in os.environ:
    import early_kernel

    early = early_kernel.begin(os.environ.pop("EARLY_KERNEL"))

# The folder of this file: nothing else in it is a module.
del sys.path[0]

from jupyterlab import commands  # noqa: E402

commands._yarn_config = lambda logger: {"yarn config": {}, "npm config": {}}

from jupyter_core.application import JupyterApp  # noqa: E402

# There are no files of IPython 3's here. It would note so in the home, and whoever has no room left could not start the
# server with which to make some.
JupyterApp.migrate_config = lambda self: None

from jupyter_server.serverapp import ServerWebApplication  # noqa: E402


def _last_activity(self, original=ServerWebApplication.last_activity):
    """Say now while a kernel computes: only messages count as a kernel's activity, and a long cell may send none.

    The server would be ended as idle, with the kernel that its own culler spares for being busy.
    """
    kernels = self.settings["kernel_manager"]
    states = (getattr(kernels.get_kernel(each), "execution_state", None) for each in kernels.list_kernel_ids())
    return datetime.now(UTC) if "busy" in states else original(self)


ServerWebApplication.last_activity = _last_activity

if early:
    early_kernel.offer(early)

from jupyterhub.singleuser import main  # noqa: E402

sys.exit(main())
