#!/bin/bash
# For reviewers, on a laptop or in CI: judges all rosters and keys of this checkout. docs/rosters.md.
#
#   scripts/roster.sh check    exit 0: fine, 1: problems, 2: wrong usage, 4: something did not answer
#
# In the environment, if at hand: GITHUB_TOKEN, JOB_SERVER_TOKEN.
#
# It runs the checkout's Python: as root only where root alone can change that, as the tool itself
# (docs/adr/0041-the-judge-stands-outside-the-checkout.md).
set -euo pipefail

cd -P -- "$(dirname "$(readlink -f "$0")")/.."
if ((EUID == 0)); then
    judge=/usr/local/lib/opensafely/entry.py
    [ -e "$judge" ] || judge=backend_server/entry.py
    python3 -I -S -c 'import runpy, sys
wrong = runpy.run_path(sys.argv[1])["judged"](sys.argv[2])
if wrong:
    print("error:", wrong.replace("try: ", "try: the same without root, or "), file=sys.stderr)
    sys.exit(2)' "$judge" "$PWD"
fi
exec python3 -B -m roster "$@"
