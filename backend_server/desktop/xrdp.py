"""The configuration of xrdp and its session manager, for each version."""

from __future__ import annotations

from backend_server.base.verbatim import filled
from backend_server.checkout.gather import Site
from backend_server.text import networks
from backend_server.text.roles import REVIEWERS


INI = "/etc/xrdp/xrdp.ini"
SESMAN_INI = "/etc/xrdp/sesman.ini"
CERTIFICATE = "/etc/xrdp/opensafely.crt"
KEY = "/etc/xrdp/opensafely.key"
SESSION = "/etc/xdg/opensafely/session"
PORT = networks.DESKTOP_PORT

IDLE_S = 900  # then the screen is no longer sent anywhere; the session goes on
GONE_S = 4 * 60 * 60  # then a session that nobody came back to ends

# A port that root alone can have: whoever has it is told the passwords of reviewers. In front of it
# is etc/systemd/system/opensafely-sesman.socket.
_TCP = "ListenAddress=127.0.0.1\nListenPort=335"
# In a folder of root's: see etc/systemd/system/xrdp-sesman.service.d/opensafely-apart.conf.
_SOCKET = "ListenPort=/run/opensafely-sesman/sesman.socket"


def ini(site: Site, address: str) -> str:
    """xrdp.ini(5): TLS alone, at this address, and no channel.

    All that FreeRDP asks for has to be answered, or it goes away (`allow_channels`); each
    channel is off. One kind of session is left, and no name of a program that a client sends
    is started in its place.
    """
    values = {"port": str(PORT), "certificate": CERTIFICATE, "key": KEY}
    return filled(site, INI, name=site.backend.title, address=address, **values)


def sesman(site: Site) -> str:
    """sesman.ini(5): reviewers alone, our session, and an end to it.

    `true` restricts everything in all versions; the word `all` means nothing to the older.
    """
    listen = _SOCKET if site.release.xrdp.apart else _TCP
    ends = {"gone": str(GONE_S), "idle": str(IDLE_S)}
    words = {"listen": listen, "session": SESSION, "group": REVIEWERS, **ends}
    return filled(site, SESMAN_INI, **words)
