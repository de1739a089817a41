#!/bin/bash
# Everything this project checks about itself, through one door. It installs what it needs.
#
#   scripts/test.sh quick    format, lint, types, and unit tests on Python 3.8 and the newest: seconds, no root
#   scripts/test.sh [all]    quick, then every other test, on hosts booted for it: needs root
#   scripts/test.sh long     all, with the long tests too
#   scripts/test.sh accept   rewrite the golden plans, to be read in the diff
#
# What follows goes to pytest. If it names a path, that alone is run, on the newest Python.
set -euo pipefail
cd "$(dirname "$0")/.."
unset PYTHONPATH PYTHONHOME PYTEST_ADDOPTS

# One cache for each user: what root's runs leave behind would be in the way of everybody else's.
cache=$PWD/.venv/$(id -un)
export HYPOTHESIS_STORAGE_DIRECTORY=$cache/hypothesis

die() {
    printf 'error: %s\n   try: %s\n' "$1" "$2" >&2
    exit 1
}

install_packages() {
    local package missing=()
    for package; do
        dpkg-query --show --showformat='${Status}\n' "$package" 2>/dev/null |
            grep -q ' installed$' || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    ((EUID == 0)) || die "this machine lacks ${missing[*]}, and only root can install it" \
        "sudo apt-get install ${missing[*]}"
    echo "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends \
        -o DPkg::Lock::Timeout=300 "${missing[@]}" >/dev/null
}

# Each released CPython at hand, oldest first, a line each: its version, its path.
pythons() {
    local home name python
    home=$(getent passwd "${SUDO_USER:-$(id -un)}" | cut -d: -f6)
    {
        for name in $(compgen -c python3 | grep -E '^python3(\.[0-9]+)?$' | sort -u); do
            type -ap "$name"
        done
        printf '%s\n' "$home"/.pyenv/versions/*/bin/python
        printf '%s\n' "$home"/.local/share/uv/python/*/bin/python3
    } | grep -v /shims/ | while read -r python; do
        "$python" -I -c 'import sys
if sys.implementation.name == "cpython" and sys.version_info.releaselevel == "final":
    print("%d.%d.%d" % sys.version_info[:3], sys.executable)' 2>/dev/null || true
    done | sort -V
}

# Afterwards $cache/NAME is a virtual environment of PYTHON with the tools of requirements-dev.txt.
make_venv() {
    local place=$cache/$1 python=$2 stamp
    stamp="$python $("$python" -V) $(sha256sum <requirements-dev.txt)"
    if [[ -x $place/bin/python && $(cat "$place/stamp" 2>/dev/null) == "$stamp" ]]; then
        return
    fi
    # Debian and Ubuntu ship Python without what makes a virtual environment.
    "$python" -c 'import ensurepip' 2>/dev/null ||
        install_packages "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    echo "preparing $("$python" -V) in ${place#"$PWD"/}"
    "$python" -m venv --clear "$place"
    "$place/bin/python" -m pip install -qq --disable-pip-version-check \
        --requirement requirements-dev.txt
    echo "$stamp" >"$place/stamp"
}

make_venvs() {
    local found old new
    found=$(pythons)
    old=$(grep '^3\.8\.' <<<"$found" | tail -n 1 | cut -d' ' -f2-) || true
    new=$(tail -n 1 <<<"$found" | cut -d' ' -f2-)
    [[ $old ]] || die "there is no Python 3.8 here, and the tool must run on it: it is Ubuntu 20.04's own" \
        "pyenv install 3.8, or any other way that puts python3.8 on PATH"
    mkdir -p "$cache"
    # After a run by sudo, the owner's own next run needs its place here too.
    ((EUID)) || chown --reference=. .venv
    # Two runs at once would lay the same environment.
    exec 9>"$cache/lock"
    flock 9
    make_venv 3.8 "$old"
    make_venv newest "$new"
    exec 9>&-
}

# run_tests VENV LIMIT ARGUMENTS: pytest on that Python. At the limit it gets SIGTERM, and takes its hosts down.
run_tests() {
    local venv=$cache/$1 limit=$2
    shift 2
    echo
    "$venv/bin/python" -V
    timeout --foreground --kill-after=2m "$limit" \
        "$venv/bin/python" -m pytest -o cache_dir="$venv/pytest" --times="$cache/times.json" "$@"
}

mode=all
case ${1-} in quick | all | long | accept) mode=$1 && shift ;; esac
first=(tests/lint tests/unit) last=(tests --ignore=tests/lint) options=() limit=84m
case $mode in
quick) last=(tests/unit) limit=15m ;;
long) options=(--long) limit=170m ;;
accept) first=() last=(tests/unit/test_golden.py) options=(--accept) limit=15m ;;
esac
for argument; do
    [[ $argument != -* && -e ${argument%%::*} ]] && first=() last=() && break
done
if [[ ${last[0]-} == tests ]] && ((EUID != 0)); then
    die "only root can boot the hosts of these tests" "sudo $0 $mode, or $0 quick"
fi

# Of tests of real programs; the sandbox sees to its own.
[[ $mode == quick || $mode == accept || $EUID != 0 ]] || install_packages acl genisoimage openssh-client rsync strace
make_venvs
rm -f "$cache/times.json"
options+=("$@")
if ((${#first[@]})); then
    # 5: pytest found no test, as -k may well choose none of these.
    run_tests 3.8 15m "${first[@]}" "${options[@]}" || (($? == 5 && $# > 0))
fi
run_tests newest "$limit" "${last[@]}" "${options[@]}"
