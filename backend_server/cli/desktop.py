"""people sessions: who is on the remote desktop, and ending that."""

from __future__ import annotations

import time

from backend_server.cli.ending import told
from backend_server.desktop.screens import shown
from backend_server.engine import Host, Refused, history, notices
from backend_server.host.sessions import Session, desktops
from backend_server.people import doors
from backend_server.run.place import Asked


def sessions(options: Asked, host: Host, *, user: str = "", end: bool = False) -> int:
    """Everybody on the remote desktop, and since when; with --end nobody, or not that USER."""
    found = [s for s in desktops(host) if user in ("", s.user)]
    connected = shown(host)
    if user and user not in host.users():
        raise Refused(
            f"{user!a} has no account here", hint="sudo backend people sessions"
        )
    if end:
        _end(options, host, found)
    each = [_data(session, session.id in connected) for session in found]
    nobody = f"{user} is not" if user else "nobody is"
    none = [f"{nobody} on the remote desktop"]
    lines = [_line(one, end) for one in each]
    return told(options, {"sessions": each}, lines or none)


def _end(options: Asked, host: Host, found: list[Session]) -> None:
    for name in sorted({session.user for session in found}):
        sentence = f"{history.who(host)} ends what {name} has open"
        notices.event(
            host, str(options.checkout), "session ended", sentence, subject=name
        )
        doors.end_sessions(host, name)


def _data(session: Session, connected: bool) -> dict[str, object]:
    return {
        "user": session.user,
        "since": history.now(ago_s=time.monotonic() - session.since),
        "connected": connected,
        "id": session.id,
    }


def _line(found: dict[str, object], ended: bool) -> str:
    state = "connected" if found["connected"] else "disconnected"
    what = f"ended; was {state}, there" if ended else f"{state}, there"
    return f"{found['user']:<16} {what} since {found['since']}"
