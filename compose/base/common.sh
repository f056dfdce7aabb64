# What every entrypoint shares (bash, sourced). Rendered configuration lies in /config, readable for root alone.
set -euo pipefail
# Docker's own limit is a million: some daemons walk or allocate all of it.
ulimit -n 8192 2>/dev/null || ulimit -n "$(ulimit -H -n)"

die() {
    echo "entrypoint: $*" >&2
    exit 1
}

# take USER FILE PLACE: give USER, and nobody else, a copy of /config/FILE.
take() {
    [ -f "/config/$2" ] || die "/config/$2 is not there"
    install -D -o "$1" -g "$1" -m 0600 "/config/$2" "$3"
}

# own USER FOLDER…: make folders that belong to USER.
own() {
    local user=$1
    shift
    install -d -o "$user" -g "$user" -m 0750 "$@"
}

# become USER COMMAND…: end as COMMAND, with USER's rights.
become() {
    local user=$1
    shift
    export HOME
    HOME=$(getent passwd "$user" | cut -d: -f6)
    exec setpriv --reuid="$user" --regid="$user" --init-groups --inh-caps=-all "$@"
}

# as USER COMMAND…: run COMMAND with USER's rights and go on.
as() (become "$@")

# await NAME:PORT…: return when each accepts connections; give up after two minutes, naming the first that does not.
await() {
    local peer deadline=$((SECONDS + 120))
    for peer in "$@"; do
        until timeout 2 bash -c "exec 3<>/dev/tcp/${peer%:*}/${peer#*:}" 2>/dev/null; do
            [ "$SECONDS" -lt "$deadline" ] || die "$peer does not answer"
            sleep 0.5
        done
    done
}

# await_api URL…: return when each answers below 500; give up after five minutes, naming the first that does not.
# For services that end when they find no API: importing all of OpenStack only to end is a waste of a busy processor.
await_api() {
    local url status deadline=$((SECONDS + 300))
    for url in "$@"; do
        while status=$(curl -s -o /dev/null -m 20 -w '%{http_code}' "$url" || true); [ "$status" -lt 200 ] || [ "$status" -ge 500 ]; do
            [ "$SECONDS" -lt "$deadline" ] || die "$url does not answer ($status)"
            sleep 1
        done
    done
}

# note_migrated FAMILY CONNECTION: write down that the database was migrated with this image (`cloud up` reads it).
# The note lies in the database itself: it goes where the data goes.
note_migrated() {
    # The URL holds a password: not on a command line.
    DATABASE_URL=$2 python3 - "$1" "${INPUTS:?}" <<'PYTHON'
import os
import sys
from urllib.parse import urlsplit

import pymysql

family, inputs = sys.argv[1:]
parts = urlsplit(os.environ["DATABASE_URL"])
with pymysql.connect(host=parts.hostname, user=parts.username, password=parts.password, database="provision") as db:
    with db.cursor() as cursor:
        cursor.execute("REPLACE INTO migrated VALUES (%s, %s)", (family, inputs))
    db.commit()
PYTHON
}

# connection FILE SECTION: the database URL in a configuration file.
connection() {
    python3 -c 'import configparser, sys
c = configparser.RawConfigParser(strict=False, interpolation=None)
c.read(sys.argv[1]); print(c.get(sys.argv[2], "connection"))' "$1" "$2"
}

# serve_api USER PORT FILE [LINE…]: run a WSGI script under uWSGI; further lines go into its ini.
# An ini of our own, not the command line: there an option that this build does not know would be fatal.
serve_api() {
    local user=$1 port=$2 file=$3
    shift 3
    cat >/run/api.ini <<INI
[uwsgi]
http-socket = :$port
master = true
plugins = python3
processes = ${API_PROCESSES:-1}
threads = ${API_THREADS:-1}
enable-threads = true
lazy-apps = true
die-on-term = true
no-orphans = true
thunder-lock = true
buffer-size = 65535
listen = 100
rem-header = Content-Length
add-header = Connection: close
http-auto-chunked = true
http-chunked-input = true
http-raw-body = true
wsgi-manage-chunked-input = true
close-on-exec = true
need-app = true
paste-logger = true
# Health checks come every second or two, and say nothing when they succeed.
route-user-agent = ^(Consul|HAProxy) donotlog:
# What leaves says so to them, and answers everybody else.
route-if-not = isfile:/run/leaving last:
route-user-agent = ^(Consul|HAProxy) break:503 Leaving
# The id of the request that has caused this one: \`provision cloud logs --request-id\` finds it here in services, such as
# Keystone, that write no line of their own.
log-format = %(addr) "%(method) %(uri)" status: %(status) len: %(rsize) time: %(msecs) ms [%(var.HTTP_X_OPENSTACK_REQUEST_ID)]
uid = $user
gid = $user
chdir = /var/lib/$user
wsgi-file = $file
$(printf '%s\n' "$@")
INI
    [ -n "${LINGER:-}" ] || exec uwsgi_python3 --ini /run/api.ini
    rm -f /run/leaving
    uwsgi_python3 --ini /run/api.ini &
    server=$!
    trap 'leave "$server" "$port"' TERM
    wait "$server"
}

# leave PID PORT: end a server without anybody noticing. Swarm tells an old copy to stop as soon as its own health check
# finds the new one well; it knows nothing of HAProxy. (On one machine `provision cloud` waits for both before it stops
# anything, and LINGER is not set.) Docker's stop_grace_period ends it all.
leave() {
    # Its successor is first healthy in Consul, which asks every 5 s, and a second or two later in every HAProxy.
    sleep "$LINGER"
    touch /run/leaving
    # Every HAProxy sees three health checks fail, the second and the third half a second after the one before.
    sleep 4
    # One connection is one request (HAProxy's http-server-close), or a health check.
    while [ -n "$(ss -Htn state established "( sport = :$2 )")" ]; do sleep 0.2; done
    kill -TERM "$1"
    wait "$1"
}
