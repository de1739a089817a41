"""Files of tests side by side: workers of pytest-xdist, each with a lab of its own.

A file stays with one worker, for its tests share a host. What takes longest begins first.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import PurePath

import pytest
from xdist.scheduler import LoadScopeScheduling


# Hosts mostly wait. With more on a core, what has a deadline misses it.
PER_CORE = 2
# A host may take 90 s to go down, and scripts/test.sh kills after two minutes.
PATIENCE_S = 110
# Emulated, a guest takes all the processor that it gets: there is one at a time.
GUESTS = (
    *("test_hyperv", "test_outputs", "test_outputs_links"),
    *("test_guest", "test_first_boot", "test_families", "test_greed", "test_full_root"),
)
# What takes minutes, the longest first; of the rest the order does not matter.
LONG = (
    *GUESTS,
    *("test_main_path", "test_kill", "test_services", "test_bad_days", "test_desktop"),
    *("test_maintenance", "test_images", "test_access", "test_desktop_entry"),
    *("test_jobs", "test_ssh_config", "test_contract", "test_github", "test_ssh_undo"),
    *("test_networks", "test_desktop_exit", "test_disk", "test_disturbed"),
    *(
        "test_confirm",
        "test_wire",
        "test_surroundings",
        "test_narrowing",
        "test_leavers",
    ),
)


def count() -> int:
    """How many workers `-n auto` is."""
    return PER_CORE * len(os.sched_getaffinity(0))


def longest_first(items: list[pytest.Item]) -> None:
    """Or a long one that began last would keep everybody waiting."""
    place = {stem: number for number, stem in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))


class ByFile(LoadScopeScheduling):
    """Files stay together, and all that boot guests."""

    def __init__(self, config, log):
        super().__init__(config, log)
        # In the order in which they are, not those of most tests first.
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "guests" if PurePath(file).stem in GUESTS else file


class Workers:
    """The controller's: what workers are told, and that they take their hosts down."""

    def __init__(self, seed: str) -> None:
        self.seed, self.up = seed, []

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config, log):
        return ByFile(config, log)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node):
        # A commit in between, and they would have chosen different tests.
        node.workerinput["seed"] = self.seed
        self.up.append(node)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node):
        if node in self.up:
            self.up.remove(node)

    # Before xdist's own, which kills after ten seconds.
    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self):
        deadline = time.monotonic() + PATIENCE_S
        for node in self.up:
            with contextlib.suppress(ProcessLookupError):
                os.kill(node.gateway._rinfo().pid, signal.SIGTERM)
        for node in self.up:
            with contextlib.suppress(node.channel.TimeoutError):
                node.channel.waitclose(max(0, deadline - time.monotonic()))


def stop_once() -> None:
    """The first signal ends this worker's tests; none after it ends the taking down of hosts."""

    def stop(number: int, _: object) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            # Not SIG_IGN, which programs started from here would inherit.
            signal.signal(each, lambda *_: None)
        pytest.exit(f"stopped by {signal.Signals(number).name}", 1)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
