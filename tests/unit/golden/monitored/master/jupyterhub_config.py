"""JupyterHub on cluster analytics. Made by provision; playbooks/site.yml restores it."""

import asyncio
import contextlib
import grp
import importlib.util
import json
import os
import pwd
import secrets
import subprocess
import sys
from pathlib import Path

from jupyterhub.auth import PAMAuthenticator

c = get_config()  # noqa: F821 - JupyterHub gives it

# HTTPS for people; the Hub's own API and the proxy's stay on the loopback address.
c.JupyterHub.bind_url = "https://0.0.0.0:443"
c.JupyterHub.ssl_cert = "/etc/jupyterhub/tls/hub.pem"
c.JupyterHub.ssl_key = "/etc/jupyterhub/tls/hub.key"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:8091"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:8092"
c.ConfigurableHTTPProxy.command = ["/usr/bin/node", "/opt/chp/node_modules/configurable-http-proxy/bin/configurable-http-proxy"]

state = Path("/var/lib/jupyterhub")
c.JupyterHub.db_url = f"sqlite:///{state}/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = str(state / "cookie_secret")
c.ConfigurableHTTPProxy.pid_file = str(state / "proxy.pid")
# To measure it, the Hub wakes twenty times a second: a fifth of an emulated processor, whatever happens.
c.PeriodicMetricsCollector.event_loop_interval_enabled = False

# Who may log in is a matter of accounts, so that users come and go without a restart.
users, admins = "notebook", "notebook-admin"


def belongs(name: str, group: str) -> bool:
    """Return whether an account exists and is of a group, as things are now."""
    try:
        account = pwd.getpwnam(name)
        return account.pw_uid >= 1000 and grp.getgrnam(group).gr_gid in os.getgrouplist(name, account.pw_gid)
    except KeyError:
        return False


login_pages = "/usr/local/share/provision/hub"
sys.path.append(login_pages)
parts = [PAMAuthenticator]
if importlib.util.find_spec("notebook_passwords"):  # images of version 0.1 lack it
    from notebook_passwords import PasswordPages

    parts.insert(0, PasswordPages)
    c.JupyterHub.template_paths = [f"{login_pages}/pages"]
logins = None
if importlib.util.find_spec("logins"):  # older images lack it, and know PAM alone
    from logins import EndsServers, Logins

    given = json.loads(Path("/etc/jupyterhub/login.json").read_text())
    logins = Logins(given["login"], state, users, ["spark"])
    if logins.kind != "pam":
        from login_servers import configure

        parts = [configure(c, logins, given["secret"])]
    c.JupyterHub.template_vars = {"passwords": logins.kind == "pam"}
    parts.insert(0, EndsServers)


def may_use(name: str) -> bool:
    """Return whether an account may use the Hub, as things are now."""
    return belongs(name, users) and (logins is None or logins.may(name))


class NotebookUsers(*parts):
    """Accounts of one group alone: the Hub runs as root, and would start a server for whatever account it is given."""

    def validate_username(self, username: str) -> bool:
        """Return whether the Hub may know this user, be it by a login or by an administrator's request."""
        return super().validate_username(username) and belongs(username, users)

    may_use = staticmethod(may_use)

    async def refresh_user(self, user, handler=None, **kwargs):
        """Say what a user may do now: whoever is taken out of a group has its rights no longer, tokens included."""
        if not may_use(user.name):
            return False
        return {"name": user.name, "admin": belongs(user.name, admins) or bool(logins and logins.admin(user.name))}


c.JupyterHub.authenticator_class = NotebookUsers
c.PAMAuthenticator.open_sessions = False
c.PAMAuthenticator.allowed_groups = {users}
c.PAMAuthenticator.admin_groups = {admins}
c.Authenticator.auth_refresh_age = 1
c.Authenticator.auth_refresh_strict = True

if importlib.util.find_spec("systemdspawner"):  # images of version 0.1 lack it
    # A unit of its own for each user's server: what one user takes is not the others', nor the Hub's and Spark's.
    c.JupyterHub.spawner_class = "systemd"
    # They go on while the Hub starts again.
    c.JupyterHub.cleanup_servers = False
c.SystemdSpawner.unit_name_template = "notebook-{USERNAME}"
c.SystemdSpawner.slice = "notebooks.slice"
c.SystemdSpawner.mem_limit = "1280M"
c.SystemdSpawner.isolate_tmp = True
# Users change their passwords in a terminal of the Hub's (passwd is setuid).
c.SystemdSpawner.disable_user_sudo = False
c.SystemdSpawner.unit_extra_properties = {
    "TasksMax": "2048",
    "LimitNOFILE": "65536",
    "OOMScoreAdjust": "300",
    "UMask": "0022",
}

# Python, JupyterLab and Spark take their time on emulated or busy machines.
c.Spawner.cmd = ["/opt/jupyter/bin/python", "/usr/local/lib/provision/notebook-server"]
c.Spawner.default_url = "/lab"
c.Spawner.start_timeout = 600
c.Spawner.http_timeout = 600
c.Spawner.environment = {
    # systemdspawner gives none of the Hub's own.
    "PATH": "/opt/jupyter/bin:/usr/local/bin:/usr/bin:/bin",
    "SPARK_HOME": "/opt/spark",
    "SPARK_CONF_DIR": "/etc/spark",
    "PYSPARK_PYTHON": "/opt/jupyter/bin/python",
}
if c.JupyterHub.spawner_class == "systemd":
    # In the unit's own /tmp, which is memory: a user whose files are at their limit can start a server, to remove some.
    c.Spawner.environment["JUPYTER_RUNTIME_DIR"] = "/tmp/jupyter"  # noqa: S108
    # Where the memory that notebooks have taken is counted, Spark starts with the server.
    early = {"spec": "/usr/local/share/jupyter/kernels/pyspark/kernel.json", "read": ["/etc/spark/spark-defaults.conf", "/opt/packages/current"]}
    c.Spawner.environment["EARLY_KERNEL"] = json.dumps(early)

set_quota = "/usr/sbin/setquota"
# All users' servers together, and what none of them takes from the Hub, Spark and the way in for the operator.
shares_of_memory = {
    c.SystemdSpawner.slice: "MemoryMax=1280M",
    "system.slice": "MemoryMin=576M",
}


async def prepare(spawner) -> None:
    """Before a server starts: all of them have a limit, and a user's drivers can prove to workers whose they are.

    Raises PermissionError for an account that is not a notebook user's.
    """
    if not may_use(spawner.user.name):
        raise PermissionError(f"{spawner.user.name} is not a notebook user of this cluster")
    for unit, memory in shares_of_memory.items():
        command = ["systemctl", "set-property", "--runtime", unit, memory]
        await asyncio.to_thread(subprocess.run, command, check=True)
    link = f"/home/{spawner.user.name}/shared"
    if not os.path.lexists(link):
        # The file browser shows a home and what is linked there. As the user: root has no business in homes.
        user = {"user": spawner.user.name, "group": spawner.user.name, "extra_groups": []}
        command = ["ln", "-sn", "/shared", link]
        await asyncio.to_thread(subprocess.run, command, check=False, **user)
    if os.path.exists(set_quota):  # images of version 0.1 lack it
        # Homes, /shared and drivers' scratch are on one file system. In KiB; 0 is no limit.
        space = [set_quota, "-u", spawner.user.name, "0", "0", "0", "0", "/"]
        await asyncio.to_thread(subprocess.run, space, check=True)
    program = "/usr/local/lib/provision/user-token"
    if os.path.exists(program):  # images of version 0.1 lack it
        await asyncio.to_thread(subprocess.run, [program, spawner.user.name], check=True)


c.Spawner.pre_spawn_hook = prepare

# What users choose from when they start a server: words, and settings that the kernels give to Spark (shares.py).
# Without a limit of its own, a notebook has its user's share.
sizes = {
    "medium": (
        "512 MB for a notebook, "
        "up to 2 cores, "
        "900 MB for an executor of 1",
        "spark.driver.memory=512m spark.executor.memory=900m "
        "spark.executor.cores=1"
        " spark.cores.max=2"
        "",
    ),
    "large": (
        "1024 MB for a notebook, "
        "your share of the cores, "
        "900 MB for an executor of 1",
        "spark.driver.memory=1024m spark.executor.memory=900m "
        "spark.executor.cores=1"
        "",
    ),
}


def size_settings(spawner) -> str:
    """Return the settings of the chosen size."""
    return sizes.get(spawner.user_options.get("size"), sizes["medium"])[1]


def read_form(form) -> dict[str, str]:
    """Return the user's options from the form. Raises ValueError with words for the page."""
    chosen = form.get("size", ["medium"])[0]
    if chosen not in sizes:
        raise ValueError(f"{chosen!r} is not a size: choose one of {', '.join(sizes)}.")
    return {"size": chosen}


c.Spawner.environment["SPARK_SIZE"] = size_settings
c.Spawner.options_from_form = read_form
c.Spawner.options_form = "\n".join(
    [
        '<label for="size">Size of each notebook</label>',
        '<select id="size" name="size" class="form-control">',
        *(
            f'<option value="{name}"{" selected" if name == "medium" else ""}>{name}: {words}</option>'
            for name, (words, _) in sizes.items()
        ),
        "</select>",
    ]
)
c.Spawner.args = [
    # A kernel's own start takes half a minute where the processor is emulated.
    "--MappingKernelManager.kernel_info_timeout=600",
    # An idle notebook gives its cores back, even when its page is left open.
    "--MappingKernelManager.cull_idle_timeout=3600",
    "--MappingKernelManager.cull_interval=300",
    "--MappingKernelManager.cull_connected=True",
]


def operator_token() -> str:
    """Return the token with which playbooks/users.yml speaks to the Hub; made at the first start, for root only."""
    path = state / "operator.token"
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    return path.read_text()


c.JupyterHub.services = [{"name": "operator", "api_token": operator_token()}]
c.JupyterHub.load_roles = [{"name": "operator", "scopes": ["admin:users", "admin:servers"], "services": ["operator"]}]


def metrics_token() -> str:
    """Return the token with which the store of metrics asks the Hub. Whichever of the two starts first makes it."""
    path, new = state / "metrics.token", state / "metrics.token.hub"
    if not path.exists():
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        with contextlib.suppress(FileExistsError):
            os.link(new, path)
        new.unlink()
    return path.read_text()


c.JupyterHub.services.append({"name": "metrics", "api_token": metrics_token()})
c.JupyterHub.load_roles.append({"name": "metrics", "scopes": ["read:metrics"], "services": ["metrics"]})
pages = "/usr/local/lib/provision/spark-pages"
allowed = ["self"]
if os.path.exists(pages):  # images of version 0.1 lack it
    # Spark's pages, to those whose applications they are. It has no name, no group and no right but to its port.
    capability = "-all,+net_bind_service"
    account = ["--reuid=61040", "--regid=61040", "--clear-groups", "--no-new-privs"]
    account += [f"--{kind}={capability}" for kind in ("bounding-set", "inh-caps", "ambient-caps")]
    places = {
        "address": "10.20.0.10",
        "cidr": "10.20.0.0/24",
        "app_ui": 4040,
        "retries": 99,
        "master_ui": 8080,
        "worker_ui": 8081,
        "history": 18080,
        "events": "/var/lib/spark/events",
    }
    c.JupyterHub.services.append(
        {
            "name": "spark",
            "url": "http://127.0.0.1:893",
            "oauth_no_confirm": True,
            # The Hub waits for it, and ends if it does not come: emulated machines take their time.
            "timeout": 600,
            "command": ["setpriv", *account, "nice", sys.executable, "-I", pages, json.dumps(places)],
            "environment": {"HOME": "/nonexistent", "MALLOC_ARENA_MAX": "2"},
            "cwd": "/",
        }
    )
    allowed.append("access:services!service=spark")

dashboards = "/usr/local/lib/provision/dashboards"
if os.path.exists(dashboards):  # older images lack it
    # What monitoring sees, to everybody who may use the Hub: by the same account, and in the same way.
    shown = {"url": "http://127.0.0.1:8429", "name": "analytics", "every": 10}
    c.JupyterHub.services.append(
        {
            "name": "dashboards",
            "url": "http://127.0.0.1:894",
            "oauth_no_confirm": True,
            "timeout": 600,
            "command": ["setpriv", *account, "nice", sys.executable, "-I", dashboards, json.dumps(shown)],
            "environment": {"HOME": "/nonexistent", "MALLOC_ARENA_MAX": "2"},
            "cwd": "/",
        }
    )
    allowed.append("access:services!service=dashboards")
if len(allowed) > 1:
    c.JupyterHub.load_roles.append({"name": "user", "scopes": allowed})

# A server that nobody uses goes too, with the memory of its kernels.
c.JupyterHub.services.append(
    {
        "name": "idle-culler",
        "command": [
            sys.executable,
            "-m",
            "jupyterhub_idle_culler",
            "--timeout=3600",
            "--cull-every=300",
        ],
    }
)
c.JupyterHub.load_roles.append(
    {
        "name": "idle-culler",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["idle-culler"],
    }
)
