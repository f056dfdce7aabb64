"""Containers of the local cloud as the doctor sees them: what runs, in which state, and programs run in them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from docker.errors import NotFound

from provision.adapters.docker.client import connect, engine_errors, host_name, long_running
from provision.adapters.docker.programs import run_program
from provision.base.errors import ProvisionError
from provision.model.localcloud.doctor.observed import Clock, Unit, read_moment, read_unit
from provision.model.localcloud.settings import LABEL, PROJECT
from provision.model.localcloud.swarm import SERVICE_LABEL
from provision.model.registrator.container import COMPOSE_PROJECT, Container, parse_container

if TYPE_CHECKING:
    from collections.abc import Sequence

_TIMED_OUT = 124
"""Exit code of timeout(1) when the program took too long."""


class Inspector:
    """The Docker engine of this machine, read only; it may take `timeout` seconds for each answer."""

    def __init__(self, timeout: int = 30) -> None:
        self._client = connect(timeout)

    def host(self) -> str:
        """Return the host's name as the engine knows it."""
        return host_name(self._client)

    def running_containers(self) -> tuple[Container, ...]:
        """List all running containers, whoever started them, as the Registrator sees them."""
        with engine_errors():
            found = self._client.containers.list(ignore_removed=True)
            return tuple(parse_container(container.attrs) for container in found)

    def units(self) -> tuple[Unit, ...]:
        """List the local cloud's containers, without one-shot runs, by name."""
        found = long_running(self._client, [LABEL, COMPOSE_PROJECT])
        units = (read_unit(container.attrs, (container.name or "").removeprefix(f"{PROJECT}-")) for container in found)
        return tuple(sorted(units, key=lambda unit: unit.name))

    def replicas(self) -> tuple[Unit, ...]:
        """List the containers that run here for a Swarm's services, by name."""
        units = (
            replace(
                read_unit(container.attrs, container.name or ""),
                service=container.labels[SERVICE_LABEL].removeprefix(f"{PROJECT}_"),
                project=PROJECT,
                container=container.id or "",
            )
            for container in long_running(self._client, [LABEL, SERVICE_LABEL], stopped=False)
        )
        return tuple(sorted(units, key=lambda unit: unit.name))

    def clock(self) -> Clock:
        """Compare the engine's clock with this program's."""
        with engine_errors():
            before = time.time()
            info = self._client.info()
            after = time.time()
        engine_time = read_moment(str(info["SystemTime"]))
        return Clock(f"Docker's host {info['Name']}", engine_time - (before + after) / 2, (after - before) / 2)

    def output_of(self, unit: Unit, argv: Sequence[str], seconds: int = 20) -> str:
        """Run a program in a container and return its output; raises ProvisionError when it fails or takes longer."""
        with engine_errors():
            try:
                done = run_program(self._client.api, unit.known_as, ["timeout", str(seconds), *argv])
            except NotFound:
                raise ProvisionError(f"{unit.name} is gone") from None
        out, err = (part.decode(errors="replace") for part in (done.out, done.err))
        if done.code:
            late = done.code == _TIMED_OUT
            reason = f"no answer within {seconds} s" if late else (err or out).strip().partition("\n")[0]
            raise ProvisionError(f"{argv[0]} in {unit.name}: {reason or f'code {done.code}'}")
        return out
