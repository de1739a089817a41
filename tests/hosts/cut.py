"""Run in a host as `cut.py N MANAGE…`: the tool, stopped before the N-th thing that it does to the host.

Things are programs started, files written and files removed. Who stopped is in /run/cut.
"""

import os
import runpy
import signal
import sys


LAST, ENTRY = int(sys.argv[1]), sys.argv[2]
sys.path.insert(0, os.path.dirname(os.path.dirname(ENTRY)))

from backend_server.host.writer import Host  # noqa: E402


steps = 0


def counted(act):
    def acting(host, *args, **kwargs):
        global steps
        steps += 1
        if steps == LAST:
            with open("/run/cut", "w") as file:
                file.write(f"{os.getpid()}\n")
            os.kill(os.getpid(), signal.SIGSTOP)
        return act(host, *args, **kwargs)

    return acting


for name in ("run", "write", "remove"):
    setattr(Host, name, counted(getattr(Host, name)))
sys.argv = sys.argv[2:]
runpy.run_path(ENTRY, run_name="__main__")
