"""Logins by OIDC or LDAP: who may use the Hub, and the accounts that are made at the first login.

A login server says who somebody is. What that is worth here follows from hub.login in cluster.yaml, which comes in a file
beside the Hub's configuration; what is kept of each login is in a file of the Hub's state. The standard library alone:
`logins.py account NAME UID` makes an account too, for a master that takes over people's data.
"""

import asyncio
import contextlib
import fcntl
import grp
import json
import os
import pwd
import re
import subprocess
import sys
from pathlib import Path

MADE = "Notebook user by login"
"""Comment of an account that a login has made: playbooks/users.yml leaves those alone."""
FIRST_UID, LAST_UID = 20001, 59999
"""Numbers of these accounts and of their groups, on all nodes: above those that cluster.yaml's users and groups get."""
NAME = re.compile(r"[a-z_][a-z0-9_-]*")
MOST = 32
"""Letters of an account's name: the same as for hub.users (clusterfile/units.py)."""


class Refused(Exception):
    """Somebody may not log in; the text is a sentence for the login page."""


def login_name(given, domain=""):
    """Return a login in the one way to write it: small letters, and without the domain of cluster.yaml. Raises Refused.

    clusterfile/logins.py reads the names in cluster.yaml by the same rule.
    """
    if not isinstance(given, str) or not given.strip():
        raise Refused("the login server gives no name for you")
    text = given.strip()
    # Some letters of other alphabets have small letters that are ours: whoever has such a name would be someone else.
    if not text.isascii() or not text.isprintable():
        raise Refused(f"{text!r} cannot be an account: it has letters that are not of the English alphabet")
    text = text.lower()
    if "@" in text:
        local, _, place = text.rpartition("@")
        if not domain:
            raise Refused(f"{text!r} is an e-mail address, and hub.login.email_domain names none whose names are accounts")
        if place != domain.lower():
            raise Refused(f"{text!r} is not an address of {domain}, whose names alone are accounts here")
        text = local
    return text


def account_name(login, reserved=()):
    """Return the name of a login's account: dots become dashes, all else stays. Raises Refused."""
    name = login.replace(".", "-")
    if not NAME.fullmatch(name):
        raise Refused(
            f"{login!r} cannot be an account: its name may have a-z, 0-9, dots, _ and -, and starts with a letter or _"
        )
    if len(name) > MOST:
        raise Refused(f"{login!r} cannot be an account: it has {len(name)} letters, and {MOST} is the most")
    if name in reserved or name.startswith("systemd-"):
        raise Refused(f"{login!r} cannot be an account: that name is one of the system's own")
    return name


class Logins:
    """What cluster.yaml says of logins, and what is kept of them."""

    def __init__(self, settings, folder, group, groups=(), root="/"):
        """`settings` are hub.login's, `folder` is the Hub's; `group` is that of notebook users, `groups` their others.

        `root` is another folder than / in tests only.
        """
        self.settings = settings
        self.kind = settings["kind"]
        self.group = group
        self.groups = groups
        self.reserved = settings.get("reserved", ())
        self.shadow = Path(root) / "etc/shadow"
        self.file = Path(folder) / "logins.json"
        self.lock = Path(folder) / "logins.lock"
        self.domain = settings.get("email_domain", "")

    def authority(self):
        """Write the CA of the login server into a file and return its path; None for the authorities of the system."""
        if not self.settings["ca"]:
            return None
        path = self.file.with_name("login-ca.pem")
        path.write_text(self.settings["ca"])
        return str(path)

    # --- who may

    def allowed(self, login, groups):
        """Return whether a login may use the Hub, by its name and its groups."""
        given = self.settings
        if login in self._names("denied_users"):
            return False
        return bool(
            given["allow_all"]
            or login in self._names("allowed_users")
            or set(groups) & set(given["allowed_groups"])
            or self.administers(login, groups)
        )

    def administers(self, login, groups):
        """Return whether a login administers the Hub."""
        return login in self._names("admin_users") or bool(set(groups) & set(self.settings["admin_groups"]))

    def _names(self, field):
        return {login_name(each, self.domain) for each in self.settings[field]}

    def may(self, name):
        """Return whether an account may use the Hub, as things are now. Its groups are those of its last login."""
        if self.kind == "pam":
            # Accounts of logins that were there before: whoever gets a password stays.
            return not made_by_login(name) or self._has_password(name)
        return self.allowed(*self._last(name))

    def admin(self, name):
        """Return whether an account administers the Hub by its login."""
        return self.kind != "pam" and self.administers(*self._last(name))

    def _last(self, name):
        kept = self.kept().get(name)
        return (kept["login"], kept["groups"]) if kept else (name, [])

    def _has_password(self, name):
        lines = (line.split(":") for line in self.shadow.read_text().splitlines())
        return any(words[0] == name and words[1].startswith("$") for words in lines)

    # --- what is kept

    def kept(self):
        """Return what is kept of the last login of each account, by name."""
        try:
            return json.loads(self.file.read_text())
        except FileNotFoundError:
            return {}

    def _keep(self, name, entry):
        text = json.dumps(self.kept() | {name: entry}, indent=1, sort_keys=True) + "\n"
        new = self.file.with_suffix(".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.file)

    @contextlib.contextmanager
    def _alone(self):
        with self.lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    # --- a login

    def admit(self, given, groups, subject=""):
        """Return the account of somebody whom the login server knows, which is made if need be. Raises Refused.

        `subject` is what the server knows them by, whatever their name is; empty if it has no such thing.
        """
        login = login_name(given, self.domain)
        if not self.allowed(login, groups):
            raise Refused(f"{login} is not on the list of those who may use this cluster: ask whoever runs it")
        name = account_name(login, self.reserved)
        with self._alone():
            kept = self.kept().get(name)
            if kept and kept["login"] != login:
                raise Refused(f"the account {name} belongs to {kept['login']}, and cannot be that of {login} too")
            if kept and kept["subject"] and subject and kept["subject"] != subject:
                raise Refused(f"the account {name} belongs to somebody who was called {login} before: ask whoever runs it")
            ensure_account(name, self.group, self.groups)
            self._keep(name, {"login": login, "groups": sorted(groups), "subject": subject})
        return name


class EndsServers:
    """Ends the servers of those who may not use the Hub any more: a part of its authenticator."""

    SECONDS = 15
    """How often it looks."""

    def get_handlers(self, app):
        """Return the pages of a login; from now on servers are looked at."""
        self.ending = asyncio.get_running_loop().create_task(self._look(app))
        return super().get_handlers(app)

    async def _look(self, app):
        while True:
            await asyncio.sleep(self.SECONDS)
            for user in list(app.users.values()):
                try:
                    await self._end(app, user)
                except Exception:  # one user's server that does not stop is tried again, and the others' end
                    self.log.exception("A server of %s does not end", user.name)

    async def _end(self, app, user):
        running = [name for name, spawner in user.spawners.items() if spawner.ready]
        if not running or self.may_use(user.name):
            return
        self.log.warning("%s may not use this cluster any more: the server ends", user.name)
        for name in running:
            await app.proxy.delete_user(user, name)
            await user.stop(name)


# --- accounts


def made_by_login(name):
    """Return whether an account is one that a login has made."""
    try:
        return pwd.getpwnam(name).pw_gecos.startswith(MADE)
    except KeyError:
        return False


def ensure_account(name, group, groups=(), uid=None):
    """Make an account if there is none, as root. Raises Refused for one that is not a notebook user's."""
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        make_account(name, [group, *groups], uid or next_uid(name))
        return
    if account.pw_uid < 1000 or name not in grp.getgrnam(group).gr_mem:
        raise Refused(f"{name!r} cannot be an account: that name is one of the system's own")


def make_account(name, groups, uid):
    """Make an account without a password, and its home for itself alone, as root."""
    with contextlib.suppress(KeyError):
        grp.getgrnam(name)
        raise Refused(f"{name!r} cannot be an account: a group has that name")
    _run(["/usr/sbin/groupadd", "--gid", str(uid), name])
    command = ["/usr/sbin/useradd", "--uid", str(uid), "--gid", str(uid), "--groups", ",".join(groups)]
    command += ["--create-home", "--key", "HOME_MODE=0700", "--shell", "/bin/bash", "--comment", MADE]
    # No password fits this one; it is not locked.
    try:
        _run([*command, "--password", "*", name])
    except subprocess.CalledProcessError:
        subprocess.run(["/usr/sbin/groupdel", name], check=False)
        raise


def _run(command):
    subprocess.run(command, check=True, capture_output=True, text=True)


def next_uid(name, homes="/home"):
    """Return the number of a new account: that of its home if there is one already, else one that none has had."""
    used = {each.pw_uid for each in pwd.getpwall()} | {each.gr_gid for each in grp.getgrall()}
    owners = set()
    with contextlib.suppress(FileNotFoundError):
        owners = {entry.stat(follow_symlinks=False).st_uid for entry in os.scandir(homes)}
    with contextlib.suppress(FileNotFoundError):
        owner = os.stat(f"{homes}/{name}", follow_symlinks=False).st_uid
        if not FIRST_UID <= owner <= LAST_UID or owner in used:
            raise Refused(f"the folder {homes}/{name} belongs to somebody else: ask whoever runs the cluster")
        return owner
    taken = [uid for uid in used | owners if FIRST_UID <= uid <= LAST_UID]
    return max(taken, default=FIRST_UID - 1) + 1


if __name__ == "__main__":
    word, account, number, *names = sys.argv[1:]
    assert word == "account"  # noqa: S101
    ensure_account(account, names[0], names[1:], int(number))
