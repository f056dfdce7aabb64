"""What compose/bake/software packs."""

from __future__ import annotations

import subprocess

from provision.base import paths

# As mmdebstrap does, which writes a file's text there too.
MMDEBSTRAP = """\
#!/bin/bash
for word; do case $word in --aptopt=/*) options=${word#*=} ;; */root-fs) root=$word ;; esac; done
mkdir -p "$root/etc/apt/apt.conf.d"
cp "$options" "$root/etc/apt/apt.conf.d/99mmdebstrap"
touch "$root/made"
"""


def test_no_option_of_apt_is_packed_with_the_software(tmp_path):
    (tmp_path / "settings").mkdir()
    for name, text in (("left_out", ""), ("packages", "curl\n"), ("suite", "trixie\n")):
        (tmp_path / "settings" / name).write_text(text)
    (tmp_path / "settings/apt.conf").write_text('Acquire::http::Proxy "http://me:hunter2@proxy:3128";\n')
    (tmp_path / "mmdebstrap").write_text(MMDEBSTRAP)
    (tmp_path / "mmdebstrap").chmod(0o755)
    script = (paths.COMPOSE / "bake/software").read_text()
    script = script.replace("/settings", f"{tmp_path}/settings").replace("/cache", f"{tmp_path}/cache")
    subprocess.run(
        ["bash", "-c", f'set -e\n{script}\npackages "{tmp_path}/root-fs"'],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        check=True,
    )
    assert (tmp_path / "root-fs/made").exists()
    packed = [path for path in (tmp_path / "root-fs").rglob("*") if path.is_file()]
    assert not [path for path in packed if "hunter2" in path.read_text()]
