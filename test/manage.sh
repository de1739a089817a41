#!/bin/bash -p
here=${BASH_SOURCE[0]%/*}
. "$here/../scripts/bootstrap.sh" test "$@"
