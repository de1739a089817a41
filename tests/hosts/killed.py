"""Run in a host as `killed.py N STATE MANAGE…`: the tool, killed at its N-th step.

A step is a program started, or a call of os that changes the file system; each can be killed
before it is made and just after. What N was when a run came to its end is left in STATE.
With STOPS=1 it is stopped there instead, and its pid left in STATE.
"""

import os
import runpy
import signal
import subprocess
import sys


CALLS = (
    *("chmod", "fchmod", "fchown", "fsync", "ftruncate", "makedirs", "mkdir"),
    *("pwrite", "rename", "symlink", "unlink", "write"),
)
LAST, STATE, ENTRY = int(sys.argv[1]), sys.argv[2], sys.argv[3]
STOPS = os.environ.get("STOPS") == "1"
steps = 0


def step():
    global steps
    steps += 1
    if steps == LAST:
        if STOPS:
            note(os.getpid())
        os.kill(os.getpid(), signal.SIGSTOP if STOPS else signal.SIGKILL)


def note(number):
    with open(STATE, "w") as file:
        file.write(str(number))


def between_steps(act):
    def acting(*args, **kwargs):
        step()
        result = act(*args, **kwargs)
        step()
        return result

    return acting


class Popen(subprocess.Popen):
    def __init__(self, *args, **kwargs):
        step()
        super().__init__(*args, **kwargs)
        step()


for name in CALLS:
    setattr(os, name, between_steps(getattr(os, name)))
subprocess.Popen = Popen
sys.argv = sys.argv[3:]
sys.dont_write_bytecode = True  # each call of its writer would be a step
try:
    runpy.run_path(ENTRY, run_name="__main__")
finally:
    note(f"ended {steps}" if STOPS else steps)
