"""host maintenance and prove: docker and the kernel move, and what a backend is for is tried."""

from __future__ import annotations

import sys
import time
from typing import Iterable

from backend_server.checkout.gather import Site
from backend_server.cli.ending import outlive_terminal, say_lines, told
from backend_server.engine import Host, history, lock, notices
from backend_server.jobs import maintenance, proving
from backend_server.run.place import Asked, of_host_itself
from backend_server.run.status import REBOOT_REQUIRED
from backend_server.text.errors import DEGRADED, FAILED, OK


def maintain(options: Asked, host: Host, *, wait: int = 0, reboot: bool = False) -> int:
    """Docker, kernel and packages are the newest, and what a backend is for was tried."""
    until = time.monotonic() + wait
    work = _Work(options, host, "host maintenance")
    with lock.only_run(work.who, maintenance.LOCK):
        outlive_terminal(options)
        for line in maintenance.before(work.host, work.site):
            _say(line)
        # Other runs, and the end of somebody's access, do not wait for jobs.
        maintenance.wait_for_none(work.host, work.site, until)
        with lock.only_run(work.who, wait=True):
            return _maintain(work, until, reboot)


def _maintain(work: _Work, until: float, reboot: bool) -> int:
    host = work.host
    with maintenance.no_new_jobs(host, work.site, until):
        work.record("began")
        work.add(maintenance.upgraded(host))
        if reboot and not work.any(proving.FAILED):
            work.record("reboots")
            maintenance.reboot(host)
            proofs = "journalctl -t backend-server"
            _say(f"goes down, and proves itself afterwards: {proofs}")
            return work.end()
        work.add([maintenance.restarted(host)])
    return _proven(work, "ended")


def prove(options: Asked, host: Host) -> int:
    """Services, the network that jobs are on, and a job are tried now."""
    work = _Work(options, host, "host prove")
    outlive_terminal(options)
    with lock.only_run(work.who, wait=True):
        return _proven(work, "proved")


def _proven(work: _Work, stage: str) -> int:
    work.add(maintenance.proven(work.host, work.site))
    work.record(stage)
    if work.host.stat(REBOOT_REQUIRED):
        _say("a reboot is required: sudo backend host maintenance --reboot")
    return work.end()


class _Work:
    """What is to be done on which host, and what came of it."""

    def __init__(self, options: Asked, host: Host, what: str) -> None:
        self.options, self.what, self.host = options, what, host
        self.host.say = _say
        self.site: Site = of_host_itself(options, self.host)
        self.who = history.holder(self.host, what)
        self.results: list[proving.Result] = []

    def add(self, results: Iterable[proving.Result]) -> None:
        for result in results:
            self.results.append(result)
            if not self.options.json:
                say_lines([str(result)])

    def any(self, outcome: str) -> bool:
        return any(result.outcome == outcome for result in self.results)

    def record(self, stage: str) -> None:
        """The history says how far it came, and developers read of it when they log in."""
        failed = [r.what for r in self.results if r.outcome == proving.FAILED]
        ended = f": {', '.join(failed)} failed" if failed else ""
        sentence = f"{self.what} by {history.who(self.host)} {stage}{ended}"
        results = [result._asdict() for result in self.results]
        checkout = str(self.options.checkout)
        notices.event(
            self.host, checkout, self.what, sentence, subject=stage, results=results
        )

    def end(self) -> int:
        told(self.options, {"results": [r._asdict() for r in self.results]}, ())
        if self.any(proving.FAILED):
            return FAILED
        return DEGRADED if self.any(proving.DEGRADED) else OK


def _say(line: str) -> None:
    say_lines([line], sys.stderr)
