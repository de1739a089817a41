#!/bin/bash -p
here=${BASH_SOURCE[0]%/*}
exec "$here/../scripts/bootstrap.sh" test "$@"
