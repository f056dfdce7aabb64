"""Constants that are used in more than one place: ports, paths on a node, names.

Templates get them as `ports` and `node`; Ansible and the live tests get them through the same rendering context.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Final


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports on a cluster's nodes. The driver's are ranges: one notebook each, counted up from the first."""

    ssh: int = 22
    spark_master: int = 7077
    spark_master_ui: int = 8080
    spark_worker: int = 7078
    spark_worker_ui: int = 8081
    spark_history: int = 18080
    # Spark tries port, port+1, ... up to spark.port.maxRetries: exactly these ranges are open between the nodes.
    # (app_ui's is open to none of them: spark-pages is the way.)
    driver: int = 7100
    driver_block_manager: int = 7200
    block_manager: int = 7300
    retries: int = 99
    nfs: int = 2049
    app_ui: int = 4040
    # On the loopback address of the master only: the Hub's own, its proxy's, and Spark's pages behind its login.
    hub_api: int = 8091
    proxy_api: int = 8092
    # Below 1024: a user's program cannot take it, and the pages' place among the Hub's, while the Hub starts again.
    pages: int = 893
    # Where the spec turns monitoring on: the page of its figures behind the Hub's login, the store of metrics, what
    # evaluates the alerts, and what turns Spark's own account of its users into metrics, on the loopback address of the
    # master only.
    dashboards: int = 894
    metrics: int = 8429
    alerts: int = 8880
    spark_metrics: int = 9108
    # And on every node, for the master alone.
    node_metrics: int = 9100


@dataclass(frozen=True, slots=True)
class NodePaths:
    """Paths on a node: the image creates them, cloud-init and Ansible fill them in."""

    spark_home: str = "/opt/spark"
    spark_conf: str = "/etc/spark"
    spark_role: str = "/etc/spark/role"
    spark_env: str = "/etc/spark/spark.env"
    spark_defaults: str = "/etc/spark/spark-defaults.conf"
    spark_work: str = "/var/lib/spark/work"
    spark_scratch: str = "/var/lib/spark/scratch"
    spark_events: str = "/var/lib/spark/events"
    venv: str = "/opt/jupyter"
    proxy: str = "/opt/chp/node_modules/configurable-http-proxy/bin/configurable-http-proxy"
    hub_config: str = "/etc/jupyterhub/jupyterhub_config.py"
    hub_login: str = "/usr/local/share/provision/hub"
    hub_login_settings: str = "/etc/jupyterhub/login.json"
    hub_cert: str = "/etc/jupyterhub/tls/hub.pem"
    hub_key: str = "/etc/jupyterhub/tls/hub.key"
    hub_state: str = "/var/lib/jupyterhub"
    homes: str = "/home"
    shared: str = "/shared"
    exports: str = "/etc/exports.d/provision.exports"
    hosts: str = "/etc/hosts"
    executor_key: str = "/etc/spark/executor.key"
    notebook_server: str = "/usr/local/lib/provision/notebook-server"
    early_kernel: str = "/usr/local/lib/provision/early_kernel.py"
    user_token: str = "/usr/local/lib/provision/user-token"  # noqa: S105 - a program
    set_quota: str = "/usr/sbin/setquota"
    kernel: str = "/usr/local/share/jupyter/kernels/pyspark/kernel.json"
    kernel_startup: str = "/usr/local/share/jupyter/kernels/pyspark/startup.py"
    kernel_modules: str = "/usr/local/share/jupyter/kernels/pyspark"
    kernel_connect: str = "/usr/local/share/jupyter/kernels/pyspark-connect/kernel.json"
    shares: str = "/run/spark/shares"
    classes: str = "/usr/local/lib/provision/classes"
    firewall: str = "/etc/nftables.conf"
    smoke: str = "/usr/local/lib/provision/smoke.py"
    packages: str = "/opt/packages"
    jobs: str = "/var/lib/jobs"
    pages: str = "/usr/local/lib/provision/spark-pages"
    monitoring: str = "/etc/monitoring/node.env"
    scrape: str = "/etc/monitoring/scrape.yaml"
    targets: str = "/etc/monitoring/targets.json"
    alerts: str = "/etc/monitoring/alerts.yaml"
    dashboards: str = "/usr/local/lib/provision/dashboards"
    page_modules: str = "/usr/local/share/provision/page"
    examples: str = "/shared/examples"
    install: str = "/var/lib/provision-install"
    apt_proxy: str = "/etc/apt/apt.conf.d/90provision-proxy"
    shell_proxy: str = "/etc/profile.d/provision-proxy.sh"


PORTS: Final = Ports()
SPARK_PAGES: Final = "/services/spark/"
"""Where the Hub has Spark's pages."""
DASHBOARDS_PAGE: Final = "/services/dashboards/"
"""Where the Hub has the page of monitoring."""
NODE: Final = NodePaths()

SPARK_HEAP_LEAST: Final = 512
"""MiB. Spark refuses a JVM with less than 450 MiB of usable heap, and garbage collectors reserve a part of -Xmx."""
METADATA_ADDRESS: Final = "169.254.169.254"
OPERATOR: Final = "provision"
"""The administrator's account on every node: it has the key pair, and sudo."""
OPERATOR_HOME: Final = "/var/lib/provision"
"""Not below /home, which on a worker is the master's."""
KEY_MARK: Final = "provision-key-pair"
"""The comment that the key of `key_pair` has among the operator's: by it, it is found when the spec names another."""
FIRST_UID: Final = 2001
"""User and group id of a cluster's first notebook user: above those that nodes give by themselves."""
FIRST_GID: Final = 10001
"""Id of the first group of hub.users[].groups: above those of the users' own groups, which have their users' ids."""
SPARK_GROUP: Final = "spark"
"""Group that may read the Spark secret: the daemons, and every notebook user, whose driver needs it."""
HUB_GROUP: Final = "notebook"
"""Group whose members may log in to the Hub."""
HUB_ADMIN_GROUP: Final = "notebook-admin"
"""Group whose members administer the Hub."""
PAGES_UID: Final = 61040
"""The account of the service that shows Spark's pages: a number without a name, of those that systemd leaves unused."""
USER_UNIT: Final = {"LimitNOFILE": "65536", "OOMScoreAdjust": "300", "UMask": "0022"}
"""Properties of each unit that runs a user's programs, beside its limits: when the node's memory runs out all the same,
they end before a daemon does."""
PASSING_UNITS: Final = ("notebook-", "job-", "provision-executor@", "provision-report@")
"""How the names of units begin that come and go with what users run: that one has failed is its user's matter."""
LOCAL_CLOUD: Final = "local"

NODE_PYTHON: Final = "3.13"
"""Version of the nodes' Python: Debian's own (templates/image/software.yaml, suite)."""
NODE_SCALA: Final = "2.13"
"""Version of Scala that the image's Spark is built with."""
NODE_PLATFORM: Final = "manylinux_2_40_x86_64"
"""The newest platform tag of wheels that the nodes can load: Debian 13 has glibc 2.41."""

INSTALL_UNIT: Final = "provision-install"
"""Unit that installs a stock image's software, and says on the console how it goes."""
CONSOLE_MARK: Final = "PROVISION"
"""Beginning of a node's reports on its console: `PROVISION {"phase": …}`. model/cluster/console.py reads them."""


@dataclass(frozen=True, slots=True)
class LocalCloudPorts:
    """TCP ports of the `local` cloud's services; HAProxy publishes the APIs' on 127.0.0.1."""

    keystone: int = 5000
    glance: int = 9292
    placement: int = 8778
    nova_api: int = 8774
    nova_metadata: int = 8775
    neutron: int = 9696
    horizon: int = 8443
    haproxy_stats: int = 8404
    consul: int = 8500
    monitoring: int = 8428
    """Published only where monitoring is on."""
    rabbitmq_metrics: int = 15692
    """Between containers only."""
    registry: int = 5001
    """On every host of a Swarm; not used on one machine."""
    ovn_nb: int = 6641
    ovn_sb: int = 6642
    ovn_nb_raft: int = 6643
    """Between OVN's members, on the hosts of a Swarm that carry one; the next port too."""
    ovn_sb_raft: int = 6644

    def published(self) -> tuple[int, ...]:
        """Return the ports that must be free on this machine's loopback address."""
        return (
            self.keystone,
            self.glance,
            self.placement,
            self.nova_api,
            self.neutron,
            self.horizon,
            self.haproxy_stats,
            self.consul,
        )


LOCALCLOUD_PORTS: Final = LocalCloudPorts()
LOCALCLOUD_LABEL: Final = "provision.stack=local"
"""On every container, volume and network of the local cloud (compose/*.yaml). The name stays: running containers of
earlier versions are recognised by it."""
MANAGEMENT_NETWORK: Final = IPv4Network("172.28.0.0/24")
"""Network of every container of the local cloud."""
PROVIDER_NETWORK: Final = IPv4Network("172.29.0.0/24")
"""Network of the floating IPs; its first address is this machine."""
TUNNEL_NETWORK: Final = IPv4Network("172.30.0.0/24")
"""Network between hypervisors."""
UPLINK_NETWORK: Final = IPv4Network("172.28.1.0/24")
"""Network from a hypervisor to its host and beyond, on the hosts of a Swarm: its other networks are internal."""
LOCALCLOUD_NETWORKS: Final = (MANAGEMENT_NETWORK, PROVIDER_NETWORK, TUNNEL_NETWORK)
