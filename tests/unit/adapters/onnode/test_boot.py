"""A node's account of its boot; its programs are a function, and its files those of a folder."""

from __future__ import annotations

import json

import pytest

from provision.adapters.onnode.boot import STARTED, STARTING, Boot, main, output


def entry(message, unit, at):
    return json.dumps({"MESSAGE_ID": message, "UNIT": unit, "__MONOTONIC_TIMESTAMP": str(at)})


UNITS = [
    entry(STARTING, "spark-worker.service", 20_000_000),
    entry(STARTED, "spark-worker.service", 21_500_000),
    entry(STARTED, "dbus.service", 4_000_000),
    # It was restarted later.
    entry(STARTING, "spark-worker.service", 900_000_000),
    entry(STARTED, "spark-worker.service", 901_000_000),
    '{"MESS',
    '{"MESSAGE_ID": "x"}',
]


def command(argv):
    if argv[0] == "systemctl":
        return "InitRDTimestampMonotonic=0\nUserspaceTimestampMonotonic=7040183\nFinishTimestampMonotonic=\n"
    if argv[0] == "systemd-detect-virt":
        return "kvm\n"
    if "--unit=spark-worker.service" in argv:
        assert r"--grep=Successfully\ registered" in argv
        return f"oops\n{entry('', '', 60_000_000)}\n{entry('', '', 90_000_000)}\n"
    return "" if any(each.startswith("--unit") for each in argv) else "\n".join(UNITS)


@pytest.fixture
def boot(tmp_path):
    for name, text in {
        "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nNAME=x\n',
        "usr/lib/jvm/java-21/release": 'IMPLEMENTOR="Debian"\nJAVA_VERSION="21.0.9"\n',
        "opt/jupyter/pyvenv.cfg": "home = /usr/bin\nversion = 3.13.5\n",
        "opt/jupyter/lib/python3.13/site-packages/scikit_learn-1.9.1.dist-info/METADATA": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    return Boot(command, str(tmp_path))


def test_each_unit_has_its_first_start(boot):
    assert boot.units() == [
        {"unit": "spark-worker.service", "begin": 20.0, "end": 21.5},
        {"unit": "dbus.service", "begin": None, "end": 4.0},
    ]
    assert boot.phases() == {"userspace": 7.040183}


def test_an_event_is_the_first_of_its_words(boot):
    assert boot.event("spark-worker.service", "Successfully registered") == 60.0
    assert boot.event("jupyterhub.service", "runs") is None


def test_versions_are_those_of_the_files(boot):
    found = boot.versions(["scikit-learn", "numpy"], "/opt/jupyter")
    assert found.pop("Linux")
    assert found == {
        "System": "Debian GNU/Linux 13 (trixie)",
        "Java": "21.0.9",
        "Python": "3.13.5",
        "scikit-learn": "1.9.1",
    }


def test_all_of_it_is_one_document(boot, capsys):
    order = {
        "events": {"a": ["spark-worker.service", "Successfully registered"], "b": ["x", "y"]},
        "packages": [],
        "venv": "/none",
    }
    assert main(order, boot) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["events"] == {"a": 60.0}
    assert told["machine"]["virtualisation"] == "kvm"
    assert told["machine"]["disk_free"] > 0
    assert told["kernel"] > 1_000_000_000


def test_a_program_that_fails_has_said_what_it_has_said():
    assert output(["sh", "-c", "echo a; exit 3"]) == "a\n"
