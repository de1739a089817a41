"""How the ssh daemon lets people in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

from backend_server import sshd
from backend_server.change import Changes, compare
from backend_server.errors import Refused, UserError
from backend_server.host import sshd as daemon
from backend_server.host import undo
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.keys import FOLDER as KEY_FOLDER
from backend_server.resource import Resource
from backend_server.resources.file import File


_LISTS = ("allowusers", "allowgroups", "denyusers", "denygroups")


@dataclass(frozen=True)
class SshdConfig(Resource):
    """The drop-in that sshd reads first says this, and sshd lets people in with it.

    `people` must be able to log in afterwards, and so must `others` who have an account; for
    people `sshd -T` must answer the lines of `expect`. After a change sshd must greet, and a login by a
    key of its own must work; else the old file comes back and the change has failed.

    Refused where something else would decide instead, or shut out one of the people: sshd
    keeps the first value it meets, options it was started with before any file, and adds up
    Allow and Deny lists over all files.
    """

    path: str
    text: str
    people: tuple[sshd.Login, ...] = ()
    others: tuple[str, ...] = ()
    expect: tuple[str, ...] = ()
    mode: int = 0o644

    @property
    def _file(self) -> File:
        return File(self.path, self.text, mode=self.mode)

    def owns(self) -> tuple[str, ...]:
        return (self.path,)

    def notifies(self) -> tuple[str, ...]:
        return (daemon.SERVICE,)

    def asks(self) -> tuple[str, ...]:
        return (daemon.SERVICE, daemon.SOCKET)

    def check(self, host: HostReader) -> Changes:
        if host.stat("/usr/sbin/sshd"):
            self._refuse_no_include(host)
            self._refuse_other_lines(host)
            self._refuse_left_out(host)
        changes = tuple(
            change
            for change in self._file.check(host)
            if change.field in ("text", "mode")
        )
        if not changes and self._unproven(host):
            changes = compare(text=("not yet proven", "sshd lets people in with it"))
        if changes and host.stat("/usr/sbin/sshd"):
            self._refuse_broken(host)
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

    def _unproven(self, host: HostReader) -> bool:
        """A run was killed before sshd had read the file and let somebody in; or sshd is dead."""
        unread = host.pending(daemon.SERVICE) or undo.kept(host, self.path)
        return unread or not daemon.listening(host)

    def _prove(self, host: Host) -> None:
        if (
            host.stat("/run/sshd") is None
        ):  # where a socket starts sshd, nobody made it yet
            host.make_directory("/run/sshd", 0o755, "root", "root")
        host.run("sshd", "-t")
        for person in self.people:
            self._prove_effect(host, person.name)
        daemon.reload(host)
        if not daemon.listening(host):
            daemon.start(host)
        daemon.prove_login(host, KEY_FOLDER)

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
                    hint=f"find the line that says so: grep -ri {keyword} /etc/ssh",
                )

    def _refuse_no_include(self, host: HostReader) -> None:
        if not sshd.includes_drop_ins(host.read):
            raise Refused(
                f"{sshd.MAIN} does not begin with `Include {sshd.DROP_INS}/*.conf`, so "
                "nothing that is declared for sshd would be read",
                hint=f"put that line at the top of {sshd.MAIN}",
            )

    def _refuse_broken(self, host: HostReader) -> None:
        said = host.sshd_test()
        if said and sshd.OURS not in said:
            raise Refused(
                "sshd would not start with the configuration that is here already",
                hint=said,
            )

    def _refuse_other_lines(self, host: HostReader) -> None:
        for setting, why in self._wrong(host):
            raise Refused(
                f"{setting} {why}",
                hint=f"remove line {setting.line} of {setting.source}",
            )
        ours = self._ours()
        for option in daemon.options(host):
            keyword, _, value = option.replace("=", " ", 1).partition(" ")
            wanted = ours.get(keyword.lower(), value)
            if wanted.lower() != value.strip().lower() or keyword.lower() in _LISTS:
                raise Refused(
                    f"sshd was started with -o {option}, which counts more than any file; "
                    f"wanted {wanted}",
                    hint="take it out of /etc/default/ssh or ssh.service, then "
                    "systemctl restart ssh",
                )

    def _wrong(self, host: HostReader) -> Iterator[tuple[sshd.Setting, str]]:
        ours = self._ours()
        before_ours = True
        for setting in self._as_it_will_be(host):
            if setting.source == self.path:
                before_ours = False
            elif setting.match:
                if before_ours:
                    yield setting, "is in a Match that comes before ours and wins"
            else:
                wanted = ours.get(setting.keyword, setting.value)
                if before_ours and setting.value.lower() != wanted.lower():
                    yield setting, f"comes first and wins; wanted {wanted}"
                yield from self._shut_out(setting, host)

    def _as_it_will_be(self, host: HostReader) -> Iterator[sshd.Setting]:
        """All settings in sshd's order, with our file as it is declared."""
        folder, _, name = self.path.rpartition("/")

        def read(path: str) -> str | None:
            return self.text if path == self.path else host.read(path)

        def names(path: str) -> tuple[str, ...]:
            found = host.names(path)
            return (*found, name) if path == folder and name not in found else found

        return sshd.settings(read, names)

    def _shut_out(
        self, setting: sshd.Setting, host: HostReader
    ) -> Iterator[tuple[sshd.Setting, str]]:
        if setting.keyword not in _LISTS:
            return
        if setting.keyword == "allowgroups":
            # sshd adds it to our own list, so that it lets in, and never shuts out.
            yield setting, "lets in groups that no role here has"
        for person in (*self.people, *self._others(host)):
            if sshd.shuts_out(setting, person.name, person.groups):
                yield setting, f"shuts out {person}, who must be able to log in"

    def _others(self, host: HostReader) -> Iterator[sshd.Login]:
        for name in self.others:
            if name in host.users():
                yield sshd.Login(name, host.groups_of(name))

    def _refuse_left_out(self, host: HostReader) -> None:
        allowed = self._ours().get("allowgroups", "").split()
        for other in self._others(host):
            if allowed and not other.groups.intersection(allowed):
                raise Refused(
                    f"{other} would be shut out: it is in none of the groups that may log "
                    f"in over ssh, {' '.join(allowed)}",
                    hint=f"groupadd {other}; gpasswd --add {other} {other}",
                )

    def _ours(self) -> dict[str, str]:
        """What the drop-in says for everybody."""
        texts = {sshd.MAIN: f"Include {self.path}", self.path: self.text}
        name = self.path.rpartition("/")[2]
        found = sshd.settings(texts.get, lambda folder: (name,))
        return {s.keyword: s.value for s in found if not s.match}
