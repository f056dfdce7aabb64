"""Docker Compose: one project, its files and its values."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from provision.adapters.docker.client import ACTIVE_ENDPOINTS, OUTPUT_HINT, network_hint
from provision.adapters.host.process import run, run_checked
from provision.base.errors import ProvisionError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def require() -> None:
    """Raise UsageError where the Compose plugin is missing."""
    if not run(["docker", "compose", "version", "--short"], timeout=20).ok:
        raise UsageError(
            "`docker compose` does not work here",
            "Install Docker Compose v2 (the package docker-compose-v2, docker-compose-plugin or docker-compose >= 2).",
        )


@dataclass(frozen=True, slots=True)
class Compose:
    """A Compose project; `values` replace ${…} in its files, besides those in `env_file`."""

    project: str
    files: tuple[Path, ...]
    env_file: Path
    values: Mapping[str, str]

    def with_values(self, values: Mapping[str, str]) -> Compose:
        """Return the same project with some values added or replaced."""
        return replace(self, values={**self.values, **values})

    # --- what the files say ---

    def services(self) -> list[str]:
        """List the services that run permanently, without one-shot services."""
        return self._read("config", "--services").split()

    def definitions(self) -> dict[str, str]:
        """Return Compose's hash of each service's definition, in which the number of containers has no part."""
        text = self._read("config", "--hash", "*")
        return dict(line.split() for line in text.splitlines() if line.strip())

    def document(self) -> dict[str, Any]:
        """Return the project as Compose reads it, with one-shot services."""
        found: dict[str, Any] = json.loads(self._read("--profile", "*", "config", "--format", "json"))
        return found

    def made_from(self) -> dict[str, tuple[str, str]]:
        """Return each service's image and configuration digest, as a container created now would have them."""
        return {
            name: (str(service["image"]), str((service.get("environment") or {}).get("CONFIGURATION", "")))
            for name, service in self._permanent_services().items()
        }

    def replicas(self) -> dict[str, int]:
        """Return how many containers each service that runs permanently is to have."""
        return {
            name: int((service.get("deploy") or {}).get("replicas", service.get("scale", 1)))
            for name, service in self._permanent_services().items()
        }

    # --- containers ---

    def up(self, services: Sequence[str] = (), *, no_deps: bool = False, no_recreate: bool = False) -> None:
        """Create, update and start the containers of all services, or of some; return without waiting for them.

        `no_deps`: not what they depend on; `no_recreate`: existing containers stay, even if the files have changed.
        Raises ProvisionError with Compose's last lines.
        """
        options = [*(["--no-deps"] if no_deps else []), *(["--no-recreate"] if no_recreate else [])]
        self._up([*options, "--remove-orphans"], services)

    def add(self, totals: Mapping[str, int]) -> None:
        """Add containers until each service has its total; existing ones stay as they are, and run.

        Raises ProvisionError with Compose's last lines. No total may be below the number of existing containers:
        Compose would choose which one to remove.
        """
        scale = [word for service, count in totals.items() for word in ("--scale", f"{service}={count}")]
        self._up(["--no-deps", "--no-recreate", *scale], list(totals))

    def create(self, services: Sequence[str]) -> None:
        """Create containers with their volumes and networks, without starting them; one-shot services are allowed."""
        self._change(
            "--profile", "*", "create", "--no-build", "--pull", "never", *services,
            what=f"creating the containers of {', '.join(services)}",
            hint=OUTPUT_HINT,
        )  # fmt: skip

    def run_once(self, service: str, *command: str) -> None:
        """Run a one-shot service to its end, with its own or another command.

        Raises ProvisionError with its last lines when it fails.
        """
        self._change(
            "--profile", "*", "run", "--rm", "--no-deps", "-T", "--name", f"{self.project}-{service}",
            service, *command,
            what=f"the one-shot run {service}",
            hint="The lines above are its own. Correct the cause, then run the same command again.",
            timeout=900,
        )  # fmt: skip

    def stop(self, services: Sequence[str]) -> None:
        """Stop some services' containers; they are kept."""
        self._change("stop", *services, what=f"stopping {', '.join(services)}")

    def remove(self, services: Sequence[str]) -> None:
        """Stop and remove some services' containers; their volumes are kept."""
        self._change("rm", "--stop", "--force", *services, what=f"removing {', '.join(services)}")

    def down(self, *, volumes: bool) -> None:
        """Remove the project's containers and networks, and on request its volumes.

        A network whose containers Docker has miscounted stays (client.py::remove_network): the next `up` uses it.
        """
        words = ["--profile", "*", "down", "--remove-orphans", *(["--volumes"] if volumes else [])]
        try:
            self._change(*words, what=f"stopping the project {self.project}")
        except ProvisionError as error:
            # A container that could not be removed keeps its network too: that is a failure.
            if ACTIVE_ENDPOINTS not in error.detail or self._read("--profile", "*", "ps", "--all", "--quiet").strip():
                raise

    def _up(self, options: Sequence[str], services: Sequence[str]) -> None:
        result = run(self._argv("up", "-d", "--no-build", "--pull", "never", *options, *services), env=self._env())
        if not result.ok:
            raise ProvisionError(
                f"Docker Compose could not start {', '.join(services) or f'the project {self.project}'}",
                _up_hint(result.stderr),
                result.stderr or result.stdout,
            )

    def _permanent_services(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._read("config", "--format", "json"))["services"]
        return found

    def _read(self, *words: str) -> str:
        return run_checked(self._argv(*words), what="reading the Compose files", env=self._env())

    def _change(self, *words: str, what: str, hint: str = "", timeout: float = 300) -> None:
        run_checked(self._argv(*words), what=what, hint=hint, env=self._env(), timeout=timeout)

    def _argv(self, *words: str) -> list[str]:
        files = [word for path in self.files for word in ("-f", str(path))]
        return ["docker", "compose", "--ansi", "never", "-p", self.project, *files,
                "--env-file", os.devnull, *words]  # fmt: skip

    def _env(self) -> dict[str, str]:
        """Return the environment of a command, with all values.

        Compose would prefer a variable of the user's shell to the same one in a file, and read "$" and "#" there as
        more than themselves; its own variables, such as COMPOSE_PROFILES, choose other services than ours.
        """
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("COMPOSE_")}
        lines = self.env_file.read_text().splitlines() if self.env_file.exists() else []
        return {**inherited, **dict(line.split("=", 1) for line in lines if "=" in line), **self.values}


def _up_hint(text: str) -> str:
    if "port is already allocated" in text or "address already in use" in text:
        return "Another program uses one of the cloud's ports on 127.0.0.1: see `ss -ltnp`, stop it and run this again."
    return network_hint(text) or OUTPUT_HINT
