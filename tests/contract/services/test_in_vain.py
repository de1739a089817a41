"""A first question that nobody answers: told by the kernel, of who waits for what."""

import os
import signal
import socket
import threading
import time

import pytest

from backend_server.host import HostReader
from backend_server.services import agent


pytestmark = pytest.mark.share("agent")


class Here(HostReader):
    """Whose agent is this process, and has no connection but this one; its kernel names no functions."""

    def __init__(self, end):
        super().__init__()
        self.end = "{}:{}".format(*end)

    def read(self, path):
        return "0" if path.endswith("/wchan") else super().read(path)

    def docker_object(self, name):
        return {"State": {"Pid": os.getpid()}}

    def tcp_connections(self, pid):
        lines = super().tcp_connections(pid).splitlines()
        return "\n".join(each for each in lines if each.split()[2] == self.end)


@pytest.fixture
def asked():
    """A connection, over which something was said and nothing heard."""
    server = socket.create_server(("127.0.0.1", 0))
    ours = socket.create_connection(server.getsockname())
    theirs, _ = server.accept()
    with server, ours, theirs:
        ours.sendall(b"GET / HTTP/1.1")
        yield ours, theirs


def receive(ours):
    """Woken by nothing else: the programs that a look starts end with a signal to this process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
    ours.recv(10)


def known(ours):
    here = Here(ours.getsockname())
    found = agent.in_vain(here, here.tcp_connections(os.getpid()))
    return [said for _, said in found]


def test_who_waits_for_an_answer(asked):
    ours, theirs = asked
    assert known(ours) == []
    reading = threading.Thread(target=receive, args=(ours,))
    reading.start()
    time.sleep(1.2)
    (silent,) = known(ours)
    assert 1 < silent < 30
    theirs.sendall(b"200")
    reading.join()
    assert known(ours) == []


def test_who_sleeps_or_waits_for_something_else_waits_for_none(asked):
    ours, _ = asked
    ends, says = os.pipe()
    others = [
        threading.Thread(target=time.sleep, args=(1.5,)),
        threading.Thread(target=os.read, args=(ends, 1)),
    ]
    for each in others:
        each.start()
    time.sleep(0.3)
    assert known(ours) == []
    os.write(says, b"x")
    for each in others:
        each.join()


def test_it_is_told_after_five_loops(asked):
    """Though a second thread has just asked, and long before its turn comes again."""
    ours, theirs = asked
    reading = threading.Thread(target=receive, args=(ours,))
    reading.start()
    time.sleep(0.3)
    seen = agent.look(Here(ours.getsockname()), "jobrunner", 20.0, 1.0, 30.0)
    assert seen.silent_s == 0
    time.sleep(1)
    seen = agent.look(Here(ours.getsockname()), "jobrunner", 20.0, 0.2, 30.0)
    assert seen.answer == 0
    assert 1 < seen.silent_s < 30
    theirs.sendall(b"200")
    reading.join()
