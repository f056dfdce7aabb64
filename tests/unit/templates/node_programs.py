"""The golden image's programs in Python, which have no suffix, as modules."""

from __future__ import annotations

import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from typing import TYPE_CHECKING

from provision.base.paths import TEMPLATES

if TYPE_CHECKING:
    from types import ModuleType

PROGRAMS = TEMPLATES / "image/files/usr/local/lib/provision"


def load(name: str) -> ModuleType:
    """Load a program, and leave no byte code beside it: what lies there would be an input of the image."""
    loader = SourceFileLoader(name.replace("-", "_"), str(PROGRAMS / name))
    spec = spec_from_loader(loader.name, loader)
    assert spec
    module = module_from_spec(spec)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module
