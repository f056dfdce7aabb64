"""Every node: software, units and files are as the description says."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conftest import Cluster, Probe


def test_host_name(probe: Probe) -> None:
    assert probe["hostname"][0].partition(".")[0] == probe.name, f"{probe.name} calls itself {probe['hostname'][0]}"


def test_machine_id_is_its_own(cluster: Cluster, probe: Probe) -> None:
    same = [name for name, other in cluster.probes.items() if other["machine-id"] == probe["machine-id"]]
    assert same == [probe.name], f"{', '.join(same)} have one machine-id: the image was not clean"


def test_unit_is_enabled_and_running(probe: Probe, unit: str) -> None:
    line = next((line for line in probe["units"] if line.startswith(f"{unit} ")), f"{unit} missing")
    assert line == f"{unit} enabled active", f"{probe.name}: unit {line}"


def test_no_unit_failed(cluster: Cluster, probe: Probe) -> None:
    # A notebook or a job that has failed is its user's matter.
    failed = [unit for unit in probe["failed"] if not unit.startswith(tuple(cluster.data["passing_units"]))]
    assert failed == [], f"{probe.name}: failed units: {', '.join(failed)}"


def test_no_unit_keeps_being_restarted(probe: Probe) -> None:
    # Only services have such a number: sockets and mounts do not.
    counts = [line.split() for line in probe["restarts"] if len(line.split()) == 2]
    again = [f"{unit} {number} times" for unit, number in counts if int(number) > 3]
    assert again == [], f"{probe.name}: systemd restarted {', '.join(again)}"


def test_cloud_init_finished_without_error(probe: Probe) -> None:
    result = json.loads("\n".join(probe["cloud-init"]))["v1"]
    assert result["errors"] == [], f"{probe.name}: cloud-init: {result['errors']}"
    assert "ConfigDrive" in result["datasource"] or "OpenStack" in result["datasource"], f"{probe.name}: {result}"


def test_file_is_as_described(probe: Probe, file: dict[str, Any]) -> None:
    path = file["path"]
    lines = [line for line in probe["files"] if line.startswith(f"{path} ")]
    expected = f"{path} {file['mode'].lstrip('0')} {file['owner']} {file['group']}"
    assert lines == [expected], f"{probe.name}: {lines or 'missing'}, and it has to be {expected}"
    content = f"{file['sha256']}  {path}"
    assert content in probe["sums"], (
        f"{probe.name}: {path} was changed: `ansible-playbook … playbooks/site.yml` restores it"
    )


def test_debian_packages_are_installed(cluster: Cluster, probe: Probe) -> None:
    installed = {line.partition(" ")[0] for line in probe["packages"]}
    needed = list(cluster.data["software"]["packages"])
    if not installed & {"initramfs-tools", "dracut"}:
        # A golden image that is a snapshot boots as its vendor has it.
        needed += cluster.data["software"]["boot"]
    missing = [package for package in needed if package not in installed]
    assert not missing, f"{probe.name} lacks {', '.join(missing)}"


def test_python_packages_have_their_versions(cluster: Cluster, probe: Probe) -> None:
    installed = {line.lower().replace("_", "-") for line in probe["python"]}
    # Without what is in brackets: it asks for other packages, and is no part of the name.
    requirements = [re.sub(r"\[.*\]", "", one) for one in cluster.data["software"]["python"]]
    wanted = {one.lower().replace("==", "-") for one in requirements}
    assert wanted <= installed, f"{probe.name} lacks {', '.join(sorted(wanted - installed))}"


def test_homes_and_shared_are_those_of_the_hubs_node(probe: Probe) -> None:
    kind = "nfs4" if probe.role == "worker" else "ext4"
    assert probe["files-of-people"] == [f"/home 755 root {kind}", f"/shared 1777 root {kind}"], (
        f"{probe.name}: notebooks and executors see different files: look at the unit nfs-server of the Hub's node, "
        "and at home.mount and shared.mount of the worker"
    )


def test_limits_on_users_disk_count(cluster: Cluster, hub_probe: Probe) -> None:
    limit = cluster.context(cluster.hub["role"])["hub"]["limits"]["disk"]
    [options] = hub_probe["root-options"]
    assert not limit or "usrquota" in options.split(","), (
        f"{hub_probe.name} does not hold users to hub.limits.disk: its image is of an earlier version. Replace it: "
        "`provision up --replace`"
    )


def test_own_packages_are_those_of_the_spec(cluster: Cluster, probe: Probe) -> None:
    wanted, digest = cluster.data["packages"]["wanted"], cluster.data["packages"]["digest"]
    assert digest or not wanted, "the spec's packages are not resolved on this machine: run `provision up`"
    expected = [digest, f"/opt/packages/{digest}/python"] if wanted else []
    assert probe["own-packages"] == expected, (
        f"{probe.name}: its own packages are {probe['own-packages'] or 'none'}, and not {digest or 'none'}: "
        "playbooks/packages.yml brings them"
    )


def test_java_is_21(probe: Probe) -> None:
    assert "java-21" in probe["java"][0], f"{probe.name}: /usr/bin/java is {probe['java'][0]}"


def test_processor_runs_the_libraries(probe: Probe) -> None:
    assert probe["processor"], (
        f"{probe.name}: its processor model has no SSE4.2, and NumPy and PyArrow end with an illegal instruction: "
        "choose a flavor, or have the cloud give its VMs a newer model"
    )


def test_proxy_has_its_version(cluster: Cluster, hub_probe: Probe) -> None:
    installed = json.loads("\n".join(hub_probe["proxy"]))["version"]
    assert installed == cluster.data["software"]["proxy"], f"configurable-http-proxy is {installed}"


def test_spark_knows_the_address(probe: Probe) -> None:
    assert probe["node-env"] == [f"SPARK_LOCAL_IP={probe.address}"], f"{probe.name}: {probe['node-env']}"


def test_ssh_takes_keys_only(probe: Probe) -> None:
    settings = dict(line.split(maxsplit=1) for line in probe["sshd"] if " " in line)
    assert settings["passwordauthentication"] == "no", f"{probe.name}: sshd takes passwords"
    assert settings["kbdinteractiveauthentication"] == "no", f"{probe.name}: sshd takes passwords"
    assert settings["permitrootlogin"] == "no", f"{probe.name}: sshd lets root in"
