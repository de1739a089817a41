"""Who is logged in, as systemd-logind notes it for whoever looks. Nothing is started."""

from __future__ import annotations

import contextlib
from typing import Iterator

from backend_server.host.reader import HostReader
from backend_server.text.frozen import Frozen
from backend_server.text.parsers import parse_assignments


FOLDER = "/run/systemd/sessions"


class Session(Frozen):
    """A login of somebody, on a console or from afar, from its beginning to its end."""

    id: str
    user: str
    service: str  # the PAM service that let them in: sshd, login, cron
    remote: str  # the address that they come from; empty: none
    since: float  # seconds, as time.monotonic() counts them

    def __str__(self) -> str:
        place = f" from {self.remote}" if self.remote else ""
        return f"session {self.id}: {self.user} by {self.service}{place}"


def sessions(host: HostReader) -> Iterator[Session]:
    """Everybody's, by id; those that end while we look are left out."""
    for name in host.names(FOLDER):
        if name.isalnum():  # beside a session, NAME.ref is a pipe
            text = host.read(f"{FOLDER}/{name}") or ""
            # A display is what the user says, ends of lines and all; whose it is comes before.
            found = parse_assignments(text)
            found.update(parse_assignments(text.partition("\nDISPLAY=")[0]))
            if found.get("CLASS", "").startswith("user") and "USER" in found:
                yield Session(
                    name,
                    found["USER"],
                    found.get("SERVICE", ""),
                    found.get("REMOTE_HOST", ""),
                    int(found.get("MONOTONIC", "0")) * 1e-6,
                )


def desktops(host: HostReader) -> Iterator[Session]:
    """Those over the remote desktop, whether somebody looks at it now or will come back."""
    return (each for each in sessions(host) if each.service == "xrdp-sesman")


def at_work(host: HostReader, session: Session) -> bool:
    """Whether a program of the user's runs in a session over ssh, so that they are inside.

    A session is noted before PAM has agreed to it, and what sshd itself runs in it is no
    proof that it has.
    """
    user = host.users().get(session.user)
    for pid in filter(str.isdigit, host.names("/proc")) if user else ():
        found = host.stat(f"/proc/{pid}")
        if user and found and found.st_uid == user.uid:
            with contextlib.suppress(ProcessLookupError):  # ended while we looked
                name = host.read(f"/proc/{pid}/comm") or "sshd"
                groups = host.read(f"/proc/{pid}/cgroup") or ""
                inside = f"/session-{session.id}.scope" in groups
                if inside and not name.startswith("sshd"):
                    return True
    return False
