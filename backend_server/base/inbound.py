"""What other machines reach on this one."""

from __future__ import annotations

import re

from backend_server.engine import AtPath, Changes, Host, HostReader, compare
from backend_server.host.listening import ports


FIREWALL = "/etc/opensafely/firewall.nft"
LIMITS = "/etc/opensafely/limits.nft"
INBOUND = "/etc/opensafely/from_outside.nft"  # included there

_SSH = ("ssh.service", "ssh.socket")
_DPORT = r"(tcp|udp) dport { ([0-9, ]+) }"
# Of ss(8): what waits, where, and the first of the programs that have it. What a program calls
# itself may have a line's end in it, and is too short for all that comes first on a line.
_WAITS = r'(?m)^(tcp|udp) +[A-Z]+ +[0-9]+ +[0-9]+ +(?!127\.|\[::1\]|\[::ffff:127\.)\S+:([0-9]+) +\S+:\*(?: +users:\(\("([^"]+))?'


class Inbound(AtPath):
    """A file of nft(8) with this text, which a NftTable includes.

    In place of `port:ssh` it has the ports where the kernel has sshd listen; while there are
    none, those of before. `undeclared` is what listens and is not reached any more.
    """

    text: str
    undeclared: frozenset[str] = frozenset()

    def asks(self) -> tuple[str, ...]:
        return _SSH

    def at_stake(self) -> tuple[str, ...]:
        return (self.path,)

    def check(self, host: HostReader) -> Changes:
        found, wanted = host.read(self.path), self._wanted(host)
        if found == wanted:
            return ()
        host.refuse_unreachable(self.path)
        declared = {
            f"{port}/{protocol}"
            for protocol, listed in re.findall(_DPORT, wanted)
            for port in listed.split(", ")
        }
        shut = frozenset(
            f"{port}/{protocol}:{program or 'kernel'}"
            for protocol, port, program in re.findall(_WAITS, host.listeners())
            if f"{port}/{protocol}" not in declared
        )
        return compare(text=(found, wanted), undeclared=(shut, self.undeclared))

    def apply(self, host: Host, changes: Changes) -> None:
        judge = host.judged_by("nft", "--check", "--file")
        host.write(self.path, self._wanted(host), 0o644, validate=judge)

    def _wanted(self, host: HostReader) -> str:
        before = re.search(_DPORT, host.read(self.path) or "tcp dport { 22 }")
        found = ", ".join(sorted(ports(host, *_SSH))) or (before and before[2])
        return self.text.replace("port:ssh", found or "22")
