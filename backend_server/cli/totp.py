"""people totp: a reviewer is given a second factor."""

from __future__ import annotations

from backend_server.access import second_factor
from backend_server.cli.ending import shown_once
from backend_server.engine import history
from backend_server.engine.notices import event
from backend_server.host.writer import Host
from backend_server.run.place import Named, load
from backend_server.text.errors import OK


def totp(options: Named) -> int:
    """A reviewer's device makes codes from now on, of a secret that is shown once."""
    host, name = Host(), options.subject
    backend = load(options.backend, options.checkout)
    second_factor.refuse(host, backend, name)
    with shown_once(options.json, "a second factor", f"people totp {name}") as terminal:
        uri = second_factor.give(host, backend, name)
        print(f"\n{second_factor.picture(host, uri)}\n    {uri}\n", file=terminal)
        print(
            f"It is not shown again. {name} reads the picture with an authenticator, now.",
            file=terminal,
        )
    sentence = f"{history.who(host)} gave {name} a second factor"
    event(host, str(options.checkout), "second factor given", sentence, subject=name)
    print(f"{name} types the password and then the code of the moment, as one word")
    return OK
