#!/bin/bash -p
# Of which backend, its folder says: this file is the same on all of them.
here=${BASH_SOURCE[0]}
[[ $here = /* ]] || here=./$here # as `bash manage.sh` has it
cd -P -- "${here%/*}/" || exit 2
if [ ! -e ../scripts/bootstrap.sh ]; then
    wrong="manage.sh was started in no backend's folder, by a link that leads to one"
    hint='sudo backend, or its own path: BACKEND/manage.sh in the checkout'
    [[ " $* " != *' --json '* ]] ||
        printf '{"format": 1, "exit": 2, "error": "%s", "hint": "%s"}\n' "$wrong" "$hint"
    printf 'error: %s\n   try: %s\n' "$wrong" "$hint" >&2
    exit 2
fi
# Once this host is a backend, what judges this checkout stands outside it.
judge=/usr/local/lib/opensafely/entry.py
[ ! -x /usr/bin/python3 ] || [ ! -e $judge ] || exec /usr/bin/python3 -I -S $judge "$PWD/.." "${PWD##*/}" "$@"
. ../scripts/bootstrap.sh "${PWD##*/}" "$@"
