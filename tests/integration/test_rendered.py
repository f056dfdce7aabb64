"""The `local` cloud's own files of Consul, HAProxy and monitoring, read by the very programs that will run them."""

from __future__ import annotations

import pytest

from provision.adapters.host.certificates import ensure_certificate
from provision.model.localcloud.render import documents
from provision.model.localcloud.settings import PASSWORDS, Settings
from provision.operations.localcloud.shared.installation import new_password

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("document", "image", "command"),
    [
        ("haproxy/haproxy.cfg", "haproxy", ["haproxy", "-c", "-f"]),
        ("consul/consul.json", "consul", ["consul", "validate"]),
        ("monitoring/scrape.yaml", "monitoring", ["victoria-metrics", "-dryRun", "-promscrape.config"]),
        ("monitoring/alerts.yaml", "monitoring", ["vmalert", "-dryRun", "-rule"]),
    ],
)
def test_the_program_accepts_what_is_rendered(world, tmp_path, document, image, command):
    place = tmp_path / document.partition("/")[2]
    made = ensure_certificate(tmp_path / "tls", "api", "test", ("localhost",), ("127.0.0.1",))
    (tmp_path / "tls.pem").write_text(made.cert + made.key)
    place.write_text(documents(Settings(), {name: new_password(name) for name in PASSWORDS})[document])
    volumes = {str(tmp_path): {"bind": "/config", "mode": "ro"}}
    checker = world.start(
        "check", image, [*command[1:], f"/config/{place.name}"], entrypoint=command[:1], volumes=volumes
    )
    code = checker.wait()["StatusCode"]
    output = checker.logs().decode()
    assert code == 0, output
    assert "WARNING" not in output
    # And the check is one that fails.
    place.write_text("no such thing")
    checker.start()
    assert checker.wait()["StatusCode"] != 0
