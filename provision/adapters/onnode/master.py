"""What the master does with people's data, as root: measure it, stream it, take it in, put it in its places.

The stream is a tar archive. `provision/manifest.json` comes first, `provision/end` last: an archive without it is half
an archive. Between them are the Hub's state, password hashes, homes and /shared, with numeric ids; the manifest says
whose they are. Taking in writes to folders of its own beside the real ones, so that a stream that breaks off changes
nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from provision.adapters.onnode.merge import Merge, Report, translate

VERSION = 1
STATE = ("cookie_secret", "logins.json")
"""Files of the Hub's state that are carried over beside its database."""
STAGING = ".provision-restore"
"""Folder, for root only, in each place that data goes to: it holds the data until all of it has come."""
MADE = "Notebook user by login"
"""Comment of an account that the Hub has made at a login: the program there makes it again on a new master."""
LOGINS = "usr/local/share/provision/hub/logins.py"
SLICE = "notebooks.slice"
"""Where all users' programs are, notebook servers and jobs: units of their own, which outlive the Hub."""
FIRST_UID, LAST_UID = 20001, 59999
"""Numbers of accounts that a login makes, and of their groups (hub/logins.py)."""
REMOVED = "var/backups/notebooks"
"""Folder of the homes of users who were removed from the cluster (playbooks/users.yml)."""


class Master:
    """A master's places and accounts; `root` is another folder than / in tests only."""

    def __init__(self, *, group: str, hub: str, unit: str, root: str = "/") -> None:
        self.root = Path(root)
        self.group = group
        self.hub = self.root / hub.lstrip("/")
        self.unit = unit
        self.home = self.root / "home"
        self.shared = self.root / "shared"

    # --- accounts: from the files themselves, which is where useradd puts them

    def _lines(self, name: str) -> list[list[str]]:
        try:
            text = (self.root / "etc" / name).read_text()
        except FileNotFoundError:
            return []
        return [line.split(":") for line in text.splitlines() if line.count(":") >= 2]

    def accounts(self) -> dict[str, dict[str, Any]]:
        """Return the notebook users' accounts by name: uid, gid, home, and whether a login has made it."""
        members = {
            name for line in self._lines("group") if line[0] == self.group for name in line[3].split(",") if name
        }
        return {
            line[0]: {
                "uid": int(line[2]),
                "gid": int(line[3]),
                "home": line[5],
                "made": line[4].startswith(MADE),
            }
            for line in self._lines("passwd")
            if line[0] in members
        }

    def ids(self) -> dict[str, dict[str, int]]:
        """Return all ids of users and groups, by name."""
        return {
            "users": {line[0]: int(line[2]) for line in self._lines("passwd")},
            "groups": {line[0]: int(line[2]) for line in self._lines("group")},
        }

    def hashes(self) -> dict[str, str]:
        """Return the notebook users' password hashes; not those of locked accounts."""
        users = self.accounts()
        return {line[0]: line[1] for line in self._lines("shadow") if line[0] in users and line[1].startswith("$")}

    # --- out

    def manifest(self, cluster: str, users: list[str] | None) -> dict[str, Any]:
        """Describe an archive of these users, or of everything if `users` is None; `bytes` is about its size."""
        accounts = self.accounts()
        chosen = {name: each for name, each in accounts.items() if users is None or name in users}
        chosen = {name: each for name, each in chosen.items() if self._inside(each["home"]).is_dir()}
        places = [self._inside(each["home"]) for each in chosen.values()]
        if users is None:
            places += [self.root / name for name in self._whole_places()]
        return {
            "version": VERSION,
            "cluster": cluster,
            "whole": users is None,
            "users": chosen,
            "missing": sorted(set(users or ()) - set(accounts)),
            "ids": self.ids(),
            "bytes": sum(measure(place) for place in places),
        }

    def _whole_places(self) -> list[str]:
        """Return what an archive of everything has besides homes."""
        return [name for name in ("shared", REMOVED) if (self.root / name).is_dir()]

    def _inside(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def archive(self, cluster: str, users: list[str] | None, *, stop: bool) -> None:
        """Stream an archive to stdout.

        `stop`: end the Hub and people's programs first, whose writing would be lost; start the Hub again only if the
        stream breaks off.
        """
        try:
            if stop:
                self.end_programs()
            self._archive(cluster, users)
        except BaseException:
            if stop:
                with suppress(Failed):
                    self.hub_unit("start")
            raise

    def _archive(self, cluster: str, users: list[str] | None) -> None:
        manifest = self.manifest(cluster, users)
        for left in self.hub.glob(".provision-backup-*"):
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".provision-backup-", dir=self.hub) as folder:
            own = Path(folder) / "provision"
            own.mkdir()
            (own / "manifest.json").write_text(json.dumps(manifest))
            hashes = {name: text for name, text in self.hashes().items() if name in manifest["users"]}
            (own / "hashes.json").write_text(json.dumps(hashes))
            (own / "end").touch()
            if manifest["whole"]:
                self._copy_hub(own)
            first = ["provision/manifest.json", "provision/hashes.json"]
            first += [f"provision/{name}" for name in ("hub.sqlite", *STATE) if (own / name).exists()]
            places = [each["home"].lstrip("/") for each in manifest["users"].values()]
            places += self._whole_places() if manifest["whole"] else []
            # Names sorted, and headers without times of reading: what has not changed is the same bytes again.
            command = ["tar", "--create", "--file=-", "--format=posix", "--sort=name", "--numeric-owner", "--acls"]
            command += ["--xattrs", "--sparse", "--one-file-system", "--warning=no-file-changed", "--anchored"]
            command += ["--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime"]
            command += [
                f"--exclude=shared/{STAGING}",
                f"--exclude={REMOVED}/{STAGING}",
                f"--directory={folder}",
                *first,
            ]
            command += [f"--directory={self.root}", *places, f"--directory={folder}", "provision/end"]
            done = subprocess.run(command, stderr=subprocess.PIPE, check=False)
        # 1: a file has changed or gone while it was read, which is no failure of a backup of a live system.
        if done.returncode not in (0, 1):
            raise Failed("the files could not be read", done.stderr.decode(errors="replace"))

    def _copy_hub(self, folder: Path) -> None:
        """Copy the Hub's database as it is at one moment, without its servers: their processes are gone later."""
        database = self.hub / "jupyterhub.sqlite"
        if database.exists():
            with closing(sqlite3.connect(database, timeout=60)) as source:
                copy_database(source, folder / "hub.sqlite")
        for name in STATE:
            with suppress(FileNotFoundError):
                shutil.copyfile(self.hub / name, folder / name)

    # --- in

    def _stagings(self) -> dict[str, Path]:
        """Return the folders that the archive's top folders are unpacked to, each on the file system of its place.

        They are inside a folder for root only: what the archive says of /shared itself must not open it to people.
        """
        return {
            "provision": self.hub / STAGING / "in",
            "home": self.home / STAGING / "in",
            "shared": self.shared / STAGING / "in",
            REMOVED: self.root / REMOVED / STAGING / "in",
        }

    def clear(self) -> None:
        """Remove what has come in and was not put in its place."""
        for folder in self._stagings().values():
            shutil.rmtree(folder.parent, ignore_errors=True)
            # Anybody may put a file of this name into /shared.
            with suppress(OSError):
                folder.parent.unlink()

    def receive(self) -> dict[str, Any]:
        """Take in an archive from stdin, beside the real places; return its manifest. A half archive leaves nothing."""
        self.clear()
        try:
            stagings = self._stagings()
            for name, folder in stagings.items():
                # An archive of one user has no `shared`, and this master may have none.
                if name == REMOVED:
                    (self.root / REMOVED).mkdir(mode=0o700, parents=True, exist_ok=True)
                if name != "shared" or self.shared.is_dir():
                    folder.parent.mkdir(mode=0o700)
                    folder.mkdir()
            command = ["tar", "--extract", "--file=-", "--numeric-owner", "--same-permissions", "--xattrs"]
            command += ["--xattrs-include=*", "--delay-directory-restore", f"--directory={self.root}"]
            for name, folder in stagings.items():
                # S: what links say stays as it is.
                command.append(f"--transform=s,^{name}/,{folder.relative_to(self.root)}/,S")
                command.append(f"--transform=s,^{name}$,{folder.relative_to(self.root)},S")
            done = subprocess.run(command, stderr=subprocess.PIPE, check=False)
            if done.returncode:
                raise Failed("the archive could not be unpacked", done.stderr.decode(errors="replace"))
            if not (stagings["provision"] / "end").exists():
                raise Failed("the archive has no end", "")
            return self._received()
        except BaseException:
            self.clear()
            raise

    def _received(self) -> dict[str, Any]:
        manifest: dict[str, Any] = json.loads((self._stagings()["provision"] / "manifest.json").read_text())
        if manifest["version"] != VERSION:
            raise Failed(f"the archive is of version {manifest['version']}, and this reads {VERSION}", "")
        return manifest

    def put_in_place(self, users: list[str] | None, *, replace: bool, same: bool = False) -> Report:
        """Put what has come in its places, with the Hub stopped meanwhile, and people's programs ended.

        `users` limits it to their homes and passwords. Files that are newer than the archive's stay unless `replace`.
        `same`: it is of a master of this cluster, whose removed users' files keep their numbers. Nothing is removed.
        """
        manifest, report = self._received(), Report()
        stagings = self._stagings()
        chosen = [name for name in manifest["users"] if users is None or name in users]
        try:
            self.end_programs()
            # Now nobody can log in and get an account meanwhile.
            self._make_accounts({name: manifest["users"][name] for name in chosen}, manifest["ids"])
            accounts = self.accounts()
            report.skipped = [name for name in chosen if name not in accounts]
            report.users = [name for name in chosen if name in accounts]
            merge = Merge(translate(manifest["ids"], self.ids(), keep=same), report, replace=replace)
            for name in report.users:
                source = stagings["home"] / Path(manifest["users"][name]["home"]).relative_to("/home")
                merge.folder(source, self._inside(accounts[name]["home"]))
            for name in ("shared", REMOVED) if users is None else ():
                if stagings[name].is_dir():
                    merge.entries(stagings[name], self.root / name)
            self._set_hashes(report.users)
            if users is None:
                self._replace_hub(stagings["provision"])
        finally:
            self.hub_unit("start")
        self.clear()
        return report

    def _make_accounts(self, users: dict[str, dict[str, Any]], old: dict[str, dict[str, int]]) -> None:
        """Make the accounts of those whom a login has made on the master before.

        Each gets the number of its files, if that is free here: somebody else may have logged in first. `old` are the
        ids of the master before: a new number is none of them either.
        """
        program, here = self.root / LOGINS, self.accounts()
        missing = {name: each["uid"] for name, each in users.items() if each.get("made") and name not in here}
        if not missing or not program.exists():
            return
        used = _numbers(self.ids())
        last = max((each for each in used | _numbers(old) if FIRST_UID <= each <= LAST_UID), default=FIRST_UID - 1)
        for name, wanted in missing.items():
            number = wanted
            if wanted in used or not FIRST_UID <= wanted <= LAST_UID:
                number = last = last + 1
            used.add(number)
            command = ["/usr/bin/python3", "-I", str(program), "account", name, str(number), self.group, "spark"]
            run(command, f"the account of {name} could not be made")

    def _set_hashes(self, users: list[str]) -> None:
        """Set the passwords of before; one that is the same is not touched: whether it must be changed stays."""
        hashes, present = json.loads((self._stagings()["provision"] / "hashes.json").read_text()), self.hashes()
        changed = [name for name in users if name in hashes and hashes[name] != present.get(name)]
        lines = "".join(f"{name}:{hashes[name]}\n" for name in changed)
        if lines:
            run(["chpasswd", "--encrypted"], "the passwords could not be set", lines)

    def _replace_hub(self, folder: Path) -> None:
        for source, name in (("hub.sqlite", "jupyterhub.sqlite"), *((name, name) for name in STATE)):
            if (folder / source).exists():
                (folder / source).chmod(0o600)
                for suffix in ("-wal", "-shm", "-journal"):
                    (self.hub / f"{name}{suffix}").unlink(missing_ok=True)
                (folder / source).replace(self.hub / name)

    def hub_unit(self, verb: str) -> None:
        """Stop the Hub alone, or start it."""
        run(["systemctl", verb, self.unit], f"`systemctl {verb} {self.unit}` failed")

    def end_programs(self) -> None:
        """Stop the Hub, so that nothing new starts, and then end every notebook server and job."""
        self.hub_unit("stop")
        run(["systemctl", "stop", SLICE], f"`systemctl stop {SLICE}` failed")


class Failed(Exception):  # noqa: N818 - it is what happened
    """A failure: what failed, and the last lines that the program printed."""

    def __init__(self, what: str, detail: str) -> None:
        super().__init__(what)
        self.what = what
        self.detail = detail


def _numbers(ids: dict[str, dict[str, int]]) -> set[int]:
    return {number for numbers in ids.values() for number in numbers.values()}


def measure(place: Path) -> int:
    """Return about how many bytes a folder takes in an archive."""
    total, counted = 0, set()
    for folder, folders, files in os.walk(place):
        total += 2048 * (len(folders) + len(files))
        for name in files:
            with suppress(OSError):
                seen = os.stat(os.path.join(folder, name), follow_symlinks=False)
                if stat.S_ISREG(seen.st_mode) and seen.st_ino not in counted:
                    total += min(seen.st_size, seen.st_blocks * 512)
                    if seen.st_nlink > 1:
                        counted.add(seen.st_ino)
    return total


def copy_database(source: sqlite3.Connection, path: Path) -> None:
    """Copy a Hub's database, without the servers that it believes to run.

    A Hub that starts with them would look for their processes by their old numbers, and end whatever has them now.
    """
    with closing(sqlite3.connect(path)) as copy:
        source.backup(copy)
        tables = {name for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if {"spawners", "servers"} <= tables:
            copy.execute("DELETE FROM servers WHERE id IN (SELECT server_id FROM spawners)")
            copy.execute("UPDATE spawners SET server_id = NULL, state = NULL")
        copy.commit()
        copy.execute("PRAGMA journal_mode = DELETE")


def run(command: list[str], what: str, text: str = "") -> None:
    """Run a program that has to succeed."""
    done = subprocess.run(
        command, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False
    )
    if done.returncode:
        raise Failed(what, done.stdout)


def main(order: dict[str, Any]) -> int:
    """Do one thing: `size`, `archive`, `receive`, `place`, `clear` or `start`; print what came of it as JSON on stdout.

    What fails is one line of JSON on stderr, and exit code 1.
    """
    master = Master(**order["master"])
    try:
        if order["do"] == "size":
            print(json.dumps(master.manifest("", order["users"])))
        elif order["do"] == "archive":
            master.archive(order["cluster"], order["users"], stop=order["stop"])
        elif order["do"] == "receive":
            print(json.dumps(master.receive()))
        elif order["do"] == "place":
            report = master.put_in_place(order["users"], replace=order["replace"], same=order["same"])
            print(json.dumps(vars(report)))
        elif order["do"] == "clear":
            master.clear()
        else:
            master.hub_unit("start")
    except (Failed, OSError) as error:
        detail = error.detail if isinstance(error, Failed) else ""
        what = error.what if isinstance(error, Failed) else f"{error.filename or 'a file'}: {error.strerror}"
        sys.stderr.write(json.dumps({"what": what, "detail": detail[-4000:]}) + "\n")
        return 1
    return 0
