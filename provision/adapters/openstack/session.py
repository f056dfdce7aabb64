"""The basis of reads and writes: the connection, our errors for the SDK's, and questions that are repeated."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeVar

from provision.base import paths
from provision.base.constants import LOCAL_CLOUD
from provision.base.errors import ProvisionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openstack.connection import Connection

UP_HINT: Final = "Is the local cloud running? `provision cloud status` tells, `provision cloud up` starts it."
READY_TIMEOUT: Final = 90
"""Seconds for which a question is repeated while the cloud is overloaded, or one of its services restarts."""

_P = ParamSpec("_P")
_Answer = TypeVar("_Answer")
_Self = TypeVar("_Self")


class TransientError(ProvisionError):
    """The cloud failed to answer, perhaps for a moment. Whether it made a change is unknown: look before a retry."""


class BusyError(ProvisionError):
    """The cloud refused because the resource is still in use: worth trying again."""


class Session:
    """One project of one cloud."""

    def __init__(self, name: str, connection: Connection) -> None:
        self.name = name
        self.connection = connection

    @contextmanager
    def asking(self, what: str) -> Iterator[None]:
        """Turn the SDK's errors into ours; `what` says in the message what was being done."""
        from keystoneauth1 import exceptions as keystone
        from openstack import exceptions as sdk

        try:
            yield
        except sdk.ConflictException as error:
            raise BusyError(f"{what}: the cloud said: {_message(error)}") from error
        except (keystone.Unauthorized, keystone.NotFound) as error:
            hint = f"Check the user, password and auth_url of {self.name!r} in {paths.clouds_yaml()}."
            raise ProvisionError(f"{what}: cloud {self.name!r} refused the login: {error}", hint) from error
        except keystone.ConnectFailure as error:
            hint = UP_HINT if self.name == LOCAL_CLOUD else f"Check auth_url in {paths.clouds_yaml()}, and the network."
            raise TransientError(f"{what}: cloud {self.name!r} cannot be reached", hint, str(error)) from error
        except (sdk.SDKException, keystone.ClientException) as error:
            if _is_server_error(error):
                hint = "Run the same command again: it goes on where it stopped."
                raise TransientError(f"{what}: the cloud failed: {_message(error)}", hint) from error
            raise ProvisionError(f"{what}: the cloud said: {_message(error)}") from error


def retry_transient(
    question: Callable[Concatenate[_Self, _P], _Answer],
) -> Callable[Concatenate[_Self, _P], _Answer]:
    """Decorate a question: it is repeated while the cloud fails to answer, for READY_TIMEOUT seconds."""

    @wraps(question)
    def ask(self: _Self, /, *arguments: _P.args, **options: _P.kwargs) -> _Answer:
        deadline = time.monotonic() + READY_TIMEOUT
        while True:
            try:
                return question(self, *arguments, **options)
            except TransientError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(3)

    return ask


def _is_server_error(error: Exception) -> bool:
    """Return whether the server failed (HTTP 500 and above) rather than refused."""
    status = getattr(error, "status_code", None) or getattr(error, "http_status", None) or 0
    return int(status) >= 500


def _message(error: Exception) -> str:
    """Return the cloud's own message in an SDK error, on one line."""
    details = getattr(error, "details", None) or getattr(error, "message", None) or str(error)
    return " ".join(str(details).split())
