"""Settings that more than one file may say, and which of them is in force."""

from __future__ import annotations

import os
import re
from typing import Iterator

from backend_server.base.verbatim import verbatim
from backend_server.checkout.gather import Site
from backend_server.engine import HostReader, Refused, Resource
from backend_server.engine.in_force import InForce, lines_of
from backend_server.resources.unit import BEFORE_ETC
from backend_server.text.roles import MARKER


_APT = ("/etc/apt/apt.conf.d", "/etc/apt/apt.conf")
_FOLDERS = ("/usr/lib", "/usr/local/lib", "/run", "/etc")
_UNITS = (*(f"{top}/systemd/system" for top in _FOLDERS), *reversed(BEFORE_ETC))
_OURS = re.compile(r"(opensafely-.*|service|timer|path|socket)\.d").fullmatch
# Each day at the least: no date or day of the week, as one that is years ahead.
_TIMES = re.compile(
    r"OnCalendar=(minutely|hourly|daily|(\*-\*-\* )?[\d*:/,.]+( UTC)?)$"
)
_WATCHES = ("[", "CPU", "Doc", "IO", "Nice", "OnFailure", "OOM", "TimeoutStopF")
_HARMLESS = (*_WATCHES, "RestartSec=")
_NAME = re.compile(r"\*|@?[A-Za-z_][\w.-]*")
_LIMITS = ("/etc/security/limits.conf", "/etc/security/limits.d")
# With less nobody logs in, or no desktop begins.
_LEAST = {
    **{"nproc": 200, "nofile": 256, "maxlogins": 1, "maxsyslogins": 1},
    **{"as": 1 << 20, "data": 1 << 18, "stack": 1 << 10, "fsize": 1 << 10},
}
_SETTING = r'(?m)^\s*-?([\w.:/-]+)\s*(?:=\s*|\s")(.*?)(?:";)?\s*$'


class LastWord(InForce):
    """`apt`, or systemd's readers of this file and its drop-ins, go by what our file says.

    It comes late in their order, and others may come later. Refused with their lines.
    """

    path: str = ""

    def goes_by(self, host: HostReader) -> Iterator[str]:
        if self.program == "apt":
            yield from _APT
        for folder in _FOLDERS:
            yield from (f"{folder}/{self.program}", f"{folder}/{self.program}.d")

    def objection(self, host: HostReader) -> Refused | None:
        found = _settings(host.settings_of(self.program))
        ours = _settings(host.read(self.path) or "")
        wrong = {k: v for k, v in ours.items() if found.get(k) != v}
        if not wrong:
            return None
        name, value = min(wrong.items())
        mends = {}
        for where, line in lines_of(host, self.goes_by(host)):
            path = where.partition(":")[0]
            last = os.path.basename(path)
            later = last > os.path.basename(self.path) or path == _APT[-1]
            if later and _is_about(line, wrong):
                # Where it is read before ours.
                earlier = f"{os.path.dirname(self.path)}/00-{last}"
                mends[f"{where}: {line}"] = f"mv {path} {earlier}"
        what = f"{name} is {found.get(name)}, not {value}"
        return _refused(what, mends or {"": f"grep -rni '{name}' /etc"})


class OurUnits(InForce):
    """What units of ours run, as whom and how shut in, is what our files say, not drop-ins.

    Such as only watch or schedule them are their owner's; any other is Refused with its lines.
    """

    def goes_by(self, host: HostReader) -> Iterator[str]:
        units = [
            (top, unit) for top in _UNITS for unit in host.names(top) if _OURS(unit)
        ]
        found = ((top, u, n) for top, u in units for n in host.names(f"{top}/{u}"))
        # Of one name the last counts, be it a link to /dev/null.
        yield from {path[1:]: "/".join(path) for path in found}.values()

    def objection(self, host: HostReader) -> Refused | None:
        lines = [*lines_of(host, self.goes_by(host))]
        # A timer that has other times in the place of ours still comes.
        timed = {w.rpartition(":")[0] for w, s in lines if _TIMES.match(s)}
        mends = {}
        for where, line in lines:
            path = where.rpartition(":")[0]
            theirs = (*_HARMLESS, "OnCalendar=") if path in timed else _HARMLESS
            if path.endswith(".conf") and not line.startswith(theirs):
                mends[f"{where}: {line}"] = f"mv {path} {path}.off"
        reload = {"": "systemctl daemon-reload"} if mends else {}
        return _refused("units of ours are not as declared", {**mends, **reload})


class Limits(InForce):
    """People of ours leave no core files, and have of all else enough to log in.

    Of lines that are for the same the last counts. Refused with each.
    """

    def goes_by(self, host: HostReader) -> Iterator[str]:
        yield from (*_LIMITS, "/etc/group", " ".join(sorted(host.members(MARKER))))

    def objection(self, host: HostReader) -> Refused | None:
        people = host.members(MARKER)
        groups = {f"@{group}" for name in people for group in host.groups_of(name)}
        last = {}
        for where, line in lines_of(host, _LIMITS):
            words = line.partition("#")[0].split()
            who, kind, item, most = (*words, "", "", "", "")[:4]
            # Whom else a line means, as 1000: or %users, is not worked out.
            ours = who in {"*", "root", *people, *groups} or not _NAME.fullmatch(who)
            if ours and where.rpartition(":")[0].endswith(".conf"):
                for each in ("hard", "soft") if kind == "-" else (kind,):
                    last[who, each, item.lower()] = where, line, most
        mends = {}
        for (_, kind, item), (where, line, most) in last.items():
            core = (kind, item) == ("hard", "core") and most != "0"
            if core or most.isdigit() and int(most) < _LEAST.get(item, 0):
                path, _, number = where.rpartition(":")
                mends[f"{where}: {line}"] = f"sed -i '{number}s/^/#/' {path}"
        return _refused("limits of our people are not as wanted", mends)


def settled(site: Site, path: str, by: str, notify: str = "") -> Iterator[Resource]:
    """PATH is as etc/ has it, and a program goes by it."""
    file = verbatim(site, path, notify=notify)
    yield file
    yield LastWord(by, (file.label,), path=path)


def _refused(what: str, mends: dict[str, str]) -> Refused | None:
    """By line, what takes it out of force."""
    hint = "; ".join(dict.fromkeys(mends.values()))
    return Refused("\n".join((what, *filter(None, mends))), hint) if mends else None


def _settings(text: str) -> dict[str, str]:
    """By name; of a list of apt's each value is one of its own."""
    found = {}
    for name, value in re.findall(_SETTING, text):
        name = name.replace("/", ".").lower()
        found[f"{name} {value}" if name.endswith("::") else name] = value
    return found


def _is_about(line: str, names: dict[str, str]) -> bool:
    line = line.replace("/", ".").lower()
    ends = (name.partition(" ")[0].rstrip(":").rpartition("::")[2] for name in names)
    return any(re.search(rf"(^|\W){re.escape(end)}\b", line) for end in ends)
