"""The dashboards for Grafana, written as a folder from which it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.adapters.host.files import replace
from provision.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from provision.model.monitoring.panels import Dashboard


def write_folder(
    folder: Path, boards: Sequence[Dashboard], url: str, *, user: str = "", password: str = "", login: str
) -> None:
    """Write the folder; files of other names in it stay as they are.

    `url`, `user` and `password` are the store's, `login` is the password of Grafana's first login. Raises UsageError
    where the folder cannot be written.
    """
    # Imported here, since the SDK takes longer than all of the command line's other commands need.
    from provision.model.monitoring.grafana import SECRETS, MetricsSource, documents

    for name, text in documents(boards, MetricsSource(url, user, password), login).items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Grafana reads the others as a user of its own.
            replace(path, text, 0o600 if name == SECRETS else 0o644)
        except OSError as error:
            raise UsageError(
                f"{path} cannot be written: {error.strerror}", "Name a folder that you may write to."
            ) from None
