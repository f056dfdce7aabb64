"""The login to a cloud of clouds.yaml: what is wrong with the file, or with the cloud, is said."""

from __future__ import annotations

import pytest

from provision.adapters.openstack.cloud import connect
from provision.base.errors import ProvisionError, UsageError


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (None, "no usable cloud 'mine'"),
        ("clouds: {other: {auth: {auth_url: 'http://127.0.0.1:1/v3'}}}", "no usable cloud 'mine'"),
        ("clouds: [", "cannot be read"),
        ("- a list", ""),
    ],
)
def test_clouds_yaml(tmp_path, monkeypatch, text, part):
    file = tmp_path / "clouds.yaml"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        connect("mine")
    assert part in caught.value.message
    assert str(file) in caught.value.hint


def test_a_cloud_that_is_not_there(tmp_path, monkeypatch):
    file = tmp_path / "clouds.yaml"
    file.write_text(
        "clouds: {mine: {auth: {auth_url: 'http://127.0.0.1:1/v3', username: u, password: p, project_name: x}}}"
    )
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    with pytest.raises(ProvisionError, match="cannot be reached") as caught:
        connect("mine")
    assert caught.value.exit_code == 1
