"""The rules of `provision doctor`, ordered by cause: what follows from a finding is not one of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from provision.model.doctor import cloud_rules, network_rules, node_rules, people_rules, software_rules, spark_rules
from provision.model.doctor.cause import root_causes

if TYPE_CHECKING:
    from provision.model.doctor.cause import Rule
    from provision.model.doctor.observed import ObservedSparkCluster
    from provision.model.finding import Finding


def diagnose(seen: ObservedSparkCluster) -> list[Finding]:
    """Return what is wrong, causes first; empty if all is well."""
    return root_causes(RULES, seen)


RULES: Final[tuple[Rule, ...]] = (
    # The cloud, and what is between the nodes.
    cloud_rules.missing,
    cloud_rules.down,
    cloud_rules.unreachable_address,
    cloud_rules.ungrouped,
    cloud_rules.silent,
    network_rules.firewalled,
    network_rules.walled_in,
    network_rules.blocked,
    # The nodes.
    node_rules.skewed,
    node_rules.full,
    network_rules.nameless,
    software_rules.other_java,
    node_rules.stopped,
    spark_rules.other_secret,
    spark_rules.daemons_with_old_secret,
    spark_rules.mute,
    spark_rules.unlisted,
    software_rules.other_python,
    software_rules.other_packages,
    node_rules.not_mounted,
    network_rules.without_metadata,
    node_rules.expiring,
    # What people meet.
    spark_rules.too_large,
    spark_rules.waiting,
    people_rules.locked,
    people_rules.hub_is_silent,
    people_rules.bad_kernel_spec,
    # What has passed, and may come again.
    spark_rules.dying,
    people_rules.not_started,
    people_rules.dying,
    node_rules.starved,
    cloud_rules.unseen,
)
"""Every rule: causes before what follows from them, and what is before what was."""
