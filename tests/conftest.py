"""What every test here lives under: options, no skips, and a share of the time for each part."""

import json
import signal
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

from tests import sampling, workers


DEFAULT_SHARE = "engine and base"
MINUTES = {
    DEFAULT_SHARE: 10,
    "access": 5,
    "people": 8,
    "job-runner": 12,
    "desktop": 10,
    "SMB": 12,
    "doors": 2,
    "in force": 2,
    "outputs": 2,
    "agent": 2,
    "Airlock": 4,
    "redaction": 2,
    "taking over": 2,
    "operator": 2,
    "trust": 2,
    "upgrade": 2,
}
SPENT = pytest.StashKey[Counter]()
TAKEN = pytest.StashKey[dict]()
SEED = pytest.StashKey[str]()


def pytest_addoption(parser):
    group = parser.getgroup("backend-server")
    group.addoption("--long", action="store_true", help="run the long tests too")
    group.addoption("--accept", action="store_true", help="rewrite the golden plans")
    group.addoption("--times", type=Path, help="add this run's times to this file")


def pytest_configure(config):
    config.stash[SPENT], config.stash[TAKEN] = Counter(), {}
    told = getattr(config, "workerinput", {})
    config.stash[SEED] = told.get("seed") or sampling.commit()
    config.pluginmanager.register(Spent(config.stash[SPENT]))
    # A machine that is busy is no reason to fail, and what failed once must fail again.
    settings.register_profile("short", deadline=None, derandomize=True)
    settings.register_profile("long", deadline=None, max_examples=2000)
    settings.load_profile("long" if config.getoption("--long") else "short")
    # An exception, unlike the signal's own end, lets fixtures take down their hosts.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("stopped by SIGTERM", 1))
    if told:
        workers.stop_once()
    elif config.getoption("tx", None):
        config.option.durations = config.option.durations or 10
        # A test that ends its worker has failed, and would be tried again with each new one.
        config.option.maxworkerrestart = config.option.maxworkerrestart or "0"
        config.pluginmanager.register(Told(config.stash))
        config.pluginmanager.register(workers.Workers(config.stash[SEED]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    return workers.count()


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--long"):
        taken = config.stash[TAKEN] = sampling.chosen(items, config.stash[SEED])
        rest = [
            item
            for item in items
            if item.get_closest_marker("long") or sampling.left_out(item, taken)
        ]
        items[:] = [item for item in items if item not in rest]
        config.hook.pytest_deselected(items=rest)
    if hasattr(config, "workeroutput"):
        config.workeroutput["taken"] = config.stash[TAKEN]
        workers.longest_first(items)


# Not at collection, where xdist loses what a worker says.
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    if share_of(item) not in MINUTES:
        known = ", ".join(MINUTES)
        pytest.fail(f"in share {share_of(item)!r}: choose from {known}", pytrace=False)


def share_of(item):
    marker = item.get_closest_marker("share")
    return marker.args[0] if marker else DEFAULT_SHARE


# Outermost, so that what the skip and xfail marks made of a report comes by here.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = without_skips((yield))
    report.share = share_of(item)
    return report


class Spent:
    """Sums the time of all tests by share: of all workers, where there are some."""

    def __init__(self, spent):
        self.spent = spent

    def pytest_runtest_logreport(self, report):
        # One that took its worker with it has none.
        self.spent[getattr(report, "share", DEFAULT_SHARE)] += report.duration


class Told:
    """What the workers chose, which is the same in all."""

    def __init__(self, stash):
        self.stash = stash

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node):
        self.stash[TAKEN].update(getattr(node, "workeroutput", {}).get("taken", {}))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(collector):
    return without_skips((yield))


def without_skips(report):
    """A test that did not run, or may fail, proves nothing: here it is a failure."""
    if hasattr(report, "wasxfail"):
        reason = f"Expected to fail: {report.wasxfail}"
        del report.wasxfail
    elif report.skipped:
        reason = report.longrepr[2]
    else:
        return report
    report.outcome = "failed"
    report.longrepr = (
        f"{reason}\nNo test here is skipped or excused: make it pass, or delete it."
    )
    return report


def pytest_terminal_summary(terminalreporter, config):
    if hasattr(
        config, "workerinput"
    ):  # what it spent comes to the controller by its reports
        return
    spent = config.stash[SPENT]
    file = config.getoption("--times")
    if file:
        if file.exists():
            spent.update(json.loads(file.read_text()))
        file.write_text(json.dumps(spent))
    for group, name in config.stash[TAKEN].items():
        line = f"of {group} this commit took {name}; `scripts/test.sh long` takes all"
        terminalreporter.write_line(line)
    beside = len(config.getoption("tx", None) or ())
    together = f" of {beside} workers together, not by the clock" if beside else ""
    terminalreporter.write_sep("=", f"time by share{together}")
    for share, minutes in MINUTES.items():
        if share in spent:
            # Those that share a core take so much longer.
            room = minutes * (workers.PER_CORE if beside else 1)
            over = spent[share] / 60 - room
            warning = f"   WARNING: {over:.1f} minutes over" if over > 0 else ""
            terminalreporter.write_line(
                f"{share:<16} {spent[share] / 60:5.1f} of {room:2} minutes{warning}"
            )
