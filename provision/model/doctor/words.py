"""Limits and words of the doctor's that the alerts of monitoring use too: one home for both.

A node's name may be a template, which vmalert fills in.
"""

from __future__ import annotations

from typing import Final

MIB: Final = 1 << 20
ROOM: Final = 256 * MIB
"""Bytes below which a node's disk counts as full: journald and Spark stop working before it is."""
ROOM_PART: Final = 20
"""On a small disk, one such part of it counts instead."""
INODES: Final = 2000
INODES_PART: Final = 50
EXPIRES: Final = 14
"""Days before its end from which on the Hub's certificate is reported."""
RECENT: Final = 1800
"""Seconds for which something that has passed (an executor's end, a kernel's death) is reported."""
STARTING: Final = 300
"""Seconds that a daemon may take from its unit's start until it answers: a JVM is slow on an emulated processor."""
MEMORY_PART: Final = 20
"""A node's memory is reported when less than one such part of it is left."""

UP: Final = "`provision up`"
STOPPED: Final = "is stopped"
FAILED: Final = "has failed"
THE_HUB: Final = "the Hub"
THE_SPARK_MASTER: Final = "the Spark master"
THE_CERTIFICATE: Final = "the Hub's certificate"
SILENT_HUB: Final = "runs and does not answer"
SILENT_SPARK: Final = "runs and does not answer on its page"
UNREGISTERED: Final = "is not registered with the Spark master, though its worker"
NO_INODES: Final = "has no inodes left"
FOR_WANT_OF_MEMORY: Final = "for want of memory"
RENEW_CERTIFICATE: Final = (
    "`provision up` renews one of the cluster's own; put a new one into the files of hub.tls if it is yours."
)
RESTART_HUB: Final = (
    "`provision ssh -- sudo journalctl -u jupyterhub` shows its log; `systemctl restart jupyterhub` there starts it "
    "again, and notebooks go on meanwhile."
)
RESTART_SPARK: Final = (
    "It may still be starting. `provision ssh master -- sudo journalctl -u spark-master` shows its log, "
    "`provision ssh master -- sudo systemctl restart spark-master` starts it again."
)


def disk_of(node: str) -> str:
    """Name a node's disk."""
    return f"the disk of {node}"


def make_room(node: str) -> str:
    """Say what to do about a full disk."""
    return (
        f"`provision ssh {node} -- sudo du -xh -d 3 / | sort -h | tail` shows what takes the room; "
        "`sudo journalctl --vacuum-size=16M` and old files below /home and /shared are the first to go."
    )


def find_small_files(node: str) -> str:
    """Say what to do where inodes are gone."""
    return (
        f"`provision ssh {node} -- sudo du -x --inodes -d 3 / | sort -n | tail` shows where the many small files are; "
        "remove what nobody needs."
    )


def start(node: str, unit: str) -> str:
    """Say how a unit is started."""
    return f"`provision ssh {node} -- sudo systemctl start {unit}` starts it."


def start_again(node: str, unit: str) -> str:
    """Say how a unit is started that has failed.

    What has failed too often is not started before ten minutes have passed, unless its failures are forgotten.
    """
    return f"`provision ssh {node} -- 'sudo systemctl reset-failed {unit}; sudo systemctl start {unit}'` starts it."


def log_of(node: str, unit: str) -> str:
    """Say where a unit's log is."""
    return f"`provision ssh {node} -- sudo journalctl -u {unit}` shows its log."


def register_again(node: str) -> str:
    """Say what to do about a worker that the Spark master does not list."""
    return f"`provision ssh {node} -- sudo systemctl restart spark-worker` registers it anew."


def not_the_masters(folder: str, *, apart: bool = False) -> str:
    """Say of a worker's folder that it is not the master's, or the Hub's node's; what is there follows."""
    return f"is not the {folder} of the Hub's node" if apart else f"is not the master's {folder}"


def mount_again(node: str, folder: str) -> str:
    """Say how a worker mounts such a folder."""
    name = folder.strip("/")
    return f"`provision ssh {node} -- sudo systemctl start {name}.automount {name}.mount` mounts it, or says why not."


def who_has_memory(node: str) -> str:
    """Say what to do about a node without memory."""
    return f"`provision run -- free -m` shows who has what; a larger flavor for {node} has more."
