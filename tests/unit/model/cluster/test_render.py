from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import os
import random
import sys
from ipaddress import IPv4Network
from pathlib import Path

import pytest
import yaml

from provision.adapters.host import process
from provision.base.constants import INSTALL_UNIT, NODE, OPERATOR
from provision.base.errors import UsageError
from provision.base.model import (
    Addresses,
    ClusterSpec,
    HubSpec,
    ImageSpec,
    MasterSpec,
    NetworkSpec,
    ProxySpec,
    Secrets,
    ServerSize,
    Sizing,
    SparkSpec,
    User,
    WorkersSpec,
)
from provision.model.cluster import render
from provision.model.cluster.console import read as read_console
from provision.model.cluster.example import secrets_of_full_size

GOLDEN = Path(__file__).parents[2] / "golden"
ADDRESSES = Addresses(master="10.20.0.10", floating="192.0.2.10")
SIZING = Sizing(
    worker_cores=1,
    worker_memory=1024,
    app_cores=2,
    executor_memory=900,
    driver_memory=512,
    executor_cores=1,
    user_cores=2,
    initial_executors=1,
    user_memory=1280,
    users_memory=1280,
    daemons_memory=576,
    sizes=(ServerSize("medium", 512, 900, 1, 2, 1), ServerSize("large", 1024, 900, 1, None, 1)),
)
SECRETS = Secrets(
    spark_secret="0123456789abcdef",
    hub_cert="-----BEGIN CERTIFICATE-----\nHUB\n-----END CERTIFICATE-----\n",
    hub_key="-----BEGIN PRIVATE KEY-----\nKEY\n-----END PRIVATE KEY-----\n",
    authority="-----BEGIN CERTIFICATE-----\nCA\n-----END CERTIFICATE-----\n",
    password_hashes=(("alice", "$6$salt$alice"), ("bob", "$6$salt$bob")),
    operator_public_key="ssh-ed25519 AAAA operator",
    executor_key="fedcba9876543210",
    uids=(("alice", 2001), ("bob", 2003)),
    gids=(("team", 10001),),
)
DEFAULT = ClusterSpec(
    name="analytics", network=NetworkSpec(access=(IPv4Network("192.0.2.0/24"), IPv4Network("198.51.100.7/32")))
)
FULL = dataclasses.replace(
    DEFAULT,
    spark=SparkSpec(defaults=(("spark.sql.shuffle.partitions", "64"), ("spark.hadoop.path", "C:\\tmp {{ x }}"))),
    hub=HubSpec(port=8443, idle_timeout=0, users=(User("alice"), User("bob", True, ("team",), True))),
    proxy=ProxySpec(
        "http://proxy.example.org:3128",
        "http://tls.example.org:3129",
        (".internal.example", "repo.example.org", "198.51.100.0/24"),
    ),
)
MONITORED = dataclasses.replace(DEFAULT, monitoring=True)
APART = dataclasses.replace(FULL, hub=dataclasses.replace(FULL.hub, node=MasterSpec("m1.large")))
CASES = {"default": DEFAULT, "full": FULL, "monitored": MONITORED, "apart": APART}
PAIRS = [(case, role) for case, spec in CASES.items() for role in spec.roles]


def addresses(spec: ClusterSpec) -> Addresses:
    return dataclasses.replace(ADDRESSES, own_hub="10.20.0.11") if spec.hub.node else ADDRESSES


def documents(case: str) -> dict[str, str]:
    spec = CASES[case]
    # As a cluster's folder gives them: those of the spec's users and groups.
    secrets = SECRETS if spec.hub.groups else dataclasses.replace(SECRETS, gids=())
    return render.documents(spec, SIZING, addresses(spec), secrets)


@pytest.mark.parametrize("case", CASES)
def test_documents_are_as_agreed(case: str) -> None:
    """Run with UPDATE_GOLDEN=1 to accept what is rendered now."""
    folder = GOLDEN / case
    rendered = documents(case)
    if os.environ.get("UPDATE_GOLDEN"):
        for name, text in rendered.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    agreed = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert rendered == agreed


@pytest.mark.parametrize(("case", "role"), PAIRS)
def test_cloud_init_takes_the_user_data(case: str, role: str, tmp_path: Path) -> None:
    file = tmp_path / "user-data.yaml"
    file.write_text(documents(case)[f"{role}/user-data.yaml"])
    result = process.run(["cloud-init", "schema", "--config-file", str(file)])
    assert result.ok, result.stdout + result.stderr
    assert "Valid" in result.stdout


@pytest.mark.parametrize("role", DEFAULT.roles)
def test_a_stock_image_gets_the_same_part_for_later(role: str, tmp_path: Path) -> None:
    stock = dataclasses.replace(DEFAULT, image=ImageSpec("debian-13", stock=True))
    # As `documents` has them: the spec names no groups.
    context = render.node_context(stock, SIZING, ADDRESSES, dataclasses.replace(SECRETS, gids=()), role)
    text = render.user_data(context)
    given = yaml.safe_load(text)
    files = {file["path"]: file for file in given["write_files"]}
    part = files[f"{NODE.install}/cluster.yaml"]
    assert part["content"] == documents("default")[f"{role}/user-data.yaml"]
    assert part["permissions"] == "0600"
    # Nobody but the operator has an account before the software is there.
    assert [user["name"] for user in given["users"]] == ["provision"]
    unit = files[f"/etc/systemd/system/{INSTALL_UNIT}.service"]["content"]
    assert f"ConditionPathExists=!{NODE.install}/installed" in unit
    file = tmp_path / "user-data.yaml"
    file.write_text(text)
    assert process.run(["cloud-init", "schema", "--config-file", str(file)]).ok
    assert len(render.packed(text)) < len(render.packed(part["content"])) + 2500


def test_a_stock_image_waits_for_its_software(tmp_path: Path) -> None:
    """The program that waits, with a console of its own, and what it unpacks in the place of ours."""
    stock = dataclasses.replace(DEFAULT, image=ImageSpec("debian-13", stock=True))
    given = yaml.safe_load(render.user_data(render.node_context(stock, SIZING, ADDRESSES, SECRETS, "worker")))
    program = next(file["content"] for file in given["write_files"] if file["path"].endswith("/await"))
    console = tmp_path / "console"
    program = program.replace("/dev/console", str(console)).replace(NODE.install, str(tmp_path))
    (tmp_path / "image/setup").mkdir(parents=True)
    (tmp_path / "image/setup/install.py").write_text("print('installed')")
    process.run_checked(["tar", "-czf", "later.tgz", "image"], what="packing", cwd=tmp_path)
    (tmp_path / "image/setup/install.py").write_text("print('an earlier one')")
    later = f"(sleep 1; mv {tmp_path}/later.tgz {tmp_path}/software.tgz) & {program}"
    result = process.run(["sh", "-c", later.replace("/usr/bin/python3", sys.executable)], timeout=30)
    assert (result.code, result.stdout) == (0, "installed\n"), result.stderr
    assert read_console(console.read_text()).waiting


def test_workers_are_told_nothing_of_their_own() -> None:
    more = dataclasses.replace(DEFAULT, hub=FULL.hub)
    assert (
        render.documents(more, SIZING, ADDRESSES, SECRETS)["worker/user-data.yaml"]
        == documents("default")["worker/user-data.yaml"]
    )


@pytest.mark.parametrize("image", [ImageSpec(), ImageSpec("debian-13", stock=True)])
@pytest.mark.parametrize("role", DEFAULT.roles)
def test_the_key_of_a_key_pair_may_log_in_beside_the_operators(role: str, image: ImageSpec) -> None:
    spec = dataclasses.replace(DEFAULT, key_pair="laptop", public_key="ssh-rsa AAAATHEIRS", image=image)
    given = yaml.safe_load(render.documents(spec, SIZING, ADDRESSES, SECRETS)[f"{role}/user-data.yaml"])
    later = [yaml.safe_load(file["content"]) for file in given["write_files"] if file["path"].endswith("/cluster.yaml")]
    assert len(later) == image.stock
    for part in (given, *later):
        keys = part["users"][0]["ssh_authorized_keys"]
        assert keys == ["ssh-ed25519 AAAA operator", "ssh-rsa AAAATHEIRS provision-key-pair"]


def test_workers_get_no_secret_of_the_hub() -> None:
    text = documents("full")["worker/user-data.yaml"]
    assert "PRIVATE KEY" not in text
    assert "$6$" not in text


def test_names_that_yaml_takes_for_something_else_stay_names() -> None:
    hub = HubSpec(users=(User("no", True, ("on",), True), User("null")))
    spec = dataclasses.replace(DEFAULT, name="off", hub=hub)
    secrets = dataclasses.replace(
        SECRETS,
        password_hashes=(("no", "$6$salt$no"), ("null", "$6$salt$null")),
        uids=(("no", 2001), ("null", 2002)),
        gids=(("on", 10001),),
    )
    told = yaml.safe_load(render.user_data(render.node_context(spec, SIZING, ADDRESSES, secrets, "master")))
    assert [user["name"] for user in told["users"][-2:]] == ["no", "null"]
    assert told["users"][-2]["groups"][-1] == "on"
    assert told["runcmd"] == [["chage", "--lastday", "0", "no"]]
    assert "groupadd --gid 10001 on" in told["bootcmd"][0][2]


def test_context_is_plain_json() -> None:
    context = render.node_context(FULL, SIZING, ADDRESSES, SECRETS, "master")
    assert json.loads(json.dumps(context)) == context


def test_a_hub_apart_has_all_that_is_peoples_and_the_master_nothing_of_it() -> None:
    together, apart = documents("full"), documents("apart")

    def of(found: dict[str, str], role: str) -> set[str]:
        return {name.partition("/")[2] for name in found if name.startswith(f"{role}/")}

    assert of(apart, "hub") == of(together, "master") - {"master"}
    assert of(apart, "worker") == of(together, "worker")
    assert of(apart, "master") == {
        *("master", "nftables.conf", "spark-defaults.conf", "spark.env", "user-data.yaml"),
        *("90provision-proxy", "provision-proxy.sh"),
    }
    for text in (apart["master/user-data.yaml"], apart["worker/user-data.yaml"]):
        assert "PRIVATE KEY" not in text
        assert "$6$" not in text
    assert SECRETS.executor_key not in apart["master/user-data.yaml"]
    defaults = {role: apart[f"{role}/spark-defaults.conf"] for role in APART.roles}
    assert {text.splitlines()[1] for text in defaults.values()} == {"spark.master spark://10.20.0.10:7077"}
    assert "spark.driver.host 10.20.0.11\n" in defaults["hub"]
    assert "spark.driver.host" not in defaults["master"] + defaults["worker"]
    assert "10.20.0.11 master\n" in apart["worker/hosts"]
    assert '"address": "10.20.0.11",\n        "master": "10.20.0.10",' in apart["hub/jupyterhub_config.py"]


def test_the_firewalls_of_a_hub_apart_let_in_what_the_others_need() -> None:
    found = documents("apart")

    def opened(role: str) -> list[str]:
        lines = found[f"{role}/nftables.conf"].splitlines()
        return [line.strip() for line in lines if line.strip().startswith("ip saddr")]

    assert opened("hub") == [
        "ip saddr { 192.0.2.0/24, 198.51.100.7/32 } tcp dport { 22, 8443 } accept",
        "ip saddr 10.20.0.0/24 tcp dport { 7100-7199, 7200-7299, 2049 } accept",
    ]
    assert opened("master") == [
        "ip saddr 10.20.0.11 tcp dport { 22, 8080 } accept",
        "ip saddr 10.20.0.0/24 tcp dport 7077 accept",
    ]
    assert opened("worker") == [
        "ip saddr 10.20.0.11 tcp dport { 22, 8081 } accept",
        "ip saddr 10.20.0.10 tcp dport 7078 accept",
        "ip saddr 10.20.0.0/24 tcp dport 7300-7399 accept",
    ]


def test_users_own_spark_entries_come_last_and_unchanged() -> None:
    lines = documents("full")["master/spark-defaults.conf"].splitlines()
    assert lines[-2:] == ["spark.hadoop.path C:\\\\tmp {{ x }}", "spark.sql.shuffle.partitions 64"]


def test_secrets_are_closed() -> None:
    modes = {}
    for role in DEFAULT.roles:
        for entry in yaml.safe_load(documents("full")[f"{role}/user-data.yaml"])["write_files"]:
            modes[role, entry["path"]] = (entry["permissions"], entry["owner"])
            if any(secret in entry["content"] for secret in (SECRETS.spark_secret, "PRIVATE KEY", "$6$")):
                assert entry["permissions"] in {"0600", "0640"}
    assert modes["worker", "/etc/spark/spark-defaults.conf"] == ("0640", "root:spark")
    assert modes["master", "/etc/jupyterhub/tls/hub.key"] == ("0600", "root:root")


def test_firewall_without_access_list_leaves_the_gate_to_the_security_groups() -> None:
    spec = dataclasses.replace(DEFAULT, network=NetworkSpec(access=None))
    text = render.documents(spec, SIZING, ADDRESSES, SECRETS)["master/nftables.conf"]
    assert "\n\t\tip saddr != 10.20.0.0/24 tcp dport { 22, 443 } accept\n" in text


def test_user_data_is_packed_the_same_each_time() -> None:
    text = "#cloud-config\n" * 1000
    assert render.packed(text) == render.packed(text)
    assert len(render.packed(text)) < 200
    assert gzip.decompress(base64.b64decode(render.packed(text))).decode() == text


def test_too_much_user_data_is_refused() -> None:
    secrets = dataclasses.replace(SECRETS, hub_cert=random.Random(1).randbytes(40_000).hex())
    with pytest.raises(UsageError, match="65535"):
        render.user_data(render.node_context(DEFAULT, SIZING, ADDRESSES, secrets, "master"))


def test_hundreds_of_users_are_left_to_the_playbook() -> None:
    users = tuple(User(f"user-{number}", groups=("team",), must_change_password=True) for number in range(250))
    spec = dataclasses.replace(MONITORED, hub=HubSpec(users=users))
    secrets = secrets_of_full_size(spec)
    context = render.node_context(spec, SIZING, ADDRESSES, secrets, "master")
    with pytest.raises(UsageError, match="65535"):
        render.user_data(context)
    text, accounts = render.fitting_user_data(context)
    assert not accounts
    assert len(render.packed(text)) <= render.USER_DATA_LIMIT
    read = yaml.safe_load(text)
    assert [user["name"] for user in read["users"]] == [OPERATOR]
    assert "groupadd --gid" in read["bootcmd"][0][2]
    assert "runcmd" not in read
    few = dataclasses.replace(spec, hub=HubSpec(users=users[:2]))
    text, accounts = render.fitting_user_data(render.node_context(few, SIZING, ADDRESSES, secrets, "master"))
    assert accounts
    assert "user-1" in text


@pytest.mark.parametrize(("port", "url"), [(443, "https://192.0.2.1"), (8443, "https://192.0.2.1:8443")])
def test_hub_url(port: int, url: str) -> None:
    assert render.hub_url("192.0.2.1", port) == url


@pytest.mark.parametrize("role", DEFAULT.roles)
def test_what_monitoring_brings_is_what_goes_when_it_is_turned_off(role: str) -> None:
    def listed(spec: ClusterSpec) -> tuple[set[str], set[str], dict[str, list[str]]]:
        context = render.node_context(spec, SIZING, ADDRESSES, dataclasses.replace(SECRETS, gids=()), role)
        found = render.manifest(context)
        paths = {file["path"] for file in found["files"] if role in file["roles"]}
        return set(found["units"][role]), paths, found.get("gone", {})

    units, paths, off = listed(DEFAULT)
    more_units, more_paths, nothing_off = listed(MONITORED)
    assert nothing_off == {}
    assert more_units - units
    assert more_units - units <= set(off["units"])
    assert more_paths - paths
    assert more_paths - paths <= set(off["files"])
    # What stays is not stopped or removed.
    assert not set(off["units"]) & units
    assert not set(off["files"]) & paths


def test_a_proxy_reaches_apt_shells_notebooks_and_spark() -> None:
    found = documents("full")
    assert 'Acquire::https::Proxy "http://tls.example.org:3129";' in found["worker/90provision-proxy"]
    assert 'Acquire::http::Proxy::repo.example.org "DIRECT";' in found["worker/90provision-proxy"]
    assert "export https_proxy='http://tls.example.org:3129'\n" in found["master/provision-proxy.sh"]
    assert '"HTTPS_PROXY": "http://tls.example.org:3129"' in found["master/jupyterhub_config.py"]
    defaults = found["worker/spark-defaults.conf"]
    assert "spark.driver.defaultJavaOptions -Dhttp.proxyHost=proxy.example.org" in defaults
    assert "spark.executorEnv.http_proxy http://proxy.example.org:3128\n" in defaults


def test_without_a_proxy_nothing_says_so() -> None:
    assert not [name for name, text in documents("default").items() if "proxy.example" in text or "executorEnv" in text]
    assert "worker/90provision-proxy" not in documents("default")


@pytest.mark.parametrize(("workers", "lines"), [(3, []), (200, []), (1000, ["SPARK_DAEMON_MEMORY=1024m"])])
def test_the_spark_master_of_many_workers_alone_has_a_larger_heap(workers, lines) -> None:
    spec = dataclasses.replace(DEFAULT, workers=WorkersSpec(count=workers))
    found = render.documents(spec, SIZING, ADDRESSES, SECRETS)
    assert [line for line in found["master/spark.env"].splitlines() if "DAEMON_MEMORY" in line] == lines
    assert "DAEMON_MEMORY" not in found["worker/spark.env"]
