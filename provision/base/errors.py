"""Errors for users: each says what is wrong, and hints at what to do.

The command line prints them and exits with `exit_code`: 0 done or nothing to do, 1 failed, 2 wrong usage.
"""

from __future__ import annotations


class ProvisionError(Exception):
    """A failure: the command may be run again. `detail` holds the last lines of output, if there are any."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail = detail


class UsageError(ProvisionError):
    """Bad input: nothing was changed, and the same command fails again in the same way."""

    exit_code = 2
