"""Which desktops a client shows: lines of /proc as they were on Debian 12 and as on 13."""

from __future__ import annotations

from backend_server.desktop.screens import shown
from backend_server.host.reader import HostReader


HEAD = "Num       RefCount Protocol Flags    Type St Inode Path\n"
LISTENS = "0000000007ac1e47: 00000002 00000000 00010000 0001 01 3039956 {}{}\n"
CONNECTED = "0000000008375f7a: 00000003 00000000 00000000 0001 03 3041142 {}{}\n"
OLD = "/run/xrdp/sockdir/xrdp_display_"
NEW = "/run/xrdp/sockdir/10003/xrdp_display_"


def process(root, pid, argv, session):
    place = root / f"proc/{pid}"
    place.mkdir(parents=True)
    (place / "cmdline").write_text("\0".join(argv) + "\0")
    scope = f"user.slice/user-10003.slice/session-{session}.scope"
    (place / "cgroup").write_text(f"1:cpu:/\n0::/{scope}\n")


def host(root, *sockets):
    process(root, 372, ["/usr/lib/xorg/Xorg", ":10", "-auth", ".Xauthority"], "1797")
    process(root, 472, ["/usr/lib/xorg/Xorg", ":11", "-auth", ".Xauthority"], "c2")
    process(root, 572, ["vi", ":10"], "99")
    (root / "proc/net").mkdir()
    (root / "proc/net/unix").write_text(HEAD + "".join(sockets))
    return HostReader(root)


def test_connected_and_not(tmp_path):
    sockets = [LISTENS.format(OLD, 10), CONNECTED.format(OLD, 10)]
    others = [LISTENS.format(OLD, 11), CONNECTED.format("/x/xrdp_chansrv_socket_", 11)]
    assert shown(host(tmp_path, *sockets, *others)) == {"1797"}


def test_of_the_newer_xrdp(tmp_path):
    sockets = [CONNECTED.format(NEW, 11), LISTENS.format(NEW, 10)]
    assert shown(host(tmp_path, *sockets)) == {"c2"}


def test_none(tmp_path):
    assert shown(HostReader(tmp_path)) == frozenset()
