"""Run by every PySpark kernel when it starts (PYTHONSTARTUP): `sc` and `spark`, without a kernel that is deaf meanwhile.

What it does is in the modules beside it. They are the package `provision_kernel`, so that none of them takes the name of
a module of the user's own.
"""


def _start():
    import os
    import sys
    import types

    package = types.ModuleType("provision_kernel")
    package.__path__ = [os.path.dirname(os.environ["PYTHONSTARTUP"])]
    sys.modules["provision_kernel"] = package

    from provision_kernel import session

    session.start()


_start()
del _start
