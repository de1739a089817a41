"""Whether the outside world answers, on loopback alone."""

import contextlib
import socket
import time

import pytest

from backend_server.run.endpoints import unanswered


@contextlib.contextmanager
def listening(backlog=5):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(backlog)
        yield server.getsockname()[1]


@pytest.fixture
def answering():
    with listening() as port:
        yield port


@pytest.fixture
def refusing():
    with listening() as port:
        pass
    return port


@pytest.fixture
def silent():
    """Its queue is full, so the kernel lets further callers wait."""
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(listening(backlog=0))
        for _ in range(4):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.1", port))
        yield port


PINNED = {"jobs.example": "127.0.0.1"}


def asked(*ports, deadline_s=0.4):
    return unanswered([f"jobs.example:{p}" for p in ports], PINNED, deadline_s)


def test_what_answers_is_not_named(answering):
    assert asked(answering) == []


def test_what_refuses_is_named_with_its_address_and_port(refusing):
    place = f"jobs.example (127.0.0.1) port {refusing}"
    assert asked(refusing) == [f"{place} does not answer: Connection refused"]


def test_what_is_silent_is_given_up(silent):
    place = f"jobs.example (127.0.0.1) port {silent}"
    assert asked(silent) == [f"{place} does not answer: no answer in 0.4 s"]


def test_all_are_asked_at_once_and_named_in_order(silent, refusing, answering):
    started = time.monotonic()
    found = asked(silent, refusing, answering, *[silent] * 3)
    assert time.monotonic() - started < 2
    assert [line.split(" port ")[1].split()[0] for line in found] == [
        str(silent),
        str(refusing),
    ]


def test_nothing_to_ask():
    assert unanswered([], {}) == []


def test_a_name_without_an_address_is_looked_up():
    """An address is its own name, so nobody is asked for it."""
    with listening() as port:
        assert unanswered([f"127.0.0.1:{port}"], {}) == []
    (line,) = unanswered([f"127.0.0.1:{port}"], {}, 0.4)
    assert line.startswith(f"127.0.0.1 (no pinned address) port {port} does not")
