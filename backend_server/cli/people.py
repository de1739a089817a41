"""people …: who can do what, and one's own first password."""

from __future__ import annotations

from backend_server.access.passwords import first, set_password
from backend_server.cli.ending import noted, told
from backend_server.host import Host, HostReader
from backend_server.people import reach
from backend_server.run.place import Asked, of_host_itself
from backend_server.text.errors import Refused


def list_people(options: Asked, host: HostReader) -> int:
    """Everybody with an account that is ours, or on a roster here."""
    found = list(reach.listed(of_host_itself(options, host), host))
    keys = reach.revoked_keys(host)
    lines = (*map(reach.line, found), *(f"revoked key      {key}" for key in keys))
    return told(options, {"people": found, "revoked_keys": keys}, lines)


def who(options: Asked, host: HostReader, *, user: str = "", root: bool = False) -> int:
    """What one account can reach, and why; or, for root, each account and its ways there."""
    this = of_host_itself(options, host)
    if bool(user) == root:
        raise Refused("wanted either a USER or --root", "sudo backend people who ada")
    if root:
        found = list(reach.who_is_root(this, host))
        lines = [f"{each['name']:<16} {way}" for each in found for way in each["ways"]]
        data: dict[str, object] = {"people": found}
    else:
        data = reach.who(this, host, user)
        lines = list(reach.lines(data))
    return told(options, data, lines)


def first_password(options: Asked, host: Host) -> int:
    """The person at the terminal has a password, and the history says so."""
    name, chosen = first(host)
    sentence = f"{name} has chosen a first password"
    with noted(host, options, "first password", name, sentence):
        set_password(host, name, chosen)
    done = f"{name} has a password now: where sudo asks for one, it is this"
    return told(options, {"subject": name, "done": done}, [done])
