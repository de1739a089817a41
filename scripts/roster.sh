#!/bin/bash
# For reviewers, on a laptop or in CI: judges all rosters and keys of this checkout. docs/rosters.md.
#
#   scripts/roster.sh check    exit 0: fine, 1: problems, 2: wrong usage, 4: something did not answer
#
# In the environment, if at hand: GITHUB_TOKEN, JOB_SERVER_TOKEN.
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/.."
exec python3 -B -m roster "$@"
