"""Who becomes root here, by what sudo itself says."""

from __future__ import annotations

import os
import re
from typing import Iterator

from backend_server.access.sshd import Login
from backend_server.access.sudoers import files
from backend_server.engine.in_force import InForce, lines_of
from backend_server.host import HostReader, revoked
from backend_server.text.errors import Refused
from backend_server.text.parsers import parse_nsswitch


# Whose password is asked for, and whether any is: with most of them nobody's own will do.
_ODD = r"(!?)\b(rootpw|targetpw|runaspw|authenticate)\b"


# The last such rule counts; with a mark of negation it takes away.
_EVERYTHING = r"(?m)^ {4}\([^:)]*\b(?:root|ALL)\b.*?\) (?:.*[ ,])?(!?)ALL$"


class SudoRights(InForce):
    """sudo lets the developers become root, each by a password of their own where one is asked.

    It lets `others` of ours do nothing at all. Refused with the lines that say so, or where sudo
    does not take the rules: it may let nobody do anything then.
    """

    ours: str = ""
    password: bool = True
    developers: tuple[Login, ...] = ()
    others: tuple[Login, ...] = ()

    def goes_by(self, host: HostReader) -> Iterator[str]:
        yield from files(host)
        name = os.uname().nodename  # rules may be for some hosts only
        named = any(name in (host.read(path) or "") for path in files(host))
        yield f"{name if named else 'any host'} {self.password}"
        yield str(host.parsed("/etc/nsswitch.conf", parse_nsswitch).get("sudoers"))
        for person in self._people(host):
            user, able = host.users().get(person.name), person in self.developers
            yield f"{person} {able} {user} {sorted(host.groups_of(person.name))}"

    def foretold(self, host: HostReader) -> Refused | None:
        """Of accounts that are not there yet, sudo would say nothing."""
        for person in self.others:
            lines = self._lines(host, person)
            if lines:
                return _refused(f"{person} would be let do something as root", lines)
        return None

    def objection(self, host: HostReader) -> Refused | None:
        here = host.users() if host.stat("/usr/bin/sudo") else {}
        said = host.visudo_check() if here else ""
        if said:
            return Refused("sudo does not take its rules that are here", hint=said)
        for person in self._people(host):
            if person.name in here:
                said = host.sudo_rules(person.name)
                able = person in self.developers
                why = self._why_not(said) if able else "".join(rules(said)[:1])
                if why:
                    what = f"for {person} sudo {why if able else f'has {why}'}"
                    groups = person.groups | host.groups_of(person.name)
                    who = person._replace(groups=groups)
                    return _refused(what, self._lines(host, who, able))
        return None

    def _people(self, host: HostReader) -> list[Login]:
        """Less whom somebody has shut out meanwhile."""
        gone = revoked.names(host)
        return [p for p in (*self.others, *self.developers) if p.name not in gone]

    def _why_not(self, said: str) -> str:
        odd = re.findall(_ODD, said.partition(" may ")[0])
        for word, no in {word: bool(no) for no, word in odd}.items():  # the last counts
            if no == (word == "authenticate") and self.password:
                return f"goes by {'!' * no}{word}"
        rule = ([None] + list(re.finditer(_EVERYTHING, said)))[-1]
        if rule is None or rule[1]:
            return "does not allow everything"
        return "asks no password" if self.password and "NOPASSWD:" in rule[0] else ""

    def _lines(self, host: HostReader, who: Login, asked: bool = False) -> list[str]:
        """Those of others that are about somebody, and what sudo asks for."""
        user = host.users().get(who.name)
        names = {who.name, "ALL", f"#{user.uid if user else ''}"}
        names |= {f"%{group}" for group in who.groups}
        found, aliases = [], set()
        for where, line in lines_of(host, dict.fromkeys(files(host))):
            head, _, tail = line.partition("=")
            words = {*head.strip().rpartition(" ")[0].replace(",", " ").split()}
            if line.startswith("User_Alias"):
                if names & {*re.split(r"[\s,]+", tail)}:
                    aliases.add(head.split()[1])
            elif line.startswith("Defaults"):
                if asked and re.search(_ODD, line):
                    found.append(f"{where}: {line}")
            elif words & (names | aliases):
                found.append(f"{where}: {line}")
        theirs = (each for each in found if each.partition(":")[0] != self.ours)
        return list(dict.fromkeys(theirs))


def rules(said: str) -> list[str]:
    """Of what `sudo -l` says."""
    return [line.strip() for line in said.splitlines() if line.startswith("    (")]


def _refused(what: str, lines: list[str]) -> Refused:
    last = lines[-1] if lines else "/etc/sudoers"
    by = f"{what}, by what is to be taken out" if lines else what
    return Refused("\n".join([by, *lines]), hint=f"visudo -f {last.partition(':')[0]}")
