from __future__ import annotations

import re
from pathlib import Path

import pytest

from provision.adapters.docker.image_builder import inputs
from provision.base.constants import FIRST_UID, NODE
from provision.base.errors import ProvisionError
from provision.base.paths import TEMPLATES
from provision.model.image.recipe import Software, StockSystem, image_paths, make_recipe, read_software

LISTED = b"""
suite: trixie
boot: [linux]
packages: [curl, nodejs]
python: {lock: python.lock, requirements: [pyspark==4.3.0]}
tools: {lock: tools.lock, requirements: [wheel==1]}
proxy: {folder: proxy}
left_out: [/usr/bin/vmctl]
stock:
  debian-13: {python: "3.13", lock: python.lock}
  ubuntu-24.04: {python: "3.12", lock: other.lock, node: tools}
"""
INPUTS = {
    "bake/Dockerfile": b"FROM x",
    "bake/entrypoint": b"run",
    "bake/software": b"install",
    "bake/finalize": b"finish",
    "image/software.yaml": LISTED,
    "image/python.lock": b"pyspark",
    "image/tools.lock": b"wheel",
    "image/proxy/package-lock.json": b"{}",
    "image/files/etc/nftables.conf": b"drop",
    "image/setup/software": b"pip",
    "image/setup/spark/registration.py": b"20",
    "image/setup/system": b"accounts",
    "image/setup/install.py": b"steps",
    "image/other.lock": b"numpy",
}


def test_reads_the_list_of_software():
    stock = {
        "debian-13": StockSystem("3.13", "python.lock"),
        "ubuntu-24.04": StockSystem("3.12", "other.lock", own_node=False),
    }
    read = read_software(LISTED.decode())
    assert read == Software(
        suite="trixie",
        packages=("curl", "nodejs"),
        boot=("linux",),
        python_lock="python.lock",
        python_requirements=("pyspark==4.3.0",),
        tools_lock="tools.lock",
        proxy="proxy",
        left_out=("/usr/bin/vmctl",),
        stock=stock,
    )
    assert [read.stock_packages(system) for system in stock.values()] == [("curl", "nodejs"), ("curl",)]
    assert read.common_stock_packages() == ("curl",)


@pytest.mark.parametrize("missing", ["suite", "boot", "packages", "python", "tools", "proxy", "stock"])
def test_a_list_without_a_part_is_refused_by_name(missing):
    text = "\n".join(line for line in LISTED.decode().splitlines() if not line.startswith((missing, "  ")))
    with pytest.raises(ProvisionError, match=missing):
        read_software(text)


@pytest.mark.parametrize(
    ("changed", "software_too"),
    [
        ("bake/Dockerfile", True),
        ("bake/software", True),
        ("image/python.lock", True),
        ("image/tools.lock", True),
        ("image/proxy/package-lock.json", True),
        ("image/setup/software", True),
        ("image/setup/spark/registration.py", True),
        ("image/setup/system", False),
        ("bake/finalize", False),
        ("image/files/etc/nftables.conf", False),
    ],
)
def test_a_change_makes_another_image_and_new_software_only_where_it_has_to(changed, software_too):
    before, after = make_recipe(INPUTS), make_recipe({**INPUTS, changed: INPUTS[changed] + b"#"})
    assert after.image != before.image
    assert after.root_uuid != before.root_uuid
    assert (after.software != before.software) is software_too


@pytest.mark.parametrize("changed", ["image/setup/install.py", "image/other.lock"])
def test_what_stock_images_alone_need_makes_no_other_image(changed):
    assert make_recipe({**INPUTS, changed: b"new"}) == make_recipe(INPUTS)


def test_a_new_file_makes_another_image():
    assert make_recipe({**INPUTS, "image/files/etc/new": b""}).image != make_recipe(INPUTS).image


def test_a_package_more_makes_another_image_a_comment_does_not():
    more = {**INPUTS, "image/software.yaml": LISTED.replace(b"curl,", b"curl, vim-tiny,")}
    comment = {**INPUTS, "image/software.yaml": b"# why\n" + LISTED}
    assert make_recipe(more).software != make_recipe(INPUTS).software
    assert make_recipe(comment) == make_recipe(INPUTS)


def test_contents_that_move_between_files_make_another_image():
    moved = {**INPUTS, "bake/finalize": b"fin", "bake/software": b"ishinstall"}
    assert make_recipe(moved).image != make_recipe(INPUTS).image


def test_every_recipe_has_its_own_files():
    made = make_recipe(INPUTS)
    place = image_paths(Path("/cache"), made)
    assert place.image == Path(f"/cache/images/{made.image}.qcow2")
    assert place.software == Path(f"/cache/software/{made.software}.tar.zst")


class TestTheProjectsOwnFiles:
    listed = read_software((TEMPLATES / "image/software.yaml").read_text())

    def test_every_requirement_is_locked_with_its_hashes(self):
        for lock, wanted in (
            (self.listed.python_lock, self.listed.python_requirements),
            (self.listed.tools_lock, [f"wheel=={self._version('wheel')}"]),
        ):
            text = (TEMPLATES / "image" / lock).read_text()
            for requirement in wanted:
                # The lock has the package without its extras, and the packages that those ask for.
                package = re.sub(r"\[.*\]", "", requirement)
                assert re.search(rf"^{re.escape(package)} \\\n    --hash=sha256:[0-9a-f]{{64}}", text, re.MULTILINE)

    def _version(self, name: str) -> str:
        found = re.search(rf"^{name}==(\S+)", (TEMPLATES / "image" / self.listed.tools_lock).read_text(), re.MULTILINE)
        assert found
        return found[1]

    def test_no_lock_names_an_address(self):
        for path in (TEMPLATES / "image").rglob("*lock*"):
            assert "://" not in re.sub(r'"(url|homepage|funding)": .*', "", path.read_text()), path

    def test_every_package_of_the_proxy_has_an_integrity_hash(self):
        import json

        locked = json.loads((TEMPLATES / "image/proxy/package-lock.json").read_text())["packages"]
        assert all(entry["integrity"].startswith("sha512-") for name, entry in locked.items() if name)

    def test_the_units_and_the_bake_use_the_paths_that_everybody_uses(self):
        found = inputs()
        assert f"venv={NODE.venv}\n" in found["image/setup/software"].decode()
        assert NODE.proxy.startswith("/opt/chp/")
        assert "folder=/opt/chp\n" in found["image/setup/software"].decode()
        for name in ("master", "worker", "history"):
            unit = found[f"image/files/etc/systemd/system/spark-{name}.service"].decode()
            assert f"EnvironmentFile={NODE.spark_env}\n" in unit
        start = found["image/files/usr/local/lib/provision/spark"].decode()
        assert f"export SPARK_HOME={NODE.spark_home} SPARK_CONF_DIR={NODE.spark_conf}\n" in start
        hub = found["image/files/etc/systemd/system/jupyterhub.service"].decode()
        command = f"{NODE.venv}/bin/jupyterhub -f {NODE.hub_config}"
        assert f"ExecStart=/usr/local/lib/provision/after-workers {command}\n" in hub


def test_accounts_made_by_hand_never_get_the_number_of_a_user():
    system = (TEMPLATES / "image/setup/system").read_text()
    assert {int(number) for number in re.findall(r"UID_MAX (\d+)", system)} == {FIRST_UID - 2}


def test_what_only_stock_images_use_makes_no_new_golden_image():
    found = inputs()
    for name in ("image/setup/install.py", "image/setup/clean"):
        assert make_recipe({**found, name: b"another"}) == make_recipe(found), name
