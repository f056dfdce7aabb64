"""The Hub's configuration as Python: the sizes of servers, and the form for them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from provision.base.model import ClusterSpec, Flavor, MasterSpec, SparkSpec, WorkersSpec
from provision.model.cluster.example import documents

FLAVORS = (Flavor("small", 2, 2048, 8), Flavor("large", 4, 8192, 32))


class Settings(dict[str, Any]):
    """What JupyterHub's `c` is: sections and entries that come to be when they are set."""

    def __getattr__(self, name: str) -> Any:
        return self.setdefault(name, Settings())

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


def spawner_settings(master: str, tmp_path, workers: str = "small", **spark: Any) -> Settings:
    """Run the rendered configuration with its state in `tmp_path`; return the section Spawner."""
    spec = ClusterSpec("a", master=MasterSpec(master), workers=WorkersSpec(2, workers), spark=SparkSpec(**spark))
    text = documents(spec, "cluster.yaml", FLAVORS)["master/jupyterhub_config.py"]
    settings = Settings()
    text = text.replace('"/var/lib/jupyterhub"', repr(str(tmp_path)))
    exec(compile(text, "jupyterhub_config.py", "exec"), {"get_config": lambda: settings})
    return settings.Spawner


def chosen(settings: Settings, **options: str) -> str:
    return str(settings.environment["SPARK_SIZE"](SimpleNamespace(user_options=options)))


def test_one_size_alone_asks_nothing(tmp_path):
    settings = spawner_settings("small", tmp_path)
    assert "options_form" not in settings
    assert chosen(settings) == (
        "spark.driver.memory=512m spark.executor.memory=768m spark.executor.cores=1"
    )


def test_a_limit_of_the_spec_is_the_notebooks(tmp_path):
    assert chosen(spawner_settings("small", tmp_path, app_cores=3)).endswith("spark.cores.max=3")


def test_sizes_are_a_form_whose_answer_is_checked(tmp_path):
    settings = spawner_settings("large", tmp_path)
    form = settings.options_form
    assert [form.count(f'<option value="{name}"') for name in ("small", "medium", "large")] == [1, 1, 1]
    assert '<option value="medium" selected>' in form
    assert settings.options_from_form({"size": ["large"]}) == {"size": "large"}
    assert settings.options_from_form({}) == {"size": "medium"}
    with pytest.raises(ValueError, match="'huge' is not a size: choose one of small, medium, large"):
        settings.options_from_form({"size": ["huge"]})
    assert "spark.driver.memory=2048m" in chosen(settings, size="large")
    # A server that was started without the form, or with a size that there was once.
    assert chosen(settings) == chosen(settings, size="huge") == chosen(settings, size="medium")
    assert "spark.driver.memory=1024m" in chosen(settings)
    assert chosen(settings, size="small").endswith("spark.cores.max=2")


def test_larger_executors_are_fewer(tmp_path):
    settings = spawner_settings("large", tmp_path, workers="large", defaults=(("spark.executor.cores", "1"),))
    assert chosen(settings) == "spark.driver.memory=1024m spark.executor.memory=1843m spark.executor.cores=1"
    assert chosen(settings, size="large") == (
        "spark.driver.memory=2048m spark.executor.memory=3686m spark.executor.cores=2 "
        "spark.dynamicAllocation.initialExecutors=2"
    )
