"""people password and totp: what a reviewer is given to log in with, or is taken back."""

from __future__ import annotations

from functools import partial

from backend_server.access import passwords, second_factor
from backend_server.cli.ending import noted, record, say_done, shown_once
from backend_server.engine import history
from backend_server.host import Host, question
from backend_server.run.place import Named, load
from backend_server.text.errors import OK, Refused
from backend_server.text.roles import MARKER


_TICKETS = "/run/sudo/ts"  # by name, or by uid in newer versions


def password(
    options: Named, host: Host, *, ask: bool = False, reset: bool = False
) -> int:
    """A reviewer has a new password; or, with --reset, somebody has none any more."""
    return _reset(host, options) if reset else _give(host, options, ask)


def _give(host: Host, options: Named, ask: bool) -> int:
    name = options.subject
    passwords.refuse_others(host, load(options.backend, options.checkout), name)
    sentence = f"{history.who(host)} gave {name} a password"
    said = partial(noted, host, options, "password given", name, sentence)
    if ask:
        typed = question.secret(f"New password for {name}")
        with said():
            passwords.give(host, name, typed)
    else:
        how = f"people password {name}"
        with shown_once(options.json, "a password", how) as terminal, said():
            shown = passwords.give(host, name, "")
            print(
                f"\n    {shown}\n\nIt is not shown again. Give it to {name} in person, "
                "or by a call.",
                file=terminal,
            )
    return say_done(options, f"{name} has a new password, and is reminded to change it")


def _reset(host: Host, options: Named) -> int:
    """An account has no password again, and its owner gets one as on the first day."""
    name = options.subject
    if name not in host.members(MARKER) or name not in host.users():
        hint = "sudo backend people list"
        raise Refused(f"{name!a} is no account of ours on this host", hint)
    sentence = f"{history.who(host)} took back the password of {name}"
    record(host, options, "password reset", sentence)  # first, as this may be killed
    host.run("usermod", "--password", "!", name)
    uid = str(host.users()[name].uid)
    for ticket in (name, uid):  # sudo's of a session that is open
        host.remove(f"{_TICKETS}/{ticket}")
    own = "sets one with: sudo opensafely-password"
    given = f"is given one with: sudo backend people password {name}"
    then = own if passwords.may_sudo(host, name) else given
    return say_done(options, f"{name} has no password now, and {then}")


def totp(options: Named, host: Host) -> int:
    """A reviewer's device makes codes from now on, of a secret that is shown once."""
    name, backend = options.subject, load(options.backend, options.checkout)
    second_factor.refuse(host, backend, name)
    sentence = f"{history.who(host)} gave {name} a second factor"
    with shown_once(options.json, "a second factor", f"people totp {name}") as terminal:
        with noted(host, options, "second factor given", name, sentence):
            uri = second_factor.give(host, backend, name)
        print(f"\n{second_factor.picture(host, uri)}\n    {uri}\n", file=terminal)
        print(
            f"It is not shown again. {name} reads the picture with an authenticator, now.",
            file=terminal,
        )
    print(f"{name} types the password and then the code of the moment, as one word")
    return OK
