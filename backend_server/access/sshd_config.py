"""How the ssh daemon lets people in, and that it is content with all of its configuration."""

from __future__ import annotations

from typing import Iterator

from backend_server.access import sshd
from backend_server.access import sshd_live as daemon
from backend_server.access.sshd_rivals import logins, rivals
from backend_server.engine import AtPath, Changes, Refused, UserError, compare
from backend_server.engine.in_force import InForce
from backend_server.host import Host, HostReader, undo
from backend_server.resources.file import File


class SshdConfig(AtPath):
    """The drop-in that sshd reads first says this, and sshd lets people in with it.

    `people` must be able to log in afterwards, and so must `others` who have an account; for
    people `sshd -T` must answer the lines of `expect`. After a change sshd must greet, and a
    login by a key of its own must work; else the old file comes back and the change has failed.

    Refused where something else would decide instead, or shut out one of the people: sshd
    keeps the first value it meets, options it was started with before any file, and adds up
    Allow and Deny lists over all files.
    """

    text: str
    people: tuple[sshd.Login, ...] = ()
    others: tuple[str, ...] = ()
    expect: tuple[str, ...] = ()
    mode: int = 0o644

    @property
    def _file(self) -> File:
        return File(self.path, self.text, mode=self.mode)

    def notifies(self) -> tuple[str, ...]:
        return (daemon.SERVICE,)

    def at_stake(self) -> tuple[str, ...]:
        return (self.path,)

    def asks(self) -> tuple[str, ...]:
        return (daemon.SERVICE, daemon.SOCKET)

    def check(self, host: HostReader) -> Changes:
        if host.stat("/usr/sbin/sshd"):
            self._refuse_rivals(host)
        found = self._file.check(host)
        changes = tuple(each for each in found if each.field in ("text", "mode"))
        # A run was killed before sshd had read the file and let somebody in; or sshd is dead.
        unread = host.pending(daemon.SERVICE) or undo.kept(host, self.path)
        if not changes and (unread or not daemon.listening(host)):
            changes = compare(text=("not yet proven", "sshd lets people in with it"))
        said = host.sshd_test() if changes and host.stat("/usr/sbin/sshd") else ""
        if said and self.path not in said:
            what = "sshd would not start with the configuration that is here already"
            raise Refused(what, hint=said)
        return changes

    def apply(self, host: Host, changes: Changes) -> None:
        undo.keep(host, self.path)
        self._file.apply(host, changes)
        try:
            self._prove(host)
        except UserError as error:
            undo.bring_back(host, self.path)
            daemon.reload(host)
            if not daemon.listening(host):  # what it was told to do ended it
                daemon.start(host)
            raise UserError(
                f"{error}; the old {self.path} is back in force", hint=error.hint
            ) from None
        undo.forget(host, self.path)
        host.clear_pending(daemon.SERVICE)

    def _prove(self, host: Host) -> None:
        if host.stat("/run/sshd") is None:  # made by the first connection to a socket
            host.make_directory("/run/sshd", 0o755, "root", "root")
        host.run("sshd", "-t")
        for person in self.people:
            self._prove_effect(host, person.name)
        daemon.reload(host)
        if not daemon.listening(host):
            daemon.start(host)
        # A port that is new to the packet filter is let through later in this run.
        daemon.prove_login(host, origin=())

    def _prove_effect(self, host: Host, name: str) -> None:
        """What sshd would do for this person, with the options that the daemon runs with."""
        as_started = (f"-o{option}" for option in daemon.options(host))
        who = f"user={name},host=localhost,addr=127.0.0.1"
        found = host.run("sshd", "-T", "-C", who, *as_started).lower().splitlines()
        for wanted in self.expect:
            keyword = wanted.partition(" ")[0]
            lines = [line for line in found if line.startswith(f"{keyword} ")]
            if lines and lines != [wanted.lower()]:
                raise UserError(
                    f"for {name} sshd would use {', '.join(lines)}; wanted {wanted}",
                    hint=f"grep -rni {keyword} /etc/ssh",
                )

    def _refuse_rivals(self, host: HostReader) -> None:
        everybody = (*self.people, *logins(host, self.others))
        found = list(rivals(host, self.path, self.text, everybody))
        if found:
            what = "something else would decide how people log in over ssh"
            sentences, commands = zip(*found)
            raise Refused("\n".join((what, *sentences)), hint="; ".join(commands))


class Proven(InForce):
    """sshd has found all of its configuration, as it is here now, to be in order.

    A file that somebody else broke would be noticed at the next reboot otherwise. Refused with
    its own words.
    """

    def asks(self) -> tuple[str, ...]:
        return (daemon.SERVICE,)

    def objection(self, host: HostReader) -> Refused | None:
        said = host.sshd_test() if host.stat("/usr/sbin/sshd") else ""
        what = "sshd does not take the configuration that is on this host"
        return Refused(what, hint=said) if said else None

    def goes_by(self, host: HostReader) -> Iterator[str]:
        yield from daemon.options(host)
        found = sshd.settings(host.read, host.names)
        yield from sorted({sshd.MAIN, *(setting.source for setting in found)})
        yield sshd.DROP_INS
