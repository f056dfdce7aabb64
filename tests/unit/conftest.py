"""What all unit tests share."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from provision.adapters.remote import Remote
from provision.operations.data.streams import Archives

# A busy machine makes no example fail: timings are measured in tests/benchmarks.
settings.register_profile("provision", deadline=None)
settings.load_profile("provision")


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Stand-ins for systemctl and chpasswd; returns the file of what they were asked."""
    folder, log = tmp_path / "programs", tmp_path / "programs.log"
    folder.mkdir()
    log.touch()
    for name in ("systemctl", "chpasswd"):
        script = folder / name
        take = f"cat >> {log}\n" if name == "chpasswd" else ""
        script.write_text(f'#!/bin/sh\necho "{name} $*" >> {log}\n{take}')
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return log


@pytest.fixture
def make_master(tmp_path, programs):
    """Make the folder that stands for a master's root, with accounts, homes and a Hub."""

    def make(name="master", users=("alice", "bob")):
        root = tmp_path / name
        for folder in ("etc", "home", "shared", "var/lib/jupyterhub"):
            (root / folder).mkdir(parents=True)
        # Who is not root has files of one id only.
        ids = {user: 4001 + place if os.getuid() == 0 else os.getuid() for place, user in enumerate(users)}
        gid = os.getgid()
        (root / "etc/passwd").write_text(
            "".join(f"{user}:x:{number}:{gid}::/home/{user}:/bin/bash\n" for user, number in ids.items())
        )
        (root / "etc/group").write_text(f"staff:x:{gid}:\nnotebook:x:990:{','.join(users)}\n")
        (root / "etc/shadow").write_text("".join(f"{user}:$6${name}-{user}:1::::::\n" for user in users))
        for user, number in ids.items():
            (root / "home" / user).mkdir(mode=0o700)
            os.chown(root / "home" / user, number, gid)
        return root

    return make


@pytest.fixture
def archives_of_folder():
    """Make the archives of a master that is a folder of this machine."""

    def make(root):
        layout = {"group": "notebook", "hub": "/var/lib/jupyterhub", "unit": "jupyterhub", "root": str(root)}
        return Archives(Remote("a-master", ("sh", "-c"), sudo=False), layout)

    return make
