"""The Hub's login by LDAP: JupyterHub's own authenticator, with our list of who may and our words."""

import asyncio
import ipaddress
import ssl

import notebook_passwords
from ldap3.core import tls
from ldap3.core.exceptions import LDAPCertificateError, LDAPException
from ldapauthenticator import LDAPAuthenticator
from login_servers import SECONDS, refuse, unreachable
from logins import Refused, login_name


check_name = tls.check_hostname


def check_hostname(sock, server_name, additional_names):
    """Compare a server's certificate with its address too: from Python 3.12 on, ldap3 itself compares names alone."""
    try:
        address = ipaddress.ip_address(server_name)
    except ValueError:
        return check_name(sock, server_name, additional_names)
    listed = [value.strip() for kind, value in sock.getpeercert().get("subjectAltName", ()) if kind == "IP Address"]
    if address not in map(ipaddress.ip_address, listed):
        raise LDAPCertificateError(f"its certificate is not for {address}, but for {', '.join(listed) or 'no address'}")
    return None


tls.check_hostname = check_hostname


class LdapLogins(LDAPAuthenticator):
    """Logins by a directory: its own password, in the Hub's form."""

    logins = None

    async def authenticate(self, handler, data):
        """Return the account of somebody whose password is right, None if it is wrong. Raises HTTPError with words."""
        given, address = data["username"].strip(), handler.request.remote_ip
        notebook_passwords.guesses.refuse(given, address)
        what = f"The directory {self.server_address}"
        try:
            login_name(given, self.logins.domain)
            asked = {"username": given.lower(), "password": data.get("password", "")}
            # It waits for the directory's answers: not in the Hub's own thread.
            found = await asyncio.wait_for(asyncio.to_thread(asyncio.run, super().authenticate(handler, asked)), SECONDS)
            if found is None:
                notebook_passwords.guesses.note(given, address)
                return None
            notebook_passwords.guesses.forget(given, address)
            name = await asyncio.to_thread(self.logins.admit, given, found["auth_state"]["ldap_groups"])
        except Refused as error:
            raise refuse(self, error) from None
        except TimeoutError:
            raise unreachable(self, what, f"there was no answer in {SECONDS} s") from None
        except (LDAPException, OSError) as error:
            raise unreachable(self, what, error) from None
        return {"name": name, "admin": self.logins.admin(name)}

    def get_connection(self, userdn, password):
        """Return a connection of this account, None if the password is wrong. Raises OSError if it is the Hub's own."""
        connection = super().get_connection(userdn, password)
        if connection is None and userdn == self.lookup_dn_search_user:
            raise OSError("it does not accept the Hub's own account, hub.login.ldap.bind_dn")
        if connection is not None:
            # Members are looked for by three attributes, and not every directory has heard of all of them.
            connection.check_names = False
        return connection

    async def check_allowed(self, username, auth_model):  # noqa: ARG002 - JupyterHub's own
        """Whoever may not was refused in `authenticate`."""
        return True


def set_up(c, logins, secret):
    """Set up the authenticator, and return its class."""
    given, authority = logins.settings, logins.authority()
    c.LdapLogins.server_address, c.LdapLogins.server_port = given["server"], given["port"]
    c.LdapLogins.tls_strategy = "on_connect" if given["tls"] == "ldaps" else "before_bind"
    # By itself it takes any certificate.
    c.LdapLogins.tls_kwargs = {"validate": ssl.CERT_REQUIRED} | ({"ca_certs_file": authority} if authority else {})
    # Names are checked by us, and escaped by it.
    c.LdapLogins.valid_username_regex = r"^[!-~]+$"
    # What it reads of a group it finds is of no use, but has to be something that each directory knows.
    c.LdapLogins.group_attributes = ["objectClass"]
    c.LdapLogins.allowed_groups = [*given["allowed_groups"], *given["admin_groups"]]
    if given["user_dn"]:
        c.LdapLogins.bind_dn_template = [given["user_dn"]]
    else:
        c.LdapLogins.lookup_dn = True
        c.LdapLogins.user_search_base = given["search_base"]
        c.LdapLogins.user_attribute = c.LdapLogins.lookup_dn_user_dn_attribute = given["user_attribute"]
        c.LdapLogins.lookup_dn_search_user, c.LdapLogins.lookup_dn_search_password = given["bind_dn"] or None, secret or None
    LdapLogins.logins = logins
    return LdapLogins
