"""The public keys that people show on GitHub."""

from __future__ import annotations

import threading
import time
import urllib.parse
from typing import Iterable

from backend_server.checkout.keys import MAX_BYTES, offered
from backend_server.people.https import NoText, Site
from backend_server.people.offers import NOBODY, Answer


AT_ONCE = 16


def ask(
    site: Site, names: Iterable[str], deadline_s: float = 10.0
) -> dict[str, Answer]:
    """An answer for every name, in time, whatever the other side does.

    Nobody may take more than half the time, so that some who hang leave time for the rest.
    A thread that a name server holds is left behind, and ends with the process.
    """
    end = time.monotonic() + deadline_s
    answers = dict.fromkeys(names, Answer((), (), f"no answer in {deadline_s:g} s"))
    waiting = iter(list(answers))

    def work() -> None:
        for name in waiting:
            patience_s = min(end - time.monotonic(), deadline_s / 2)
            if patience_s > 0:
                answers[name] = _answer(site, name, patience_s)

    many = min(AT_ONCE, len(answers))
    threads = [threading.Thread(target=work, daemon=True) for _ in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return dict(answers)


def _answer(site: Site, name: str, patience_s: float) -> Answer:
    page = f"{urllib.parse.quote(name, safe='')}.keys"
    try:
        return Answer(*offered(site.text(page, MAX_BYTES, patience_s)))
    except NoText as why:
        if why.status == 404:
            return Answer((), (), NOBODY)
        return Answer((), (), str(why))
