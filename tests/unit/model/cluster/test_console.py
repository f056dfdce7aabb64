"""What a node says on its console, serial garbage included."""

from __future__ import annotations

import base64

import pytest

from provision.model.cluster import console

ED25519 = base64.b64encode(b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20" + b"k" * 32).decode()
OTHER = base64.b64encode(b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20" + b"x" * 32).decode()


def keys(*data):
    block = "\n".join(f"ssh-ed25519 {one} root@host" for one in data)
    return f"-----BEGIN SSH HOST KEY KEYS-----\n{block}\n-----END SSH HOST KEY KEYS-----\n"


BOOT = "[    0.000000] Linux version 6.12.0\n[    1.000000] Run /sbin/init as init process\n"

PHASES = {
    "nothing yet": ("", ""),
    "only blanks": ("\r\n \r\n", ""),
    "kernel": (BOOT, "booting"),
    "cloud-init of Debian": (
        BOOT + "[   31.2] cloud-init[301]: Cloud-init v. 25.1.4 running 'init-local' at",
        "cloud-init init-local",
    ),
    "cloud-init's modules": (BOOT + "Cloud-init v. 25.1.4 running 'modules:config' at Sun", "cloud-init config"),
    "cloud-init is done": (BOOT + "Cloud-init v. 25.1.4 finished at Sun, Up 99 seconds", "cloud-init done"),
    "our own stage": (BOOT + 'PROVISION {"phase":"cloud-init","stage":"network"}', "cloud-init network"),
    "started": (BOOT + 'PROVISION {"phase":"started","unit":"spark-worker"}', "started spark-worker"),
    "the last counts": (
        'PROVISION {"phase":"cloud-init","stage":"config"}\nPROVISION {"phase":"started","unit":"jupyterhub"}\n',
        "started jupyterhub",
    ),
    "carriage returns and colours": (
        '\r\n\x1b[0;32m[  OK  ]\x1b[0m x\r\r\n\x1b[1mPROVISION {"phase":"started","unit":"spark-master"}\x1b[0m\r\n',
        "started spark-master",
    ),
    "waiting for software": ('PROVISION {"phase":"waiting","text":"for its software"}', "waiting for its software"),
    "installing": ('PROVISION {"phase": "install", "text": "Spark, 2 min"}', "installing Spark, 2 min"),
    "in the middle of a line": (
        'debian login: PROVISION {"phase":"started","unit":"spark-master"}',
        "started spark-master",
    ),
    "a kernel message behind it": (
        'PROVISION {"phase":"started","unit":"spark-master"}[   92.123456] eth0: link up',
        "started spark-master",
    ),
    "a kernel message inside it": ('PROVISION {"phase":"sta[   92.123456] eth0: link up\nrted"}', "booting"),
    "no JSON": ("PROVISION {oops", "booting"),
    "JSON that is no map": ("PROVISION {}", "booting"),
}


@pytest.mark.parametrize("case", PHASES)
def test_phase(case):
    text, phase = PHASES[case]
    report = console.read(text)
    assert report.phase == phase
    assert report.failure is None


FAILURES = {
    "panic": (
        BOOT + "[    2.1] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n",
        "kernel panic: VFS: Unable to mount root fs on unknown-block(0,0)",
        "Unable to mount",
    ),
    "a unit, reported": (
        'x\nPROVISION {"phase":"failed","unit":"spark-master","log":["one","Address already in use"]}\n',
        "spark-master failed",
        "Address already in use",
    ),
    "with .service": (
        'PROVISION {"phase":"failed","unit":"jupyterhub.service","log":[]}',
        "jupyterhub failed",
        "PROVISION",
    ),
    "a broken report": (
        'PROVISION {"phase":"failed","unit":"spark-worker","log":["a[   9.123456] x\n',
        "spark-worker failed",
        "spark-worker",
    ),
    "systemd's line": (
        "[\x1b[0;1;31mFAILED\x1b[0m] Failed to start \x1b[0;1;39mcloud-final.service\x1b[0m - Execute final scripts.",
        "cloud-final failed to start",
        "FAILED",
    ),
    "systemd's line as Nova gives it": (
        "[!p]104[?7h\n[[0;1;31mFAILED[0m] Failed to start [0;1;39mspark-master.service[0m - Spark master.",
        "spark-master failed to start",
        "FAILED",
    ),
    "emergency mode": ("You are in emergency mode. After logging in", "it dropped into emergency mode", "emergency"),
    "no boot disk": ("Booting from Hard Disk...\r\nNo bootable device.\r\n", "its disk does not boot", "No bootable"),
    "GRUB": ("error: no such device\r\nEntering rescue mode...\r\n", "GRUB found no system", "rescue"),
    "no root": ("ALERT! /dev/vda1 does not exist. Dropping to a shell!", "it found no root file system", "ALERT"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_failure(case):
    text, reason, line = FAILURES[case]
    failure = console.read(text).failure
    assert failure is not None
    assert failure.reason == reason
    assert any(line in said for said in failure.log)
    assert len(failure.log) <= console.TAIL


WAITING = 'PROVISION {"phase":"waiting","text":"for its software"}\n'
AWAY = 'PROVISION {"phase": "failed", "unit": "provision-install", "reason": "a source is away", "log": []}\n'
BACK = 'PROVISION {"phase": "install", "text": "Python\'s packages"}\n'


def test_a_node_waits_for_its_software_until_it_has_it():
    assert console.read(BOOT + WAITING).waiting
    assert not console.read(BOOT + WAITING + BACK).waiting
    assert not console.read(BOOT + WAITING + BOOT).waiting


def test_a_package_source_that_came_back_is_no_failure():
    failure = console.read(BOOT + BACK + AWAY).failure
    assert (failure.reason, failure.unit) == ("a source is away", "provision-install")
    assert console.read(BOOT + BACK + AWAY + BACK).failure is None


def test_other_units_may_fail():
    assert console.read("[FAILED] Failed to start setvtrgb.service - Set console scheme.").failure is None


def test_a_unit_that_came_up_in_the_end_has_not_failed():
    text = (
        'PROVISION {"phase":"failed","unit":"jupyterhub","log":[]}\nPROVISION {"phase":"started","unit":"jupyterhub"}\n'
    )
    assert console.read(text).failure is None


def test_an_earlier_boot_is_over():
    text = BOOT + "Kernel panic - not syncing: x\n" + keys(ED25519) + BOOT
    report = console.read(text)
    assert report.failure is None
    assert report.phase == "booting"
    assert report.host_keys == (f"ssh-ed25519 {ED25519}",)


STALLED = "[   23.7] rcu: rcu_preempt kthread timer wakeup didn't happen for 5253 jiffies! g-1143 f0x0\n"
HUNG = "[  244.7] INFO: task init:1 blocked for more than 122 seconds.\n[  244.7]       Not tainted 6.12 #1 Debian\n"


@pytest.mark.parametrize(
    ("text", "stalled"),
    [
        (STALLED, False),
        (STALLED * 2, True),
        (BOOT + STALLED * 3, True),
        (STALLED * 3 + 'PROVISION {"phase":"started","unit":"spark-worker"}\n', False),
        (STALLED * 3 + BOOT, False),
        (HUNG, True),
        (HUNG.replace("init:1 ", "kworker/u10:1:33 "), False),
        (HUNG + 'PROVISION {"phase":"cloud-init","stage":"local"}\n', False),
    ],
    ids=[
        "once, on a busy host",
        "again and again",
        "after some lines",
        "but it goes on",
        "in the boot before",
        "the first program waits",
        "another one does",
        "the first one waited",
    ],
)
def test_a_kernel_that_does_not_go_on_is_stalled(text, stalled):
    report = console.read(text)
    assert report.stalled is stalled
    assert report.failure is None


def test_started_units_are_listed_once():
    line = 'PROVISION {"phase":"started","unit":"spark-master"}\n'
    assert console.read(line * 2).started == ("spark-master",)


KEYS = {
    "one": (keys(ED25519), [ED25519]),
    "with carriage returns": (keys(ED25519).replace("\n", "\r\n"), [ED25519]),
    "behind a logger's prefix": (keys(ED25519).replace("ssh-ed", "<14>Nov 22 22:00:00 cloud-init: ssh-ed"), [ED25519]),
    "not finished": (keys(ED25519).partition("-----END")[0], []),
    "cut": (keys(ED25519[:-8]), []),
    "another kind inside": (keys(ED25519.replace("C3NzaC1l", "C3NzaC1m")), []),
    "the first block, not the last": (keys(ED25519) + keys(OTHER), [ED25519]),
    "a whole block after a broken one": (keys(ED25519[:-8]) + keys(OTHER), [OTHER]),
    "outside a block": (f"ssh-ed25519 {ED25519}", []),
}


@pytest.mark.parametrize("case", KEYS)
def test_host_keys(case):
    text, expected = KEYS[case]
    assert console.host_keys(text) == tuple(f"ssh-ed25519 {data}" for data in expected)


def test_tail():
    assert console.tail("a\r\n\n\x1b[1mb\x1b[0m\n\n", 1) == ("b",)
