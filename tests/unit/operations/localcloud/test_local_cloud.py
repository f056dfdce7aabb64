"""The local cloud's two implementations: which one is chosen, and that both do all that can be asked of one."""

from __future__ import annotations

import inspect

import pytest

from provision.model.localcloud.settings import Settings
from provision.operations.localcloud.local_cloud import LocalCloud, local_cloud
from provision.operations.localcloud.shared.installation import save_settings
from provision.operations.localcloud.single.cloud import SingleHost
from provision.operations.localcloud.swarm.cloud import SwarmCloud

METHODS = [name for name, _ in inspect.getmembers(LocalCloud, inspect.isfunction) if not name.startswith("_")]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [(None, SingleHost), (Settings(ha=True), SingleHost), (Settings(ha=True, swarm=True), SwarmCloud)],
)
def test_it_is_chosen_by_whether_the_machine_belongs_to_a_swarm(monkeypatch, tmp_path, settings, expected):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    if settings:
        save_settings(settings)
    assert type(local_cloud()) is expected


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("cloud", [SingleHost, SwarmCloud])
def test_both_take_the_same_words(cloud, name):
    wanted, own = (inspect.signature(getattr(each, name)).parameters for each in (LocalCloud, cloud))
    assert list(own) == list(wanted)
    assert [each.kind for each in own.values()] == [each.kind for each in wanted.values()]
