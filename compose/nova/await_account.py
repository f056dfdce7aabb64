"""await_account.py FILE SECTION: wait until Keystone takes the account in a section; exit 1 after five minutes.

The account is made while services start. Scheduler and conductor exit where it is refused, and importing all of
OpenStack again would cost more than to wait.
"""

import configparser
import json
import sys
import time
import urllib.error
import urllib.request

TIMEOUT = 300
parser = configparser.RawConfigParser(strict=False, interpolation=None)
parser.read(sys.argv[1])
account = parser[sys.argv[2]]
identity = {
    "methods": ["password"],
    "password": {
        "user": {
            "name": account["username"],
            "password": account["password"],
            "domain": {"name": account["user_domain_name"]},
        }
    },
}
scope = {"project": {"name": account["project_name"], "domain": {"name": account["project_domain_name"]}}}
request = urllib.request.Request(
    account["auth_url"].rstrip("/") + "/auth/tokens",
    json.dumps({"auth": {"identity": identity, "scope": scope}}).encode(),
    {"Content-Type": "application/json"},
)
deadline = time.monotonic() + TIMEOUT
while True:
    try:
        with urllib.request.urlopen(request, timeout=20):
            break
    except OSError as error:
        if time.monotonic() > deadline:
            sys.exit(f"await_account: {account['auth_url']} does not take {account['username']}: {error}")
    time.sleep(1)
