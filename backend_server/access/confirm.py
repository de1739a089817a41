"""Changes that could cut the line stay only if somebody comes in after them."""

from __future__ import annotations

import sys
import time
from typing import Iterator

from backend_server.access import sshd_live as daemon
from backend_server.access.sshd import OURS
from backend_server.base.inbound import FIREWALL, INBOUND
from backend_server.checkout.gather import Site, developers
from backend_server.engine import Resource, UserError, notices
from backend_server.host import Host, undo
from backend_server.host.sessions import Session, at_work, sessions


_NAME = "opensafely-undo"
_TIMER = f"{_NAME}.timer"
_WALK_S = 3600  # longer than any run takes to come to its end
_GRACE_S = 3  # for a run that is alive to bring back itself what nobody confirmed
_LOOPBACK = ("127.", "::1", "::ffff:127.")
_FRESH_S = 1.0  # what `ssh HOST true` runs is gone in a moment: then look all the time


class AtStake:
    """What a run changes that could shut everybody out, until it is settled.

    On a terminal a developer's new login settles it, elsewhere the canary's. Until then a
    timer of systemd's own brings the old files back, whatever becomes of the run.
    """

    def __init__(self, site: Site, host: Host, within_s: int) -> None:
        self.site, self.host, self.within_s = site, host, within_s
        self.armed = False
        # A line that is cut takes its terminal away, and is no reason to ask nobody.
        self.of_a_person = sys.stdin.isatty()

    def about_to(self, resource: Resource) -> None:
        """Before a resource is changed: what it puts at stake can be brought back.

        The timer of a run that was killed must not go off in the middle of this one either.
        """
        if resource.at_stake():
            undo.keep_together(self.host, resource.at_stake())
        if not self.armed and undo.kept_together(self.host):
            self._arm(_WALK_S)
            self.armed = True

    def settle(self) -> str | None:
        """Who has confirmed the changes; None where it took nobody.

        What a killed run left unsettled is settled too. Raises UserError where the old files
        had to come back.
        """
        if not undo.kept_together(self.host):
            return None
        name = None
        if undo.differing(self.host):
            try:
                if self.of_a_person:
                    name = self._a_login()
                elif self.host.stat(OURS) and daemon.listening(self.host):
                    daemon.prove_login(self.host)
            except KeyboardInterrupt as stopped:
                self._give_up(UserError(str(stopped)))
            except UserError as error:
                self._give_up(error)
        undo.forget_together(self.host)  # first: from now on the timer finds nothing
        _stop(self.host, _TIMER)
        return name

    def _give_up(self, error: UserError) -> None:
        take_back(self.host, self.site.checkout)
        raise UserError(
            f"{error}; the old files of sshd, PAM and the firewall are back",
            hint=error.hint,
        ) from None

    def _a_login(self) -> str:
        began, span = time.monotonic(), _span(self.within_s)
        names = sorted({entry.name for entry in developers(self.site)})
        self._arm(self.within_s + _GRACE_S)
        self.host.say(
            f"sshd, PAM or the firewall changed: log in from another terminal as "
            f"{' or '.join(names)} within {span}, which confirms it. "
            "Ctrl-C puts the old files back."
        )
        while time.monotonic() < began + self.within_s:
            if not undo.kept_together(self.host):
                how = "by somebody or its timer"
                raise UserError(f"`host undo` was run meanwhile, {how}")
            new = list(self._new_sessions(began, names))
            for session in new:
                if at_work(self.host, session):
                    self.host.say(f"confirmed by {session.user}")
                    return session.user
            fresh = any(time.monotonic() - s.since < _FRESH_S for s in new)
            time.sleep(0 if fresh else 0.01)
        hint = "journalctl -u ssh -n 50"
        raise UserError(f"no developer logged in within {span}", hint)

    def _new_sessions(self, began: float, names: list[str]) -> Iterator[Session]:
        for session in sessions(self.host):
            outside = session.remote and not session.remote.startswith(_LOOPBACK)
            by_ssh = session.service == "sshd" and outside
            if session.since > began and by_ssh and session.user in names:
                yield session

    def _arm(self, seconds: int) -> None:
        _stop(self.host, _TIMER, f"{_NAME}.service")  # which may be trying again
        again = ("--property=Restart=on-failure", "--property=RestartSec=60")
        self.host.run(
            *("systemd-run", "--quiet", "--collect", f"--unit={_NAME}", *again),
            *(f"--on-active={seconds}", "--timer-property=AccuracySec=1s"),
            *("/usr/local/sbin/backend", "host", "undo"),
        )


def take_back(host: Host, checkout: str) -> tuple[str, ...]:
    """What was put at stake is as before, and sshd goes by it; the files that differed."""
    if not undo.kept_together(host):
        return ()
    paths = undo.differing(host)
    try:
        if paths:  # first: who comes after one that was killed finds none that differs
            said = "a change to sshd, PAM or the firewall that nobody had confirmed is undone"
            notices.event(host, checkout, "undo", said, subject=" ".join(paths))
    finally:
        undo.bring_back_together(host)
        if INBOUND in paths and host.stat(FIREWALL):
            host.run("nft", "--file", FIREWALL)
        daemon.reload(host)
        if host.unit(daemon.SERVICE).get("ActiveState") == "failed":
            daemon.start(host)
        undo.forget_together(host)
        _stop(host, _TIMER)  # and not its service, which may be what runs here
    return paths


def _stop(host: Host, *units: str) -> None:
    for unit in units:
        if host.unit(unit).get("ActiveState", "inactive") != "inactive":
            host.run("systemctl", "stop", unit)


def _span(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{seconds} seconds" if rest or minutes < 2 else f"{minutes} minutes"
