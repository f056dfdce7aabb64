"""A user's notebook server: jupyterhub-singleuser, less what JupyterLab does at each start for nobody here.

It starts Node.js to read Yarn's settings, for who builds extensions on this machine: half of the server's start, measured
on a busy machine. Without a Node.js it goes on with the same empty answer. (The bake ends when JupyterLab has no such
function any more.)
"""

import sys

# The folder of this file: nothing in it is a module.
del sys.path[0]

from jupyterlab import commands  # noqa: E402

commands._yarn_config = lambda logger: {"yarn config": {}, "npm config": {}}

from jupyterhub.singleuser import main  # noqa: E402

sys.exit(main())
