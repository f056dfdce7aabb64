"""The modules of the PySpark kernel (templates/hub/kernel, and those of the image) as the package that startup.py makes of them."""

import importlib
import sys
import types

import pytest

from provision.base.paths import TEMPLATES

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
