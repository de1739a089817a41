"""Which process listens at a port: lines of /proc as they were on Debian 12."""

from __future__ import annotations

import os

import pytest

from backend_server.host.listening import holders, ports
from backend_server.host.reader import HostReader


HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LINE = "   0: {}:{:04X} {}:0000 {} 00000000:00000000 00:00000000 00000000     0        0 {} 1 0 100 0 0 10 0\n"
V4, V6 = "0" * 8, "0" * 32
LISTENS, TALKS = "0A", "01"


@pytest.fixture
def host(tmp_path, monkeypatch):
    """sshd listens at 22, xrdp talks at 3389, and another program has that of IPv6."""
    for pid, socket in (("7", 101), ("8", 102), ("9", 103)):
        folder = tmp_path / f"proc/{pid}/fd"
        folder.mkdir(parents=True)
        os.symlink(f"socket:[{socket}]", folder / "3")
    net = tmp_path / "proc/net"
    net.mkdir()
    old = LINE.format(V4, 22, V4, LISTENS, 101) + LINE.format(V4, 3389, V4, TALKS, 102)
    (net / "tcp").write_text(HEAD + old)
    (net / "tcp6").write_text(HEAD + LINE.format(V6, 3389, V6, LISTENS, 103))
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
