"""What the page of cluster.yaml says of its fields beside what the models and the file that `init` writes say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    "network.nameservers": Note(
        "list of IPv4 addresses", "Five at most, in the order in which they are asked. A change comes to the live "
        "subnet with `provision up`; nodes that run learn it when they renew their address, or boot. Without the "
        "field, or with an empty list, a live subnet keeps those that it has. An existing network has its own.",
        "those that the cloud gives",
        (["192.0.2.53", "192.0.2.53"], ["fd00::53"], ["127.0.0.1"], "192.0.2.53"),
    ),
    "network.floating_ip": Note(
        "`true`, `false`, or an address",
        "`true` makes one for the node with the Hub. `false` goes without: then this machine and people reach it at "
        "its own address. An address is that of a floating IP which this project has: it is used, and stays.", "",
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
    "master.flavor": Note("text", "A flavor of the cloud with at least 1536 MiB of memory, or 1024 MiB where the Hub "
        "is on a node of its own."),
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
        (["io.delta:delta-core_2.12:2.4.0"], ["org.postgresql:postgresql"], ["https://repo.example/tools.jar"]),
    ),
    "hub.on": Note(
        "`master` or `node`", "With `node` there is one more server, `NAME-hub`, which people reach; the Spark master "
        "is on another, which they do not. It cannot be changed while the cluster exists, and not be had together with "
        "`monitoring`. See [Give the Hub a node of its own](../how-to/hub-node.md).", "", ("elsewhere", "worker-1"),
    ),
    "hub.flavor": Note("text", "A flavor of the cloud with at least 1536 MiB of memory, for `on: node`; the master "
        "then needs 1024 MiB.", "", ("m1.small",),
    ),
    "hub.availability_zone": Note("text", "For `on: node`.", "the cloud's choice", ("nova",)),
    "hub.server_group": Note("text", "For `on: node`: the name or id of a server group.", "none", ("racks",)),
    "hub.port": Note("whole number", "The port of the Hub's HTTPS.", "", (22, 70000)),
    "hub.idle_timeout": Note("time: `90s`, `30m`, `1h30m`, `2d`, or `0`", refused=(3600, "30s", "soon")),
    "hub.limits": Note(
        "map", "Each user's notebooks, kernels, drivers and terminals count together.", "as its fields have them",
    ),
    "hub.limits.memory": Note(
        "memory size: `512m`, `2g`",
        "What takes more is ended by the kernel, the largest first: a notebook says that its kernel died.",
        "see [Sizing](sizing.md)", ("2048", 2048),
    ),
    "hub.limits.cores": Note(
        "whole number", "Cores of the Hub's node.", "what is free, and an equal share of it when others want it too",
        (0,),
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
