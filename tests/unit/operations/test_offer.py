"""What a cloud is asked for."""

from __future__ import annotations

from types import SimpleNamespace

from provision.base.model import Flavor
from provision.model.cluster.offer import CloudOffer
from provision.operations import offer as module


def test_flavors_images_and_networks_are_asked_for(monkeypatch):
    small = Flavor("small", 1, 2048, 8)
    cloud = SimpleNamespace(flavors=lambda: {"small": small}, externals=lambda: ("internet",))
    monkeypatch.setattr(module, "connect", lambda name: cloud)
    monkeypatch.setattr(module, "image_names", lambda asked: ("debian",))
    assert module.ask_offer("company") == CloudOffer("company", (small,), ("debian",), ("internet",))
