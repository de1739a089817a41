"""The ssh daemon that is running here, and whether it lets somebody in."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import time
from typing import Iterator

from backend_server.access import sshd
from backend_server.access.kept_out import reasons
from backend_server.checkout.keys import KEY_FOLDER
from backend_server.host import Host, HostReader
from backend_server.host.listening import addresses
from backend_server.text.errors import CommandFailed, UserError
from backend_server.text.parsers import parse_assignments


SERVICE = "ssh.service"
SOCKET = "ssh.socket"
CANARY = "opensafely-canary"  # an account without any key but for the moment of a test
GREETING_S = 2.0
_ORIGIN = ("-b127.0.9.9",)  # etc/opensafely/from_outside.nft has it, too
_LOOPBACK = ("127.0.0.1", "::1")
_SAYS = "opensafely lets the canary in"


def reload(host: Host) -> None:
    """A running daemon has read its configuration; a new one, made by its socket, will.

    One that its socket started cannot bind the port anew at a reload, and would die. Sessions
    that are open outlive a restart as well as a reload.
    """
    if host.unit(SERVICE).get("ActiveState") == "active":
        by_socket = host.unit(SOCKET).get("ActiveState") == "active"
        host.run("systemctl", "restart" if by_socket else "reload", SERVICE)


def start(host: Host) -> None:
    """Something takes ssh connections: the daemon, or its socket where that is enabled.

    What failed is forgotten first, and sessions that are open stay: only the listener starts.
    """
    by_socket = host.unit(SOCKET).get("UnitFileState") == "enabled"
    unit = SOCKET if by_socket else SERVICE
    host.run("systemctl", "reset-failed", SERVICE)
    host.run("systemctl", "restart", unit)


def listening(host: HostReader) -> bool:
    """Whether anything here takes ssh connections at all."""
    units = (host.unit(SERVICE), host.unit(SOCKET))
    return any(unit.get("ActiveState") == "active" for unit in units)


def options(host: HostReader) -> tuple[str, ...]:
    """The -o options that sshd runs with: it writes its own argv over its title."""
    pid = host.unit(SERVICE).get("MainPID", "0")
    running = host.read(f"/proc/{pid}/cmdline") or ""  # pid 0 has none
    if running:
        return sshd.daemon_options(running.replace("\0", " "))
    later = host.parsed("/etc/default/ssh", parse_assignments).get("SSHD_OPTS", "")
    return sshd.daemon_options(f"{later} ; {host.unit(SERVICE).get('ExecStart', '')}")


def prove_login(host: Host, origin: tuple[str, ...] = _ORIGIN) -> None:
    """The daemon greets within two seconds and an account of the marker's kind can log in.

    The canary's key lives for the length of this call and can do nothing but say one
    sentence. From ORIGIN the packet filter takes it for another machine. Raises UserError
    where the canary stays outside, with what keeps it there.
    """
    try:
        address, port = _greeting(host)
        with _canary_key(host, address) as private:
            known = ("-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null")
            quiet = ("-F/dev/null", "-oBatchMode=yes", "-oLogLevel=ERROR")
            only = ("-oIdentitiesOnly=yes", f"-i{private}", "-oConnectTimeout=5")
            bound = () if ":" in address else origin
            to = (*bound, f"-p{port}", f"{CANARY}@{address}", "true")
            said = host.run("ssh", *quiet, *known, *only, *to, deadline_s=20)
    except UserError as error:
        why = dict(reasons(host, CANARY))
        hint = " && ".join(dict.fromkeys(why.values())) or error.hint
        raise UserError("; ".join((str(error), *why)), hint=hint) from None
    if said.strip() != _SAYS:
        raise UserError(f"the canary logged in over ssh and heard {said.strip()!r}")


def _greeting(host: HostReader) -> tuple[str, str]:
    """Address and port of sshd, where it greets: as people come rather than on loopback."""
    end = time.monotonic() + GREETING_S
    while True:
        found = sorted(_places(host), key=lambda p: (p[0][:4] in ("127.", "::1"), p))
        for address, port in found:
            with contextlib.suppress(OSError):
                connection = socket.create_connection((address, int(port)), GREETING_S)
                with connection:
                    if connection.recv(4) == b"SSH-":
                        return address, port
        if time.monotonic() > end:
            where = " or ".join(" port ".join(place) for place in found) or "any port"
            what = f"nothing on {where} greets as sshd does"
            raise UserError(what, hint="journalctl -u ssh")
        time.sleep(0.05)


def _places(host: HostReader) -> Iterator[tuple[str, str]]:
    for address, port in addresses(host, SERVICE, SOCKET):
        everywhere = {"0.0.0.0": ("127.0.0.1",), "::": _LOOPBACK, "*": _LOOPBACK}
        for place in everywhere.get(address, (address,)):
            yield place, port


@contextlib.contextmanager
def _canary_key(host: Host, address: str) -> Iterator[str]:
    """Path of a private key that opens the canary's account, and nothing else, for now."""
    folder = "/run/opensafely/canary"  # in memory, and root's alone
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    os.makedirs(folder, mode=0o700)
    try:
        private = os.path.join(folder, "key")
        host.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", private)
        public = host.read(f"{private}.pub") or ""
        near = f"127.0.0.0/8,::1,{address}"
        only = f'restrict,from="{near}",command="echo {_SAYS}"'
        host.write(f"{KEY_FOLDER}/{CANARY}", f"{only} {public}", 0o644)
        yield private
    except CommandFailed as error:
        what = f"no login over ssh: {error} {error.hint}".rstrip()
        raise UserError(what, hint="journalctl -u ssh -n 50") from None
    finally:
        host.remove(f"{KEY_FOLDER}/{CANARY}")
        shutil.rmtree(folder)
