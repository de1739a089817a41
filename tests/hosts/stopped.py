"""Run in a host as `stopped.py METHOD WORD MANAGE…`: the tool, stopped right before one step.

The step is the first call of Host.METHOD with WORD among its arguments, or at the end of one.
"""

import os
import runpy
import signal
import sys


METHOD, WORD, ENTRY = sys.argv[1:4]
sys.path.insert(0, os.path.dirname(os.path.dirname(ENTRY)))

from backend_server.host.writer import Host  # noqa: E402


act = getattr(Host, METHOD)


def acting(host, *args, **kwargs):
    if any(str(arg).endswith(WORD) for arg in args):
        setattr(Host, METHOD, act)
        print("stopping", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
    return act(host, *args, **kwargs)


setattr(Host, METHOD, acting)
sys.argv = sys.argv[3:]
runpy.run_path(ENTRY, run_name="__main__")
