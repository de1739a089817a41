#!/usr/bin/python3
"""How long the job-runner does not poll when its image is changed, next to doing it by hand.

By hand means stop, rm and run with the same options, typed as one line, with nothing proved. The
gap is the longest time between two polls that the controller was asked, less the interval at which
an agent polls anyway. Both images are on the host already.

sudo benchmarks/update.py [5]
"""

from __future__ import annotations

import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import Callable


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sandbox.host import Host  # noqa: E402
from sandbox.sandbox import Sandbox  # noqa: E402


INTERVAL_S = 5
BACKEND = "/srv/backend-server/test/manage.sh"
UNIT = "opensafely-jobrunner.service"
# The unit's own line, with another image, and in the background.
BY_HAND = r"""
line=$(tr '\0' ' ' </proc/$(systemctl show --value --property=MainPID {unit})/cmdline)
systemctl stop {unit}
docker rm --force jobrunner 2>/dev/null
eval "$(echo "$line" | sed 's/ --attach=stdout / --detach /; s/@sha256:[0-9a-f]*/@{digest}/')"
"""


def gap(sandbox: Sandbox, host: Host, change: Callable[[], object]) -> float:
    """The longest silence from before a change until the agent polls as usual again."""
    controller = sandbox.outside.controller
    began = controller.wait_poll(address=host.address)
    change()
    controller.wait_poll(address=host.address)
    polls = controller.polls(began, host.address)
    silences = [later - earlier for earlier, later in zip(polls, polls[1:])]
    return max(0.0, max(silences) - INTERVAL_S)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with Sandbox() as sandbox:
        host = sandbox.warm("test")
        digests = [sandbox.images.digest("job-runner", tag) for tag in ("v1", "v2")]
        host.run(f"{BACKEND} service update jobrunner --yes --to {digests[1]}")
        ours, by_hand = [], []
        for number in range(rounds):
            digest = digests[number % 2]
            update = f"{BACKEND} service update jobrunner --yes --to {digest}"
            ours.append(gap(sandbox, host, partial(host.run, update)))
            line = BY_HAND.format(unit=UNIT, digest=digests[(number + 1) % 2])
            by_hand.append(gap(sandbox, host, partial(host.run, line)))
            host.run(f"docker rm --force jobrunner; systemctl start {UNIT}")
            time.sleep(INTERVAL_S)
    for name, found in (("service update", ours), ("by hand", by_hand)):
        print(
            f"{name:<15} median {statistics.median(found):.2f}  most {max(found):.2f}"
        )


if __name__ == "__main__":
    main()
