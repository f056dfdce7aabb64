"""What the Hub's pages do with passwords; a login for real is in tests/e2e."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, SimpleNamespace
from urllib.parse import urlencode

import pytest

from provision.base.paths import TEMPLATES
from provision.operations.users.accounts import PASSWORD_LEAST, PASSWORD_MOST

FILE = TEMPLATES / "image/files/usr/local/share/provision/hub/notebook_passwords.py"


class HTTPError(Exception):
    """Tornado's, as far as ours uses it."""

    def __init__(self, status_code, log_message):
        super().__init__(status_code)
        self.status_code, self.log_message = status_code, log_message


class Finish(Exception):  # noqa: N818 - Tornado's name
    """Ends a request."""


class PAMError(Exception):
    """pamela's."""

    def __init__(self, errno):
        super().__init__(errno)
        self.errno = errno


@pytest.fixture
def module(monkeypatch):
    """Import the module with stand-ins for the packages that only nodes have."""
    stubs = {
        "pamela": {"PAMError": PAMError},
        "jupyterhub": {},
        "jupyterhub.handlers": {"BaseHandler": object},
        "tornado": {"web": SimpleNamespace(HTTPError=HTTPError, Finish=Finish)},
        "tornado.httputil": {"url_concat": lambda url, query: f"{url}?{urlencode(query)}"},
    }
    for name, attributes in stubs.items():
        stub = ModuleType(name)
        vars(stub).update(attributes)
        monkeypatch.setitem(sys.modules, name, stub)
    spec = importlib.util.spec_from_file_location("notebook_passwords", FILE)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def pam(module):
    """Passwords that PAM knows; those in `old` must be changed."""
    known = SimpleNamespace(right={"alice": "right", "bob": "first"}, old={"bob"}, asked=[])

    def authenticate(name, password, **_):
        known.asked.append(name)
        if known.right.get(name) != password:
            raise PAMError(7)

    def check_account(name, **_):
        if name in known.old:
            raise PAMError(12)

    module.pamela.authenticate, module.pamela.check_account = authenticate, check_account
    return known


@pytest.fixture
def authenticator():
    return SimpleNamespace(
        validate_username=lambda name: name in ("alice", "bob"),
        encoding="utf-8",
        executor=ThreadPoolExecutor(1),
        log=SimpleNamespace(warning=lambda *_: None),
    )


class Request:
    """A handler of one request."""

    def __init__(self, address="192.0.2.1"):
        self.request = SimpleNamespace(remote_ip=address)
        self.hub = SimpleNamespace(base_url="/hub/")
        self.went = None

    def get_argument(self, name, default=""):
        return {"next": "/hub/spawn"}.get(name, default)

    def redirect(self, url):
        self.went = url


def log_in(module, authenticator, name, password, handler=None):
    data = {"username": name, "password": password}
    return asyncio.run(module.log_in(authenticator, handler or Request(), data))


def test_right_and_wrong(module, pam, authenticator):
    assert log_in(module, authenticator, "alice", "right") == "alice"
    assert log_in(module, authenticator, "alice", "wrong") is None
    assert log_in(module, authenticator, "alice", "") is None
    pam.asked.clear()
    assert log_in(module, authenticator, "root", "secret") is None
    assert pam.asked == []


def test_a_first_password_leads_to_the_page_for_another(module, pam, authenticator):
    handler = Request()
    with pytest.raises(Finish):
        log_in(module, authenticator, "bob", "first", handler)
    assert handler.went == "/hub/change-password?username=bob&next=%2Fhub%2Fspawn&old=1"
    # Not for who does not know it.
    assert log_in(module, authenticator, "bob", "wrong") is None


def test_nobody_guesses_for_long(module, pam, authenticator):
    now = [0.0]
    module.guesses = module.Guesses(lambda: now[0])
    for _ in range(5):
        assert log_in(module, authenticator, "alice", "wrong") is None
    with pytest.raises(HTTPError) as refused:
        log_in(module, authenticator, "alice", "right")
    assert refused.value.status_code == 429
    assert "five minutes" in refused.value.log_message
    # The user herself, elsewhere; and anybody, later.
    assert log_in(module, authenticator, "alice", "right", Request("192.0.2.2")) == "alice"
    now[0] = 301
    assert log_in(module, authenticator, "alice", "right") == "alice"


def test_a_right_one_begins_again_and_little_is_remembered(module):
    guesses = module.Guesses()
    for _ in range(4):
        guesses.note("alice", "a")
    guesses.forget("alice", "a")
    guesses.note("alice", "a")
    guesses.refuse("alice", "a")
    guesses.REMEMBERED = 3
    for number in range(10):
        guesses.note(f"u{number}", "a")
    assert list(guesses.wrong) == [("u7", "a"), ("u8", "a"), ("u9", "a")]


@pytest.mark.parametrize(
    ("old", "new", "again", "said"),
    [
        ("x", "correct horse", "correct hors", "differ"),
        ("x", "short", "short", "8 to 128"),
        ("x", "x" * 129, "x" * 129, "8 to 128"),
        ("x", "line\nalice:root", "line\nalice:root", "cannot be typed"),
        ("x", "I am Alice!", "I am Alice!", "your name"),
        ("correct horse", "correct horse", "correct horse", "old one"),
    ],
)
def test_what_no_password_can_be(module, old, new, again, said):
    assert said in module.weakness("alice", old, new, again)


def test_a_good_password_is_set_out_of_sight(module, monkeypatch):
    assert module.weakness("alice", "x", "correct: bättery", "correct: bättery") == ""
    asked = []
    monkeypatch.setattr(subprocess, "run", lambda argv, **options: asked.append((argv, options["input"])))
    module.set_password("alice", "correct: bättery")
    assert asked == [(["/usr/sbin/chpasswd"], "alice:correct: bättery\n")]


def test_the_command_asks_for_as_much(module):
    assert (module.LEAST, module.MOST) == (PASSWORD_LEAST, PASSWORD_MOST)


def test_an_authenticator_has_the_page_beside_its_own(module, pam, authenticator):
    class Pam:
        def get_handlers(self, _app):
            return ["the login page"]

    class Users(module.PasswordPages, Pam):
        pass

    users = Users()
    vars(users).update(vars(authenticator))
    assert users.get_handlers(None) == ["the login page", ("/change-password", module.ChangePassword)]
    right = {"username": "alice", "password": "right"}
    assert asyncio.run(users.authenticate(Request(), right)) == "alice"
