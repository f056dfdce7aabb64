"""A directory for tests: slapd with a configuration, a database and ports of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.adapters.host.certificates import ensure_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

SUFFIX = "dc=example,dc=org"
READER, READERS_PASSWORD = f"cn=reader,{SUFFIX}", "EXAMPLE-SECRET"
"""The account that may search: everybody else sees nothing before the login."""

CONFIGURATION = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCACertificateFile {folder}/ldap-ca.pem
TLSCertificateFile {folder}/ldap.pem
TLSCertificateKeyFile {folder}/ldap.key
# Passwords go over TLS alone.
security simple_bind=128
database mdb
maxsize 10485760
suffix {suffix}
directory {folder}/database
access to attrs=userPassword by anonymous auth by * none
access to * by users read by * none
"""


@dataclass(frozen=True)
class Directory:
    """A running directory: its address, its two ports, and the file of its authority."""

    host: str
    ldap: int
    ldaps: int
    ca: Path


def group_dn(name: str) -> str:
    """Return what a group's entry is called."""
    return f"cn={name},ou=groups,{SUFFIX}"


def _entries(people: Mapping[str, str], groups: Mapping[str, Sequence[str]]) -> str:
    entries = [
        f"dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: example\ndc: example",
        *(f"dn: ou={name},{SUFFIX}\nobjectClass: organizationalUnit\nou: {name}" for name in ("people", "groups")),
        f"dn: {READER}\nobjectClass: person\ncn: reader\nsn: reader\nuserPassword: {READERS_PASSWORD}",
    ]
    for name, password in people.items():
        entry = f"dn: uid={name},ou=people,{SUFFIX}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}"
        entries.append(f"{entry}\nuserPassword: {password}")
    for name, members in groups.items():
        listed = "".join(f"\nmember: uid={member},ou=people,{SUFFIX}" for member in members)
        entries.append(f"dn: {group_dn(name)}\nobjectClass: groupOfNames\ncn: {name}{listed}")
    return "\n\n".join(entries) + "\n"


def _free_port(address: str) -> int:
    with socket.create_server((address, 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def directory(
    folder: Path, people: Mapping[str, str], groups: Mapping[str, Sequence[str]], address: str = "127.0.0.1"
) -> Iterator[Directory]:
    """Run a directory with these people (names and passwords) and groups, on an address of this machine."""
    made = ensure_certificate(folder, "ldap", "a directory for tests", ("localhost",), (address,))
    (folder / "ldap-ca.pem").write_text(made.authority)
    (folder / "database").mkdir()
    configuration, entries = folder / "slapd.conf", folder / "entries.ldif"
    configuration.write_text(CONFIGURATION.format(folder=folder, suffix=SUFFIX))
    entries.write_text(_entries(people, groups))
    # A copy: AppArmor lets the program in its own place read the system's directory alone.
    program = str(shutil.copy("/usr/sbin/slapd", folder / "slapd"))
    subprocess.run([program, "-Tadd", "-f", configuration, "-l", entries], check=True, capture_output=True)
    found = Directory(address, _free_port(address), _free_port(address), folder / "ldap-ca.pem")
    urls = f"ldap://{address}:{found.ldap} ldaps://{address}:{found.ldaps}"
    # -d 0: it stays this process's child.
    process = subprocess.Popen([program, "-f", configuration, "-h", urls, "-d", "0"])
    try:
        _await(address, found.ldaps)
        yield found
    finally:
        process.terminate()
        process.wait(10)


def _await(address: str, port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection((address, port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("slapd does not listen")
