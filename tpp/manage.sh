#!/bin/bash -p
here=${BASH_SOURCE[0]%/*}
[ "$here" != "${BASH_SOURCE[0]}" ] || here=. # as `bash manage.sh` has it
# Once this host is a backend, what judges this checkout stands outside it.
judge=/usr/local/lib/opensafely/entry.py
[ ! -x /usr/bin/python3 ] || [ ! -e $judge ] || exec /usr/bin/python3 -I -S $judge "$here/.." tpp "$@"
. "$here/../scripts/bootstrap.sh" tpp "$@"
