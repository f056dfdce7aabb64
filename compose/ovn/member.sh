# OVN's databases as a Raft cluster of three members, one on each of three hosts; sourced by the entrypoint.
# MEMBER is this member's number. MEMBERS are all addresses in the order of the numbers: the hosts' own addresses, since
# OVN's clients and members accept no names. Connections need a certificate that the local cloud's own CA has signed.
readonly KEY=/config/ovn-key.pem CERTIFICATE=/config/ovn-certificate.pem AUTHORITY=/config/ovn-authority.pem
readonly TLS=(--private-key=$KEY --certificate=$CERTIFICATE --ca-cert=$AUTHORITY)

# database NAME: print its schema, the port for clients, and the port for members.
database() {
    case "$1" in
    nb) echo OVN_Northbound "${NB_PORT:?}" "${NB_RAFT_PORT:?}" ;;
    sb) echo OVN_Southbound "${SB_PORT:?}" "${SB_RAFT_PORT:?}" ;;
    esac
}

# remotes PORT [ADDRESS…]: print the connection strings for these addresses, one a line.
remotes() {
    local port=$1
    shift
    printf "ssl:%s:$port\n" "$@"
}

# cluster SCHEMA REMOTE: print `one` if the member there belongs to a cluster, `none` if not, nothing without an answer.
cluster() {
    local answer
    answer=$(ovsdb-client "${TLS[@]}" --timeout=5 --no-leader-only query "$2" \
        "[\"_Server\",{\"op\":\"select\",\"table\":\"Database\",\"where\":[[\"name\",\"==\",\"$1\"]],\"columns\":[\"cid\"]}]" \
        2>/dev/null) || return 0
    case "$answer" in
    *'"uuid","00000000-'* | *'"set"'*) echo none ;;
    *'"uuid"'*) echo one ;;
    esac
}

# begins SCHEMA PORT: succeed if this member has to create the cluster. Only the first member may, and only when each of
# the others answers that it belongs to none: a host that has lost its disk joins, and never makes a second cluster.
begins() {
    local remote answer none
    [ "$MEMBER" = 1 ] || return 1
    while true; do
        none=0
        for remote in $(remotes "$2" "${others[@]}"); do
            answer=$(cluster "$1" "$remote")
            case "$answer" in
            '') echo "waiting for $remote" ;;
            none) none=$((none + 1)) ;;
            *) return 1 ;;
            esac
        done
        [ "$none" -lt "${#others[@]}" ] || return 0
        sleep 2
    done
}

# serve NAME: create a database's files if there are none, as the first member or by joining, and start its server.
serve() {
    local name=$1 file=/var/lib/ovn/ovn$1_db.db schema port raft
    read -r schema port raft < <(database "$name")
    if [ ! -e "$file" ]; then
        if begins "$schema" "$port"; then
            echo "$schema: beginning a cluster"
            # A host that is only busy must not be taken for a lost one.
            ovsdb-tool --election-timer=4000 create-cluster "$file" "/usr/share/ovn/ovn-$name.ovsschema" "ssl:$address:$raft"
        else
            echo "$schema: joining"
            # shellcheck disable=SC2046 # several words
            ovsdb-tool join-cluster "$file" "$schema" "ssl:$address:$raft" $(remotes "$raft" "${others[@]}")
            touch "$file.joining"
        fi
    fi
    ovsdb-server "${TLS[@]}" -vconsole:info -vsyslog:off -vfile:off --unixctl="/run/ovn/ovn${name}_db.ctl" \
        --remote="punix:/run/ovn/ovn${name}_db.sock" --remote="pssl:$port:$address" "$file" &
}

# state NAME: print what the server of a database reports about the cluster.
state() {
    local schema
    read -r schema _ < <(database "$1")
    ovs-appctl --timeout=5 -t "/run/ovn/ovn$1_db.ctl" cluster/status "$schema"
}

# settle NAME: convert a database to this image's schema. A member that has joined removes its predecessor.
settle() {
    local name=$1 schema port raft id at
    local socket=unix:/run/ovn/ovn$1_db.sock file=/var/lib/ovn/ovn$1_db.db new=/usr/share/ovn/ovn-$1.ovsschema
    read -r schema port raft < <(database "$name")
    until ovsdb-client --timeout=30 wait "$socket" "$schema" connected; do sleep 1; done
    # Never convert backwards: in an upgrade another member may already be newer.
    while ovsdb-tool compare-versions \
        "$(ovsdb-client --timeout=30 --no-leader-only get-schema-version "$socket" "$schema")" "<" \
        "$(ovsdb-tool schema-version "$new")"; do
        ovsdb-client --timeout=30 --no-leader-only convert "$socket" "$new" || sleep 2
    done
    while [ -e "$file.joining" ]; do
        stale=$(state "$name" | sed -n "/^Servers:/,\$s/^ *[0-9a-f]* (\([0-9a-f]*\) at ssl:\(.*\):$raft)\( (self)\)\?.*/\1 \2\3/p" |
            while read -r id at self; do
                [ -z "$self" ] || continue
                [ "$at" != "$address" ] && [[ ",$MEMBERS," = *",$at,"* ]] || echo "$id"
            done)
        [ -n "$stale" ] || rm "$file.joining"
        for id in $stale; do
            echo "$schema: member $id is gone for good"
            ovs-appctl --timeout=5 -t "/run/ovn/ovn${name}_db.ctl" cluster/kick "$schema" "$id" || true
            sleep 2
        done
    done
}

# healthy: succeed if this member belongs to both clusters and each has a leader.
healthy() {
    local name status
    for name in nb sb; do
        status=$(state "$name") && grep -q '^Status: cluster member' <<<"$status" || return 1
        ! grep -q '^Leader: unknown' <<<"$status" || return 1
    done
}

member() {
    local all each others=() address name
    IFS=, read -ra all <<<"${MEMBERS:?}"
    address=${all[MEMBER - 1]}
    for each in "${all[@]}"; do [ "$each" = "$address" ] || others+=("$each"); done
    mkdir -p /run/ovn /var/lib/ovn
    rm -f /run/ovn/*.pid /run/ovn/*.ctl
    # Stop in an orderly way: a leader hands over before it leaves.
    trap 'for each in /run/ovn/ovn*_db.ctl; do ovs-appctl --timeout=5 -t "$each" exit; done; exit 0' TERM INT
    for name in nb sb; do serve "$name"; done
    # One of the three is active, the others wait for its lock.
    ovn-northd "${TLS[@]}" -vconsole:info -vsyslog:off -vfile:off --unixctl=/run/ovn/ovn-northd.ctl \
        --ovnnb-db="$(remotes "$NB_PORT" "${all[@]}" | paste -sd,)" \
        --ovnsb-db="$(remotes "$SB_PORT" "${all[@]}" | paste -sd,)" &
    for name in nb sb; do settle "$name" & done
    while true; do
        wait -n && continue
        die "a server of OVN's databases has ended"
    done
}
