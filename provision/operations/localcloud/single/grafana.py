"""The dashboards for Grafana, written as a folder from which it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.adapters.host.files import replace
from provision.base.errors import UsageError
from provision.operations.localcloud.single.monitoring import password

if TYPE_CHECKING:
    from pathlib import Path


def write_grafana(folder: Path) -> None:
    """Write the folder; files of other names in it stay as they are. Raises UsageError where there is no monitoring."""
    # Imported here, since the SDK takes longer than all of the command line's other commands need.
    from provision.model.localcloud.monitoring.grafana import SECRETS, documents

    for name, text in documents(password()).items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Grafana reads the others as a user of its own.
            replace(path, text, 0o600 if name == SECRETS else 0o644)
        except OSError as error:
            raise UsageError(
                f"{path} cannot be written: {error.strerror}", "Name a folder that you may write to."
            ) from None
