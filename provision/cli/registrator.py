"""`provision registrator`: run the Registrator until it is stopped.

`python -m provision.cli.registrator` is the same; the container runs that.
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
from provision.cli.seconds import Seconds

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
    "--network", default="", help="Network whose addresses are registered; a SERVICE_NETWORK label overrides it."
)
@click.option(
    "--address",
    default="",
    help="This host's address, for published ports (default: the Consul agent's) and containers on its own network.",
)
@click.option("--host-id", default="", help="First part of every service id (default: the Docker host's name).")
@click.option("--resync", type=Seconds(min=0.5), default=10, show_default=True, help="Seconds between full syncs.")
@click.option("--reserve", default="", help="Names, separated by commas, that only the installation's containers get.")
@click.option("--reserve-for", default="", help="The label KEY=VALUE that tells the installation's containers.")
@click.option("--explicit", is_flag=True, help="Register only what a SERVICE_NAME key names.")
@click.option("--tags", default="", help="Tags, separated by commas, that every service gets besides its own.")
@click.option("--token", default="", envvar="CONSUL_HTTP_TOKEN", help="Consul ACL token.", show_default=False)
@click.option(
    "--consul-token-file",
    "token_file",
    type=click.Path(path_type=Path),
    envvar="CONSUL_HTTP_TOKEN_FILE",
    help="File with the token; it overrides --token.",
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
    reserve: str,
    reserve_for: str,
    explicit: bool,
    tags: str,
    token: str,
    token_file: Path | None,
) -> None:
    """Keep Consul's catalogue in sync with Docker's containers.

    The conventions (SERVICE_NAME, SERVICE_CHECK_HTTP, ...) are in compose/registrator/README.md. Logs go to stderr.
    """
    from provision.adapters.consul.catalogue import Catalogue
    from provision.adapters.docker.events import DockerEvents
    from provision.model.registrator.keys import split_tags
    from provision.model.registrator.services import RegistratorSettings, token_hash
    from provision.operations.registrator import Registrator

    if not consul_url.startswith(("http://", "https://")):
        raise UsageError(f"--consul: {consul_url!r} is not a URL", "Write it as http://HOST:8500.")
    reserved = frozenset(name.strip().lower() for name in reserve.split(",") if name.strip())
    if bool(reserved) != ("=" in reserve_for):
        raise UsageError("--reserve and --reserve-for belong together", "Write --reserve-for as KEY=VALUE.")
    token = _token(token_file) if token_file else token
    engine = DockerEvents(docker_url)
    # A check fails only after several missed resyncs, since a restart of the Registrator takes a while.
    ttl = max(60, round(6 * resync))
    settings = RegistratorSettings(
        host_id or _host_name(engine),
        internal,
        network,
        address,
        ttl,
        token_hash(token),
        reserved,
        reserve_for,
        explicit,
        tuple(split_tags(tags)),
    )
    worker = Registrator(engine, Catalogue(consul_url, token), settings, log, resync=resync)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    log("started", host=settings.host_id, mode="internal" if internal else "published", network=network, resync=resync)
    worker.run()
    log("stopped")


def main() -> None:
    """Run it in its container; an error is logged, and its exit code is the container's."""
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
    """Ask Docker for the host's name until it answers: services registered under another id would never be removed."""
    from provision.adapters.docker.events import DockerUnavailableError

    logged = False
    while True:
        try:
            return engine.name()
        except DockerUnavailableError as error:
            if not logged:
                log("away", level="warning", who="DockerUnavailableError", reason=error.message)
            logged = True
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
