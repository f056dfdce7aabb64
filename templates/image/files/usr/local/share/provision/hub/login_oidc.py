"""The Hub's login by OIDC: JupyterHub's own authenticator, with our list of who may and our words."""

import asyncio
from urllib.parse import urlsplit

from jupyterhub.handlers.login import LoginHandler
from login_servers import SECONDS, refuse, unreachable
from logins import Refused
from oauthenticator.generic import GenericOAuthenticator
from oauthenticator.oauth2 import OAuthCallbackHandler, OAuthLoginHandler
from tornado import web
from tornado.httpclient import HTTPClientError

TRIES, PAUSE = 10, 15
"""How often the server is asked when the Hub starts, and the seconds between: for the log alone, each login asks again."""


def text_of(error):
    """Return what an HTTP error says to people."""
    message = error.log_message or error.reason or "The login has failed."
    return message % error.args if error.args else message


class OnTheLoginPage(LoginHandler):
    """Shows on the login page, in words, what has gone wrong."""

    async def show(self, error):
        """Show it with the answer's status."""
        self.set_status(error.status_code)
        self.finish(await self._render(login_error=text_of(error)))


class ToLoginServer(OAuthLoginHandler, OnTheLoginPage):
    """Leads to the login server."""

    async def get(self):
        """Ask the server first where its pages are, if that is not known yet."""
        try:
            await self.authenticator.discover()
        except web.HTTPError as error:
            await self.show(error)
        else:
            OAuthLoginHandler.get(self)


class FromLoginServer(OAuthCallbackHandler, OnTheLoginPage):
    """Where the login server leads back to."""

    async def get(self):
        """Log the user in, or say on the login page why not."""
        try:
            await super().get()
        except web.HTTPError as error:
            await self.show(error)


class OidcLogins(GenericOAuthenticator):
    """Logins by an OIDC server, whose addresses it says itself."""

    login_handler = ToLoginServer
    callback_handler = FromLoginServer
    logins = None
    issuer = ""
    groups_claim = ""

    def get_handlers(self, app):
        """Return the pages of a login; the server is asked for its addresses meanwhile."""
        self.asking = asyncio.get_running_loop().create_task(self._ask_at_start())
        return super().get_handlers(app)

    async def _ask_at_start(self):
        for _ in range(TRIES):
            try:
                await self.discover()
            except web.HTTPError:
                await asyncio.sleep(PAUSE)
            else:
                return

    async def discover(self):
        """Learn from the server where its pages are, once. Raises HTTPError with words for the login page."""
        if self.token_url:
            return
        what = f"The login server {self.issuer}"
        try:
            found = await self.httpfetch(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration", label="discovery")
            if found["issuer"].rstrip("/") != self.issuer.rstrip("/"):
                raise ValueError(f"it calls itself {found['issuer']}")
            pages = [found[f"{name}_endpoint"] for name in ("authorization", "userinfo", "token")]
            if any(urlsplit(page).scheme != "https" for page in pages):
                raise ValueError("not all of its addresses begin with https")
        except (OSError, HTTPClientError, web.HTTPError, KeyError, ValueError, TypeError) as error:
            raise unreachable(self, what, error) from None
        # Without this field, it is the one that the standard says.
        self.basic_auth = "client_secret_post" not in found.get("token_endpoint_auth_methods_supported", [])
        self.authorize_url, self.token_url = pages[0], pages[2]
        if not self.userdata_from_id_token:
            self.userdata_url = pages[1]
        self.log.info("Logins are by %s", self.issuer)

    async def authenticate(self, handler, data=None, **_):
        """Return the account of whoever comes back from the login server. Raises HTTPError with words."""
        await self.discover()
        try:
            token = await self.get_token_info(handler, self.build_access_tokens_request_params(handler, data))
            claims = await self.token_to_user(token)
        except (OSError, HTTPClientError, ValueError) as error:
            raise unreachable(self, f"The login server {self.issuer}", error) from None
        try:
            name = await asyncio.to_thread(self.logins.admit, *self.who(claims))
        except Refused as error:
            raise refuse(self, error) from None
        return {"name": name, "admin": self.logins.admin(name)}

    def who(self, claims):
        """Return name, groups and subject of what the server says of somebody. Raises Refused."""
        if self.username_claim not in claims:
            raise Refused(
                f"the login server does not say your {self.username_claim}: hub.login.oidc names the claim and the scopes"
            )
        if self.username_claim == "email" and claims.get("email_verified") is False:
            raise Refused("the login server has not verified your e-mail address")
        groups = claims.get(self.groups_claim) or []
        if not isinstance(groups, list):
            groups = [groups]
        return claims[self.username_claim], [each for each in groups if isinstance(each, str)], str(claims.get("sub", ""))

    async def check_allowed(self, username, auth_model):  # noqa: ARG002 - JupyterHub's own
        """Whoever may not was refused in `authenticate`."""
        return True


def set_up(c, logins, secret):
    """Set up the authenticator, and return its class."""
    given, authority = logins.settings, logins.authority()
    c.OidcLogins.client_id, c.OidcLogins.client_secret = given["client_id"], secret
    c.OidcLogins.scope = given["scopes"]
    c.OidcLogins.username_claim = given["username_claim"]
    c.OidcLogins.userdata_from_id_token = given["claims"] == "id_token"
    c.OidcLogins.login_service = given["title"]
    c.OidcLogins.http_request_kwargs = {"request_timeout": SECONDS, "connect_timeout": SECONDS}
    if authority:
        c.OidcLogins.http_request_kwargs["ca_certs"] = authority
    OidcLogins.issuer, OidcLogins.groups_claim, OidcLogins.logins = given["issuer"], given["groups_claim"], logins
    return OidcLogins
