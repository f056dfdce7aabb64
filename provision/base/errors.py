"""Errors that a user reads: a sentence that says what is wrong, and a hint that says what to do.

The command line prints them and exits with `exit_code`: 0 done or nothing to do, 1 failed, 2 wrong usage.
"""

from __future__ import annotations


class ProvisionError(Exception):
    """A failure: it may be run again. `detail` holds the last lines of output where there is one."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail = detail


class UsageError(ProvisionError):
    """Bad input: nothing was changed or lost, and running it again unchanged gives the same answer."""

    exit_code = 2
