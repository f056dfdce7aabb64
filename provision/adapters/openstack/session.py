"""The basis of reads and writes: the connection, our errors for the SDK's, long lists, and what is sent again."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import cache, wraps
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

from provision.base import paths
from provision.base.ahead import Asker
from provision.base.constants import LOCAL_CLOUD
from provision.base.errors import ProvisionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from openstack.connection import Connection

    from provision.adapters.openstack.kept_token import KeptToken

UP_HINT: Final = "Is the local cloud running? `provision cloud status` tells, `provision cloud up` starts it."
AGAIN_HINT: Final = "Run the same command again: it goes on where it stopped."
READY_TIMEOUT: Final = 90
"""Seconds for which a request is repeated while the cloud is overloaded, or one of its services restarts."""
AT_ONCE: Final = 8
"""Requests that are sent at the same time, where many are alike; a session's pool has ten connections."""
PAUSE: Final = 3
"""Seconds between two tries, where the cloud does not say how long to wait."""
LONGEST_PAUSE: Final = 60
"""Seconds that a cloud may ask to wait (Retry-After): some name an hour, and no command should sleep that long."""

_FIELDS: Final = {
    "server": {
        "addresses": "addresses", "availability_zone": "OS-EXT-AZ:availability_zone", "fault": "fault",
        "flavor": "flavor", "hostname": "OS-EXT-SRV-ATTR:hostname", "image": "image",
        "launched_at": "OS-SRV-USG:launched_at", "metadata": "metadata", "name": "name", "project_id": "tenant_id",
        "status": "status", "task_state": "OS-EXT-STS:task_state",
    },
    "port": {
        "description": "description", "device_id": "device_id", "device_owner": "device_owner",
        "fixed_ips": "fixed_ips", "is_port_security_enabled": "port_security_enabled", "name": "name",
        "network_id": "network_id", "project_id": "project_id", "security_group_ids": "security_groups", "tags": "tags",
    },
}  # fmt: skip
"""What is read of each server and port in a list: the SDK's word -> the API's."""

_WITHOUT_HOSTNAMES: Final = "2.72"
"""The highest microversion for a list of servers: from 2.73 on Nova reads more of each from its database."""
_WITH_HOSTNAMES: Final = "2.90"
"""The first with which others than administrators are told hostnames; from 2.96 on Nova reads each one's request."""

_P = ParamSpec("_P")
_Answer = TypeVar("_Answer")
_Self = TypeVar("_Self")


class TransientError(ProvisionError):
    """The cloud failed to answer, perhaps for a moment. Whether it made a change is unknown: look before a retry."""

    pause: float = PAUSE
    """Seconds to wait before the next request."""


class UnreachableError(TransientError):
    """No connection could be made at all: nothing listens there, or there is no way to it."""


class BusyError(ProvisionError):
    """The cloud refused because the resource is still in use: worth trying again."""


class KeptError(ProvisionError):
    """The cloud keeps for a while what was deleted, and this account may not have it deleted at once."""


class Session(Asker):
    """One project of one cloud; `file` is the clouds.yaml that its login comes from."""

    def __init__(
        self, name: str, connection: Connection, file: Path | None = None, token: KeptToken | None = None
    ) -> None:
        super().__init__()
        self.name = name
        self.connection = connection
        self.file = file
        self.token = token

    @contextmanager
    def asking(self, what: str) -> Iterator[None]:
        """Turn the SDK's errors into ours; `what` says in the message what was being done."""
        from keystoneauth1 import exceptions as keystone
        from openstack import exceptions as sdk

        try:
            yield
            if self.token:
                # keystoneauth has replaced one that the cloud has refused, or whose time was over.
                self.token.keep()
        except (sdk.SDKException, keystone.ClientException, OSError) as error:
            # OSError: requests' own errors, as for an answer that ends early, and files of certificates that are gone.
            if self.token and (isinstance(error, keystone.ClientException) or _status(error) in (401, 403)):
                # Refused, or its catalogue no longer says where the services are.
                self.token.forget()
            raise self._own_error(what, error) from error

    def _own_error(self, what: str, error: Exception) -> ProvisionError:  # noqa: PLR0911 - one for each kind of failure
        import requests
        from keystoneauth1 import exceptions as keystone
        from openstack import exceptions as sdk

        if isinstance(error, keystone.DiscoveryFailure) and isinstance(error.__context__, keystone.ClientException):
            error = error.__context__
        entry = f"{self.name!r} in {self.file or paths.clouds_yaml()}"
        if isinstance(error, sdk.ConflictException):
            return BusyError(f"{what}: the cloud said: {_message(error)}")
        if isinstance(error, keystone.Unauthorized | keystone.NotFound):
            hint = f"Check auth_url, the user or application credential, and the project of {entry}."
            return ProvisionError(f"{what}: cloud {self.name!r} refused the login: {_message(error)}", hint)
        if isinstance(error, keystone.SSLError):
            hint = f"If a private authority signed it, name that authority's certificate as `cacert` of {entry}."
            return ProvisionError(f"{what}: the certificate of cloud {self.name!r} is not trusted", hint, str(error))
        if isinstance(error, keystone.ConnectFailure) and _never_connected(error):
            hint = UP_HINT if self.name == LOCAL_CLOUD else f"Check auth_url of {entry}, and the network."
            return UnreachableError(f"{what}: cloud {self.name!r} cannot be reached", hint, str(error))
        if isinstance(error, keystone.ConnectionError):
            return TransientError(f"{what}: cloud {self.name!r} broke the connection off", AGAIN_HINT, str(error))
        if _is_transient(error):
            failure = TransientError(f"{what}: the cloud failed: {_message(error)}", AGAIN_HINT)
            failure.pause = _retry_after(error)
            return failure
        if isinstance(error, sdk.ForbiddenException):
            hint = "Unless it is about a quota, your account needs a role that may do that in its project."
            return ProvisionError(f"{what}: the cloud said: {_message(error)}", hint)
        if isinstance(error, sdk.SDKException | keystone.ClientException):
            return ProvisionError(f"{what}: the cloud said: {_message(error)}")
        if isinstance(error, requests.RequestException):
            # The answer ended early, or is no JSON: a proxy's page, for example.
            return TransientError(f"{what}: the answer of cloud {self.name!r} cannot be read", AGAIN_HINT, str(error))
        return ProvisionError(f"{what}: {_message(error)}", f"Check {entry}.")


def retry_transient(
    request: Callable[Concatenate[_Self, _P], _Answer],
) -> Callable[Concatenate[_Self, _P], _Answer]:
    """Decorate a request that may be sent twice, as a question or a deletion: it is repeated while the cloud fails.

    For READY_TIMEOUT seconds, and after the pauses that the cloud asks for.
    """

    @wraps(request)
    def ask(self: _Self, /, *arguments: _P.args, **options: _P.kwargs) -> _Answer:
        return repeat(lambda: request(self, *arguments, **options))

    return ask


def repeat(request: Callable[[], _Answer], *, unreachable: bool = True) -> _Answer:
    """Repeat a request while the cloud fails to answer; `unreachable`: also while no connection can be made."""
    deadline = time.monotonic() + READY_TIMEOUT
    while True:
        try:
            return request()
        except TransientError as error:
            if time.monotonic() > deadline or (isinstance(error, UnreachableError) and not unreachable):
                raise
            time.sleep(error.pause)


def first_ipv4(fixed_ips: Sequence[Mapping[str, str]]) -> str:
    """Return a port's IPv4 address; empty if it has none. Neutron adds IPv6 addresses where a network has such ones."""
    return next((each["ip_address"] for each in fixed_ips if ":" not in each["ip_address"]), "")


def list_servers(
    connection: Connection, *, details: bool, hostnames: bool = False, **query: str
) -> Iterator[SimpleNamespace]:
    """List the project's servers, of which a `limit` among the `query` leaves the first page alone.

    Without `details` only their ids and names are known; `hostnames`: with theirs, which take Nova half as long again.
    """
    from openstack.compute.v2.server import Server

    path = "/servers/detail" if details else None
    kind = _plain(Server, "server", _WITH_HOSTNAMES if hostnames else _WITHOUT_HOSTNAMES)
    return kind.list(connection.compute, paginated="limit" not in query, base_path=path, **query)  # type: ignore[no-any-return]


def list_ports(connection: Connection, **query: str) -> Iterator[SimpleNamespace]:
    """List ports."""
    from openstack.network.v2.port import Port

    # Neutron checks of each field that it answers with whether this user may see it, which takes most of its time.
    asked = ["id", "tenant_id", *_FIELDS["port"].values()]
    return _plain(Port, "port").list(connection.network, paginated=True, fields=asked, **query)  # type: ignore[no-any-return]


@cache
def _plain(kind: type, name: str, microversion: str | None = None) -> Any:  # noqa: ANN401 - a class of the SDK's
    """Return one of the SDK's classes that lists plain objects: its own take milliseconds each, and we read few fields.

    Pages, microversions and refusals are the SDK's matter as before; `microversion` is the highest to be used.
    """
    fields = _FIELDS[name]

    def existing(_: type, /, connection: object = None, **body: Any) -> SimpleNamespace:  # noqa: ANN401, ARG001
        # An older name of the project's field, as in the SDK. Its default for port security would be False: but on a
        # cloud that does not know it, security groups always have an effect.
        body.setdefault("project_id", body.get("tenant_id"))
        body.setdefault("port_security_enabled", True)
        return SimpleNamespace(id=body["id"], **{field: body.get(key) for field, key in fields.items()})

    own: dict[str, object] = {"existing": classmethod(existing)}
    return type(f"Plain{kind.__name__}", (kind,), own | ({"_max_microversion": microversion} if microversion else {}))


def use_no_proxy(connection: Connection) -> None:
    """Send a connection's requests straight to the cloud, whatever proxy the environment names."""
    connection.session.session.trust_env = False


def _never_connected(error: Exception) -> bool:
    """Whether a failure came before a connection was made, rather than from a reset or a late answer."""
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError

    cause = error.__context__
    if cause is None:
        return True
    reasons = [cause, *cause.args, *(getattr(part, "reason", None) for part in cause.args)]
    # A connection that is refused or finds no way; time-outs of the answer and resets are others.
    return any(isinstance(reason, NewConnectionError | ConnectTimeoutError | ProxyError) for reason in reasons)


def _is_transient(error: Exception) -> bool:
    """Return whether the server failed, or has too much to do, rather than refused."""
    status = _status(error)
    # 413 is a limit on the rate where it says when to come back (RFC 9110), and else one on the size.
    return status in (408, 425, 429) or status >= 500 or (status == 413 and bool(_headers(error).get("Retry-After")))


def _status(error: Exception) -> int:
    return int(getattr(error, "status_code", None) or getattr(error, "http_status", None) or 0)


def _headers(error: Exception) -> Any:  # noqa: ANN401 - requests' own mapping
    response = getattr(error, "response", None)
    return {} if response is None else response.headers


def _retry_after(error: Exception) -> float:
    """Return the seconds that the cloud asks to wait, up to LONGEST_PAUSE; they come as a number or a date."""
    from email.utils import parsedate_to_datetime

    text = str(_headers(error).get("Retry-After") or "").strip()
    try:
        seconds = float(text) if text.isdigit() else parsedate_to_datetime(text).timestamp() - time.time()
    except ValueError:
        return PAUSE
    return min(max(seconds, 0), LONGEST_PAUSE)


def _message(error: Exception) -> str:
    """Return the cloud's own message in an SDK error, on one line."""
    details = getattr(error, "details", None) or getattr(error, "message", None) or str(error)
    return " ".join(str(details).split())
