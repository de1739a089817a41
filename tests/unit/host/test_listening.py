"""Which process listens at a port."""

from __future__ import annotations

import os

import pytest

from backend_server.host import listening
from backend_server.host.listening import addresses, holders, ports
from backend_server.host.reader import HostReader


# The last is the kernel's own.
LISTEN = [
    ("0.0.0.0", "22", "socket:[101]"),
    ("127.0.0.53", "53", "socket:[104]"),
    ("::", "3389", "socket:[103]"),
    ("::", "2049", "socket:[0]"),
]


@pytest.fixture
def host(tmp_path, monkeypatch):
    """sshd listens at 22, xrdp nowhere, and another program has 3389."""
    for pid, socket in (("7", 101), ("8", 102), ("9", 103)):
        folder = tmp_path / f"proc/{pid}/fd"
        folder.mkdir(parents=True)
        os.symlink(f"socket:[{socket}]", folder / "3")
    reader = HostReader(tmp_path)
    units = {
        "ssh.service": {"MainPID": "7"},
        "xrdp.service": {"MainPID": "8"},
        "ssh.socket": {
            "ActiveState": "active",
            "Listen": "0.0.0.0:2222 (Stream) [::]:2222 (Stream) /run/ssh (Stream)",
        },
        "old.socket": {"ActiveState": "inactive", "Listen": "[::]:23 (Stream)"},
    }
    monkeypatch.setattr(listening, "tcp_listeners", lambda: LISTEN)
    monkeypatch.setattr(reader, "unit", lambda name: units.get(name, {}))
    return reader


def test_what_a_service_has(host):
    assert ports(host, "ssh.service") == {"22"}
    assert ports(host, "xrdp.service") == ports(host, "away.service") == set()


def test_what_systemd_has_for_it(host):
    assert ports(host, "ssh.service", "ssh.socket") == {"22", "2222"}
    assert ports(host, "away.service", "ssh.socket") == {"2222"}
    assert ports(host, "ssh.service", "old.socket") == {"22"}


def test_who_has_a_port(host):
    assert (holders(host, "22"), holders(host, "3389")) == (["7"], ["9"])
    assert holders(host, "23") == []


def test_at_which_addresses(host):
    assert addresses(host, "ssh.service") == {("0.0.0.0", "22")}
    both = {("0.0.0.0", "22"), ("0.0.0.0", "2222"), ("::", "2222")}
    assert addresses(host, "ssh.service", "ssh.socket") == both
