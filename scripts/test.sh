#!/bin/bash
# Everything this project checks about itself, through one door. It looks first, and installs after.
#
#   scripts/test.sh quick    format, lint, types, and unit tests on Python 3.8 and the newest: under a minute, no root
#   scripts/test.sh [all]    quick, then every other test, on hosts booted for it: needs root
#   scripts/test.sh long     all, with the long tests too
#   scripts/test.sh accept   rewrite the golden plans and docs/provider.md, to be read in the diff
#
# What follows goes to pytest. If it names a path, that alone is run, with what it needs and no more:
# below tests/unit and tests/lint that is no root, and no package.
#
# Without a Python 3.8 it tests on what is there, and its last line says what was left out. With CI=true it insists.
set -euo pipefail
cd "$(dirname "$0")/.."
unset PYTHONPATH PYTHONHOME PYTEST_ADDOPTS

typed="$0${*:+ $*}"
# What pytest is told where it runs tests/ as a whole, and nowhere else.
whole=(-n auto)

# One cache for each user: what root's runs leave behind would be in the way of everybody else's.
cache=$PWD/.venv/$(id -un)
export HYPOTHESIS_STORAGE_DIRECTORY=$cache/hypothesis
# Of root, and of who typed sudo.
homes=$(getent passwd "$(id -un)" ${SUDO_USER:+"$SUDO_USER"} | cut -d: -f6 | sort -u)

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

# Each released CPython at hand that could run the tests, oldest first, a line each: its version, its path.
pythons() {
    local home name python
    {
        for name in $(compgen -c python3 | grep -E '^python3(\.[0-9]+)?$' | sort -u); do
            type -ap "$name"
        done
        for home in $homes; do
            printf '%s\n' "$home"/.pyenv/versions/*/bin/python
            printf '%s\n' "$home"/.local/share/uv/python/*/bin/python3
        done
    } | grep -v /shims/ | while read -r python; do
        "$python" -I -c 'import sys
if sys.implementation.name == "cpython" and sys.version_info.releaselevel == "final" and sys.version_info >= (3, 8):
    print("%d.%d.%d" % sys.version_info[:3], sys.executable)' 2>/dev/null || true
    done | sort -u -k1,1V
}

# How this machine gets another Python, as it can be typed here.
how_to_get() {
    local home
    if type -P uv >/dev/null; then
        echo "uv python install $1" && return
    fi
    # sudo has a PATH of its own.
    for home in $homes; do
        [[ ! -x $home/.local/bin/uv ]] || { echo "$home/.local/bin/uv python install $1" && return; }
        [[ ! -x $home/.pyenv/bin/pyenv ]] || { echo "$home/.pyenv/bin/pyenv install $1" && return; }
    done
    echo "pyenv install $1, or anything else that puts python$1 on PATH"
}

# $old and $new, which may be one. The tools for format, lint and types go to $old.
choose_pythons() {
    local found lacking=''
    found=$(pythons)
    [[ $found ]] || die "there is no Python 3.8 or newer here" "sudo apt-get install python3"
    old=$(grep '^3\.8\.' <<<"$found") || old=$(head -n 1 <<<"$found")
    old=$(tail -n 1 <<<"$old")
    new=$(tail -n 1 <<<"$found")
    [[ $old == 3.8.* ]] || lacking=3.8
    [[ $new != 3.8.* ]] || lacking=3.13
    if [[ $lacking ]]; then
        [[ ${CI-} != true ]] || die "there is no Python $lacking here, and CI=true wants both 3.8 and a newer one" \
            "$(how_to_get "$lacking")"
        left_out="Python $lacking, which is not here (to have it: $(how_to_get "$lacking"))"
    fi
    # The last mypy that checks code for 3.8 runs on none newer than this.
    if ! [[ $old =~ ^3\.([89]|1[0-3])\. ]]; then
        left_out+=", and types, for which mypy wants a Python up to 3.13"
        options+=(--deselect=tests/lint/test_linters.py::test_types)
    fi
    old=${old#* } new=${new#* }
}

# Afterwards $cache/NAME is a virtual environment of PYTHON with what these files name.
make_venv() {
    local place=$cache/$1 python=$2 stamp
    shift 2
    stamp="$python $("$python" -V) $(cat "$@" | sha256sum)"
    if [[ -x $place/bin/python && $(cat "$place/stamp" 2>/dev/null) == "$stamp" ]]; then
        return
    fi
    # Debian and Ubuntu ship Python without what makes a virtual environment.
    "$python" -c 'import ensurepip' 2>/dev/null ||
        install_packages "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    echo "preparing $("$python" -V) in ${place#"$PWD"/}"
    "$python" -m venv --clear "$place"
    "$place/bin/python" -m pip install -qq --disable-pip-version-check "${@/#/--requirement=}"
    echo "$stamp" >"$place/stamp"
}

make_venvs() {
    mkdir -p "$cache"
    # After a run by sudo, the owner's own next run needs its place here too.
    ((EUID)) || chown --reference=. .venv
    # Two runs at once would lay the same environment.
    exec 9>"$cache/lock"
    flock 9
    if [[ $alone != newest || $newest == oldest ]]; then
        make_venv oldest "$old" requirements-dev.txt requirements-lint.txt
    fi
    if [[ $alone != oldest && $newest == newest ]]; then
        make_venv newest "$new" requirements-dev.txt
    fi
    exec 9>&-
}

# run_tests VENV LIMIT ARGUMENTS: pytest on that Python. At the limit it gets SIGTERM, and takes its hosts down.
run_tests() {
    local venv=$cache/$1 limit=$2
    shift 2
    printf '\n%s\n' "$("$venv/bin/python" -V)"
    exec timeout --foreground --kill-after=2m "$limit" \
        "$venv/bin/python" -m pytest -o cache_dir="$venv/pytest" "$@"
}

# Both at once: the oldest's output as it comes, and below it the newest's.
side_by_side() {
    local second one=0 other=0 log=$cache/newest.log colour=()
    [[ ! -t 1 ]] || colour=(--color=yes)
    run_tests newest "$limit" "${last[@]}" "${colour[@]}" "$@" >"$log" 2>&1 &
    second=$!
    # Ctrl-C does not reach what bash runs beside itself.
    trap 'kill "$second" 2>/dev/null || true; exit 130' INT TERM
    (run_tests oldest "$limit" "${first[@]}" "$@") || one=$?
    tail --lines=+1 --follow --sleep-interval=0.1 --pid="$second" "$log"
    wait "$second" || other=$?
    trap - INT TERM
    # 5: pytest found no test, as -k may well choose none of one of them.
    ((one != 5 || other == 5)) || one=0
    ((other != 5 || one != 0)) || other=0
    return $((one ? one : other))
}

mode=all
case ${1-} in quick | all | long | accept) mode=$1 && shift ;; esac
first=(tests/lint tests/unit) last=(tests --ignore=tests/lint "${whole[@]}") options=() alone='' limit=80m
# Programs that tests run on this machine; the sandbox sees to its own.
for_contract=(acl openssh-client strace) for_hosts=(genisoimage)
packages=("${for_contract[@]}" "${for_hosts[@]}")
case $mode in
quick) last=(tests/unit) packages=() limit=15m ;;
long) options=(--long) limit=170m ;;
accept) alone=newest last=(tests/unit/test_golden.py tests/unit/test_provider.py) packages=() options=(--accept) limit=15m ;;
esac

before='' paths=()
for argument; do
    if [[ $argument != -* && $before != -[km] && -e ${argument%%::*} ]]; then
        paths+=("$(realpath --relative-to=. "${argument%%::*}")")
    fi
    before=$argument
done
((${#paths[@]} == 0)) || alone=newest last=() packages=()
for argument in "${paths[@]}"; do
    case $argument/ in
    tests/unit/*) ;;
    tests/lint/*) alone=oldest ;;
    tests/contract/*) packages+=("${for_contract[@]}") ;;
    tests/hosts/*) packages+=("${for_hosts[@]}") ;;
    *) alone=oldest packages+=("${for_contract[@]}" "${for_hosts[@]}") ;;
    esac
done
if ((${#packages[@]} && EUID != 0)); then
    die "only root can run these tests, which boot hosts; $0 quick needs no root" "sudo $typed"
fi

left_out='' oldest=oldest newest=newest
choose_pythons
[[ $old != "$new" ]] || newest=oldest
[[ $alone != newest ]] || left_out=''
install_packages "${packages[@]}"
make_venvs
# Two at once would both write it.
rm -f "$cache/times.json"
[[ $mode == quick ]] || options+=(--times="$cache/times.json")
options+=("$@")

status=0
if [[ $alone ]]; then
    (run_tests "${!alone}" "$limit" "${last[@]}" "${options[@]}") || status=$?
elif [[ $mode == quick && $newest == newest ]]; then
    side_by_side "${options[@]}" || status=$?
else
    # What is broken on the oldest is known before hosts are booted.
    (run_tests oldest 15m "${first[@]}" "${options[@]}") || status=$?
    ((status != 5 || $# == 0)) || status=0
    [[ $mode == quick || $status != 0 ]] ||
        (run_tests "$newest" "$limit" "${last[@]}" "${options[@]}") || status=$?
fi
[[ ! $left_out ]] || echo "left out: $left_out"
exit "$status"
