"""Names that resolve without any name server."""

from __future__ import annotations

from backend_server.engine import AtPath, Changes, Host, HostReader, Refused, compare
from backend_server.text.parsers import parse_hosts


BEGIN = "# BEGIN opensafely: written by backend-server, changes here are lost\n"
END = "# END opensafely\n"


class HostsBlock(AtPath):
    """A file in hosts(5) form holds these lines between two markers; the rest is left alone.

    The file keeps its inode, because containers have it bind-mounted. With `optional`, a file
    that is not there is fine: cloud-init's template is on some hosts only. A line outside the
    markers that gives one of our names another address is Refused, since the first line wins.
    """

    text: str
    optional: bool = False

    def check(self, host: HostReader) -> Changes:
        found = host.read(self.path)
        if found is None:
            return () if self.optional else compare(text=(None, self.text))
        before, block, after = self._split(found)
        ours, others = parse_hosts(self.text), parse_hosts(before + after)
        for name in (n for n in ours if others.get(n, ours[n]) != ours[n]):
            raise Refused(
                f"a line of {self.path} that is not ours gives {name} the address "
                f"{others[name]}; wanted {ours[name]}",
                hint=f"grep -n {name} {self.path}",
            )
        return compare(text=(block, self.text))

    def apply(self, host: Host, changes: Changes) -> None:
        found = host.read(self.path)
        if found is None:
            host.write(self.path, BEGIN + self.text + END, 0o644)
            return
        before, _, after = self._split(found)
        if before and not before.endswith("\n"):
            before += "\n"
        host.rewrite(self.path, before + BEGIN + self.text + END + after)

    def _split(self, found: str) -> tuple[str, str | None, str]:
        """The file before, between (None: no markers) and after the markers."""
        if (found.count(BEGIN), found.count(END)) == (0, 0):
            return found, None, ""
        before, _, rest = found.partition(BEGIN)
        block, end, after = rest.partition(END)
        if not end or BEGIN in rest or END in after:
            raise Refused(
                f"{self.path} does not have one `{BEGIN.strip()}` before one `{END.strip()}`",
                hint=f"sed -i '/^# BEGIN opensafely/d; /^# END opensafely/d' {self.path}",
            )
        return before, block, after
