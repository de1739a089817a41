"""What is kept on the host from one run to the next, as JSON that only root can read."""

from __future__ import annotations

import json
from typing import Any, Callable, Iterator, TypeVar

from backend_server.host.writer import Host
from backend_server.text.errors import Refused


T = TypeVar("T")


def keep(host: Host, path: str, found: object) -> None:
    """PATH says exactly this; a file that says so already is left alone."""
    text = json.dumps(found, indent=1) + "\n"
    if host.read(path) != text:
        host.write(path, text, 0o600)


def lines(
    path: str, text: str, of: Callable[[Any], T], unknown: str, again: str
) -> Iterator[T]:
    """What OF makes of the JSON of each line. Raises Refused for one that cannot be read.

    Then it is UNKNOWN what that line said, and somebody has to do it AGAIN.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            yield of(json.loads(line))
        except (ValueError, TypeError, KeyError):
            raise Refused(
                f"line {number} of {path} cannot be read, so nobody knows {unknown}",
                hint=f"mend that line, or remove it and {again} again: {path}",
            ) from None
