"""One catalogue for all tests of a session, and nothing left of it afterwards."""

from __future__ import annotations

import pytest

from .world import World, ensure_catalogue_images


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """Run Consul and the Registrator for all tests of the session."""
    world = World(ensure_catalogue_images(), tmp_path_factory.mktemp("config"))
    try:
        world.start_consul()
        world.start_registrator()
        yield world
    finally:
        world.close()


@pytest.fixture(autouse=True)
def _clean(world):
    yield
    world.clear()
