"""The agent's log: a line with the time and the thread, and last what it is about."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Iterator


_about = threading.local()


def begin() -> None:
    form = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(threadName)s %(message)s %(about)s",
        "%Y-%m-%d %H:%M:%S",
    )
    form.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(form)
    handler.addFilter(_with_about)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    threading.current_thread().name = "agnt"


@contextlib.contextmanager
def of(**tags: str) -> Iterator[None]:
    """What is logged meanwhile is about these."""
    before = getattr(_about, "words", "")
    _about.words = " ".join(f"{name}={value}" for name, value in tags.items())
    try:
        yield
    finally:
        _about.words = before


def _with_about(record: logging.LogRecord) -> bool:
    record.about = getattr(_about, "words", "")
    return True
