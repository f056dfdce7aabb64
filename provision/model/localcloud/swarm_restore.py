"""What a restore on several hosts runs there before any other data comes; touches nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provision.model.localcloud import ovn
from provision.model.localcloud.settings import CLUSTERED, base_service

if TYPE_CHECKING:
    from collections.abc import Mapping


def clearing(document: Mapping[str, Any], image: str, *, images: bool) -> dict[str, Any]:
    """Make one-shot services that empty the volumes of members (OVN's too) and of Consul, where a stack file has them.

    With `images`, Glance's too. A member that kept some of its data would be of another cluster than the others, and
    never join them.
    """
    cleared = (*CLUSTERED, *ovn.MEMBERS, "consul", *(["glance"] if images else []))
    jobs = {}
    for name, body in document["services"].items():
        volumes = [mount for mount in body["volumes"] if mount["type"] == "volume"]
        if not volumes or base_service(name) not in cleared:
            continue
        deploy = {
            "mode": "global-job" if body["deploy"].get("mode") == "global" else "replicated-job",
            "endpoint_mode": "dnsrr",
            "restart_policy": {"condition": "none"},
        }
        if "placement" in body["deploy"]:
            deploy["placement"] = body["deploy"]["placement"]
        jobs[f"clear-{name}"] = {
            "image": image,
            "entrypoint": ["find", *(mount["target"] for mount in volumes), "-mindepth", "1", "-delete"],
            "networks": ["management"],
            "volumes": volumes,
            "deploy": deploy,
        }
    return jobs
