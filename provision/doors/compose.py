"""The door to Docker Compose: one project, its files and its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.base.errors import ProvisionError, UsageError
from provision.doors.process import must, run, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
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

    def up(self, services: Sequence[str] = ()) -> None:
        """Make containers equal to the files (all services, or some) and start them; return without waiting for them.

        Raises ProvisionError with Compose's own last words.
        """
        result = run(
            self._argv("up", "-d", "--no-build", "--pull", "never", "--remove-orphans", *services), env=self._env()
        )
        if not result.ok:
            raise ProvisionError(
                f"Docker Compose could not start {', '.join(services) or f'the project {self.project}'}",
                _hint(result.stderr),
                result.stderr or result.stdout,
            )

    def run_once(self, service: str) -> None:
        """Run a one-shot service to its end; raises ProvisionError with its last lines when it fails."""
        must(
            self._argv(
                "--profile", "*", "run", "--rm", "--no-deps", "-T", "--name", f"{self.project}-{service}", service
            ),
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

    def logs(self, line: Callable[[str], None], services: Sequence[str], *, follow: bool, tail: int) -> int:
        """Hand over log lines as they come; returns when they end, or never when followed."""
        more = ["--follow"] if follow else []
        return stream(self._argv("logs", "--tail", str(tail), *more, *services), line, env=self._env())

    def services(self) -> list[str]:
        """List the services that run for good, one-shots left out."""
        text = must(self._argv("config", "--services"), what="reading the Compose files", env=self._env())
        return text.split()


def _hint(text: str) -> str:
    if "port is already allocated" in text or "address already in use" in text:
        return "another program holds one of the cloud's ports on 127.0.0.1: see `ss -ltnp`, stop it and run this again"
    if "Pool overlaps" in text or "overlap" in text:
        return "another network uses the cloud's addresses: see `docker network ls` and `ip route`"
    return "the lines above are Docker's own; after mending the cause, run the same command again"
