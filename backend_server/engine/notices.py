"""What developers are told when they log in: what somebody did here."""

from __future__ import annotations

from datetime import timedelta

from backend_server.engine import history
from backend_server.host import Host, HostReader
from backend_server.text.errors import UserError
from backend_server.text.roles import DEVELOPERS


NOTICES = "/var/lib/opensafely/notices"  # etc/profile.d shows it to whoever can read it
KEPT = timedelta(days=14)


def event(host: Host, checkout: str, what: str, sentence: str, **more: object) -> None:
    """The history has a line of what somebody did, and the other developers read SENTENCE."""
    history.event(host, checkout, what, **more)
    tell(host, sentence)


def tell(host: Host, sentence: str) -> None:
    """Developers read this at each login for fourteen days; of what happens again, the last."""
    before = (line for line in recent(host) if not line.endswith(f"Z {sentence}"))
    lines = [*before, f"{history.now()} {sentence}"]
    group = DEVELOPERS if DEVELOPERS in host.groups() else "root"
    try:
        host.write(NOTICES, "".join(f"{line}\n" for line in lines), 0o640, group=group)
    except OSError as error:
        raise UserError(
            f"the developers are not told of this: {error.strerror} ({NOTICES})",
            hint="df -h; df -i; sudo backend status",
        ) from None


def recent(host: HostReader) -> list[str]:
    oldest = history.now(ago_s=KEPT.total_seconds())
    return [line for line in (host.read(NOTICES) or "").splitlines() if line >= oldest]
