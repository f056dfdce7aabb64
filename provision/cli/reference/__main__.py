"""Write the generated pages of this checkout's docs."""

from __future__ import annotations

from provision.base.paths import PACKAGE
from provision.cli.reference import write

write(PACKAGE.parent / "docs" / "reference")
