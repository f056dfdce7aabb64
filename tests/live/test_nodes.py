"""Every node: software, units, files, and what the description says of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conftest import Cluster, Look


def test_host_name(look: Look) -> None:
    assert look["hostname"][0].partition(".")[0] == look.name, f"{look.name} calls itself {look['hostname'][0]}"


def test_machine_id_is_its_own(cluster: Cluster, look: Look) -> None:
    same = [name for name, other in cluster.looks.items() if other["machine-id"] == look["machine-id"]]
    assert same == [look.name], f"{', '.join(same)} have one machine-id: the image was not clean"


def test_unit_is_enabled_and_running(look: Look, unit: str) -> None:
    line = next((line for line in look["units"] if line.startswith(f"{unit} ")), f"{unit} missing")
    assert line == f"{unit} enabled active", f"{look.name}: unit {line}"


def test_no_unit_failed(look: Look) -> None:
    assert look["failed"] == [], f"{look.name}: failed units: {', '.join(look['failed'])}"


def test_no_unit_keeps_being_restarted(look: Look) -> None:
    counts = [line.split() for line in look["restarts"]]
    again = [f"{unit} {number} times" for unit, number in counts if int(number) > 3]
    assert again == [], f"{look.name}: systemd restarted {', '.join(again)}"


def test_cloud_init_finished_without_error(look: Look) -> None:
    result = json.loads("\n".join(look["cloud-init"]))["v1"]
    assert result["errors"] == [], f"{look.name}: cloud-init: {result['errors']}"
    assert "ConfigDrive" in result["datasource"] or "OpenStack" in result["datasource"], f"{look.name}: {result}"


def test_file_is_as_described(look: Look, file: dict[str, Any]) -> None:
    path = file["path"]
    lines = [line for line in look["files"] if line.startswith(f"{path} ")]
    expected = f"{path} {file['mode'].lstrip('0')} {file['owner']} {file['group']}"
    assert lines == [expected], f"{look.name}: {lines or 'missing'}, and it has to be {expected}"
    content = f"{file['sha256']}  {path}"
    assert content in look["sums"], (
        f"{look.name}: {path} was changed: `ansible-playbook … playbooks/site.yml` restores it"
    )


def test_debian_packages_are_installed(cluster: Cluster, look: Look) -> None:
    installed = {line.partition(" ")[0] for line in look["packages"]}
    missing = [package for package in cluster.data["software"]["packages"] if package not in installed]
    assert not missing, f"{look.name} lacks {', '.join(missing)}"


def test_python_packages_have_their_versions(cluster: Cluster, look: Look) -> None:
    installed = {line.lower().replace("_", "-") for line in look["python"]}
    wanted = {one.lower().replace("==", "-") for one in cluster.data["software"]["python"]}
    assert wanted <= installed, f"{look.name} lacks {', '.join(sorted(wanted - installed))}"


def test_java_is_21(look: Look) -> None:
    assert "java-21" in look["java"][0], f"{look.name}: /usr/bin/java is {look['java'][0]}"


def test_proxy_has_its_version(cluster: Cluster, master_look: Look) -> None:
    installed = json.loads("\n".join(master_look["proxy"]))["version"]
    assert installed == cluster.data["software"]["proxy"], f"configurable-http-proxy is {installed}"


def test_spark_knows_the_address(look: Look) -> None:
    assert look["node-env"] == [f"SPARK_LOCAL_IP={look.address}"], f"{look.name}: {look['node-env']}"


def test_ssh_takes_keys_only(look: Look) -> None:
    settings = dict(line.split(maxsplit=1) for line in look["sshd"] if " " in line)
    assert settings["passwordauthentication"] == "no", f"{look.name}: sshd takes passwords"
    assert settings["kbdinteractiveauthentication"] == "no", f"{look.name}: sshd takes passwords"
    assert settings["permitrootlogin"] == "no", f"{look.name}: sshd lets root in"
