"""The modules of the PySpark kernel (templates/hub/kernel) as the package that startup.py makes of them."""

import importlib
import sys
import types

import pytest

from provision.base.paths import TEMPLATES

MODULES = TEMPLATES / "hub/kernel"


@pytest.fixture
def kernel(monkeypatch):
    """A function that imports a module of the kernel, as startup.py makes them a package."""
    package = types.ModuleType("provision_kernel")
    package.__path__ = [str(MODULES)]
    monkeypatch.setitem(sys.modules, "provision_kernel", package)
    for path in MODULES.glob("*.py"):
        monkeypatch.delitem(sys.modules, f"provision_kernel.{path.stem}", raising=False)
    yield lambda name: importlib.import_module(f"provision_kernel.{name}")
    for path in MODULES.glob("*.py"):
        sys.modules.pop(f"provision_kernel.{path.stem}", None)
