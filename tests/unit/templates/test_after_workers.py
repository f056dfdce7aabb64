"""What the Hub waits for at a boot: the workers, where processors are emulated."""

from __future__ import annotations

import subprocess

import pytest

from provision.base.paths import TEMPLATES

SCRIPT = TEMPLATES / "image/files/usr/local/lib/provision/after-workers"


@pytest.fixture(name="start")
def _start(tmp_path):
    """Start a command, with so many connections to the Spark master at each look; return when it began."""
    (tmp_path / "role").mkdir()
    (tmp_path / "role/master").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "spark.env").write_text("SPARK_MASTER_URL=spark://a-master:7077\nSPARK_MASTER_PORT=7077\n")
    text = SCRIPT.read_text().replace("/etc/spark/", f"{tmp_path}/").replace("/run/spark/", f"{tmp_path}/run/")

    def start(*connections, virt="qemu"):
        looks = tmp_path / "looks"
        looks.write_text("".join(f"{number}\n" for number in connections))
        programs = {
            "systemd-detect-virt": f"echo {virt}",
            # The last look is that of all later ones.
            "ss": f"""case "$*" in *':7077 )'*) ;; *) exit 1 ;; esac
n=$(head -n 1 {looks}); [ "$(wc -l <{looks})" = 1 ] || sed -i 1d {looks}
i=0; while [ $i -lt "$n" ]; do echo "0 0 10.0.0.1:7077 10.0.0.$i:40000"; i=$((i + 1)); done""",
            "sleep": f"echo $1 >>{tmp_path}/slept",
        }
        for name, body in programs.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
            (tmp_path / name).chmod(0o755)
        (tmp_path / "slept").write_text("")
        done = subprocess.run(
            ["sh", "-c", text, "after-workers", "echo", "the", "Hub"],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        assert done.stdout == "the Hub\n"
        slept = sum(map(int, (tmp_path / "slept").read_text().split()))
        assert done.stderr.startswith("waits until the workers have come") == bool(slept)
        return slept

    return start


def test_workers_come_first_and_the_hub_when_no_more_come(start):
    # Nobody for nine seconds, one worker, three seconds later the second.
    assert start(0, 0, 0, 1, 2) == 9 + 3 + 12


def test_it_starts_although_no_worker_comes(start):
    assert start(0) == 120


def test_it_waits_once_after_a_boot(start):
    assert start(2) == 12
    assert start(0) == 0


def test_where_a_processor_is_none_of_software_nothing_waits(start):
    assert start(0, virt="kvm") == 0


def test_a_hub_on_a_node_of_its_own_does_not_know_who_comes(start, tmp_path):
    (tmp_path / "role/master").unlink()
    assert start(0) == 0
