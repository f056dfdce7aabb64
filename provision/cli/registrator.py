"""`provision registrator`: run the Registrator until it is told to stop.

`python -m provision.cli.registrator` is the same; its container runs that.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provision.base.errors import ProvisionError, UsageError

if TYPE_CHECKING:
    from provision.adapters.docker.events import DockerEvents


@click.command()
@click.option(
    "--consul",
    "consul_url",
    default="http://127.0.0.1:8500",
    envvar="CONSUL_HTTP_ADDR",
    show_default=True,
    help="This host's Consul agent.",
)
@click.option(
    "--docker",
    "docker_url",
    default="unix:///var/run/docker.sock",
    envvar="DOCKER_HOST",
    show_default=True,
    help="The Docker engine.",
)
@click.option("--internal", is_flag=True, help="Register containers' own addresses and exposed ports.")
@click.option(
    "--network", default="", help="The network whose addresses are registered (a SERVICE_NETWORK label wins)."
)
@click.option("--address", default="", help="This host's address for published ports (default: the Consul agent's).")
@click.option("--host-id", default="", help="First part of every service id (default: the Docker host's name).")
@click.option(
    "--resync", type=click.FloatRange(min=0.5), default=10, show_default=True, help="Seconds between full syncs."
)
@click.option("--token", default="", envvar="CONSUL_HTTP_TOKEN", help="Consul ACL token.", show_default=False)
@click.option(
    "--consul-token-file",
    "token_file",
    type=click.Path(path_type=Path),
    envvar="CONSUL_HTTP_TOKEN_FILE",
    help="A file that holds the token (it wins over --token).",
)
def registrator(
    *,
    consul_url: str,
    docker_url: str,
    internal: bool,
    network: str,
    address: str,
    host_id: str,
    resync: float,
    token: str,
    token_file: Path | None,
) -> None:
    """Keep Consul's catalogue equal to Docker's containers.

    Conventions (SERVICE_NAME, SERVICE_CHECK_HTTP, ...): compose/registrator/README.md. Logs go to stderr.
    """
    from provision.adapters.consul.catalogue import Catalogue
    from provision.adapters.docker.events import DockerEvents
    from provision.model.registrator.services import RegistratorSettings, holder_of
    from provision.operations.registrator import Registrator

    if not consul_url.startswith(("http://", "https://")):
        raise UsageError(f"--consul: {consul_url!r} is no URL", "Write it as http://HOST:8500.")
    token = _token(token_file) if token_file else token
    engine = DockerEvents(docker_url)
    # A check that nobody reports is failed only after several resyncs were missed, and a restart takes its time.
    ttl = max(60, round(6 * resync))
    settings = RegistratorSettings(host_id or _host_name(engine), internal, network, address, ttl, holder_of(token))
    worker = Registrator(engine, Catalogue(consul_url, token), settings, log, resync)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    log("started", host=settings.host_id, mode="internal" if internal else "published", network=network, resync=resync)
    worker.run()
    log("stopped")


def main() -> None:
    """Run it as the container does; an error is a line of the log, and its code the container's."""
    try:
        registrator.main(prog_name="registrator")
    except ProvisionError as error:
        log("ended", level="error", reason=error.message, hint=error.hint)
        sys.exit(error.exit_code)


def _token(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--consul-token-file: {file} cannot be read: {error}", "Name a file with the token."
        ) from None


def _host_name(engine: DockerEvents) -> str:
    """Ask Docker for the host's name, for as long as it takes: an id made of anything else would outlive us."""
    from provision.adapters.docker.events import EngineAwayError

    said = False
    while True:
        try:
            return engine.name()
        except EngineAwayError as error:
            if not said:
                log("away", level="warning", who="EngineAwayError", reason=error.message)
            said = True
            time.sleep(1)


def log(event: str, level: str = "info", **fields: object) -> None:
    """Write one line to stderr: `time=… level=… event=… key=value`, values with spaces in quotes."""
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "level": level, "event": event, **fields}
    click.echo(" ".join(f"{key}={_quoted(value)}" for key, value in line.items()), err=True)


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or any(c in text for c in ' "=\n\t') else text


if __name__ == "__main__":
    main()
