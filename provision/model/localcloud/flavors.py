"""The flavors of the local cloud."""

from __future__ import annotations

from typing import Final

from provision.base.model import Flavor

FLAVORS: Final = (
    Flavor("m1.tiny", 1, 512, 4),
    Flavor("m1.small", 2, 2048, 8),
    Flavor("m1.medium", 2, 4096, 16),
    Flavor("m1.large", 4, 8192, 32),
)
