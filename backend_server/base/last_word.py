"""Settings that more than one file may say, and which of them is in force."""

from __future__ import annotations

import os
import re
from typing import Iterator

from backend_server.engine.in_force import InForce, lines_of
from backend_server.host.reader import HostReader
from backend_server.text.errors import Refused


APT = "apt"
_APT = ("/etc/apt/apt.conf.d", "/etc/apt/apt.conf")
_FOLDERS = ("/usr/lib", "/usr/local/lib", "/run", "/etc")
_SETTING = re.compile(r'^\s*-?([\w.:/-]+)\s*(?:=\s*|\s")(.*?)(?:";)?\s*$', re.MULTILINE)


class LastWord(InForce):
    """`apt`, or systemd's readers of this file and its drop-ins, go by what our file says.

    It comes late in their order, and others may come later. Refused with their lines.
    """

    path: str = ""

    def goes_by(self, host: HostReader) -> Iterator[str]:
        if self.program == APT:
            yield from _APT
        elif self.program.endswith(".d"):
            yield from (f"{folder}/{self.program}" for folder in _FOLDERS)
        else:
            for folder in _FOLDERS:
                yield from (f"{folder}/{self.program}", f"{folder}/{self.program}.d")

    def objection(self, host: HostReader) -> Refused | None:
        said = host.settings_of(None if self.program == APT else self.program)
        found, ours = _settings(said), _settings(host.read(self.path) or "")
        wrong = {k: v for k, v in ours.items() if found.get(k) != v}
        if not wrong:
            return None
        lines = [
            (where, line)
            for where, line in lines_of(host, self.goes_by(host))
            if self._comes_later(where) and _is_about(line, wrong)
        ]
        name, value = min(wrong.items())
        rival = lines[-1][0].partition(":")[0] if lines else self.path
        earlier = f"{os.path.dirname(self.path)}/00-{os.path.basename(rival)}"
        listed = (": ".join(each) for each in lines)
        return Refused(
            "\n".join((f"{name} is {found.get(name)}, not {value}", *listed)),
            hint=f"mv {rival} {earlier}, where it is read before ours",
        )

    def _comes_later(self, where: str) -> bool:
        path = where.partition(":")[0]
        later = os.path.basename(path) > os.path.basename(self.path)
        return later or path == _APT[-1]


def _settings(text: str) -> dict[str, str]:
    """By name; of a list of apt's each value is one of its own."""
    found = {}
    for name, value in _SETTING.findall(text):
        name = name.replace("/", ".").lower()
        found[f"{name} {value}" if name.endswith("::") else name] = value
    return found


def _is_about(line: str, names: dict[str, str]) -> bool:
    line = line.replace("/", ".").lower()
    ends = (name.partition(" ")[0].rstrip(":").rpartition("::")[2] for name in names)
    return any(re.search(rf"(^|\W){re.escape(end)}\b", line) for end in ends)
