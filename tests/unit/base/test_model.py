"""Plain data that has questions of its own."""

from __future__ import annotations

from pathlib import Path

from provision.base.model import LocalWheel, PackagesSpec


def test_packages_are_true_when_anything_is_asked_for():
    wheel, jar = LocalWheel("demo", Path("/a/demo-1-py3-none-any.whl")), Path("/a/x.jar")
    assert not PackagesSpec()
    assert PackagesSpec(("polars",))
    assert PackagesSpec(wheels=(wheel,))
    assert PackagesSpec(jars=(jar,))
    assert list(PackagesSpec(("polars",), (wheel,), (jar,)).files()) == [wheel.path, jar]
