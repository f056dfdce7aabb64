# Functions that the entrypoints share (bash, sourced). The rendered configuration is in /config, readable by root only.
set -euo pipefail
readonly HERE=/usr/local/lib/provision
# Docker's default limit is a million open files: some daemons walk through or allocate all of them.
ulimit -n 8192 2>/dev/null || ulimit -n "$(ulimit -H -n)"

die() {
    echo "entrypoint: $*" >&2
    exit 1
}

# take USER FILE PLACE: copy /config/FILE to PLACE, readable by USER only.
take() {
    [ -f "/config/$2" ] || die "/config/$2 does not exist"
    install -D -o "$1" -g "$1" -m 0600 "/config/$2" "$3"
}

# own USER FOLDER…: create folders that belong to USER.
own() {
    local user=$1
    shift
    install -d -o "$user" -g "$user" -m 0750 "$@"
}

# become USER COMMAND…: replace this process by COMMAND, run as USER.
become() {
    local user=$1
    shift
    export HOME
    HOME=$(getent passwd "$user" | cut -d: -f6)
    exec setpriv --reuid="$user" --regid="$user" --init-groups --inh-caps=-all "$@"
}

# as USER COMMAND…: run COMMAND as USER, and return.
as() (become "$@")

# await NAME:PORT…: wait until each accepts connections; exit after two minutes, naming the first that does not.
await() {
    local peer deadline=$((SECONDS + 120))
    for peer in "$@"; do
        until timeout 2 bash -c "exec 3<>/dev/tcp/${peer%:*}/${peer#*:}" 2>/dev/null; do
            [ "$SECONDS" -lt "$deadline" ] || die "$peer does not answer"
            sleep 0.5
        done
    done
}

# await_api URL…: wait until each answers below 500; exit after five minutes, naming the first that does not. For
# services that exit when they find no API: importing all of OpenStack again and again would waste a busy processor's
# time.
await_api() {
    local url status deadline=$((SECONDS + 300))
    for url in "$@"; do
        while status=$(curl -s -o /dev/null -m 20 -w '%{http_code}' "$url" || true); [ "$status" -lt 200 ] || [ "$status" -ge 500 ]; do
            [ "$SECONDS" -lt "$deadline" ] || die "$url does not answer ($status)"
            sleep 1
        done
    done
}

# note_migrated FAMILY CONNECTION: note in the database that it was migrated with this image. `cloud up` reads the note.
# It is in the database itself, so that it is backed up and restored with the data.
note_migrated() {
    # The URL holds a password, so it is not passed on the command line.
    DATABASE_URL=$2 python3 "$HERE/note_migrated.py" "$1" "${INPUTS:?}"
}

# connection FILE SECTION: print the database URL in a configuration file.
connection() {
    python3 "$HERE/read_connection.py" "$1" "$2"
}

# serve_api USER PORT FILE [LINE…]: run the WSGI script FILE under uWSGI with the settings of api.ini and further LINEs.
# Settings are in a file, since uWSGI exits when its command line has an option that this build does not know.
serve_api() {
    local user=$1 port=$2 file=$3 ini
    shift 3
    ini=$(<"$HERE/api.ini")
    ini=${ini//@PORT@/"$port"} ini=${ini//@USER@/"$user"} ini=${ini//@FILE@/"$file"}
    ini=${ini//@PROCESSES@/"${API_PROCESSES:-1}"} ini=${ini//@THREADS@/"${API_THREADS:-1}"}
    { printf '%s\n' "$ini" && printf '%s\n' "$@"; } >/run/api.ini
    [ -n "${LINGER:-}" ] || exec uwsgi_python3 --ini /run/api.ini
    rm -f /run/leaving
    uwsgi_python3 --ini /run/api.ini &
    server=$!
    trap 'leave "$server" "$port"' TERM
    wait "$server"
}

# leave PID PORT: stop a server without failing a request. Swarm stops an old replica as soon as the new one passes its
# own health check; it does not know about HAProxy. (On one machine `provision cloud` waits for both before it stops a
# replica, and LINGER is not set.) Docker's stop_grace_period limits the time that all this may take.
leave() {
    # The new replica becomes healthy in Consul, which checks every 5 s, and one or two seconds later in every HAProxy.
    sleep "$LINGER"
    touch /run/leaving
    # Every HAProxy has to see three health checks fail; the second and third come half a second after the one before.
    sleep 4
    # A connection is one request (HAProxy's http-server-close) or one health check.
    while [ -n "$(ss -Htn state established "( sport = :$2 )")" ]; do sleep 0.2; done
    kill -TERM "$1"
    wait "$1"
}
