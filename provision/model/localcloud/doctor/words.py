"""Words that the rules about the `local` cloud share."""

from __future__ import annotations

from typing import Final

UP: Final = "`provision cloud up`"
"""The command that repairs most things."""


MAKE_ROOM: Final = (
    "Make room: `docker system df` shows what Docker holds, `docker image prune` removes images without a name, and "
    f"{UP} those of earlier versions. Below 0.5 GiB RabbitMQ accepts no messages."
)
RENEW: Final = f"{UP} renews a certificate that it has made. Renew one that you provided yourself."
CUT_OFF: Final = (
    "is cut off from the majority of its cluster, and refuses to answer",
    "Check which other members run: it comes back by itself when it reaches them.",
)
"""What is wrong with a member of the database without a majority, and what to do."""


def logs(name: str) -> str:
    """Return the command that shows a service's log."""
    return f"`provision cloud logs {name}`"


def look_at(name: str) -> str:
    """Say what to do about a service that may not run."""
    return f"{logs(name)} says why. {UP} starts it if it does not run."


def catches_up(member: str) -> str:
    """Say what to do about a member of the database that is not in sync."""
    return f"It catches up by itself; {logs(member)} shows the progress."


def service_of(api: str) -> str:
    """Return the service whose containers serve an API: its name in Consul, but for Neutron's."""
    return "neutron-api" if api == "neutron" else api


def called(api: str, type_: str) -> str:
    """Call an API by its type in the catalogue, where it is there, and by its name."""
    return f"the {type_ or api} API ({api})"


def check_reader(queue: str) -> str:
    """Say what to do about a queue that nobody reads: `compute.compute-1` is read by nova-compute on compute-1."""
    topic, _, host = queue.partition(".")
    known = {"compute": "nova-compute", "conductor": "nova-conductor", "scheduler": "nova-scheduler"}
    service = known.get(topic, "its reader")
    where = f"{service} on {host}" if host else service
    return f"Check that {where} runs and reaches RabbitMQ; its log says more."
