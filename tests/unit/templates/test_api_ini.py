"""What the entrypoints' serve_api makes of compose/base/api.ini."""

from __future__ import annotations

import configparser
import subprocess

import pytest

from provision.base import paths


@pytest.fixture(name="serve")
def _serve(tmp_path):
    """common.sh with its folders here, and a uWSGI that does nothing."""
    script = (paths.COMPOSE / "base" / "common.sh").read_text()
    script = script.replace("/usr/local/lib/provision", str(paths.COMPOSE / "base"))
    script = script.replace("/run/api.ini", str(tmp_path / "api.ini"))
    uwsgi = tmp_path / "uwsgi_python3"
    uwsgi.write_text("#!/bin/sh\n")
    uwsgi.chmod(0o755)

    def serve(*words, **environment):
        done = subprocess.run(
            ["bash", "-c", f'{script}\nserve_api "$@"', "entrypoint", *words],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin", **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return (tmp_path / "api.ini").read_text()

    return serve


def settings(text):
    parsed = configparser.RawConfigParser(strict=False)
    parsed.read_string(text)
    return dict(parsed["uwsgi"])


def test_every_placeholder_is_filled_in(serve):
    text = serve("nova", "8774", "/usr/bin/nova-api-wsgi", API_PROCESSES="2")
    assert "@" not in text
    known = settings(text)
    assert known["http-socket"] == ":8774"
    assert (known["processes"], known["threads"]) == ("2", "1")
    assert (known["uid"], known["gid"], known["chdir"]) == ("nova", "nova", "/var/lib/nova")
    assert known["wsgi-file"] == "/usr/bin/nova-api-wsgi"


def test_further_lines_go_to_the_end_as_they_are(serve):
    lines = ["skip-atexit = true", r"pyargv = --config-file=/etc/a&b.conf \1 $HOME %t"]
    text = serve("neutron", "9696", "/usr/bin/neutron-api", *lines)
    assert text.splitlines()[-3:] == ["wsgi-file = /usr/bin/neutron-api", *lines]


IMAGES = {"chunked-input-limit": "67108864", "chunked-input-timeout": "60", "socket-timeout": "60"}


def test_glance_alone_takes_large_pieces_and_waits_for_them(serve):
    entrypoint = (paths.COMPOSE / "glance/entrypoint").read_text()
    stubs = "take() { :; }\nown() { :; }\nserve_api() { printf '%s\\n' \"$@\"; }\n"
    script = entrypoint.replace(". /usr/local/lib/provision/common.sh\n", stubs)
    done = subprocess.run(["bash", "-c", script, "entrypoint", "api"], capture_output=True, text=True, check=True)
    assert settings(serve(*done.stdout.splitlines())).items() >= IMAGES.items()
    assert not settings(serve("nova", "8774", "/usr/bin/nova-api-wsgi")).keys() & IMAGES.keys()
    for path in sorted(paths.COMPOSE.glob("*/entrypoint")):
        assert path.parent.name == "glance" or not [name for name in IMAGES if name in path.read_text()], path
