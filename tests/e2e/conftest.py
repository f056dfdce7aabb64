"""The harness of the end-to-end scenario: the real command, its own state folders, and a clock on every line."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from provision.base.constants import LOCALCLOUD_LABEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BEGAN = time.monotonic()
OTHER_CLOUDS = """\
# The user's own clouds.
clouds:
  elsewhere:
    auth: {auth_url: https://cloud.example/v3}
"""
SHOWN = 2000
"""Lines of a command that are shown."""
ROOT = Path(__file__).resolve().parents[2]


def say(text: str) -> None:
    """Print progress with the time since the start: an emulated boot is long, silence is worse."""
    seconds = round(time.monotonic() - BEGAN)
    print(f"[{seconds // 60:3d}:{seconds % 60:02d}] {text}", flush=True)


@dataclass
class Done:
    """A finished command: its code, its stdout, and everything it printed."""

    code: int
    stdout: str
    output: str
    seconds: float


@dataclass
class Product:
    """The `provision` command in an installation of its own."""

    home: Path
    folder: Path
    executable: Path = Path("provision")
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.env = {
            **os.environ,
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "OS_CLIENT_CONFIG_FILE": str(self.home / "clouds.yaml"),
            "NO_COLOR": "1",
            "COLUMNS": "160",
        }

    def run(self, *words: str, code: int | None = 0, timeout: float = 3000) -> Done:
        """Run `provision WORDS…` to its end and check its exit code (None: any)."""
        return self.command([str(self.executable), *words], code=code, timeout=timeout)

    def command(
        self,
        argv: list[str],
        *,
        code: int | None = 0,
        timeout: float = 3000,
        kill_when: Callable[[str], bool] | None = None,
        interrupt_when: Callable[[str], bool] | None = None,
        at_each: Callable[[str], None] | None = None,
        env: dict[str, str] | None = None,
    ) -> Done:
        """Run any program in this installation.

        At the first line that `kill_when` accepts it is killed (-9); at that of `interrupt_when` Ctrl-C is pressed.
        `at_each` is given each line as it comes.
        """
        say("$ " + " ".join(word if len(word) < 90 else word[:87] + "…" for word in argv))
        began = time.monotonic()
        process = subprocess.Popen(
            argv,
            cwd=self.folder,
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        stdout: list[str] = []
        everything: list[str] = []
        interrupted: list[str] = []

        def kill() -> None:
            os.killpg(process.pid, signal.SIGKILL)

        def read(stream: object, keep: list[str] | None) -> None:
            for line in stream:  # type: ignore[attr-defined]
                if keep is not None:
                    keep.append(line)
                everything.append(line)
                if len(everything) < SHOWN:
                    say("  " + line.rstrip()[:200])
                if at_each:
                    at_each(line)
                if kill_when and kill_when(line):
                    kill()
                if not interrupted and interrupt_when and interrupt_when(line):
                    interrupted.append(line)
                    os.killpg(process.pid, signal.SIGINT)

        readers = [
            threading.Thread(target=read, args=(process.stdout, stdout)),
            threading.Thread(target=read, args=(process.stderr, None)),
        ]
        for reader in readers:
            reader.start()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            kill()
            pytest.fail(f"{' '.join(argv)} had no end after {timeout:.0f} s")
        for reader in readers:
            reader.join(timeout=10)
        done = Done(process.returncode, "".join(stdout), "".join(everything), time.monotonic() - began)
        say(f"= {done.code} after {done.seconds:.0f} s")
        if code is not None:
            assert done.code == code, f"{' '.join(argv)} ended with {done.code}, not {code}:\n{done.output[-3000:]}"
        return done

    def killed(self, *words: str, at: str) -> None:
        """Run `provision WORDS…` and kill -9 it as soon as it prints a line that matches `at`."""
        done = self.command(
            [str(self.executable), *words], code=None, kill_when=lambda line: re.search(at, line) is not None
        )
        assert done.code == -signal.SIGKILL, f"it was to be killed at /{at}/, but ended with {done.code}"

    def json(self, *words: str) -> object:
        """Run a reading command with --json and return what it says."""
        return json.loads(self.run(*words, "--json").stdout)


def install_wheel(product: Product) -> Path:
    """Build the wheel and install it elsewhere: the scenario runs what a user gets, not the checkout."""
    target = product.home / "venv"
    product.command(
        [sys.executable, "-m", "build", "-w", "--no-isolation", "-o", str(product.home / "dist"), str(ROOT)]
    )
    wheel = next((product.home / "dist").glob("*.whl"))
    product.command([sys.executable, "-m", "venv", str(target)])
    pip = [str(target / "bin/pip"), "install", "-q", "--disable-pip-version-check", "--no-deps"]
    product.command([*pip, "--require-hashes", "-r", str(ROOT / "requirements.lock")])
    product.command([*pip, "--force-reinstall", str(wheel)])
    product.env["PATH"] = f"{target / 'bin'}:{os.environ['PATH']}"
    return target / "bin/provision"


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """Give one installation to the whole scenario, and remove all of it at the end, whatever happened.

    With E2E_HOME=FOLDER it is made there and left as it is, so that single tests can go on from where it stands.
    """
    kept = os.environ.get("E2E_HOME")
    home = Path(kept).resolve() if kept else tmp_path_factory.mktemp("home")
    if not (home / "clouds.yaml").exists():
        refuse_a_running_cloud()
        home.mkdir(parents=True, exist_ok=True)
        (home / "clouds.yaml").write_text(OTHER_CLOUDS)
    (home / "work").mkdir(exist_ok=True)
    made = Product(home, home / "work")
    made.executable = install_wheel(made)
    try:
        yield made
    finally:
        if not kept:
            purged = made.run("cloud", "down", "--purge", "--yes", code=None)
            assert purged.code == 0


def refuse_a_running_cloud() -> None:
    """Stop where somebody's cloud runs."""
    listing = ["docker", "ps", "-aq", "--filter", f"label={LOCALCLOUD_LABEL}"]
    if subprocess.run(listing, capture_output=True, text=True, check=True).stdout.split():
        pytest.exit("a `local` cloud already runs on this machine: `make clean` first, the test makes its own", 1)
