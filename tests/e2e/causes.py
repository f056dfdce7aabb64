"""What can be wrong with a cluster, made so on a live one: each cause, what `doctor` says of it, and the way back."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from provision.base.constants import METADATA_ADDRESS, NODE, PORTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import openstack

MASTER: Final = "analytics-master"
ONE: Final = "analytics-worker-1"
TWO: Final = "analytics-worker-2"
PASSED: Final = ("memory", "servers", "kernels", "executors")
"""Rules that speak of what was: what they say stays for half an hour after the way back."""


@dataclass(frozen=True)
class OnNode:
    """A cause on a node: shell commands, as root, that make it and take it back, also where it was only half made."""

    says: str
    """Pattern of the first finding: where, a colon, and what is wrong."""
    node: str
    provoke: str
    undo: str


@dataclass(frozen=True)
class OnCloud:
    """A cause on the cloud: a context manager that makes it, and takes it back at its end."""

    says: str
    provoke: Callable[[openstack.connection.Connection], AbstractContextManager[None]]


def _masked(unit: str, node: str) -> OnNode:
    # The image's own units lie in /etc, where `systemctl mask` refuses to replace a file.
    file, aside = f"/etc/systemd/system/{unit}.service", f"/root/{unit}.service.doctor"
    return OnNode(
        rf"{unit} on {node}: is masked: nothing can start it",
        node,
        f"mv {file} {aside} && ln -s /dev/null {file} && systemctl daemon-reload && systemctl stop {unit}",
        f"test ! -e {aside} || mv -f {aside} {file}; systemctl daemon-reload; systemctl start {unit}",
    )


def _moved(path: str, text: str, mode: str = "755") -> tuple[str, str]:
    """Return commands that put `text` in the place of a file, and the file back."""
    made = f"mv {path} {path}.doctor && printf %s {shlex.quote(text)} > {path} && chmod {mode} {path}"
    return made, f"test ! -e {path}.doctor -a ! -L {path}.doctor || mv -f {path}.doctor {path}"


def _program(name: str, *settings: str) -> tuple[str, str]:
    """Return commands that run a program of alice's which sleeps on the cluster, and that end it."""
    text = (
        "from pyspark.sql import SparkSession as S;"
        "S.builder.getOrCreate().sparkContext.parallelize(range(64), 64)"
        ".foreach(lambda n: __import__('time').sleep(3600))"
    )
    file = f"/tmp/{name}.py"
    conf = " ".join(f"--conf {each}" for each in ("spark.dynamicAllocation.enabled=false", *settings))
    submit = f"cd && spark-submit --name {name} {conf} {file}"
    unit = f"systemd-run --quiet --collect --unit={name} --uid=alice --slice=notebooks.slice"
    started = f"printf %s {shlex.quote(text)} > {file} && {unit} sh -lc {shlex.quote(submit)}"
    return started, f"systemctl stop {name}; rm -f {file}"


HOLDER: Final = _program("holder", "spark.cores.max=4", "spark.executor.memory=512m")
WAITER: Final = _program("waiter", "spark.cores.max=1", "spark.executor.memory=512m")
WIDE: Final = _program("wide", "spark.executor.cores=64", "spark.cores.max=64")
LARGE: Final = _program("large", "spark.executor.memory=64g")
OTHER_PYTHON: Final = _moved(f"{NODE.venv}/bin/python", "#!/bin/sh\necho 3.11.2\n")
NO_JAVA: Final = _moved("/usr/bin/java", "no Java\n", "644")
BAD_TOKENS: Final = _moved(NODE.user_token, "no program\n", "644")
_SPARK_DEFAULTS: Final = NODE.spark_defaults
_HUB_USER: Final = f"http://127.0.0.1:{PORTS.hub_api}/hub/api/users/alice"
_ASK_HUB: Final = f'curl -s -H "Authorization: token $(cat {NODE.hub_state}/operator.token)" -X'
_TRY_DNS: Final = "link=$(ip -o route get 192.0.2.1 | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')"


def expired_certificate() -> str:
    """Return a certificate (PEM) that ended yesterday."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "expired")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(9)).not_valid_after(now - timedelta(1))
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


# The Hub goes on with the one that it has read.
EXPIRED: Final = _moved(NODE.hub_cert, expired_certificate(), "644")


@contextmanager
def _shut_off(cloud: openstack.connection.Connection) -> Iterator[None]:
    server = cloud.compute.find_server(TWO)
    cloud.compute.stop_server(server)
    try:
        cloud.compute.wait_for_server(server, status="SHUTOFF", wait=300)
        yield
    finally:
        cloud.compute.start_server(server)
        cloud.compute.wait_for_server(cloud.compute.get_server(server), status="ACTIVE", wait=300)


@contextmanager
def _detached(cloud: openstack.connection.Connection) -> Iterator[None]:
    (address,) = [each for each in cloud.network.ips() if each.description == "provision cluster=analytics"]
    port = address.port_id
    cloud.network.update_ip(address, port_id=None)
    try:
        yield
    finally:
        cloud.network.update_ip(address.id, port_id=port)


def _without_rule(first: int) -> Callable[[openstack.connection.Connection], AbstractContextManager[None]]:
    @contextmanager
    def provoke(cloud: openstack.connection.Connection) -> Iterator[None]:
        groups = [each for each in cloud.network.security_groups() if each.description == "provision cluster=analytics"]
        (rule,) = [
            each
            for each in cloud.network.security_group_rules(security_group_id=groups[0].id, direction="ingress")
            if each.port_range_min == first and each.remote_group_id == groups[0].id
        ]
        kept: dict[str, Any] = {
            key: getattr(rule, key)
            for key in ("security_group_id", "direction", "ether_type", "protocol", "remote_group_id")
        }
        kept |= {"port_range_min": rule.port_range_min, "port_range_max": rule.port_range_max}
        cloud.network.delete_security_group_rule(rule)
        try:
            yield
        finally:
            cloud.network.create_security_group_rule(**kept)

    return provoke


# By name: `pytest -k "each_cause and secret"` runs one of them.
CAUSES: Final[dict[str, OnNode | OnCloud]] = {
    "no worker for a firewall": OnNode(
        rf"the firewall of {MASTER} \(nftables\): lets nobody reach port 7077: no worker can register",
        MASTER,
        f"nft insert rule inet provision input tcp dport {PORTS.spark_master} drop",
        f"nft -f {NODE.firewall}",
    ),
    "a worker without a way to the master": OnNode(
        rf"the firewall of {ONE} \(nftables\): does not let it reach port 7077 of {MASTER}",
        ONE,
        f"nft add rule inet provision output tcp dport {PORTS.spark_master} reject && systemctl restart spark-worker",
        f"nft -f {NODE.firewall}; systemctl restart spark-worker",
    ),
    "no worker for the security group": OnCloud(
        r"the security group: lets no node reach port 7077 of the master", _without_rule(PORTS.spark_master)
    ),
    "a wrong secret": OnNode(
        rf"{ONE}: has another Spark secret",
        ONE,
        f"sed -i.doctor 's/^spark.authenticate.secret .*/spark.authenticate.secret wrong/' {_SPARK_DEFAULTS}"
        " && systemctl restart spark-worker",
        f"test ! -e {_SPARK_DEFAULTS}.doctor || mv -f {_SPARK_DEFAULTS}.doctor {_SPARK_DEFAULTS};"
        " systemctl restart spark-worker",
    ),
    "a masked worker": _masked("spark-worker", ONE),
    "a stopped worker": OnNode(
        rf"spark-worker on {TWO}: is stopped since",
        TWO,
        "systemctl stop spark-worker",
        "systemctl start spark-worker",
    ),
    "a unit that fails": OnNode(
        rf"spark-history on {MASTER}: (has failed \(exit-code, exit code 7\)|does not stay up)",
        MASTER,
        "mkdir -p /run/systemd/system/spark-history.service.d"
        " && printf '[Service]\\nExecStart=\\nExecStart=/bin/sh -c \"exit 7\"\\n'"
        " > /run/systemd/system/spark-history.service.d/doctor.conf"
        " && systemctl daemon-reload && systemctl restart spark-history || true",
        "rm -rf /run/systemd/system/spark-history.service.d; systemctl daemon-reload;"
        " systemctl reset-failed spark-history; systemctl restart spark-history",
    ),
    "files that are not served": OnNode(
        rf"nfs-server on {MASTER}: is stopped", MASTER, "systemctl stop nfs-server", "systemctl start nfs-server"
    ),
    "a clock that is ahead": OnNode(
        rf"the clock of {TWO}: is 10 min ahead of",
        TWO,
        "systemctl stop systemd-timesyncd; date -s @$(($(date +%s) + 600)) && touch /run/doctor-clock",
        "test ! -e /run/doctor-clock || date -s @$(($(date +%s) - 600)); rm -f /run/doctor-clock;"
        " systemctl start systemd-timesyncd",
    ),
    "cores that others hold": OnNode(
        r"alice's waiter \(app-.*\): waits for cores: alice holds 4 of 4",
        MASTER,
        f"{HOLDER[0]} && sleep 240 && {WAITER[0]}",
        f"{WAITER[1]}; {HOLDER[1]}",
    ),
    "more cores than a worker has": OnNode(
        r"alice's wide \(app-.*\): asks for executors with 64 cores, and the largest worker has 2", MASTER, *WIDE
    ),
    "more memory than a worker has": OnNode(
        r"alice's large \(app-.*\): asks for executors with 65536 MiB of memory, and the largest worker", MASTER, *LARGE
    ),
    "executors behind the master's firewall": OnNode(
        rf"the firewall of {MASTER} \(nftables\): lets nobody reach port 7100-7132: executors start and cannot connect",
        MASTER,
        f"nft insert rule inet provision input tcp dport {PORTS.driver}-{PORTS.driver + PORTS.retries} drop",
        f"nft -f {NODE.firewall}",
    ),
    "executors behind the security group": OnCloud(
        r"the security group: lets no node reach port 7100-7132 of the master: executors start and cannot connect",
        _without_rule(PORTS.driver),
    ),
    "another Python": OnNode(rf"{ONE}: has Python 3.11.2, and the other nodes have", ONE, *OTHER_PYTHON),
    "another package": OnNode(
        rf"{TWO}: has other Python packages than the other nodes: doctor 1.0 \(elsewhere missing\)",
        TWO,
        f"mkdir -p $(echo {NODE.venv}/lib/python3*/site-packages)/doctor-1.0.dist-info",
        f"rmdir {NODE.venv}/lib/python3*/site-packages/doctor-1.0.dist-info",
    ),
    "no Java": OnNode(rf"{TWO}: has no Java that can be started", TWO, *NO_JAVA),
    "a full disk": OnNode(
        rf"the disk of {TWO}: is full: \d+ MiB are left",
        TWO,
        "fallocate -l $(df --output=avail -B1 / | tail -n 1) /doctor.full",
        "rm -f /doctor.full",
    ),
    "no inodes": OnNode(
        rf"/tmp of {TWO}: has no inodes left",
        TWO,
        "mount -o remount,nr_inodes=300 /tmp && mkdir -p /tmp/doctor; for n in $(seq 400); do"
        " touch /tmp/doctor/$n 2> /dev/null || break; done",
        "rm -rf /tmp/doctor; mount -o remount,nr_inodes=1m /tmp",
    ),
    "an expired certificate": OnNode(
        r"the Hub's certificate: expired",
        MASTER,
        EXPIRED[0],
        f"{EXPIRED[1]}",
    ),
    "no metadata service": OnNode(
        rf"{TWO}: cannot reach the cloud's metadata service",
        TWO,
        f"ip route add blackhole {METADATA_ADDRESS}",
        f"ip route del blackhole {METADATA_ADDRESS}",
    ),
    "/shared that is not mounted": OnNode(
        rf"shared.automount on {ONE}: is stopped",
        ONE,
        "systemctl stop shared.automount",
        "systemctl start shared.automount",
    ),
    "no name server": OnNode(
        rf"{ONE}: gets no answer from its name servers \(192.0.2.53\)",
        ONE,
        f"{_TRY_DNS}; resolvectl dns $link 192.0.2.53",
        f"{_TRY_DNS}; resolvectl revert $link",
    ),
    "no name for the master": OnNode(
        rf"{ONE}: cannot look up master, a name of the cluster's own",
        ONE,
        f"cp -p {NODE.hosts} {NODE.hosts}.doctor && sed -i '/ master$/d' {NODE.hosts}",
        f"test ! -e {NODE.hosts}.doctor || mv -f {NODE.hosts}.doctor {NODE.hosts}",
    ),
    "a locked account": OnNode(
        r"alice: cannot log in: the account is locked", MASTER, "usermod -L alice", "usermod -U alice"
    ),
    "a kernel.json that is none": OnNode(
        r"/home/alice/.local/share/jupyter/kernels/doctor/kernel.json: starts no kernel",
        MASTER,
        "sudo -u alice sh -c 'mkdir -p ~/.local/share/jupyter/kernels/doctor"
        " && echo { > ~/.local/share/jupyter/kernels/doctor/kernel.json'",
        "rm -rf /home/alice/.local/share/jupyter/kernels/doctor",
    ),
    "a node that is shut off": OnCloud(rf"{TWO}: is SHUTOFF on the cloud", _shut_off),
    "a floating IP that leads nowhere": OnCloud(r"the floating IP: .* does not lead to the master", _detached),
    # What has passed stays in the findings for a while, behind all that is: so these come last.
    "out of memory": OnNode(
        rf"doctor's notebooks on {MASTER}: python3 was ended once for want of memory",
        MASTER,
        "systemd-run --quiet --wait --collect --unit=notebook-doctor --slice=notebooks.slice --uid=alice"
        " -p MemoryMax=40M -p MemorySwapMax=0 python3 -c 'x = bytearray(1 << 30)' || true",
        "true",
    ),
    "a server that the Hub cannot start": OnNode(
        r"alice's server: could not be started by the Hub: PermissionError",
        MASTER,
        # The Hub knows those who have logged in.
        f"{_ASK_HUB} POST {_HUB_USER}; {_ASK_HUB} DELETE {_HUB_USER}/server; systemctl stop notebook-alice; sleep 20"
        f"; {BAD_TOKENS[0]} && {_ASK_HUB} POST {_HUB_USER}/server",
        BAD_TOKENS[1],
    ),
}
