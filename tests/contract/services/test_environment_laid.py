"""What services are started with is laid by each for itself, at a boot by all at once."""

import multiprocessing
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from backend_server.checkout.service import MERGED
from backend_server.host.writer import Host
from backend_server.services import environment


pytestmark = pytest.mark.share("job-runner")

NAMES = ("jobrunner", "airlock")
FORK = multiprocessing.get_context("fork")


def lay(name, barrier):
    host = Host()
    found = environment.now(host)._replace(values={"OF": name})
    barrier.wait()
    environment.lay(host, name, found)


def test_services_that_start_at_one_moment_all_have_theirs():
    """There is no folder yet, nor what it is in, and whoever comes second finds it made."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    for _ in range(100):
        shutil.rmtree(Path(MERGED).parent, ignore_errors=True)
        barrier = FORK.Barrier(len(NAMES))
        starts = [FORK.Process(target=lay, args=(name, barrier)) for name in NAMES]
        for start in starts:
            start.start()
        for start in starts:
            start.join()
        assert [start.exitcode for start in starts] == [0, 0]
        texts = [Path(MERGED, name).read_text() for name in NAMES]
        assert texts == [f"OF={name}\n" for name in NAMES]
        assert os.stat(MERGED).st_mode & 0o777 == 0o700
