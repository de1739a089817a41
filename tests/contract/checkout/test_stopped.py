"""Whoever is told to stop says so once, from the first import on."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backend_server import entry


ENTRY = Path(entry.__file__)

# Sends itself a signal where it comes to import that module.
SIGNALLED = """
import os, runpy, signal, sys
name, number, *sys.argv = sys.argv[1:]
os.geteuid = lambda: 1000  # root would judge the checkout, wherever the tests are
def hook(event, args):
    if event == "import" and args[0] == name:
        os.kill(os.getpid(), int(number))
sys.addaudithook(hook)
runpy.run_path(sys.argv[0], run_name="__main__")
"""
SIGNALS = ("SIGHUP", "SIGINT", "SIGTERM")


def signalled(module, name, *, ignored=False):
    """`show`, which needs no root and changes nothing."""
    checkout, number = str(ENTRY.parents[1]), getattr(signal, name)
    words = (str(ENTRY), checkout, "test", "show", "--json")
    argv = (sys.executable, "-I", "-S", "-c", SIGNALLED, module, str(number), *words)
    before = signal.signal(number, signal.SIG_IGN) if ignored else None
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, restore_signals=False, check=False
        )
    finally:
        if ignored:
            signal.signal(number, before)
    assert done.stdout.count("\n") == 1, done.stderr
    return done, json.loads(done.stdout)


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize(
    "module", ["backend_server.cli", "argparse", "backend_server.run.backends"]
)
def test_whoever_is_stopped_says_so_to_programs(module, name):
    done, found = signalled(module, name)
    why = "Ctrl-C" if name == "SIGINT" else name
    assert (done.returncode, found["exit"]) == (1, 1)
    assert found["error"] == f"stopped by {why}"
    assert done.stderr == f"error: stopped by {why}\n   try: {found['hint']}\n"


@pytest.mark.parametrize("name", SIGNALS)
def test_what_whoever_started_it_ignores_stops_nothing(name):
    """As nohup(1) does."""
    done, found = signalled("argparse", name, ignored=True)
    assert (done.returncode, "error" in found) == (0, False)
