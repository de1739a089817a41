#!/bin/bash -p
# Starts the tool for a backend, making sure first that there is a Python to run it.
# Idempotent. -p: nothing in the caller's environment can make bash run something else.
set -euo pipefail
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH

cd -P -- "${BASH_SOURCE[0]%/*}/.."
checkout=$PWD
typed=$*
cd /
python=/usr/bin/python3
unfinished=/var/lib/opensafely/installing-python # a killed dpkg may leave half of it

refuse() {
    fail 2 "$1" "$2"
}

# As the tool itself does: docs/json.md.
fail() {
    [[ " $typed " != *' --json '* ]] || printf '{"format": 1, "exit": %d, "error": "%s", "hint": "%s"}\n' \
        "$1" "${2//\"/}" "${3//\"/}" || true
    printf 'error: %s\n   try: %s\n' "$2" "$3" >&2
    exit "$1"
}

# The same block that the tool keeps in /etc/hosts: apt may need it to find the mirror.
pin_addresses() {
    local begin='# BEGIN opensafely: written by backend-server, changes here are lost'
    grep -qxF "$begin" /etc/hosts && return
    { echo "$begin"; cat "$checkout/$1/hosts"; echo '# END opensafely'; } >> /etc/hosts
}

# The mirror is given to apt in a file of its own; the host's sources are the tool's to change.
# Silent, unless it waits or fails.
apt() {
    local said options=(-qq -o Acquire::http::Timeout=10 -o Acquire::https::Timeout=10)
    if [ -n "$MIRROR" ]; then
        options+=(-o "Dir::Etc::SourceList=$sources" -o Dir::Etc::SourceParts=-)
    fi
    wait_for_locks
    said=$(DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
        apt-get "${options[@]}" -o DPkg::Lock::Timeout=600 "$@" < /dev/null 2>&1) || {
        echo "$said" >&2
        return 1
    }
}

# The process that holds one of these locks, if any: /proc/locks has a lock a line, with pid and inode.
# Read in one go: line by line, what others lock meanwhile makes bash miss some.
lock_holder() {
    local pid where
    while read -r _ _ _ _ pid where _; do
        [ "${where##*:}" != "$(stat -c %i "$1" 2> /dev/null)" ] || echo "$pid"
    done <<< "$(cat /proc/locks)"
}

# Nobody else is installing packages or fetching lists of them, as a killed run's apt-get may be.
# Says for whom it waits. apt-get waits for the first of these alone, whatever it is told.
wait_for_locks() {
    local lock pid told='' tries
    for ((tries = 0; tries < 600; tries++)); do
        for lock in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock \
            /var/cache/apt/archives/lock; do
            pid=$(lock_holder "$lock" | head -n 1)
            [ -z "$pid" ] || break
        done
        [ "$pid" ] || return 0
        [ "$told" = "$pid" ] || echo "waiting up to 600 s for" \
            "$(cat "/proc/$pid/comm" || true) (pid $pid), which holds $lock" >&2
        told=$pid
        sleep 1
    done
}

is_installed() {
    dpkg-query --show --showformat='${Status}' python3 2> /dev/null | grep -qx 'install ok installed'
}

install_python() {
    echo "this host has no $python: installing it" >&2
    mkdir -p "${unfinished%/*}"
    : > "$unfinished"
    MIRROR='' # where backend.env says nothing of one
    . "$checkout/$1/backend.env"
    . /etc/os-release
    pin_addresses "$1"
    sources=$(mktemp --suffix=.list)
    trap 'rm -f "$sources"' EXIT
    chmod 644 "$sources"
    echo "deb $MIRROR/$ID $VERSION_CODENAME main" > "$sources"
    wait_for_locks
    # What a killed run left half-way, apt-get would refuse to build upon.
    dpkg --force-confdef --force-confold --configure -a > /dev/null 2>&1 || true
    # An archive or a package of somebody else's may fail, and python3 be there all the same.
    apt update -o APT::Update::Error-Mode=any || true
    apt install --yes --no-install-recommends --no-remove python3 || true
    # Whose link somebody has moved elsewhere is installed, and not there.
    [ -x "$python" ] || apt install --yes --reinstall python3-minimal || true
    { [ -x "$python" ] && is_installed; } || fail 1 \
        'python3 could not be installed; what apt-get said stands above' \
        "apt-get update; apt-get install python3"
    rm -f "$sources" "$unfinished"
}

# Nothing is installed for a command that only looks, or where nobody can have agreed to it.
may_install() {
    local backend=$1 word agreed='' begins="sudo ./$1/manage.sh" LC_ALL=C # a-z is no é
    [[ $1 =~ ^[a-z][a-z0-9-]*$ ]] || refuse \
        "the folder '${1//[^a-zA-Z0-9_. -]/?}' is no name of a backend; wanted a to z, then a to z, 0 to 9 and -" \
        "ls $checkout/*/manage.sh"
    shift
    [ "$EUID" = 0 ] || refuse "there is no $python, and only root can install it" "$begins"
    [ -d /run/systemd/system ] || refuse \
        'systemd does not run this machine; wanted a booted Ubuntu server' \
        'sudo ./scripts/sandbox.sh test'
    grep -Eqv '^[[:space:]]*(#|$)' "$checkout/developers" || refuse \
        'no developer is on the roster developers; wanted at least one' \
        "echo YOUR-GITHUB-NAME >> $checkout/developers, and commit that"
    case ${1:-apply} in
        apply | -*) ;;
        *)
            [ ! -e /etc/opensafely/backend ] || begins='apt-get install --reinstall python3-minimal'
            refuse "there is no $python yet, and $1 installs none" "$begins"
            ;;
    esac
    for word; do
        case $word in
            # Those of apply, and their values.
            -v | --verbose | --yes | --json | --offline | --accept-keys | [!-]*) ;;
            --only | --only=* | --confirm-within | --confirm-within=*) ;;
            *) refuse "there is no $python yet, and nothing installs it for $word" "$begins" ;;
        esac
    done
    [[ " $* " == *' --yes '* ]] && agreed=1
    [ -t 0 ] || [ "$agreed" ] || refuse \
        "this machine is no backend yet, and nobody is here to confirm that it becomes $backend" \
        'run this on a terminal, or answer beforehand with --yes'
}

if [ -e "$unfinished" ] && is_installed; then
    rm -f "$unfinished" # somebody finished it by hand
fi
if [ ! -x "$python" ] || [ -e "$unfinished" ]; then
    may_install "$@"
    install_python "$1"
fi
exec "$python" -I -S "$checkout/backend_server/entry.py" "$checkout" "$@"
