"""Asking a JSON API over https, many questions at once, within a deadline."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from contextlib import suppress
from email.message import Message
from http.client import HTTPException
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO, Any, Callable, Mapping, Sequence, TypeVar
from urllib.parse import urlsplit


Question = TypeVar("Question")
Found = TypeVar("Found")

DEADLINE_S = 10.0
_AT_ONCE = 16
_MAX_BYTES = 256 * 1024


class Unanswered(Exception):
    """Why there is no answer that can be judged. Nothing the other side said is in it."""


class Api:
    """Answers under a base URL. The headers may be secret: they go to no other host."""

    def __init__(self, base: str, headers: Mapping[str, str]) -> None:
        self.base, self.headers = base, {"User-Agent": "backend-server", **headers}
        tls = urllib.request.HTTPSHandler(context=ssl.create_default_context())
        self._opener = urllib.request.build_opener(_SameHost(), tls)

    def get(self, path: str) -> dict[str, Any] | None:
        """The object at PATH; None where the API says that there is none.

        Raises Unanswered for anything else.
        """
        try:
            return self._get(path)
        except urllib.error.URLError as error:
            raise Unanswered(ascii(str(error.reason))[1:-1]) from None
        except (OSError, HTTPException) as error:
            raise Unanswered(f"the answer broke off ({type(error).__name__})") from None

    def _get(self, path: str) -> dict[str, Any] | None:
        request = urllib.request.Request(self.base + path, headers=dict(self.headers))
        try:
            with self._opener.open(request, timeout=DEADLINE_S) as answer:
                return _object(answer)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    _object(error)  # a proxy's page would be none
                    return None
                spent = error.headers.get("X-RateLimit-Remaining") == "0"
            raise Unanswered(f"it says {error.code}{_SPENT if spent else ''}") from None


_SPENT = ", no more questions for now; a token has more of them"


def _object(answer: IO[bytes]) -> dict[str, Any]:
    text = answer.read(_MAX_BYTES + 1)
    with suppress(ValueError, RecursionError):
        found = json.loads(text if len(text) <= _MAX_BYTES else b"")
        if isinstance(found, dict):
            return found
    raise Unanswered("the answer is not what this API says")


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Redirects are followed within the host; elsewhere would be somebody else's word."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            raise Unanswered(f"it says {code} and points to another host")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def together(
    ask: Callable[[Question], Found], questions: Sequence[Question]
) -> dict[Question, Found]:
    """What was found in time; who is too slow is missing."""
    waiting: SimpleQueue[Question] = SimpleQueue()
    answers: SimpleQueue[tuple[Question, Found]] = SimpleQueue()
    for question in questions:
        waiting.put(question)

    def work() -> None:
        with suppress(Empty):
            while True:
                question = waiting.get_nowait()
                answers.put((question, ask(question)))

    for _ in questions[:_AT_ONCE]:
        Thread(target=work, daemon=True).start()  # nobody waits for it at the end
    end = time.monotonic() + DEADLINE_S
    found: dict[Question, Found] = {}
    with suppress(Empty):
        while len(found) < len(questions):
            question, answer = answers.get(timeout=max(0.0, end - time.monotonic()))
            found[question] = answer
    return found
