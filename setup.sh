#!/usr/bin/env bash
# Brings a fresh Debian 12, Debian 13 or Ubuntu 24.04 to the point where `provision` runs: Python environment, Docker
# engine, Compose v2 and the tools that build images. What is already there is left alone. Works as root or with sudo.
#
#   setup.sh install run|test      what `make up` or `make test` needs
#   setup.sh with-docker CMD …     run CMD with access to the Docker engine (a new member of group docker has it at once)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

say() { printf '%s\n' "$*" >&2; }
die() { say "Error: $1"; say "What to do: $2"; exit "${3:-1}"; }
root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
have() { command -v "$1" >/dev/null 2>&1; }

good_python() { have python3 && python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
docker_answers() { have docker && { docker info >/dev/null 2>&1 || root docker info >/dev/null 2>&1; }; }
compose_works() { docker compose version 2>/dev/null | grep -q ' v\?[2-9]'; }
in_apt() { apt-cache policy "$1" 2>/dev/null | grep -Eq "Candidate: [^(]*${2:-}"; }

# A word is here only if it is missing on this machine.
missing_packages() {
  good_python || printf '%s\n' python3 python3-venv
  have dockerd || { docker_answers || printf '%s\n' docker.io iptables; }
  have mmdebstrap || printf '%s\n' mmdebstrap
  have ssh || printf '%s\n' openssh-client
  [ -e /etc/ssl/certs/ca-certificates.crt ] || printf '%s\n' ca-certificates
  if [ "$1" = test ]; then
    have chromium || have google-chrome || printf '%s\n' chromium
    have cloud-init || printf '%s\n' cloud-init
    have systemd-analyze || printf '%s\n' systemd
    have haproxy || printf '%s\n' haproxy
    have restic || printf '%s\n' restic
    [ -x /usr/sbin/slapd ] || printf '%s\n' slapd
  fi
}

install_packages() {
  local -a packages
  mapfile -t packages < <(missing_packages "$1")
  if [ ${#packages[@]} = 0 ]; then return; fi
  have apt-get || die "this machine lacks ${packages[*]} and has no apt-get" \
    "install them with your distribution's own tool, then run the same command again" 2
  [ "$(id -u)" = 0 ] || have sudo || die "installing ${packages[*]} needs root" "run as root, or install sudo" 2
  say "Installing from this system's own package sources: ${packages[*]}"
  # Tests run slapd with a configuration of their own: the package's own directory is not to be made, nor started.
  case " ${packages[*]} " in
    *" slapd "*) echo "slapd slapd/no_configuration boolean true" | root debconf-set-selections ;;
  esac
  root apt-get update -qq || say "(some package lists could not be refreshed; going on with those that could)"
  # Debian 13 and Ubuntu split the client off.
  if [[ " ${packages[*]} " == *" docker.io "* ]] && ! have docker && in_apt docker-cli; then packages+=(docker-cli); fi
  root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null ||
    die "apt-get could not install ${packages[*]}" "read apt's message above"
}

# Debian 12 has no Compose v2. The package of Debian 13 is one static binary, the plugin itself: it is taken from the
# same mirror, checked by apt with Debian's own keys, and unpacked to where Docker looks for plugins.
install_compose() {
  if compose_works; then return; fi
  root apt-get update -qq || true
  local package
  for package in docker-compose-v2 docker-compose; do
    if in_apt "$package" 2; then
      say "Installing Compose v2: package $package"
      root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null
      compose_works && return
    fi
  done
  local mirror work
  # shellcheck disable=SC2016 # $(SITE) is apt's own word
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' | grep -v security | head -n 1)
  [ -n "$mirror" ] || die "no Compose v2 found for this system" "install Docker's compose plugin, then run this again" 2
  say "Installing Compose v2: the docker-compose package of Debian 13, from $mirror"
  work=$(mktemp -d)
  mkdir -p "$work"/{lists/partial,cache/archives/partial,root}
  chmod 755 "$work"
  printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s trixie main\n' "$mirror" >"$work/sources.list"
  local -a apt=(apt-get -qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
  (cd "$work" && root "${apt[@]}" update && root "${apt[@]}" download docker-compose) ||
    die "Compose v2 could not be downloaded" "read apt's message above, or install Docker's compose plugin by hand"
  dpkg-deb -x "$work"/docker-compose_*.deb "$work/root"
  root install -D -m 755 "$work/root/usr/libexec/docker/cli-plugins/docker-compose" /usr/local/lib/docker/cli-plugins/docker-compose
  root rm -rf "$work"
  compose_works || die "Compose v2 was installed but \`docker compose version\` does not answer" "run it by hand to see why"
}

# log_level FILE: print dockerd's option for warnings alone, unless FILE has a level: it refuses to start with both.
log_level() { root grep -qs '"log-level"' "$1" || echo --log-level=warn; }

start_docker() {
  if docker_answers; then return; fi
  if [ -d /run/systemd/system ]; then
    root systemctl enable --now docker >/dev/null 2>&1 || true
  else
    say "Starting the Docker engine (no systemd here; its log: /var/log/dockerd.log)"
    # A power cut leaves the engine's pid file, and some other process may have that number by now.
    if ! pgrep -x dockerd >/dev/null; then root rm -f /var/run/docker.pid; fi
    # Nobody keeps its log short: it has warnings only, and begins anew where it has grown.
    # shellcheck disable=SC2046 # an option or nothing
    root sh -c 'find "$0" -size +16M -delete 2>/dev/null
      setsid dockerd "$@" >>"$0" 2>&1 </dev/null & echo $! >/run/provision-dockerd.pid' \
      /var/log/dockerd.log $(log_level /etc/docker/daemon.json)
  fi
  local _
  for _ in $(seq 60); do
    if docker_answers; then return; fi
    sleep 1
  done
  die "the Docker engine does not answer" "see 'journalctl -u docker' or /var/log/dockerd.log"
}

# By the account, not by this session, which may have begun before.
in_docker_group() { id -nG "$(id -un)" | tr ' ' '\n' | grep -qx docker; }

join_docker_group() {
  if [ "$(id -u)" = 0 ] || docker info >/dev/null 2>&1 || in_docker_group; then return; fi
  say "Adding $(id -un) to the group docker"
  root usermod -aG docker "$(id -un)"
}

# with_docker CMD…: become CMD, with access to the engine where this account has it.
with_docker() {
  if docker info >/dev/null 2>&1 || ! in_docker_group; then exec "$@"; fi
  exec sg docker -c "$(printf '%q ' "$@")"
}

# The environment is made anew when the lock file changes, and the package installed again when its metadata does: the
# command's own entry point is there.
install_python() {
  local lock=$1 stamp package
  stamp="$(python3 -V) $(cksum <"$lock")"
  # The larger environment serves the smaller need.
  if [ "$lock" = requirements.lock ] && [ "$(cat .venv/.lock 2>/dev/null)" = "$(python3 -V) $(cksum <requirements-dev.lock)" ]; then
    stamp=$(cat .venv/.lock)
  fi
  if [ "$(cat .venv/.lock 2>/dev/null)" != "$stamp" ]; then
    say "Making the Python environment .venv from $lock"
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/pip install -q --disable-pip-version-check --require-hashes --no-deps -r "$lock" ||
      die "Python packages could not be installed" "read pip's message above"
    printf '%s' "$stamp" >.venv/.lock
  fi
  package=$(cksum <pyproject.toml)
  if [ "$(cat .venv/.package 2>/dev/null)" != "$package" ]; then
    .venv/bin/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e . ||
      die "provision could not be installed into .venv" "read pip's message above"
    printf '%s' "$package" >.venv/.package
  fi
}

case ${1:-} in
  install)
    # With access to the engine, as `make up` runs the rest: without, a cloud that runs already is in its own way.
    if good_python; then (with_docker python3 -m provision.operations.localcloud.shared.preflight); fi
    install_packages "$2"
    start_docker
    join_docker_group
    install_compose
    install_python "$([ "$2" = test ] && echo requirements-dev.lock || echo requirements.lock)"
    ;;
  with-docker)
    shift
    with_docker "$@"
    ;;
  *) die "setup.sh takes 'install run', 'install test' or 'with-docker CMD'" "use make: \`make help\`" 2 ;;
esac
