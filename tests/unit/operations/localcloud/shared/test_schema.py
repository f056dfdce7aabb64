"""Schemas: which databases need a migration, and the one-shot containers that migrate them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from provision.base.errors import ProvisionError
from provision.model.localcloud.settings import Settings
from provision.operations.localcloud.shared import schema

INPUTS = {"keystone": "k2", "nova": "n2"}


def installation(control=None, *, ha=False):
    return SimpleNamespace(settings=Settings(ha=ha), inputs=INPUTS, control=control)


class Engine:
    def __init__(self, answers=None):
        self.answers = answers or {}
        self.asked, self.settled = [], []

    def execute(self, container, argv):
        self.asked.append(container)
        # Apart from the others, a member refuses every question.
        return self.answers.get(container, (1, "ERROR 1047 (08S01)"))

    def wait_and_remove(self, container, limit):
        self.settled.append(container)


def test_a_member_that_serves_is_asked():
    engine = Engine({"provision-mariadb-3-1": (0, "nova\tn2\nkeystone\tk1\n")})
    assert schema.pending(engine, installation(ha=True)) == ["keystone"]
    assert engine.asked == ["provision-mariadb-1", "provision-mariadb-2-1", "provision-mariadb-3-1"]
    assert schema.pending(engine, installation()) is None


def test_the_containers_to_ask_can_be_named():
    engine = Engine({"c1": (0, "")})
    assert schema.pending(engine, installation(), ["c1"]) == list(INPUTS)
    assert engine.asked == ["c1"]


@pytest.mark.parametrize("step", ["migrate", "expand", "contract"])
def test_each_family_has_its_one_shot_container(step):
    engine, runs, shown = Engine(), [], []
    control = SimpleNamespace(run_once=lambda service, command: runs.append((service, command)))
    schema.run(engine, installation(control), INPUTS, step, lambda item, state: shown.append(item))
    assert sorted(runs) == [("keystone-migrate", step), ("nova-migrate", step)]
    assert sorted(engine.settled) == ["provision-keystone-migrate", "provision-nova-migrate"]
    assert sorted(shown) == sorted(["keystone database", "nova database"] * 2)


def test_a_migration_that_fails_is_an_error():
    def fail(service, command):
        raise ProvisionError(f"{service} failed")

    with pytest.raises(ProvisionError, match="nova-migrate failed"):
        schema.run(Engine(), installation(SimpleNamespace(run_once=fail)), ["nova"], "migrate", lambda *_: None)
