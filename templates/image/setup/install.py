"""Make a node of a stock image: install what software.yaml lists, then give the node its part of the cluster.

Or make a golden image of it: then what makes it this very machine is removed, and it switches itself off.

Root runs it at the first boot (templates/cloud-init/stock.yaml.j2), from what the operator's machine has brought
(provision/model/image/stock.py); the standard library is all that there is. What it does, and why it cannot go on, it
says on the console. After a restart it goes on where it was.
"""

from __future__ import annotations

import http.client
import json
import os
import platform
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLACE = Path("/var/lib/provision-install")
LOG = Path("/var/log/provision-install.log")
CONSOLE = Path("/dev/console")
UNIT = "provision-install"
GIVE_UP = 600
"""Seconds for which a source may stay away; then that is a failure. It is asked all the same, as it may come back."""
STEP = 3 * 3600
"""Seconds for a command: emulated machines are slow."""
LOOK = 15
"""Seconds between two looks at the sources, while a command runs or before it is tried again."""
PAUSES = (15, 30, 60, 120, 240)
"""Seconds before each new try of what failed although its sources answer: a mirror that is renewed, or asked too much."""
ROOM = 6
"""GiB of disk that have to be free: half of it is needed while Spark is built."""
LISTED = "pyspark"
"""A package that every index has which is of use here."""
TAIL = 10
PROGRAMS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": PROGRAMS, "HOME": "/root", "LC_ALL": "C.UTF-8"}
APT = (
    "-oAPT::Install-Recommends=false",
    "-oAcquire::Languages=none",
    "-oAcquire::Retries=0",
    "-oAcquire::http::Timeout=30",
    "-oAcquire::https::Timeout=30",
    # The image's own timers may be at it.
    "-oDPkg::Lock::Timeout=900",
    "-oDpkg::Options::=--force-confdef",
    "-oDpkg::Options::=--force-confold",
    "-oDpkg::Options::=--force-unsafe-io",
)
AUTHORITIES = Path("/run/provision-authorities.pem")
"""A copy for apt, whose programs that fetch are not root's."""
BAKED = 20
"""Seconds between the report that all is done and the end: whoever waits has to see it while there is a console."""
HELD = "/usr/sbin/policy-rc.d"
HOLD = "#!/bin/sh\n# Of provision-install: nothing that is installed starts before it is configured.\nexit 101\n"


class InstallError(Exception):
    """The node cannot become one; the text says why."""


@dataclass(frozen=True)
class Step:
    """A part of the installation: commands, and the sources that they take something from."""

    words: str
    commands: list[list[str]]
    sources: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)


class Node:
    """The machine; another one in tests only."""

    clock = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)

    def __init__(self, place: Path | None = None) -> None:
        self.place = place or PLACE
        authorities = self.place / "settings/authorities.pem"
        self.authorities = str(authorities) if authorities.exists() else ""
        self._said: dict[str, object] = {}

    def say(self, **report: object) -> None:
        """Write a report for whoever waits for this node, once, in one write: others' lines do not come in between."""
        same = {name: value for name, value in report.items() if name != "log"}
        if same != self._said:
            self._said = same
            with suppress(OSError), CONSOLE.open("a") as console:
                console.write(f"PROVISION {json.dumps(report)}\n")

    def system(self) -> tuple[str, str, str, int]:
        """Return the system as ID-VERSION_ID, its name for people, the processor, and GiB of free disk."""
        found = platform.freedesktop_os_release()
        free = shutil.disk_usage(self.place).free >> 30
        return f"{found['ID']}-{found.get('VERSION_ID', '')}", found["PRETTY_NAME"], platform.machine(), free

    def emulated(self) -> bool:
        """Whether the processor is emulated, as far as that can be told."""
        found = subprocess.run(["systemd-detect-virt", "--vm"], capture_output=True, text=True, check=False)
        return found.stdout.strip() == "qemu"

    def answers(self, url: str) -> bool:
        """Whether anything answers there; what it says does not matter, unless it is that it cannot."""
        try:
            if url.startswith("tcp:"):
                socket.create_connection((urlsplit(url).hostname, urlsplit(url).port or 80), timeout=8).close()
            else:
                self._open(url).close()
        except urllib.error.HTTPError as error:
            return error.code < 500
        except (OSError, ValueError, http.client.HTTPException):
            return False
        return True

    def _open(self, url: str) -> http.client.HTTPResponse:
        """Ask for a page: of anybody, so without a password. Raises OSError, ValueError or HTTPException."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
        bare = re.sub(r"//[^/?#]*@", "//", url)
        answer: http.client.HTTPResponse = opener.open(bare, timeout=8)
        return answer

    def registry(self, argv: list[str], environment: dict[str, str]) -> str:
        """Return the address of a registry that a command prints, without a user and a password."""
        words = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False).stdout.split()
        found = urlsplit(words[-1] if words else "")
        if found.scheme not in {"http", "https"}:
            raise InstallError(f"`{' '.join(argv[1:])}` does not say where packages come from")
        return urlunsplit(found._replace(netloc=found.netloc.rpartition("@")[2]))

    def file_servers(self, index: str) -> list[str]:
        """Return the servers, besides its own, whose files an index of Python's packages names, if it answers."""
        try:
            with self._open(f"{index.rstrip('/')}/{LISTED}/") as answer:
                page = answer.read().decode(errors="replace")
        except (OSError, ValueError, http.client.HTTPException):
            return []
        files = (urlsplit(urljoin(index, link)) for link in re.findall(r'href="([^"#]+)', page))
        return sorted({f"{file.scheme}://{file.netloc}/" for file in files if file.netloc != urlsplit(index).netloc})

    def run(self, argv: list[str], environment: dict[str, str], look: Callable[[], object]) -> int:
        """Run a command, and call `look` from time to time while it runs; return its exit code."""
        began = self.clock()
        with LOG.open("ab") as log:
            process = subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            while self.clock() - began < STEP:
                with suppress(subprocess.TimeoutExpired):
                    return process.wait(LOOK)
                look()
            process.kill()
            process.wait()
            log.write(f"no end after {STEP} s\n".encode())
        return 124

    def end(self) -> None:
        """Remove the last traces of this program, and switch the machine off."""
        shutil.rmtree(self.place)
        LOG.unlink(missing_ok=True)
        self.say(phase="baked")
        self.sleep(BAKED)
        subprocess.run(["systemctl", "poweroff"], check=True)

    def log(self) -> list[str]:
        """Return the last lines that the commands have written."""
        text = LOG.read_text(errors="replace") if LOG.exists() else ""
        return [line.strip()[:300] for line in text.splitlines() if line.strip()][-TAIL:]

    def write_sources(self, mirrors: dict[str, str]) -> str:
        """Write a list of the operator's mirrors and return its path; empty where there are none of this system."""
        found = platform.freedesktop_os_release()
        if found["ID"] != "debian" or not mirrors.get("archive"):
            return ""
        suite = found["VERSION_CODENAME"]
        keys = sorted(Path("/usr/share/keyrings").glob("debian-archive-keyring.*"))[0]
        lines = [f"deb [signed-by={keys}] {mirrors['archive']} {suite} main"]
        if mirrors.get("security"):
            lines.append(f"deb [signed-by={keys}] {mirrors['security']} {suite}-security main")
        path = self.place / "sources.list"
        path.write_text("\n".join(lines) + "\n")
        return str(path)

    def apt_options(self) -> list[str]:
        """Return options for the proxies of the operator's apt, and for the operator's authorities."""
        file = self.place / "settings/apt.conf"
        options = [f"--config-file={file}"] if file.exists() else []
        if self.authorities:
            AUTHORITIES.write_text(Path(self.authorities).read_text())
            AUTHORITIES.chmod(0o644)
            options.append(f"-oAcquire::https::CAInfo={AUTHORITIES}")
        return options

    def apt_sources(self, options: list[str]) -> list[str]:
        """Return the addresses that apt takes packages from, or those of its proxies that lead to them."""
        # Without that option apt names only those that it has fetched from before, which on a new node are none.
        every = ["indextargets", "--no-release-info"]
        argv = ["apt-get", *options, *every, "--format", "$(REPO_URI)", "Created-By: Packages"]
        addresses = []
        for uri in subprocess.run(argv, capture_output=True, text=True, check=False).stdout.split():
            # Debian's images name their mirrors in files.
            file = uri.partition("+file:")[2]
            lines = Path(file.rstrip("/")).read_text().split() if file else [uri]
            addresses += [line for line in lines if line.startswith(("http:", "https:"))]
        return list(dict.fromkeys(map(self._by_proxy, addresses)))

    def _by_proxy(self, address: str) -> str:
        """Return where apt connects to for an address: tcp://HOST:PORT of its own proxy, if it has one for it."""
        file, parts = self.place / "settings/apt.conf", urlsplit(address)
        proxies = dict(re.findall(r'(\S+) "(.+)";', file.read_text().lower() if file.exists() else ""))
        # As apt does: that of the host goes first, and https has those of http where it has none.
        names = [f"acquire::{of}::proxy{end}" for end in (f"::{parts.hostname}", "") for of in (parts.scheme, "http")]
        proxy = urlsplit(next((proxies[name] for name in names if name in proxies), ""))
        direct = not proxy.hostname or urllib.request.proxy_bypass(str(parts.hostname))
        return address if direct else f"tcp://{proxy.netloc.rpartition('@')[2]}"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let nothing that is installed start: it is not configured yet."""
        policy = Path(HELD)
        if not policy.exists():
            policy.write_text(HOLD)
            policy.chmod(0o755)
        try:
            yield
        finally:
            if policy.read_text() == HOLD:
                policy.unlink()


class Install:
    """One run of the installation."""

    def __init__(self, settings: dict, node: Node) -> None:
        self.settings = settings
        self.node = node
        self.done = node.place / "done"
        self._away_since: float | None = None
        self._began = 0.0

    def run(self) -> None:
        """Do what is left to do. Raises InstallError."""
        key, system = self.check()
        done = self.done.read_text().splitlines() if self.done.exists() else []
        part = [("clean", self.clean)] if self.settings["bake"] else [("cluster", self.cluster), ("start", self.start)]
        steps = (
            ("mask", self.mask),
            ("packages", self.packages),
            ("venv", self.venv),
            ("python", self.python),
            ("proxy", self.proxy),
            ("spark", self.spark),
            ("system", self.system),
            *part,
        )
        for name, make in steps:
            if name not in done:
                self.persist(make(system))
                with self.done.open("a") as file:
                    file.write(f"{name}\n")
        if self.settings["bake"]:
            self.node.end()
            return
        (self.node.place / "installed").write_text(f"{key}\n")
        for path in self.node.place.iterdir():
            if path.name not in {"installed", "done"}:
                # Settings of package sources may hold a password, and the cluster's part holds its secrets.
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def check(self) -> tuple[str, dict]:
        """Return the system's name and what it needs. Raises InstallError where no node can be made of it."""
        key, words, machine, free = self.node.system()
        systems = self.settings["systems"]
        if key not in systems or machine != "x86_64":
            known = ", ".join(systems)
            raise InstallError(f"the image is {words} ({key}, {machine}), and nodes can be made of {known} on x86_64")
        system = systems[key]
        if (wanted := self.settings["python"]) and wanted != system["python"]:
            raise InstallError(f"the spec's own packages are for Python {wanted}, and {words} has {system['python']}")
        if free < ROOM and not self.done.exists():
            raise InstallError(f"its disk has {free} GiB free, and the software needs {ROOM}: choose a larger flavor")
        return key, system

    def mask(self, _: dict) -> Step:
        """Put aside what a node does not need: some of it would take apt's lock."""
        commands = [self._script("system", "stop_masked", "mask"), ["systemctl", "daemon-reload"]]
        return Step("the system, without what a node does not need", commands)

    def packages(self, system: dict) -> Step:
        """Install the system's own packages."""
        left_out = [f"-oDpkg::Options::=--path-exclude={path}" for path in self.settings["left_out"]]
        options = [*APT, *self.node.apt_options(), *left_out]
        if listed := self.node.write_sources(self.settings["apt"]):
            options += [f"-oDir::Etc::SourceList={listed}", "-oDir::Etc::SourceParts=-"]
        apt = ["apt-get", "--quiet", *options]
        commands = [
            [*apt, "--error-on=any", "update"],
            [*apt, "--yes", "install", *system["packages"]],
            # Where it is new, it is what names are looked up by from now on.
            ["systemctl", "start", "systemd-resolved"],
        ]
        quietly = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
        return Step("the system's packages", commands, self.node.apt_sources(options), quietly)

    def venv(self, system: dict) -> Step:
        """Make a place for Python's packages: its pip knows where they come from."""
        return self._software("a place for Python's packages", ["venv"], [], system)

    def python(self, system: dict) -> Step:
        """Install Python's packages, and what builds them."""
        index = self._registry("pip_index", system)
        return self._software("Python's packages", ["python"], [index, *self.node.file_servers(index)], system)

    def proxy(self, system: dict) -> Step:
        """Install the Hub's proxy."""
        steps = ["proxy"] if system["own_node"] else ["node", "proxy"]
        return self._software("the Hub's proxy", steps, [self._registry("npm_registry", system)], system)

    def spark(self, system: dict) -> Step:
        """Complete Spark. The archive of its classes would take an emulated processor longer than it saves one node."""
        without = self.node.emulated() and not self.settings["bake"]
        return self._software("Spark", ["spark"] if without else ["spark", "archive"], [], system)

    def system(self, _: dict) -> Step:
        """Bring our own files, accounts and units."""
        return Step("our own files", [self._script("system", "accounts", "files", "proxy_timeout", "units", "classes")])

    def clean(self, _: dict) -> Step:
        """Remove what two nodes must not have in common, and what nobody else should see."""
        operator = {"OPERATOR": self.settings["operator"]}
        return Step("the image, without what makes it this very machine", [self._script("clean")], environment=operator)

    def cluster(self, _: dict) -> Step:
        """Give the node what cloud-init gives to one of a golden image, by the same modules."""
        file = self.node.place / "cluster.yaml"
        keys = {line.partition(":")[0] for line in file.read_text().splitlines() if line[:1].isalpha()}
        names = ("bootcmd", "write_files", "users_groups", "runcmd", "scripts_user")
        needs = {"bootcmd": "bootcmd", "runcmd": "runcmd", "scripts_user": "runcmd"}
        single = ["cloud-init", "single", "--frequency", "always", "--file", str(file), "--name"]
        return Step("its part of the cluster", [[*single, each] for each in names if needs.get(each) in {None, *keys}])

    def start(self, _: dict) -> Step:
        """Start what the node would have started as it booted."""
        return Step("its units", [self._script("system", "start")])

    def _script(self, name: str, *steps: str) -> list[str]:
        return ["bash", str(self.node.place / "image/setup" / name), *steps]

    def _software(self, words: str, steps: list[str], sources: list[str], system: dict) -> Step:
        """Make a step of setup/software's."""
        return Step(words, [self._script("software", *steps)], sources, self._environment(system))

    def _registry(self, step: str, system: dict) -> str:
        """Have a step of setup/software's say where it takes packages from."""
        return self.node.registry(self._script("software", step), self._complete(self._environment(system)))

    def _environment(self, system: dict) -> dict[str, str]:
        """Return the variables of setup/software."""
        place = self.node.place
        folders = {"TOOLS": "tools", "TMPDIR": "tmp", "PIP_CACHE_DIR": "cache/pip", "NPM_CACHE": "cache/npm"}
        environment = {name: str(place / folder) for name, folder in folders.items()}
        for folder in environment.values():
            # Not /tmp, which may lie in memory: Spark alone takes two GiB while it is built.
            Path(folder).mkdir(parents=True, exist_ok=True)
        environment |= {
            "LOCK": system["lock"],
            "PIP_CONFIG_FILE": str(place / "settings/pip.conf"),
            "NPM_CONFIG_USERCONFIG": str(place / "settings/npmrc"),
            # This program tries again, and says so.
            "PIP_RETRIES": "1",
            "PIP_DEFAULT_TIMEOUT": "30",
            "NPM_CONFIG_FETCH_RETRIES": "1",
        }
        if self.node.authorities:
            environment["NODE_EXTRA_CA_CERTS"] = self.node.authorities
        return environment

    def _complete(self, environment: dict[str, str]) -> dict[str, str]:
        return ENVIRONMENT | self.settings["environment"] | environment

    def persist(self, step: Step) -> None:
        """Run each command until it succeeds. Raises InstallError when one fails although its sources answer."""
        environment = self._complete(step.environment)
        for command in step.commands:
            self._began, self._away_since, pauses = self.node.clock(), None, iter(PAUSES if step.sources else ())
            while True:
                self.look(step)
                with self.node.held() if step.sources else nullcontext():
                    code = self.node.run(command, environment, lambda: self.look(step, runs=True))
                if code == 0:
                    break
                pause = LOOK if self.look(step) else next(pauses, None)
                if pause is None:
                    raise InstallError(f"{step.words}: `{' '.join(command[:2])}` failed with code {code}")
                self.node.sleep(pause)

    def look(self, step: Step, *, runs: bool = False) -> bool:
        """Ask the step's sources, and say how it is; return whether one is away."""
        away = sorted({str(urlsplit(url).hostname) for url in step.sources if not self.node.answers(url)})
        now = self.node.clock()
        self._away_since = (now if self._away_since is None else self._away_since) if away else None
        late = self._away_since is not None and now - self._away_since >= GIVE_UP
        # A command may know a way of its own, as pip's proxy: while it runs it has not failed.
        if not away or (late and runs):
            minutes = int(now - self._began) // 60
            # A report of each minute is progress, as whoever waits sees it; a failure that was said is over.
            self.node.say(phase="install", text=f"{step.words}, {minutes} min" if minutes else step.words)
            return False
        words = f"{step.words}: {', '.join(away)} {'does' if len(away) == 1 else 'do'} not answer"
        if late:
            reason = f"{words} for {GIVE_UP // 60} minutes; the node goes on when it comes back"
            self.node.say(phase="failed", unit=UNIT, reason=reason, goes_on=True, log=self.node.log())
        else:
            self.node.say(phase="install", text=f"{words}, trying again")
        return True


def main() -> int:
    """Install; on a failure say why, and end."""
    os.umask(0o022)
    LOG.touch(mode=0o600)
    settings = json.loads((PLACE / "settings/install.json").read_text())
    os.environ.update(settings["environment"])
    node = Node()
    try:
        Install(settings, node).run()
    except Exception as error:  # whoever waits for the node sees nothing else of it
        reason = str(error) if isinstance(error, InstallError) else f"{type(error).__name__}: {error}"
        node.say(phase="failed", unit=UNIT, reason=reason, log=node.log())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
