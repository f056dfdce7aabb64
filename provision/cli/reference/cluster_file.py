"""The page of cluster.yaml: its fields from the pydantic models, their meaning from the file that `init` writes.

What is refused is tried: each example is given to the loader, and the page shows its answer.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import yaml
from pydantic import BaseModel

from provision.base import paths
from provision.base.errors import UsageError
from provision.cli.reference.markdown import NOTICE, code, table
from provision.clusterfile import load
from provision.clusterfile.checks import SPECIAL
from provision.clusterfile.models import ClusterModel
from provision.clusterfile.pinned import OWN_FIELDS, PINNED, PREFIXES
from provision.clusterfile.units import reserved_users, taken_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo

_INTRODUCTION: Final = """\
# cluster.yaml

The cluster file, or spec, describes one cluster. `provision init` writes one with every field and its default. All
fields but `name` may be left out. Paths are relative to the file's folder.

A file with mistakes is refused as a whole, before anything is changed: one message names the file, the line, the field,
what is wrong and what to do, and the exit code is 2. What only a cloud can tell (flavors, images, networks, quotas) is
checked when a command has asked the cloud, and before it changes anything: see [Sizing](sizing.md).

```yaml
name: analytics
cloud: local
image: golden
network:
  cidr: 10.20.0.0/24
  external: public
  floating_ip: true
  access: [192.0.2.0/24]
master: {flavor: m1.small}
workers: {count: 2, flavor: m1.small}
spark:
  user_cores: 8
  app_cores: 4
  executor_memory: 2g
  defaults: {spark.sql.shuffle.partitions: "64"}
hub:
  port: 443
  idle_timeout: 1h
  limits: {memory: 1g, cores: 2}
  tls: {cert: hub.pem, key: hub.key}
  users: [alice, {name: bob, admin: true}]
packages: [polars==1.35.1]
monitoring: true
```
"""


@dataclass(frozen=True, slots=True)
class Note:
    """What the models do not say about a field."""

    kind: str
    """Its type, as a person says it."""
    more: str = ""
    """What to add to the comment in the file that `init` writes."""
    left_out: str = ""
    """What happens without it, where its default is no value."""
    refused: tuple[Any, ...] = ()
    """Examples of values that the loader refuses."""


NOTES: Final[Mapping[str, Note]] = {
    "name": Note(
        "text", "The cluster's name. It becomes part of host names and of the resources' names.", "",
        ("Analytics", "team_one", 42),
    ),
    "cloud": Note("text", refused=("",)),
    "image": Note(
        "text, or a map", "A cluster keeps the image that it was made from until `provision up --replace`.", "`golden`",
        ("", 13, ["golden"]),
    ),
    "image.name": Note("text", "A bare `image: NAME` says the same as a map with `name` alone.", "", ("", 12)),
    "image.stock": Note(
        "true or false", "Whether it is a vendor's image: a cloud image of Debian as it comes. Its nodes install their "
        "software when they boot first: see [Use a stock image](../how-to/stock-images.md).", "", ("yes",),
    ),
    "image.sources": Note(
        "`image` or `host`", "Where a stock image's nodes take packages from: the image's own mirror, PyPI and npm's "
        "registry; with `host`, the mirrors, registries, proxies and certificate authorities of this machine.", "",
        ("pypi",),
    ),
    "key_pair": Note(
        "text", "The cluster's own key pair is made all the same: `provision` uses that one. The key is on the nodes "
        "for the operator's account, which has sudo; another name here takes the old key away.", "none", ("",),
    ),
    "proxy": Note(
        "text, or a map", "It holds for apt, shells, submitted programs, notebooks and their terminals, for Spark's "
        "drivers and executors, and for the installation on stock images. See [Work behind proxies and mirrors]"
        "(../how-to/proxies-and-mirrors.md).", "none",
        ("proxy.example.org:3128", "http://proxy.example.org", "http://me:secret@proxy.example.org:3128", 3128, {}),
    ),
    "proxy.http": Note("text", "For addresses that begin with http://.", "none", ("https://proxy.example.org:3128",)),
    "proxy.https": Note("text", "For addresses that begin with https://.", "none", ("socks5://proxy:1080",)),
    "proxy.no_proxy": Note(
        "list of texts", "Hosts, ends of names, addresses and ranges that are asked without a proxy, beside the nodes "
        "themselves.", "none", (["*"], ["a.example.org,b.example.org"], ["192.0.2.0/33"], ["-x"]),
    ),
    "network.cidr": Note(
        "IPv4 range", "It cannot be changed while the cluster exists.", "",
        ("10.20.0.1/24", "10.20.0.1", "10.20.0.0/29", "169.254.0.0/16", "fd00::/64"),
    ),
    "network.external": Note("text"),
    "network.existing": Note(
        "text", "The name or id of a network with an IPv4 subnet. The nodes are put on it, and it is "
        "never changed or deleted; `cidr` and `router` are left out then. See [Use what is there]"
        "(../how-to/existing-networks.md).", "a network and a subnet are made", ("",),
    ),
    "network.subnet": Note(
        "text", "The name or id of the one that the nodes are on.", "its only IPv4 subnet",
        ("",),
    ),
    "network.security_groups": Note(
        "list of names or ids", "They are used, and never changed or deleted. A change comes to live nodes with "
        "`provision up`. On a network without port security they are refused, as they would do nothing.", "none",
        (["web", "web"], "web"),
    ),
    "network.router": Note(
        "text", "The name or id of a router of this project. The cluster's own network is connected to it, and it is "
        "never deleted.", "one is made, with its gateway on `network.external`", ("",),
    ),
    "network.floating_ip": Note(
        "`true`, `false`, or an address",
        "`true` makes one for the master. `false` goes without: then this machine and people reach the master at its "
        "own address. An address is that of a floating IP which this project has: it is used, and stays.", "",
        (1, "172.29.0.300", "fd00::1"),
    ),
    "network.access": Note(
        "list of IPv4 ranges", "Ranges inside `network.cidr`, and ranges that overlap each other, are refused.",
        "this machine alone", ([], ["10.20.0.128/25"], ["192.0.2.0/24", "192.0.2.7/32"]),
    ),
    "network.bastion": Note(
        "text", "`provision` then speaks to the nodes by it alone, with SSH, and as your own `~/.ssh/config` has it. "
        "`network.access` has to name its address. See [Use what is there](../how-to/existing-networks.md).",
        "nodes are reached directly", ("", "me@", "jump:ssh"),
    ),
    "master.flavor": Note("text", "A flavor of the cloud with at least 1536 MiB of memory."),
    "master.availability_zone": Note("text", "A node in another zone is replaced, if that is asked for.",
        "the cloud's choice", ("",),
    ),
    "workers.availability_zone": Note("text", "All workers are in the same one.", "the cloud's choice", ("",)),
    "master.server_group": Note("text", "The name or id of a server group. It is never changed or deleted; a server is "
        "put into one when it is made, so that a change replaces it, if that is asked for.", "none", ("",)),
    "workers.spread": Note(
        "`off`, `prefer` or `require`",
        "`prefer` puts workers on different hypervisors as long as there are some, and the rest beside each other. "
        "With `require` a worker that finds none of its own is not made, and `up` says so. A change replaces the "
        "workers, if that is asked for.", "", ("yes", True, "always"),
    ),
    "workers.server_group": Note("text", "The name or id of one, in place of `spread`.", "none", ("",)),
    "workers.count": Note("whole number", "How many workers there are.", "", (0, "two")),
    "workers.flavor": Note("text", "A flavor of the cloud with at least 1024 MiB of memory."),
    "spark.app_cores": Note(
        "whole number", "`app_cores` is a notebook's number of cores.", "`user_cores`", (0, "4")
    ),
    "spark.user_cores": Note(
        "whole number", "`user_cores` is a user's number of cores.", "three quarters of the cluster's cores", (0, "4")
    ),
    "spark.executor_memory": Note(
        "memory size: `512m`, `2g`", "It is at least 512m. See [Sizing](sizing.md).",
        "in proportion to its cores", ("2048", 2048, "256m"),
    ),
    "spark.defaults": Note(
        "map of Spark settings", "Some are pinned: see [Settings that are pinned](#settings-that-are-pinned).", "none",
        ({"shuffle.partitions": "64"}, {"spark.master": "local[2]"}, {"spark.cores.max": "4"}),
    ),
    "spark.packages": Note(
        "list of paths and Maven coordinates",
        "Spark's own classes win over theirs. Coordinates are resolved once, on your machine and with its Maven "
        "settings, together with all that they need: see [Jars](../how-to/packages.md#jars).",
        "none",
        (["io.delta:delta-core_2.12:2.4.0"], ["io.delta:delta-spark_4.1_2.13"], ["https://repo.example/tools.jar"]),
    ),
    "hub.port": Note("whole number", "The port of the Hub's HTTPS.", "", (22, 70000)),
    "hub.idle_timeout": Note("time: `90s`, `30m`, `1h30m`, `2d`, or `0`", refused=(3600, "30s", "soon")),
    "hub.limits": Note("map", "Each user's notebooks, kernels, drivers and terminals count together."),
    "hub.limits.memory": Note(
        "memory size: `512m`, `2g`",
        "What takes more is ended by the kernel, the largest first: a notebook says that its kernel died.",
        "see [Sizing](sizing.md)", ("2048", 2048),
    ),
    "hub.limits.cores": Note(
        "whole number", "Cores of the master.", "what is free, and an equal share of it when others want it too", (0,)
    ),
    "hub.limits.tasks": Note("whole number", "Processes and threads, at least 512.", "", (100,)),
    "hub.limits.disk": Note(
        "size: `512m`, `20g`",
        "What all files of a user may take: the home folder, those in `/shared`, and the scratch of drivers. "
        "Whoever has more already can remove and read, but not write.",
        "what the disk has", ("20", "100m"),
    ),
    "hub.tls": Note(
        "map with `cert` and `key`",
        "A file that cannot be read, an expired certificate, a key with a passphrase, and a key that is not the "
        "certificate's are refused.",
        "a certificate of the cluster's own authority", ({"cert": "hub.pem"},),
    ),
    "hub.tls.cert": Note("path", "The certificate, and after it the chain that leads to its authority."),
    "hub.tls.key": Note("path", "The certificate's private key, RSA or EC, without a passphrase."),
    "hub.login": Note(
        "map with `oidc` or `ldap`",
        "Its fields are below; [Log in with OIDC or LDAP](../how-to/login-servers.md) has whole examples.",
        "logins by PAM, with the accounts and passwords of `hub.users`"
    ),
    "hub.login.oidc": Note(
        "map", "A login server that speaks OIDC: Keycloak, Google, Entra ID, GitLab and others.", "none"
    ),
    "hub.login.oidc.issuer": Note(
        "https address", "The Hub reads `/.well-known/openid-configuration` below it."
    ),
    "hub.login.oidc.client_id": Note("text", "What the server calls the Hub."),
    "hub.login.oidc.client_secret_file": Note(
        "path", "A file on your machine with the client's secret. The master gets it, for root alone.", "none"
    ),
    "hub.login.oidc.client_secret_env": Note(
        "text", "Instead, a variable of the environment in which `provision` runs. The secret is kept in the cluster's "
        "folder on your machine: later commands need no variable.", "none"
    ),
    "hub.login.oidc.username_claim": Note(
        "text", "The claim that is the login: `preferred_username`, `email`, `sub` and others."
    ),
    "hub.login.oidc.groups_claim": Note("text", "The claim that lists the groups."),
    "hub.login.oidc.scopes": Note("list of words", "What the Hub asks for.", "`[openid, profile, email]`"),
    "hub.login.oidc.claims": Note(
        "`userinfo` or `id_token`", "Where claims are read: at the server's userinfo page, or in the ID token."
    ),
    "hub.login.oidc.title": Note("text", "The button says `Sign in with …`.", "the issuer's host"),
    "hub.login.ldap": Note("map", "A directory: OpenLDAP, Active Directory, FreeIPA and others.", "none"),
    "hub.login.ldap.server": Note("text", "The directory's host."),
    "hub.login.ldap.port": Note("whole number", "The port of the directory.", "636 with `ldaps`, 389 with `starttls`"),
    "hub.login.ldap.tls": Note(
        "`ldaps` or `starttls`", "There is no login without TLS, and the server's certificate has to be right."
    ),
    "hub.login.ldap.user_dn": Note(
        "text with `{username}`", "What a user's entry is called, where all are called alike.", "none"
    ),
    "hub.login.ldap.search_base": Note("text", "Instead: below which entry users are searched.", "none"),
    "hub.login.ldap.user_attribute": Note(
        "text", "The attribute that is the login: `uid`, `sAMAccountName` and others."
    ),
    "hub.login.ldap.bind_dn": Note("text", "The account that searches.", "anybody may search"),
    "hub.login.ldap.bind_password_file": Note("path", "A file on your machine with its password.", "none"),
    "hub.login.ldap.bind_password_env": Note("text", "Instead, a variable of the environment.", "none"),
    "hub.login.ca_file": Note(
        "path", "The authority that the login server's certificate is from, as PEM.", "those that every system knows"
    ),
    "hub.login.email_domain": Note(
        "text", "A login that is an address of this domain is the name before the @; other addresses are refused.",
        "addresses are refused"
    ),
    "hub.login.allow_all": Note("true or false", "Whether everybody may whom the server knows."),
    "hub.login.allowed_users": Note(
        "list of logins", "Who may, as the server calls them. Capital letters are small ones, and an account's name "
        "has dashes for dots.", "none"
    ),
    "hub.login.allowed_groups": Note(
        "list of groups", "Who may, by groups; for LDAP, the groups' whole names (DN).", "none"
    ),
    "hub.login.denied_users": Note("list of logins", "Who may not, whatever else says so.", "none"),
    "hub.login.admin_users": Note("list of logins", "Who administers the Hub, and may log in.", "none"),
    "hub.login.admin_groups": Note("list of groups", "The same, by groups.", "none"),
    "hub.users": Note(
        "list of names or maps", "A bare name, or a map with `name` and what else is below. `provision users` changes "
        "the list and the cluster: see [Users and logins](../how-to/users-and-logins.md).", "", ([], ["alice", "alice"])
    ),
    "hub.users[].name": Note("text", "The account's name on the master.", "", ("Alice", "root")),
    "hub.users[].admin": Note("true or false", "Whether this user administers the Hub.", "", ("yes please",)),
    "hub.users[].groups": Note(
        "list of names", "Unix groups of the user's notebooks and executors, with the same ids on all nodes: for files "
        "in `/shared` that a team writes.", "none", (["sudo"], ["Team"], ["alice"]),
    ),
    "hub.users[].must_change_password": Note(
        "true or false", "Whether the first password is good for one login only, at which the Hub asks for another. It "
        "is for accounts that are made; `provision users passwd --must-change` is for those that are there.", "",
        ("yes",),
    ),
    "packages": Note(
        "list of pip requirement lines and of paths",
        "They are resolved once, on your machine and with its pip settings, to versions that fit the image's own "
        "libraries; the nodes need no registry. Source packages are refused.",
        "none", (["pandas<2"], ["-r requirements.txt"], ["./ours"], ["ours @ git+https://git.example/ours"]),
    ),
    "monitoring": Note("true or false", "See [Monitor a cluster](../how-to/monitor-a-cluster.md). It can be turned on "
        "and off on a running cluster.", "", ("sometimes",),
    ),
}  # fmt: skip


def cluster_file_page() -> str:
    """Write the page of all fields of cluster.yaml."""
    lines = [NOTICE.format(source="provision/cli/reference/cluster_file.py or templates/spec/cluster.yaml.j2"), ""]
    lines += [_INTRODUCTION]
    comments = comments_of((paths.TEMPLATES / "spec" / "cluster.yaml.j2").read_text(encoding="utf-8"))
    found = dict(fields())
    lines += ["## Fields", ""]
    lines += table(("Field", "Type", "Default"), (_row(path, field) for path, field in found.items()))
    for path in found:
        lines += _section(path, comments.get(path, ""))
    return "\n".join([*lines, *_limits()]).rstrip() + "\n"


def fields(model: type[BaseModel] = ClusterModel, above: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield every field of the cluster file by its path (`hub.users[].name`), those of a section after each other."""
    for name, field in model.model_fields.items():
        path, inner = above + name, _model_in(field.annotation)
        if inner is None or path in NOTES:
            yield path, field
        if inner is not None:
            yield from fields(inner, path + ("[]." if "list" in str(field.annotation) else "."))


def comments_of(template: str) -> dict[str, str]:
    """Read the comments above each field of the file that `init` writes; fields that follow at once share one."""
    known = {path for path, _ in fields()}
    found: dict[str, str] = {}
    section, comment, fresh = "", [], True  # type: str, list[str], bool
    for line in template.splitlines():
        text = line.strip()
        if text.startswith(("{%", "# {{")):
            continue  # what a cloud has, where it was asked
        if match := re.fullmatch(r"(#? ?)(\w+):(.*)", text):
            if not line.startswith(" "):
                section = match[2] + "." if not match[3] else ""
            path = section + match[2]
            if path in known:
                found.setdefault(path, " ".join(comment))
                fresh = True
                continue
        if text.startswith("#"):
            comment = [*([] if fresh else comment), text.lstrip("# ")]
            fresh = False
        else:
            comment, fresh = [], True
    return found


def refusal(path: str, value: Any) -> tuple[str, str]:  # noqa: ANN401 - YAML holds anything
    """Give the loader a file with this one wrong value: the line of YAML, and what it answers."""
    document: dict[str, Any] = {"name": "analytics"}
    place, *inner = path.replace("[]", "").split(".")
    wrong = value
    for key in reversed(inner):
        wrong = {key: wrong}
    if path.startswith("hub.users[]"):
        wrong = {"users": [{"name": "alice", **wrong["users"]}]}
    if path.startswith("image."):
        wrong = {"name": "debian-13", "stock": True, **wrong}
    document[place] = wrong
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cluster.yaml"
        file.write_text(yaml.safe_dump(document), encoding="utf-8")
        try:
            load(file, files=False)
        except UsageError as error:
            said = re.sub(rf"^{re.escape(str(file))}(:\d+)?: ", "", error.message).removeprefix(f"{path}: ")
            return yaml.safe_dump({place: wrong}, default_flow_style=True, width=200).strip()[1:-1], (
                f"{said}. {error.hint}"
            )
    raise AssertionError(f"{path}: {value!r} is not refused")


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((inner for each in get_args(annotation) if (inner := _model_in(each))), None)


def _default(path: str, field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if NOTES[path].left_out:
        return NOTES[path].left_out
    if path == "hub.idle_timeout":
        return code(f"{value // 3600}h")
    if path == "hub.users":
        return code(f"[{', '.join(user.name for user in value)}]")
    return code(str(value).lower() if isinstance(value, bool) else str(value))


def _row(path: str, field: FieldInfo) -> tuple[str, str, str]:
    return f"[{code(path)}](#{_anchor(path)})", NOTES[path].kind, _default(path, field)


def _anchor(path: str) -> str:
    return re.sub(r"[^\w]", "", path)


def _section(path: str, comment: str) -> list[str]:
    note = NOTES[path]
    meaning = " ".join(sentence for sentence in (_sentence(comment), note.more) if sentence)
    lines = [f"### `{path}`", "", meaning, ""]
    if note.refused:
        rows = (refusal(path, value) for value in note.refused)
        lines += table(("Refused", "Answer"), ((code(written), answer) for written, answer in rows))
    return lines


def _sentence(text: str) -> str:
    if re.match(r"\w\w", text):
        text = text[0].upper() + text[1:]
    return text if not text or text.endswith(".") else text + "."


def _limits() -> list[str]:
    rules = [(code(key), why) for key, why in PINNED.items()]
    rules += [(code(prefix + ("…" if prefix.endswith(".") else "*")), why) for prefix, why in PREFIXES.items()]
    rules += [(code(key), f"it has a field of its own: set {code(field)}") for key, field in OWN_FIELDS.items()]
    ports = [(str(first) if first == last else f"{first}-{last}", use) for first, last, use in taken_ports()]
    return [
        "## Settings that are pinned",
        "",
        "`spark.defaults` does not take these, because the cluster's own wiring depends on them:",
        "",
        *table(("Setting", "Why"), rules),
        "## Ports that the Hub cannot have",
        "",
        *table(("Port", "Belongs to"), ports),
        "## Ranges that no cluster can have",
        "",
        *table(("Range", "Use"), ((code(text), use) for text, use in SPECIAL.items())),
        "A range needs six addresses beside one for each node.",
        "",
        "## Names that no user can have",
        "",
        "Accounts and groups of the node's own system, and every name that begins with `systemd-`: "
        + ", ".join(code(name) for name in sorted(reserved_users()))
        + ".",
        "",
    ]
