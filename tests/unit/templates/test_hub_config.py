"""The Hub's configuration as Python: the sizes of servers, and the form for them."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import subprocess
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from provision.base.model import ClusterSpec, Flavor, HubSpec, Limits, MasterSpec, SparkSpec, User, WorkersSpec
from provision.model.cluster.example import documents

DEFAULT_HUB = HubSpec()
FLAVORS = (Flavor("small", 2, 2048, 8), Flavor("large", 4, 8192, 32))


class Settings(dict[str, Any]):
    """What JupyterHub's `c` is: sections and entries that come to be when they are set."""

    def __getattr__(self, name: str) -> Any:
        return self.setdefault(name, Settings())

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


class PAMAuthenticator:
    """JupyterHub's, as far as ours builds on it."""

    def validate_username(self, username: str) -> bool:
        return "/" not in username


@pytest.fixture(autouse=True)
def _jupyterhub(monkeypatch):
    """Stand for the package, which only nodes have."""
    for name in ("jupyterhub", "jupyterhub.auth"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys.modules["jupyterhub.auth"], "PAMAuthenticator", PAMAuthenticator, raising=False)


def all_settings(master: str, tmp_path, workers: str = "small", hub: HubSpec = DEFAULT_HUB, **spark: Any) -> Settings:
    """Run the rendered configuration with its state in `tmp_path`; return all of it."""
    spec = ClusterSpec(
        "a", master=MasterSpec(master), workers=WorkersSpec(2, workers), spark=SparkSpec(**spark), hub=hub
    )
    text = documents(spec, "cluster.yaml", FLAVORS)["master/jupyterhub_config.py"]
    settings = Settings()
    text = text.replace('"/var/lib/jupyterhub"', repr(str(tmp_path)))
    exec(compile(text, "jupyterhub_config.py", "exec"), {"get_config": lambda: settings})
    return settings


def spawner_settings(*arguments: Any, **options: Any) -> Settings:
    return all_settings(*arguments, **options).Spawner


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


# Group 900 is `notebook`, 901 `notebook-admin`.
ACCOUNTS = {"alice": (2001, [2001, 900]), "ada": (2002, [2002, 900, 901]), "root": (0, [0, 900]), "provision": (1000, [1000])}


@pytest.fixture
def accounts(monkeypatch):
    """Give the node some accounts; a test may change their groups."""
    there = {name: (uid, list(groups)) for name, (uid, groups) in ACCOUNTS.items()}
    monkeypatch.setattr(
        pwd, "getpwnam", lambda name: SimpleNamespace(pw_uid=there[name][0], pw_gid=there[name][1][0])
    )
    groups = {"notebook": 900, "notebook-admin": 901}
    monkeypatch.setattr(grp, "getgrnam", lambda name: SimpleNamespace(gr_gid=groups[name]))
    monkeypatch.setattr(os, "getgrouplist", lambda name, _gid: there[name][1])
    return there


@pytest.mark.parametrize(
    ("name", "accepted"), [("alice", True), ("ada", True), ("root", False), ("provision", False), ("nobody-here", False)]
)
def test_the_hub_knows_accounts_of_its_group_alone(tmp_path, accounts, name, accepted, monkeypatch):
    settings = all_settings("small", tmp_path)
    assert settings.JupyterHub.authenticator_class().validate_username(name) is accepted
    asked = []
    monkeypatch.setattr(subprocess, "run", lambda argv, **_options: asked.append(argv))
    start = settings.Spawner.pre_spawn_hook(SimpleNamespace(user=SimpleNamespace(name=name)))
    if accepted:
        asyncio.run(start)
        assert [argv[3:] for argv in asked if argv[:3] == ["systemctl", "set-property", "--runtime"]] == [
            ["notebooks.slice", "MemoryMax=1024M"],
            ["system.slice", "MemoryMin=768M"],
        ]
    else:
        with pytest.raises(PermissionError, match=f"{name} is not a notebook user"):
            asyncio.run(start)


@pytest.mark.parametrize(("disk", "kib"), [(None, "0"), (4096, "4194304")])
def test_a_user_has_as_much_disk_as_the_spec_says(tmp_path, accounts, monkeypatch, disk, kib):
    settings = all_settings("small", tmp_path, hub=HubSpec(limits=Limits(disk_mib=disk)))
    asked = []
    monkeypatch.setattr(subprocess, "run", lambda argv, **_options: asked.append(argv))
    monkeypatch.setattr(os.path, "exists", lambda path: path == "/usr/sbin/setquota")
    asyncio.run(settings.Spawner.pre_spawn_hook(SimpleNamespace(user=SimpleNamespace(name="alice"))))
    assert asked[-1] == ["/usr/sbin/setquota", "-u", "alice", "0", kib, "0", "0", "/"]


@pytest.mark.parametrize("there", [True, False])
def test_shared_is_in_the_file_browser(tmp_path, accounts, monkeypatch, there):
    settings = all_settings("small", tmp_path)
    asked = []
    monkeypatch.setattr(subprocess, "run", lambda argv, **options: asked.append((argv, options.get("user"))))
    monkeypatch.setattr(os.path, "lexists", lambda path: there and path == "/home/alice/shared")
    asyncio.run(settings.Spawner.pre_spawn_hook(SimpleNamespace(user=SimpleNamespace(name="alice"))))
    links = [(argv, user) for argv, user in asked if "ln" in argv]
    assert links == ([] if there else [(["ln", "-sn", "/shared", "/home/alice/shared"], "alice")])


def test_a_group_that_a_user_has_left_counts_no_longer(tmp_path, accounts):
    login = all_settings("small", tmp_path).JupyterHub.authenticator_class()

    def now(name):
        return asyncio.run(login.refresh_user(SimpleNamespace(name=name)))

    assert now("ada") == {"name": "ada", "admin": True}
    accounts["ada"][1].remove(901)
    assert now("ada") == {"name": "ada", "admin": False}
    accounts["ada"][1].remove(900)
    assert now("ada") is False


def test_each_user_has_a_unit_with_limits(tmp_path):
    limits = all_settings("small", tmp_path).SystemdSpawner
    assert (limits.mem_limit, limits.unit_extra_properties["TasksMax"]) == ("1024M", "2048")
    assert "cpu_limit" not in limits
    # The kernels' programs, and spark-submit, are found from notebooks.
    assert spawner_settings("small", tmp_path).environment["PATH"].startswith("/opt/jupyter/bin:/usr/local/bin:")
    hub = HubSpec(limits=Limits(1536, 2, 600), users=(User("alice"), User("bob")))
    limits = all_settings("large", tmp_path, hub=hub).SystemdSpawner
    assert (limits.mem_limit, limits.cpu_limit, limits.unit_extra_properties["TasksMax"]) == ("1536M", 2, "600")


def test_images_with_the_page_for_passwords_have_it(tmp_path, monkeypatch):
    assert "template_paths" not in all_settings("small", tmp_path).JupyterHub
    (tmp_path / "notebook_passwords.py").write_text("class PasswordPages:\n    mark = 'ours'\n")
    monkeypatch.syspath_prepend(tmp_path)
    settings = all_settings("small", tmp_path).JupyterHub
    assert settings.authenticator_class.mark == "ours"
    assert settings.template_paths == ["/usr/local/share/provision/hub/pages"]
    assert not settings.authenticator_class().validate_username("a/b")


def with_monitoring(tmp_path) -> Settings:
    spec = ClusterSpec("a", master=MasterSpec("small"), workers=WorkersSpec(2, "small"), monitoring=True)
    text = documents(spec, "cluster.yaml", FLAVORS)["master/jupyterhub_config.py"]
    settings = Settings()
    exec(
        compile(text.replace('"/var/lib/jupyterhub"', repr(str(tmp_path))), "jupyterhub_config.py", "exec"),
        {"get_config": lambda: settings},
    )
    return settings


@pytest.mark.parametrize("there", [True, False])
def test_the_store_of_metrics_and_the_hub_share_a_token_whoever_starts_first(tmp_path, there):
    if there:
        (tmp_path / "metrics.token").write_text("made by the store")
    hub = with_monitoring(tmp_path).JupyterHub
    (service,) = (each for each in hub.services if each["name"] == "metrics")
    assert service["api_token"] == (tmp_path / "metrics.token").read_text()
    assert (service["api_token"] == "made by the store") == there
    (role,) = (each for each in hub.load_roles if each["name"] == "metrics")
    assert role == {"name": "metrics", "scopes": ["read:metrics"], "services": ["metrics"]}
    assert not (tmp_path / "metrics.token.hub").exists()


def test_without_monitoring_there_is_no_such_service(tmp_path):
    assert "metrics" not in [each["name"] for each in all_settings("small", tmp_path).JupyterHub.services]


def test_a_servers_own_files_are_where_no_limit_holds(tmp_path, monkeypatch):
    assert "JUPYTER_RUNTIME_DIR" not in spawner_settings("small", tmp_path).environment, "that /tmp is everybody's"
    package = ModuleType("systemdspawner")
    package.__spec__ = ModuleSpec("systemdspawner", None)
    monkeypatch.setitem(sys.modules, "systemdspawner", package)
    settings = all_settings("small", tmp_path)
    assert settings.SystemdSpawner.isolate_tmp
    assert settings.Spawner.environment["JUPYTER_RUNTIME_DIR"] == "/tmp/jupyter"
