"""Parts of what is copied to nodes and containers, as they run there.

The modules of the PySpark kernel (templates/hub/kernel, and those of the image) as the package that startup.py makes of
them; the entrypoints of the local cloud's services.
"""

import importlib
import subprocess
import sys
import types

import pytest

from provision.base.paths import COMPOSE, TEMPLATES

MODULES = (TEMPLATES / "hub/kernel", TEMPLATES / "image/files/usr/local/share/jupyter/kernels/pyspark")
"""Where they are: what a cluster brings, and what its image has."""


@pytest.fixture
def kernel(monkeypatch):
    """A function that imports a module of the kernel, as startup.py makes them a package."""
    package = types.ModuleType("provision_kernel")
    package.__path__ = [str(each) for each in MODULES]
    monkeypatch.setitem(sys.modules, "provision_kernel", package)
    names = [path.stem for folder in MODULES for path in folder.glob("*.py")]
    for name in names:
        monkeypatch.delitem(sys.modules, f"provision_kernel.{name}", raising=False)
    yield lambda name: importlib.import_module(f"provision_kernel.{name}")
    for name in names:
        sys.modules.pop(f"provision_kernel.{name}", None)


@pytest.fixture
def run_entrypoint(tmp_path):
    """A function that runs a service family's entrypoint, with stand-ins for functions of common.sh and for programs."""

    def run(family, *words, functions, programs, environment):
        # What takes the configuration, and waits for others, does nothing.
        common = (COMPOSE / "base/common.sh").read_text() + "take() { :; }\nown() { :; }\nawait() { :; }\n" + functions
        (tmp_path / "common.sh").write_text(common)
        script = (COMPOSE / family / "entrypoint").read_text()
        script = script.replace("/usr/local/lib/provision/common.sh", f"{tmp_path}/common.sh")
        script = script.replace("/run/", f"{tmp_path}/")
        for name, lines in programs.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{lines}\n")
            (tmp_path / name).chmod(0o755)
        return subprocess.run(
            ["bash", "-c", script, "entrypoint", *words],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin", **environment},
            capture_output=True, text=True, check=False, timeout=20,
        )  # fmt: skip

    return run
