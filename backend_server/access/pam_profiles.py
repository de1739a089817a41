"""How PAM judges passwords here: a second factor, and after many wrong ones none, and whose."""

from __future__ import annotations

from datetime import datetime, timedelta

from backend_server.base.verbatim import filled
from backend_server.checkout.gather import Site
from backend_server.host import HostReader
from backend_server.text.roles import REVIEWERS


XRDP = "/etc/pam.d/xrdp-sesman"
AUTH = "/etc/pam.d/common-auth"
TRIES = 5
SHUT_S = 600
SECRETS = "/var/lib/opensafely/second_factors"  # a file each, which only root can read

_FAILLOCK = f"deny={TRIES} unlock_time={SHUT_S} fail_interval={SHUT_S}"
_BEFORE = f"auth requisite pam_faillock.so preauth {_FAILLOCK}"
_WRONG = f"auth [default=die] pam_faillock.so authfail {_FAILLOCK}"
_RIGHT = f"auth required pam_faillock.so authsucc {_FAILLOCK}"


def _profile(
    name: str, says: str, kind: str, priority: int, line: str
) -> tuple[str, str, str]:
    """Name and text for pam-auth-update(8), and the LINE that common-auth has by it."""
    rest = line.partition(" ")[2]
    head = f"Name: OpenSAFELY: {says}\nDefault: yes\nPriority: {priority}\n"
    text = f"{head}Auth-Type: {kind}\nAuth:\n\t{rest}\n"
    return f"opensafely-{name}", text, line


# Each alone lets right passwords in, and so do any two: a run may be killed between them. The
# count begins anew with a right password and with nothing else: a login by key, which asks PAM
# for no password, neither counts nor clears, and is never refused. Root is not counted.
LOCKOUT = (
    _profile("right", "a right password is noted", "Additional", 1024, _RIGHT),
    _profile("locked", "none after many wrong ones", "Primary", 1024, _BEFORE),
    _profile("wrong", "wrong passwords count", "Primary", 0, _WRONG),
)

# Wrong codes are counted as wrong passwords are, or whoever knows the password could try
# codes for ever. The module takes the code off the end of what was typed and hands on the
# rest; somebody without a secret never gets past it.
_CODE = f"""\
{_BEFORE}
auth [success=1 default=ignore] pam_google_authenticator.so forward_pass user=root secret={SECRETS}/${{USER}}
{_WRONG}
"""


# Also where somebody comes back to a session, which PAM opens no more.
_SEGMENTS = "account optional pam_exec.so /etc/xdg/opensafely/segments\n"
# Unix sockets with abstract names are of a network, too.
_NETWORK = f"session required pam_newnet.so group={REVIEWERS} lodown\n"


def xrdp(site: Site) -> str:
    """/etc/pam.d/xrdp-sesman: reviewers and nobody else, whatever sesman itself is told.

    They are asked for first, and wrong passwords for the accounts of others are not counted,
    so that nobody can lock out a developer from the login screen. Last, the session is given
    what would be everybody's for itself: folders, and where the release has what it takes a
    network; and a place of its own for its sockets: which display it is, PAM is told as the
    terminal.
    """
    return filled(
        site,
        XRDP,
        group=REVIEWERS,
        code=_CODE if site.backend.second_factor else "",
        segments="" if site.release.xrdp.apart else _SEGMENTS,
        network=_NETWORK if site.release.xrdp.pam_net else "",
    )


def locked(host: HostReader) -> list[str]:
    """Who may try no password for a while; others can have typed the wrong ones.

    Nobody is asked about where no wrong one was typed since the boot.
    """
    counted = host.names("/run/faillock")
    return shut_out(host.wrong_passwords(), datetime.now()) if counted else []


def shut_out(said: str, now: datetime) -> list[str]:
    """Names, of what faillock(8) says of everybody: enough wrong ones, and the last not long ago."""
    since, times = f"{now - timedelta(seconds=SHUT_S):%Y-%m-%d %H:%M:%S}", [""]
    wrong: dict[str, list[str]] = {}
    for line in said.splitlines():
        if line.endswith(":"):
            times = wrong.setdefault(line[:-1], [])
        elif line.endswith(" V"):
            times.append(line[: len(since)])
    return sorted(n for n, t in wrong.items() if len(t) >= TRIES and max(t) > since)
