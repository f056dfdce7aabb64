"""Every unit file of the golden image, read by systemd itself, and the scripts, read by their shell.

The bake verifies them again with the image's own programs; here stand-ins lie where the programs will be.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from provision.base.constants import NODE
from provision.base.paths import TEMPLATES

FILES = TEMPLATES / "image/files"
UNITS = sorted(path.name for path in (FILES / "etc/systemd/system").glob("*.*") if path.is_file())
SCRIPTS = sorted(path for path in (FILES / "usr/local/lib/provision").rglob("*") if path.is_file() and path.suffix != ".java")
# What ours refer to and Debian's packages bring.
FOREIGN = (
    "systemd-networkd-wait-online.service",
    "sysinit.target",
    "basic.target",
    "multi-user.target",
    "shutdown.target",
)


def systemd_version() -> int:
    done = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[1])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    top = tmp_path_factory.mktemp("root")
    shutil.copytree(FILES, top, dirs_exist_ok=True)
    system = top / "usr/lib/systemd/system"
    system.mkdir(parents=True)
    for name in FOREIGN:
        body = "[Service]\nExecStart=/bin/true\n" if name.endswith(".service") else ""
        (system / name).write_text(f"[Unit]\nDescription={name}\nDefaultDependencies=no\n{body}")
    for unit in (top / "etc/systemd/system").glob("*.service"):
        for program in re.findall(r"^Exec\w+=[-+]*(/\S+)", unit.read_text(), re.MULTILINE):
            path = top / program.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            path.chmod(0o755)
    if systemd_version() < 254:
        # Debian 12's systemd does not know it yet; the bake asks the image's own systemd about all of every unit.
        for unit in (top / "etc/systemd/system").glob("*.service"):
            unit.write_text(unit.read_text().replace("RestartMode=direct\n", ""))
    (top / "bin").mkdir(exist_ok=True)
    (top / "bin/true").touch(mode=0o755)
    return top


def verify(root, name):
    return subprocess.run(
        ["systemd-analyze", "verify", f"--root={root}", "--man=no", "--recursive-errors=no", name],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_nothing_wrong(root, name):
    done = verify(root, name.replace("@.", "@spark-master."))
    assert (done.returncode, done.stderr + done.stdout) == (0, "")


def test_the_check_can_fail(root):
    (root / "etc/systemd/system/wrong.service").write_text("[Service]\nExecStart=/not/there\nRestrat=always\n")
    done = verify(root, "wrong.service")
    assert "Restrat" in done.stderr


def test_the_pages_ask_for_the_history_server_where_systemd_listens():
    pages = (FILES / "usr/local/lib/provision/spark-pages").read_text()
    (asked,) = re.findall(r'^HISTORY_ASKED = "(.*)"$', pages, re.MULTILINE)
    assert f"ListenStream={asked}\n" in (FILES / "etc/systemd/system/spark-history.socket").read_text()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse(script):
    shell = script.read_text().splitlines()[0].removeprefix("#!").split()[0]
    if "python" in shell:
        compile(script.read_text(), script, "exec")
    else:
        subprocess.run([shell, "-n", script], check=True)


@pytest.mark.parametrize(("gib", "threads"), [(1.9, ""), (8.5, ""), (16.2, "16"), (251, "64")])
def test_a_large_machine_serves_homes_by_more_threads(gib, threads, tmp_path):
    text = (FILES / "etc/systemd/system/nfs-server.service.d/provision.conf").read_text()
    (command,) = re.findall(r"^ExecStartPost=-/bin/sh -c '(.*)'$", text, re.MULTILINE)
    (tmp_path / "meminfo").write_text(f"MemTotal:       {int(gib * (1 << 20))} kB\nMemFree:  9 kB\n")
    # As systemd reads it: a backslash and a dollar each stand for one.
    line = command.replace("\\\\", "\\").replace("$$", "$")
    line = line.replace("/proc/meminfo", f"{tmp_path}/meminfo").replace("/proc/fs/nfsd", str(tmp_path))
    subprocess.run(["sh", "-c", line], check=True)
    assert (tmp_path / "threads").read_text().strip() == threads


def report_failure(tmp_path, state):
    """Let a unit that systemd finds in a state report its failure; return what the console shows."""
    (tmp_path / "systemctl").write_text(f"#!/bin/sh\necho {state}\n[ {state} = failed ]\n")
    (tmp_path / "systemctl").chmod(0o755)
    script = (FILES / "usr/local/lib/provision/report").read_text()
    assert script.count("/dev/console") == 1
    (tmp_path / "report").write_text(script.replace("/dev/console", str(tmp_path / "console")))
    (tmp_path / "console").touch()
    subprocess.run(
        ["sh", tmp_path / "report", "failed", "spark-master"], check=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}
    )
    return (tmp_path / "console").read_text().splitlines()


def test_what_did_not_start_since_another_has_failed_says_nothing(tmp_path):
    assert report_failure(tmp_path, "inactive") == []


def test_a_failure_is_one_line_of_json_whatever_the_log_says(tmp_path):
    log = 'quote " backslash \\ tab\there\x1b[31mred\x07\nsecond line\n'
    (tmp_path / "journalctl").write_text("#!/bin/sh\ncat " + str(tmp_path / "log") + "\n")
    (tmp_path / "journalctl").chmod(0o755)
    (tmp_path / "log").write_bytes(log.encode() + b"not utf-8: \xff\xfe\n" + b"x" * 5000 + b"\n")
    (line,) = report_failure(tmp_path, "failed")
    mark, _, text = line.partition(" ")
    report = json.loads(text)
    assert (mark, report["phase"], report["unit"]) == ("PROVISION", "failed", "spark-master")
    assert report["log"][0].startswith('quote " backslash \\ tab')
    assert [len(report["log"]), report["log"][1], len(report["log"][3])] == [4, "second line", 300]


@pytest.mark.parametrize("unit", [name for name in UNITS if "StartLimit" in (FILES / "etc/systemd/system" / name).read_text()])
def test_starts_that_somebody_asks_for_are_not_counted_as_failures(unit, tmp_path):
    text = (FILES / "etc/systemd/system" / unit).read_text()
    (command,) = re.findall(r"^ExecStopPost=-\+/bin/sh -c '(.*)'$", text, re.MULTILINE)
    stand_in = tmp_path / "systemctl"
    stand_in.write_text(f"#!/bin/sh\necho $@ >> {tmp_path}/calls\n")
    stand_in.chmod(0o755)
    for result in ("success", "exit-code", "start-limit-hit"):
        line = command.replace("$$", "$").replace("%n", unit)
        environment = {"PATH": f"{tmp_path}:/bin:/usr/bin", "SERVICE_RESULT": result}
        subprocess.run(["sh", "-c", line], env=environment, check=True)
    assert (tmp_path / "calls").read_text() == f"reset-failed {unit}\n"


def test_records_of_applications_go_after_as_long_as_in_sparks_own_cleaner():
    rows = [line.split() for line in (FILES / "etc/tmpfiles.d/provision.conf").read_text().splitlines()]
    (row,) = [row for row in rows if row[1:2] == [NODE.spark_events]]
    assert (row[0], row[2:5]) == ("e", ["-", "-", "-"]), "its owner and its rights are accounts' (setup/system)"
    assert f"spark.history.fs.cleaner.maxAge {row[5]}\n" in (TEMPLATES / "spark/spark-defaults.conf.j2").read_text()
    # What cleans by age once a day.
    assert "systemd-tmpfiles" not in (TEMPLATES / "image/setup/system").read_text().split("ENABLED=")[0]
