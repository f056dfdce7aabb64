"""The door to the Docker engine for those who look: what runs, how it fares, what a program in a container answers."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from docker.errors import NotFound

from provision.adapters.docker.client import connect, engine_errors
from provision.base.errors import ProvisionError
from provision.model.localcloud.doctor.observed import Clock, Unit, read_moment, read_unit
from provision.model.localcloud.settings import LABEL, PROJECT
from provision.model.localcloud.swarm import SERVICE_LABEL
from provision.model.registrator.container import COMPOSE_ONEOFF, COMPOSE_PROJECT, Container, parse_container

if TYPE_CHECKING:
    from collections.abc import Sequence


class Inspector:
    """The Docker engine of this machine; every call is bounded by `timeout` seconds."""

    def __init__(self, timeout: int = 30) -> None:
        self._client = connect(timeout)

    def host(self) -> str:
        """Return the host's name as the engine knows it."""
        with engine_errors():
            return str(self._client.info()["Name"])

    def serving(self) -> tuple[Container, ...]:
        """Look at every container that runs, whoever made it, as the Registrator does."""
        with engine_errors():
            return tuple(parse_container(each.attrs) for each in self._client.containers.list(ignore_removed=True))

    def units(self) -> tuple[Unit, ...]:
        """Look at every container of the stack, one-shots left out, by name."""
        filters: dict[str, Any] = {"label": [LABEL, COMPOSE_PROJECT]}
        with engine_errors():
            found = self._client.containers.list(all=True, filters=filters, ignore_removed=True)
        lasting = (each for each in found if each.labels.get(COMPOSE_ONEOFF) != "True")
        units = (read_unit(each.attrs, (each.name or "").removeprefix(f"{PROJECT}-")) for each in lasting)
        return tuple(sorted(units, key=lambda unit: unit.name))

    def copies(self) -> tuple[Unit, ...]:
        """Look at every container that runs here for a Swarm's service of the stack, by name."""
        filters: dict[str, Any] = {"label": [LABEL, SERVICE_LABEL]}
        with engine_errors():
            found = self._client.containers.list(filters=filters, ignore_removed=True)
        units = (
            replace(
                read_unit(each.attrs, each.name or ""),
                service=each.labels[SERVICE_LABEL].removeprefix(f"{PROJECT}_"),
                project=PROJECT,
                container=each.id or "",
            )
            for each in found
        )
        return tuple(sorted(units, key=lambda unit: unit.name))

    def clock(self) -> Clock:
        """Compare the engine's clock with ours."""
        with engine_errors():
            before = time.time()
            info = self._client.info()
            after = time.time()
        theirs = read_moment(str(info["SystemTime"]))
        return Clock(f"Docker's host {info['Name']}", theirs - (before + after) / 2, (after - before) / 2)

    def answer(self, unit: Unit, argv: Sequence[str], seconds: int = 20) -> str:
        """Run a program in a container and return its output; raises ProvisionError when it fails, or takes longer."""
        with engine_errors():
            try:
                container = self._client.containers.get(unit.known_as)
            except NotFound:
                raise ProvisionError(f"{unit.name} is gone") from None
            done = container.exec_run(["timeout", str(seconds), *argv], demux=True)
        streams = cast("tuple[bytes | None, bytes | None]", done.output)
        out, err = ((each or b"").decode(errors="replace") for each in streams)
        if done.exit_code:
            late = done.exit_code == 124  # timeout(1)'s own word for it
            why = f"no answer within {seconds} s" if late else (err or out).strip().partition("\n")[0]
            raise ProvisionError(f"{argv[0]} in {unit.name}: {why or f'code {done.exit_code}'}")
        return out
