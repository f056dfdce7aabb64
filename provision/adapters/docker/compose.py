"""The door to Docker Compose: one project, its files and its values."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from provision.adapters.host.process import must, run
from provision.base.errors import ProvisionError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def require() -> None:
    """Raise UsageError where the Compose plugin is missing."""
    if not run(["docker", "compose", "version", "--short"], timeout=20).ok:
        raise UsageError(
            "`docker compose` does not work here",
            "install Docker Compose v2 (the package docker-compose-v2, docker-compose-plugin or docker-compose >= 2)",
        )


@dataclass(frozen=True, slots=True)
class Compose:
    """A Compose project; `values` are what its files' ${…} mean, beside those in `env_file`."""

    project: str
    files: tuple[Path, ...]
    env_file: Path
    values: Mapping[str, str]

    def _argv(self, *words: str) -> list[str]:
        files = [word for path in self.files for word in ("-f", str(path))]
        return [
            "docker",
            "compose",
            "--ansi",
            "never",
            "-p",
            self.project,
            *files,
            "--env-file",
            str(self.env_file),
            *words,
        ]

    def _env(self) -> dict[str, str]:
        import os

        return dict(os.environ) | dict(self.values)

    def having(self, values: Mapping[str, str]) -> Compose:
        """Return the same project with other values."""
        return replace(self, values={**self.values, **values})

    def up(self, services: Sequence[str] = (), *, no_deps: bool = False, no_recreate: bool = False) -> None:
        """Make containers equal to the files (all services, or some) and start them; return without waiting for them.

        `no_deps`: not what they depend on; `no_recreate`: containers that exist stay, however the files changed.
        Raises ProvisionError with Compose's own last words.
        """
        more = [*(["--no-deps"] if no_deps else []), *(["--no-recreate"] if no_recreate else [])]
        self._up([*more, "--remove-orphans"], services)

    def add(self, totals: Mapping[str, int]) -> None:
        """Add containers until each service has its total; those that are there stay as they are, and run.

        Raises ProvisionError with Compose's own last words. No total may be below what is there: Compose would choose
        which container goes.
        """
        scale = [word for service, count in totals.items() for word in ("--scale", f"{service}={count}")]
        self._up(["--no-deps", "--no-recreate", *scale], list(totals))

    def definitions(self) -> dict[str, str]:
        """Return Compose's hash of all that each service's containers are made from (their number is no part of it)."""
        text = must(self._argv("config", "--hash", "*"), what="reading the Compose files", env=self._env())
        return dict(line.split() for line in text.splitlines() if line.strip())

    def document(self) -> dict[str, Any]:
        """Return the project as Compose reads it, one-shots included."""
        argv = self._argv("--profile", "*", "config", "--format", "json")
        found: dict[str, Any] = json.loads(must(argv, what="reading the Compose files", env=self._env()))
        return found

    def made_from(self) -> dict[str, tuple[str, str]]:
        """Return each service's image and the digest of its configuration, as containers made now would have them."""
        argv = self._argv("config", "--format", "json")
        document = json.loads(must(argv, what="reading the Compose files", env=self._env()))
        return {
            name: (str(body["image"]), str((body.get("environment") or {}).get("CONFIGURATION", "")))
            for name, body in document["services"].items()
        }

    def _up(self, options: Sequence[str], services: Sequence[str]) -> None:
        result = run(self._argv("up", "-d", "--no-build", "--pull", "never", *options, *services), env=self._env())
        if not result.ok:
            raise ProvisionError(
                f"Docker Compose could not start {', '.join(services) or f'the project {self.project}'}",
                _hint(result.stderr),
                result.stderr or result.stdout,
            )

    def create(self, services: Sequence[str]) -> None:
        """Make containers, their volumes and networks, and start none of them; one-shot services may be among them."""
        must(
            self._argv("--profile", "*", "create", "--no-build", "--pull", "never", *services),
            what=f"making the containers of {', '.join(services)}",
            hint="the lines above are Docker's own; after mending the cause, run the same command again",
            env=self._env(),
            timeout=300,
        )

    def run_once(self, service: str, *command: str) -> None:
        """Run a one-shot service, or it with another command, to its end.

        Raises ProvisionError with its last lines when it fails.
        """
        name = f"{self.project}-{service}"
        must(
            self._argv("--profile", "*", "run", "--rm", "--no-deps", "-T", "--name", name, service, *command),
            what=f"the one-shot run {service}",
            hint="the lines above are its own; after mending the cause, run the same command again",
            env=self._env(),
            timeout=900,
        )

    def down(self, *, volumes: bool) -> None:
        """Remove the project's containers and networks, and its volumes when asked."""
        more = ["--volumes"] if volumes else []
        argv = self._argv("--profile", "*", "down", "--remove-orphans", *more)
        must(argv, what=f"stopping the project {self.project}", env=self._env(), timeout=300)

    def stop(self, services: Sequence[str]) -> None:
        """Stop some services' containers in order; they stay as they are."""
        must(self._argv("stop", *services), what=f"stopping {', '.join(services)}", env=self._env(), timeout=300)

    def remove(self, services: Sequence[str]) -> None:
        """Remove some services' containers, their data left."""
        argv = self._argv("rm", "--stop", "--force", *services)
        must(argv, what=f"removing {', '.join(services)}", env=self._env(), timeout=300)

    def services(self) -> list[str]:
        """List the services that run for good, one-shots left out."""
        text = must(self._argv("config", "--services"), what="reading the Compose files", env=self._env())
        return text.split()

    def replicas(self) -> dict[str, int]:
        """Say how many containers each service that runs for good shall have."""
        argv = self._argv("config", "--format", "json")
        document = json.loads(must(argv, what="reading the Compose files", env=self._env()))
        return {
            name: int((body.get("deploy") or {}).get("replicas", body.get("scale", 1)))
            for name, body in document["services"].items()
        }


def _hint(text: str) -> str:
    if "port is already allocated" in text or "address already in use" in text:
        return "another program holds one of the cloud's ports on 127.0.0.1: see `ss -ltnp`, stop it and run this again"
    if "Pool overlaps" in text or "overlap" in text:
        return "another network uses the cloud's addresses: see `docker network ls` and `ip route`"
    return "the lines above are Docker's own; after mending the cause, run the same command again"
