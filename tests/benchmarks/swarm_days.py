"""What an operator does with three hosts (Docker engines in containers): doctor, logs, upgrade, backup and restore.

The upgrade goes to a checkout with new images and back, while a reader on each host asks every API four times a second.
The restore takes back what was done after the backup.

Run, as root: python tests/benchmarks/swarm_days.py     ends with 1 when anything is not as claimed
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from integration.hosts import Hosts
from integration.world import until
from stack import other_checkout
from swarm import APIS, BACK, answers, read, report, whole

UPGRADED = ("keystone", "placement", "nova-api", "neutron-api")
PROJECTS = """
import os, sys, openstack
entry = openstack.config.OpenStackConfig().get_one("local").config
auth = dict(entry["auth"], username="admin", project_name="admin", password=os.environ["ADMIN_PASSWORD"])
cloud = openstack.connect(load_yaml_config=False, auth=auth, cacert=entry["cacert"], region_name="RegionOne")
for name in sys.argv[1:]:
    cloud.identity.create_project(name=name, domain_id="default")
print(*sorted(each.name for each in cloud.identity.projects()))
"""


def projects(host, *new):
    """Make projects; return the names of all."""
    environment = {"ADMIN_PASSWORD": host.password("admin")}
    with host.inside(sys.executable, "-c", PROJECTS, *new, environment=environment, stdout=-1) as process:
        return process.communicate(timeout=120)[0].split()


def upgrade(hosts, checkout):
    """Upgrade some APIs while all are read; return whether no read failed, and others kept their images."""
    first = hosts.all[0]
    before = {each["service"]: each["digests"] for each in first.status()["services"]}
    readers = [read(host) for host in hosts.all]
    until(lambda: all(answers(reader, api) for reader in readers for api in APIS), 120, "traffic")
    began = time.monotonic()
    first.provision("cloud", "upgrade", *UPGRADED, checkout=checkout)
    took = time.monotonic() - began
    time.sleep(5)
    for reader in readers:
        reader.stop()
    lines = [words for reader in readers for words in reader.lines if len(words) == 4]
    failed = [words for words in lines if words[3] != "200"]
    after = {each["service"]: each["digests"] for each in first.status()["services"]}
    changed = sorted(name for name in after if after[name] != before.get(name))
    slowest = max(float(words[2]) for words in lines)
    report(upgraded=changed, took_s=round(took), reads=len(lines), failed=len(failed), slowest_s=round(slowest, 1))
    for words in failed[:10]:
        report(failed=words)
    return not failed and changed == sorted(UPGRADED)


def look(hosts):
    """Whether every host's doctor finds nothing, and its logs are those of all hosts."""
    held = True
    for host in hosts.all:
        said = host.provision("cloud", "doctor", check=False)
        named = set(re.findall(r"@(\S+)", host.provision("cloud", "logs", "--tail", "1")))
        report(host=host.name, doctor=said.strip().splitlines(), logs_of=sorted(named))
        held = held and "Nothing is wrong." in said and named == {each.name for each in hosts.all}
    return held


def keep_and_restore(hosts):
    """Whether a restore brings back what a backup has, and nothing that came later."""
    host = hosts.all[1]
    file = str(host.folder / "cloud.tar.gz")
    projects(host, "before")
    began = time.monotonic()
    host.provision("cloud", "backup", file)
    kept = time.monotonic()
    projects(host, "after")
    host.provision("cloud", "restore", "--yes", file)
    restored = time.monotonic()
    for each in hosts.all:
        each.provision("cloud", "up")
    until(lambda: all(whole(each) for each in hosts.all), BACK, "all as wanted")
    found = projects(hosts.all[2])
    report(
        backup_s=round(kept - began, 1),
        restore_s=round(restored - kept, 1),
        up_on_all_s=round(time.monotonic() - restored, 1),
        projects=found,
    )
    return "before" in found and "after" not in found


def days(hosts):
    """Do it all; return whether all that is claimed held."""
    held = look(hosts)
    with tempfile.TemporaryDirectory() as folder:
        held = upgrade(hosts, other_checkout(Path(folder))) and held
    held = upgrade(hosts, None) and held
    return keep_and_restore(hosts) and held


def main():
    with tempfile.TemporaryDirectory(prefix="hosts-") as folder:
        hosts = Hosts(folder)
        try:
            hosts.start()
            report(seconds=hosts.form())
            until(lambda: all(whole(host) for host in hosts.all), BACK, "all as wanted")
            sys.exit(0 if days(hosts) else 1)
        finally:
            hosts.close()


if __name__ == "__main__":
    main()
