"""Render what a cluster's nodes get: cloud-init's user-data and the files in it.

Ansible renders the same templates with the same variables (model/cluster/inventory.py), so both give the same bytes.
"""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import yaml

from provision.base import constants
from provision.base.errors import ProvisionError, UsageError
from provision.base.model import Node, Oidc
from provision.clusterfile import pinned
from provision.clusterfile.units import reserved_users
from provision.model import proxies
from provision.model.cluster.resources import master_name
from provision.model.cluster.sizing import master_heap
from provision.model.monitoring.cluster.gathering import gathering
from provision.model.monitoring.cluster.jobs import job_settings, targets
from provision.model.monitoring.cluster.rules import alert_rules, watched_units
from provision.model.templating import environment, render_mapping

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provision.base.model import Addresses, ClusterSpec, HubSpec, Role, Secrets, Sizing

MANIFEST: Final = "node/manifest.yaml"
USER_DATA: Final = "cloud-init/user-data.yaml.j2"
STOCK_USER_DATA: Final = "cloud-init/stock.yaml.j2"
USER_DATA_LIMIT: Final = 65535
"""Bytes of base64 that Nova accepts."""

LDAP_PORTS: Final = {"ldaps": 636, "starttls": 389}


@dataclass(frozen=True, slots=True)
class NodeFile:
    """A file on a node; `mode` is octal text ("0640")."""

    path: str
    owner: str
    group: str
    mode: str
    content: str

    @property
    def name(self) -> str:
        """As `provision render` lists it: the last part of its path, with the kernel's name before a kernel spec."""
        folder, _, name = self.path.rpartition("/")
        return f"{folder.rpartition('/')[2]}.{name}" if name == "kernel.json" else name


def hub_url(address: str, port: int) -> str:
    """Return the Hub's URL, without the port if that is the default."""
    return f"https://{address}" if port == 443 else f"https://{address}:{port}"


def public_context(
    spec: ClusterSpec, sizing: Sizing, addresses: Addresses, role: Role, nodes: Iterable[Node] = ()
) -> dict[str, Any]:
    """Return the variables of every node template except `secrets`; plain JSON, the same for all nodes of a role.

    `nodes` are those that there are: before the first boot, nobody knows the workers' addresses.

    If `spec.network.access` is None ("this machine"), only the security group restricts access, and not the nodes' own
    firewalls: the operator's address may change, and a node that lets in only the old one could not be reconfigured.
    """
    context: dict[str, Any] = {
        "node_role": role,
        "image": {"stock": spec.image.stock},
        "cluster": {
            "name": spec.name,
            "cidr": str(spec.network.cidr),
            "master": addresses.master,
            "hub": addresses.hub,
            "floating": addresses.floating,
            "access": [str(network) for network in sorted(set(spec.network.access or ()))],
            "workers": spec.workers.count,
            "key": f"{spec.public_key} {constants.KEY_MARK}" if spec.public_key else "",
        },
        "spark": {
            "master_url": f"spark://{addresses.master}:{constants.PORTS.spark_master}",
            "app_cores": sizing.app_cores,
            "user_cores": sizing.user_cores,
            "executor_cores": sizing.executor_cores,
            "executor_memory": sizing.executor_memory,
            "initial_executors": sizing.initial_executors,
            "sizes": [asdict(each) for each in sizing.sizes],
            "driver_memory": sizing.driver_memory,
            "master_heap": master_heap(spec.workers.count),
            "worker_cores": sizing.worker_cores,
            "worker_memory": sizing.worker_memory,
            "defaults": dict(spec.spark.defaults),
            # What a user's own settings may not change either.
            "pinned": dict(pinned.PINNED),
            "pinned_prefixes": dict(pinned.PREFIXES),
        },
        # What is in it, packages.yml brings to the nodes.
        "packages": {"jars": spec.packages.has_jars},
        "proxy": proxies.context(spec, addresses),
        "hub": {
            "role": spec.hub_role,
            "port": spec.hub.port,
            "url": hub_url(addresses.floating, spec.hub.port),
            "idle_timeout": spec.hub.idle_timeout,
            "limits": {
                "memory": sizing.user_memory,
                "all_memory": sizing.users_memory,
                "daemons_memory": sizing.daemons_memory,
                "cores": spec.hub.limits.cores,
                "tasks": spec.hub.limits.tasks,
                "disk": spec.hub.limits.disk_mib,
            },
            "unit": dict(constants.USER_UNIT),
            "login": login_settings(spec.hub),
            "users": [asdict(user) | {"groups": list(user.groups)} for user in spec.hub.users],
        },
        "ports": asdict(constants.PORTS),
        "node": asdict(constants.NODE),
        "accounts": _accounts(),
        "metadata_address": constants.METADATA_ADDRESS,
        "spark_pages": constants.SPARK_PAGES,
        "dashboards_page": constants.DASHBOARDS_PAGE,
        "monitoring": {"on": spec.monitoring},
    }
    if spec.monitoring:
        context["monitoring"] |= _monitoring(context, spec, addresses, nodes)
    return context


def _monitoring(
    context: dict[str, Any], spec: ClusterSpec, addresses: Addresses, nodes: Iterable[Node]
) -> dict[str, Any]:
    """Return what the templates of monitoring need; the master alone has the alerts and the jobs."""
    contexts = {role: context | {"node_role": role} for role in spec.roles}
    running, asked = ({role: names(contexts[role]) for role in spec.roles} for names in (units, on_demand))
    known = [node for node in nodes if node.address] or [Node(master_name(spec.name), "master", addresses.master)]
    scale = gathering(spec.workers.count)
    settings: dict[str, Any] = {
        "units": watched_units([*units(context), *on_demand(context)]),
        "group": spec.name,
        "nodes": targets(known),
        "jobs": job_settings(),
        "rules": [asdict(rule) for rule in alert_rules(running, asked, scale)],
        "every": scale.every,
        "caches": scale.caches,
        "room": scale.room,
    }
    names = ("units",) if context["node_role"] == "worker" else tuple(settings)
    return {name: settings[name] for name in names}


def _accounts() -> dict[str, Any]:
    return {
        "operator": constants.OPERATOR,
        "operator_home": constants.OPERATOR_HOME,
        "key_mark": constants.KEY_MARK,
        "spark": constants.SPARK_GROUP,
        "hub": constants.HUB_GROUP,
        "hub_admin": constants.HUB_ADMIN_GROUP,
        "pages": constants.PAGES_UID,
    }


def login_settings(hub: HubSpec) -> dict[str, Any]:
    """Return what the Hub needs to know of hub.login, besides its secret (templates/image/files, hub/logins.py)."""
    login = hub.login
    if login is None:
        return {"kind": "pam"}
    server = login.server
    settings: dict[str, Any] = {key: value for key, value in asdict(server).items() if key != "secret"}
    if isinstance(server, Oidc):
        settings |= {"kind": "oidc", "title": server.title or urlsplit(server.issuer).netloc}
    else:
        settings |= {"kind": "ldap", "port": server.port or LDAP_PORTS[server.tls]}
    settings |= {key: value for key, value in asdict(login).items() if key != "server"}
    lists = {key: list(value) for key, value in settings.items() if isinstance(value, tuple)}
    return settings | lists | {"reserved": sorted(reserved_users())}


def login_words(hub: HubSpec, url: str) -> str:
    """Say where people log in, and what an OIDC server has to know of the Hub; empty for PAM."""
    if hub.login is None:
        return ""
    server = hub.login.server
    if isinstance(server, Oidc):
        return f"by {server.issuer}, which has to lead back to {url}/hub/oauth_callback"
    return f"by the directory {server.server}"


def secret_context(secrets: Secrets) -> dict[str, Any]:
    """Return the variable `secrets` of the node templates."""
    maps = {"password_hashes": secrets.password_hashes, "uids": secrets.uids, "gids": secrets.gids}
    return asdict(secrets) | {name: dict(pairs) for name, pairs in maps.items()}


def node_context(
    spec: ClusterSpec, sizing: Sizing, addresses: Addresses, secrets: Secrets, role: Role
) -> dict[str, Any]:
    """Return the variables of every node template for one role: plain JSON, secrets included."""
    return public_context(spec, sizing, addresses, role) | {"secrets": secret_context(secrets)}


def manifest(context: dict[str, Any]) -> dict[str, Any]:
    """Return templates/node/manifest.yaml with its paths filled in."""
    data: dict[str, Any] = yaml.safe_load(render_mapping(MANIFEST, context))
    return data


def units(context: dict[str, Any]) -> list[str]:
    """Name the systemd units that the context's role runs."""
    names: list[str] = manifest(context)["units"][context["node_role"]]
    return names


def on_demand(context: dict[str, Any]) -> list[str]:
    """Name the systemd units of the context's role that run only once somebody has asked for them."""
    names: list[str] = manifest(context)["on_demand"].get(context["node_role"], [])
    return names


def node_files(context: dict[str, Any]) -> list[NodeFile]:
    """Render the files of the context's role, and parse each one as its name suggests.

    Raises ProvisionError when a rendered file cannot be parsed.
    """
    files = [
        NodeFile(
            entry["path"], entry["owner"], entry["group"], entry["mode"], render_mapping(entry["template"], context)
        )
        for entry in manifest(context)["files"]
        if context["node_role"] in entry["roles"]
    ]
    for file in files:
        _parse(file)
    return files


def user_data(context: dict[str, Any], *, accounts: bool = True) -> str:
    """Render cloud-init's #cloud-config for the context's role; every worker gets the same.

    Without `accounts` it makes the users' groups, and leaves the users to playbooks/users.yml.

    Raises UsageError when it is too large for Nova, and ProvisionError when it does not contain its files unchanged.
    """
    files = node_files(context)
    template = environment().get_template(USER_DATA)
    users = context["hub"]["users"] if accounts else []
    text = template.render(**context, users=users, files=[asdict(file) for file in files])
    read = yaml.safe_load(text)
    written = {entry["path"]: entry["content"] for entry in read["write_files"]}
    if written != {file.path: file.content for file in files}:
        raise ProvisionError("the user-data does not carry its files unchanged")
    if context["image"]["stock"]:
        text = _of_stock_image(context, text)
    size = len(packed(text))
    if size > USER_DATA_LIMIT:
        raise UsageError(
            f"the user-data of a {context['node_role']} takes {size} bytes, Nova's limit is {USER_DATA_LIMIT}",
            "Shorten the largest part: usually the certificate chain (hub.tls.cert).",
        )
    return text


def fitting_user_data(context: dict[str, Any]) -> tuple[str, bool]:
    """Render the #cloud-config, and say whether the users' accounts are in it: hundreds have no room there.

    Raises UsageError when it is too large for Nova without them too.
    """
    try:
        return user_data(context), True
    except UsageError:
        return user_data(context, accounts=False), False


def bake_user_data(public_key: str) -> str:
    """Render what a stock image gets of which a golden image is made: it lets the operator in, with this key."""
    context = {"node": asdict(constants.NODE), "accounts": _accounts(), "cluster": {"key": ""}}
    text = _render_stock(context | {"secrets": {"operator_public_key": public_key}}, "")
    yaml.safe_load(text)
    return text


def _render_stock(context: dict[str, Any], part: str) -> str:
    marks = {"console_mark": constants.CONSOLE_MARK, "install_unit": constants.INSTALL_UNIT}
    return render_mapping(STOCK_USER_DATA, context | marks | {"part": part})


def _of_stock_image(context: dict[str, Any], part: str) -> str:
    """Render what a stock image gets, with `part` for when its software is there."""
    text = _render_stock(context, part)
    if yaml.safe_load(text)["write_files"][0]["content"] != part:
        raise ProvisionError("the user-data of a stock image does not carry the node's part unchanged")
    return text


def packed(text: str) -> str:
    """Return user-data as Nova takes it: base64, of gzip, which cloud-init unpacks. The same text gives the same."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def documents(spec: ClusterSpec, sizing: Sizing, addresses: Addresses, secrets: Secrets) -> dict[str, str]:
    """Render all files that the cluster's nodes get, as `<role>/<file name>` and `<role>/user-data.yaml`."""
    rendered = {}
    for role in spec.roles:
        context = node_context(spec, sizing, addresses, secrets, role)
        rendered[f"{role}/user-data.yaml"], _ = fitting_user_data(context)
        rendered |= {f"{role}/{file.name}": file.content for file in node_files(context)}
    return rendered


def _parse(file: NodeFile) -> None:
    """Parse a rendered file as its name suggests."""
    try:
        if file.path.endswith(".json"):
            json.loads(file.content)
        elif file.path.endswith(".py"):
            compile(file.content, file.path, "exec")
        elif file.path.endswith(".yaml"):
            yaml.safe_load(file.content)
    except (ValueError, SyntaxError, yaml.YAMLError) as error:
        raise ProvisionError(f"{file.path} was rendered wrong: {error}") from error
    if not file.content.endswith("\n") or file.content.startswith((" ", "\n")):
        raise ProvisionError(f"{file.path} was rendered wrong: it starts with a blank, or its last line has no end")
