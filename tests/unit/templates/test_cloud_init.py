"""Cloud-init as a node of a golden image starts it, by the cloud-init of this machine."""

from __future__ import annotations

import json
import subprocess

import pytest
import yaml

from provision.base.paths import TEMPLATES
from tests.unit.model.cluster.test_render import PAIRS, documents

STARTER = TEMPLATES / "image/files/usr/local/lib/provision/cloud-init"
PROBE = f"""
import json, runpy, sys
import cloudinit.cmd.main
from cloudinit import safeyaml, util

def main():
    import yaml
    assert sys.modules["jsonschema"] is None
    assert issubclass(yaml.SafeLoader, yaml._yaml.CParser) and issubclass(yaml.dumper.SafeDumper, yaml._yaml.CEmitter)
    given = util.load_yaml(sys.stdin.read())
    json.dump([given, safeyaml.dumps(given)], sys.stdout)

cloudinit.cmd.main.main = main
runpy.run_path({str(STARTER)!r}, run_name="__main__")
"""


def test_it_is_cloud_inits_command():
    done = subprocess.run([STARTER, "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout + done.stderr).split()[0] == str(STARTER)


@pytest.mark.parametrize(("case", "role"), PAIRS)
def test_user_data_is_read_and_written_as_by_the_parser_in_python(case, role):
    text = documents(case)[f"{role}/user-data.yaml"]
    done = subprocess.run(
        ["/usr/bin/python3", "-c", PROBE], input=text, capture_output=True, text=True, check=True, timeout=60
    )
    read, written = json.loads(done.stdout)
    assert read == yaml.safe_load(text)
    assert yaml.safe_load(written) == read
