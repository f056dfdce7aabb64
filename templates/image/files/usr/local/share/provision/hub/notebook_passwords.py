"""Passwords at the Hub: a login whose password must be changed, and the page where users change theirs.

JupyterHub by itself says of a password that has to be changed that it is wrong, and people have no other way in.
"""

import asyncio
import subprocess
import time
from collections import defaultdict, deque

import pamela
from jupyterhub.handlers import BaseHandler
from tornado import web
from tornado.httputil import url_concat

MUST_CHANGE = 12
"""PAM_NEW_AUTHTOK_REQD: the password is right, and its time is over."""
LEAST, MOST = 8, 128
"""Letters of a password: the same as `provision users passwd` asks for (operations/users/accounts.py)."""


class Guesses:
    """Wrong passwords of the last minutes, by name and address: after some, no more are looked at."""

    AT_MOST = 5
    SECONDS = 300
    REMEMBERED = 10_000
    """Pairs of name and address: those of longest ago are forgotten first."""

    def __init__(self, clock=time.monotonic):
        self.clock = clock
        self.wrong = defaultdict(deque)

    def refuse(self, name, address):
        """Raise HTTPError with words for the page after too many wrong passwords."""
        times = self.wrong.get((name, address), ())
        if sum(moment > self.clock() - self.SECONDS for moment in times) >= self.AT_MOST:
            raise web.HTTPError(429, "Too many wrong passwords. Wait five minutes, then try again.")

    def note(self, name, address):
        """Count one that was wrong."""
        times = self.wrong.pop((name, address), deque(maxlen=self.AT_MOST))
        times.append(self.clock())
        self.wrong[name, address] = times
        while len(self.wrong) > self.REMEMBERED:
            del self.wrong[next(iter(self.wrong))]

    def forget(self, name, address):
        """Begin again after a right one."""
        self.wrong.pop((name, address), None)


guesses = Guesses()


def state_of(name, password, encoding="utf-8"):
    """Ask PAM: `right`, `wrong`, or `old` for a right one that must be changed."""
    try:
        pamela.authenticate(name, password, service="login", encoding=encoding)
        # Older versions of pamela ask for the password alone.
        pamela.check_account(name, service="login", encoding=encoding)
    except pamela.PAMError as error:
        return "old" if error.errno == MUST_CHANGE else "wrong"
    return "right"


async def examine(authenticator, handler, name, password):
    """Return the state of a login's password, which is `wrong` for whoever may not log in. Raises HTTPError."""
    address = handler.request.remote_ip
    guesses.refuse(name, address)
    state = "wrong"
    if password and authenticator.validate_username(name):
        # One at a time: PAM waits after each wrong one.
        loop = asyncio.get_running_loop()
        state = await loop.run_in_executor(authenticator.executor, state_of, name, password, authenticator.encoding)
    if state == "wrong":
        guesses.note(name, address)
        authenticator.log.warning("Wrong login of %r from %s", name[:32], address)
    else:
        guesses.forget(name, address)
    return state


async def log_in(authenticator, handler, data):
    """Return the name of a user whose password is right, None if it is wrong; an old one leads to the page for it."""
    name = data["username"]
    state = await examine(authenticator, handler, name, data.get("password", ""))
    if state == "old":
        place = url_concat(
            handler.hub.base_url + "change-password",
            {"username": name, "next": handler.get_argument("next", ""), "old": "1"},
        )
        handler.redirect(place)
        raise web.Finish
    return name if state == "right" else None


def weakness(name, old, new, again):
    """Return why a new password is not taken, as a sentence; nothing if it is."""
    if new != again:
        return "The two new passwords differ."
    if not LEAST <= len(new) <= MOST:
        return f"A password has {LEAST} to {MOST} letters."
    if not new.isprintable():
        return "The new password has letters that cannot be typed."
    if name in new.lower():
        return "The new password contains your name."
    if new == old:
        return "The new password is the old one."
    return ""


def set_password(name, password):
    """Give an account a password, as root. It is in no list of processes. Raises CalledProcessError."""
    subprocess.run(["/usr/sbin/chpasswd"], input=f"{name}:{password}\n", text=True, check=True)


class ChangePassword(BaseHandler):
    """The page where a user changes the password: who can log in may, and who has to before."""

    async def _show(self, error="", status=200):
        self.set_status(status)
        page = await self.render_template(
            "change_password.html",
            error=error,
            old=self.get_argument("old", ""),
            next=self.get_argument("next", ""),
            username=self.get_argument("username", self.current_user.name if self.current_user else ""),
            xsrf=self.xsrf_token.decode("ascii"),
            least=LEAST,
        )
        self.finish(page)

    async def get(self):
        """Show the form."""
        await self._show()

    async def post(self):
        """Change the password and log the user in, or show the form again with the reason."""
        name = self.get_body_argument("username", "")
        old, new, again = (
            self.get_body_argument(field, "", strip=False) for field in ("password", "new_password", "again")
        )
        try:
            state = await examine(self.authenticator, self, name, old)
        except web.HTTPError as error:
            await self._show(error.log_message, error.status_code)
            return
        if state == "wrong":
            await self._show("The name or the present password is wrong.", 403)
            return
        if why := weakness(name, old, new, again):
            await self._show(why, 400)
            return
        await asyncio.to_thread(set_password, name, new)
        self.log.info("%s has changed the password", name)
        user = await self.login_user({"username": name, "password": new})
        self.redirect(self.get_next_url(user) if user else self.settings["login_url"])


class PasswordPages:
    """What JupyterHub's PAMAuthenticator gets: limits to guessing, and a way on for a password that must be changed."""

    async def authenticate(self, handler, data):
        """Ask PAM for the password; one that must be changed leads to the page for that."""
        return await log_in(self, handler, data)

    def get_handlers(self, app):
        """Return the pages of a login."""
        return [*super().get_handlers(app), (r"/change-password", ChangePassword)]
