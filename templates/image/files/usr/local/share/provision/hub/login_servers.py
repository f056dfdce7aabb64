"""What logins by OIDC (login_oidc.py) and by LDAP (login_ldap.py) have in common: words, and the choice between them."""

from tornado import web

SECONDS = 30
"""How long a login server may take to answer."""


def words(error):
    """Return a sentence for the login page."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


def refuse(authenticator, error):
    """Return the answer for one who may not log in, and note it in the log."""
    authenticator.log.warning("Refused a login: %s", error)
    return web.HTTPError(403, "%s", words(error))


def unreachable(authenticator, what, error):
    """Return the answer while the login server is not there, and note why in the log."""
    authenticator.log.error("%s cannot be asked: %s", what, error)
    return web.HTTPError(503, "%s", f"{what} does not answer as it should ({error}). Try again in some minutes.")


def configure(c, logins, secret):
    """Set up the authenticator of hub.login, and return its class."""
    # A name or a group that was taken away at the login server counts at the next login: there is one each day.
    c.JupyterHub.cookie_max_age_days = 1
    # The list is ours (logins.py): without this the Hub's log says that nobody may.
    c.Authenticator.any_allow_config = True
    # Each takes a second to import on an emulated machine.
    if logins.kind == "oidc":
        from login_oidc import set_up
    else:
        from login_ldap import set_up
    return set_up(c, logins, secret)
