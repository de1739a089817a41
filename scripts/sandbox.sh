#!/bin/bash
# A disposable host on this machine, made a backend: docs/sandbox.md.
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/.."
# -B: root leaves no files in a person's checkout.
exec /usr/bin/python3 -B -m sandbox "$@"
