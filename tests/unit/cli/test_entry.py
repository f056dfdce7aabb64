"""However a command ends: one message, the right exit code, no traceback on the terminal. Each case is a process."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provision.cli.terminal import visible

PROVISION = [sys.executable, "-m", "provision"]
SPEC = "name: analytics\n"
# Python's own start is nothing of ours: `up` is said by the first thing that is.
STARTED = """
import provision.cli.entry as entry
run = entry._run
def started():
    print("up", flush=True)
    return run()
entry._run = started
entry.main()
"""


@pytest.fixture
def run(tmp_path):
    """Run `provision` in an empty folder with a home of its own."""
    folder = tmp_path / "work"
    folder.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "NO_COLOR": "1",
        "TMPDIR": str(tmp_path),
    }

    def call(*words, env=(), shell="", **options):
        argv = ["bash", "-c", f'exec "$@" {shell}', "bash", *PROVISION, *words] if shell else [*PROVISION, *words]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.run(
            argv, cwd=folder, env=environment | dict(env), text=True, timeout=60, check=False, **options
        )

    call.folder = folder
    call.home = tmp_path
    call.environment = environment
    return call


def test_stdout_that_is_full_is_named(run):
    with Path("/dev/full").open("w") as full:
        done = run("render", "master/user-data.yaml", stdout=full)
    assert done.returncode == 1
    assert "the output could not be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error(run):
    ended, reading = os.pipe()
    os.close(ended)
    with os.fdopen(reading, "w") as nobody:
        done = run("render", "master/user-data.yaml", stdout=nobody)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("shell", ["2>&-", "<&-", "<&- 2>&-"])
def test_closed_streams_are_no_matter(run, shell):
    done = run("render", "worker/hosts", shell=shell)
    assert done.returncode == 0
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("shell", [">&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("words", [("render", "worker/hosts"), ("examples", "list"), ("completion", "bash")])
def test_stdout_that_is_closed_fails_as_a_reader_that_is_gone(run, shell, words):
    done = run(*words, shell=shell)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_a_command_that_prints_nothing_has_no_need_of_stdout(run):
    done = run("init", shell=">&-")
    assert (done.returncode, (run.folder / "cluster.yaml").exists()) == (0, True)


def test_nobody_can_be_asked_on_a_stdin_that_is_closed(run):
    done = run("cloud", "down", "--purge", shell="<&-")
    assert done.returncode == 2, done.stderr
    assert "--yes" in done.stderr


def test_wrong_usage_needs_no_stderr(run):
    assert run("no-such-command", shell="2>&-").returncode == 2


def test_a_state_folder_that_cannot_be_made_is_named(run):
    (run.home / "file").write_text("")
    done = run("status", env={"XDG_STATE_HOME": str(run.home / "file")})
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "name: \x1b[31mred\n",
        'name: "\\e[2J"\n',
        'name: "\\0"\n',
        "name: a\0b\n",
        "\x9b31m: 1\n",
        'users: ["\\e]0;title\\a"]\n',
        "name: [\n",
        "&a [*a]\n",
        "name: !!python/object:os.system {}\n",
        "\ufeff",
        "? {}\n: 1\n",
        "- " * 3000 + "\n",
        "[" * 5000,
    ],
)
def test_no_spec_steers_the_terminal_or_ends_in_a_traceback(run, text):
    (run.folder / "cluster.yaml").write_text(text, encoding="utf-8")
    done = run("render", "worker/hosts")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", done.stderr), done.stderr


def test_bytes_that_are_no_text_are_named(run):
    (run.folder / "cluster.yaml").write_bytes(b"name: \xff\xfe\n")
    done = run("render", "worker/hosts")
    assert done.returncode == 2
    assert "cluster.yaml" in done.stderr


@pytest.mark.parametrize("text", ["clouds: [\n", "clouds: 7\n", "- a\n", "clouds: {mine: 3}\n", "\0", "a: *b\n", ""])
def test_a_broken_clouds_yaml_is_a_sentence(run, text):
    (run.folder / "cluster.yaml").write_text(SPEC + "cloud: mine\n")
    file = run.home / "clouds.yaml"
    file.write_text(text)
    done = run("status", env={"OS_CLIENT_CONFIG_FILE": str(file)})
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert str(file) in done.stderr or "mine" in done.stderr


def test_options_and_words_are_shown_harmless(run):
    for words in (["\x1b[2J"], ["up", "--\x1b[2J"], ["render", "\x1b]0;t\x07"], ["up", "-f", "\x1b[2J.yaml"]):
        done = run(*words)
        assert done.returncode == 2
        assert "\x1b" not in done.stderr


def test_a_folder_that_is_gone_is_a_sentence(run):
    inner = f"cd {run.folder} && rmdir {run.folder} && exec {' '.join(PROVISION)} status"
    done = subprocess.run(["bash", "-c", inner], env=run.environment, capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr


def test_what_nobody_foresaw_leaves_its_traceback_in_a_file_that_is_named(run):
    broken = "import provision.cli.main as m; m.cli.main = lambda **_: {}['clock']\n"
    script = f"{broken}from provision.cli.entry import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script], env=run.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "unexpected KeyError: 'clock'" in done.stderr
    assert "Traceback" not in done.stderr
    (file,) = (run.home / ".local/state/provision").glob("traceback-*.log")
    assert str(file) in done.stderr
    assert "KeyError: 'clock'" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


def test_ctrl_c_at_any_time(run):
    chance = random.Random(4)
    codes = set()
    for _ in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", STARTED, "render"],
            cwd=run.folder,
            env=run.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "up\n"
        time.sleep(chance.uniform(0, 0.6))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        codes.add(process.returncode)
        assert "Traceback" not in said, said
    # A process that SIGINT ends while Python itself ends has its negative number: a shell says 130 to both.
    assert codes <= {0, 130, -signal.SIGINT}


def test_ctrl_c_where_nothing_can_be_raised_stops_the_command_all_the_same(run):
    broken = """
import signal, time
import provision.cli.main as m
class Destroyed:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
def command(**_):
    Destroyed()
    time.sleep(20)
m.cli.main = command
from provision.cli.entry import main; main()
"""
    done = subprocess.run(
        [sys.executable, "-c", broken], env=run.environment, capture_output=True, text=True, check=False, timeout=15
    )
    assert done.returncode == 130
    assert done.stderr.startswith("Stopped.")


MANY = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
from types import SimpleNamespace
import provision.cli.main as m
from provision.adapters.host.process import Piped
from provision.base.model import Addresses, ClusterSpec, Node
from provision.model.doctor.observed import ObservedNode
from provision.operations.doctor.questions import Question, ask
from provision.operations.logs.nodes import JournalQuery, read_journals
from provision.operations.view import watch
names = ["a-master", *(f"a-worker-{n}" for n in range(1, 100))]
class Remote:
    def __init__(self, name):
        self.name = name
    def start(self, module, order, needs=()):
        return Piped(["sh", "-c", SAYS[module.__name__.rpartition(".")[2]]])
SAYS = {
    "look": "echo ready; read line; echo '{\\"now\\": 1}'; echo '{\\"python\\": 3}'",
    "journal": "echo '{\\"cursor\\": \\"c\\", \\"at\\": 1, \\"unit\\": \\"x\\", \\"text\\": \\"t\\"}'",
    "vitals": "echo '{}'; exec sleep 60",
}
def command(**_):
    roles = ["master", *["worker"] * 99]
    nodes = tuple(ObservedNode(name, role, "10.0.0.1") for name, role in zip(names, roles))
    told = ask(Question(nodes, {"master": (), "worker": ()}, (), 443, "00"), Remote)
    print(sum(node.facts == {"python": 3} for node in told))
    print(len(list(read_journals([Remote(name) for name in names], JournalQuery(()), [], print))))
    watch.over_ssh = lambda config, name: Remote(name)
    watch.live_state = lambda *_, told, lost, **__: (len(told), len(lost))
    them = tuple(Node(name, role, "10.0.0.1", status="ACTIVE") for name, role in zip(names, roles))
    addresses = Addresses("10.0.0.1", "192.0.2.1")
    cluster = SimpleNamespace(spec=ClusterSpec("a"), nodes=them, hub=them[0], addresses=addresses, ssh_config="x")
    print(next(watch.watch(cluster, dict, 1)))
m.cli.main = command
from provision.cli.entry import main; main()
"""


def test_a_hundred_nodes_are_asked_where_64_open_files_are_usual(run):
    done = subprocess.run(
        [sys.executable, "-c", MANY], env=run.environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.splitlines() == ["100", "100", "(100, 0)"], done.stderr


def test_controls_are_spelled_out():
    assert visible("a\x1b[31m\nb\t\x9b\x00…") == "a\\x1b[31m\nb\t\\x9b\\x00…"


def test_wrong_usage_shows_no_password_of_a_url(run):
    done = run("backup", "rest:https://bob:hunter22@h.org/", "rest:https://bob:hunter22@h.org/")
    assert done.returncode == 2
    assert "https://***@h.org/" in done.stderr
    assert "hunter22" not in done.stderr
