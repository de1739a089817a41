"""Who sits at the other end of this process."""

from __future__ import annotations

from backend_server.host.reader import HostReader


_UNSET = str(2**32 - 1)


def uid(host: HostReader) -> str:
    """Of whoever logged in, whatever they became since; empty where nobody did.

    loginuid is set once at login and kept by the kernel, through sudo and su; it is unset on
    a console, in cloud-init and in timers.
    """
    login = (host.read("/proc/self/loginuid") or "").strip()
    return login if login.isdigit() and login != _UNSET else ""


def person(host: HostReader) -> str:
    """The account with that uid; empty where nobody logged in."""
    login = uid(host)
    return host.user_name(int(login)) if login else ""
