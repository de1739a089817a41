"""What is asked of programs: a closed list of questions, none of which can change anything."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from typing import Callable, Iterable, Iterator, Literal, Mapping, Sequence

from backend_server.host import command
from backend_server.text.errors import CommandFailed
from backend_server.text.parsers import parse_getent


Directory = Literal["passwd", "group"]  # of getent(1)

_UNIT_PROPERTIES = (
    "Id,Names,LoadState,ActiveState,SubState,UnitFileState,Type,Result,MainPID,ExecStart,"
    "NRestarts,ExecMainStatus,ActiveEnterTimestampMonotonic,InvocationID,Listen,Job"
)
# What systemd calls `Started UNIT` and `Main process exited`; sd-messages.h has them.
_STARTED = "39f53479d3a045ac8e11786248231fbf"
_ENDED = "98e322203f7a4ed290d09fe03c09fe15"
_SMALL_TALK = "WARNING: Your kernel does not support"
_LOOKS_BACK = 10_000  # of a restart loop, more than 10 hours
_QUESTION_S = 60
_DU_S = 120
_ON_A_COPY = (
    *("unshare", "--mount", "--propagation=private", "sh", "-c"),
    "mount -t tmpfs none /tmp && cp -a /etc /tmp/etc && mount --bind /tmp/etc /etc && "
    "echo copied && exec chpasswd",
)
# Of a script in /etc/init.d it would tell before all others, whatever the order.
_NO_SYSV = {"SYSTEMCTL_SKIP_SYSV": "1"}
# Of git's settings the repository's alone, which are judged: they may name programs. The first
# is for versions before 2.32.
_GIT = {
    "HOME": "/dev/null",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}


class _Begun(Exception):
    """What answers runs: who asks the same again has what it says."""


class Asking:
    """Whoever looks at a host asks its programs these questions, and no others."""

    def __init__(self) -> None:
        self.programs: list[tuple[str, ...]] = []  # every program started, in order
        self._begun: dict[tuple[str, ...], subprocess.Popen[bytes]] = {}
        self._begins = False

    @contextlib.contextmanager
    def ahead(self) -> Iterator[None]:
        """What is begun meanwhile answers the next who asks it; what nobody asked is ended."""
        others, self._begun = self._begun, {}
        try:
            yield
        finally:
            for process in self._begun.values():
                command.end(process)
            self._begun = others

    def begin(self, question: Callable[..., object], *about: object) -> None:
        """The program that answers this question of ours runs, if it is there, until it is asked."""
        self._begins = True
        with contextlib.suppress(_Begun, CommandFailed):
            question(*about)
        self._begins = False

    def apt_simulation(self, verb: str, packages: Iterable[str]) -> command.Output:
        """What apt-get would do, from the package lists that are on this host."""
        simulate = ("apt-get", "--simulate", "--quiet", "--no-install-recommends")
        return self._start((*simulate, verb, *sorted(packages)))

    def git_status(self, checkout: str) -> command.Output:
        """Commit and changed files of a checkout; its own hooks and monitors are not run."""
        quiet = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=")
        status = ("-C", checkout, "status", "--porcelain=v2", "--branch")
        argv = ("git", "--no-optional-locks", *quiet, *status)
        return self._start(argv, environment=_GIT)

    def sshd_test(self) -> str:
        """What sshd finds wrong with the configuration that is here; empty when nothing."""
        output = self._start(("sshd", "-t"))
        # Where a socket starts sshd, this folder is made by the first connection.
        unknown = "Missing privilege separation directory" in output.stderr
        return "" if output.status == 0 or unknown else output.stderr.strip()

    def visudo_check(self) -> str:
        """What sudo finds wrong with the rules that are here; empty when nothing."""
        output = self._start(("visudo", "-c"))
        return "" if output.status == 0 else (output.stderr + output.stdout).strip()

    def passwords_taken(self, user: str, words: Sequence[str]) -> list[str]:
        """Which of them PAM lets root give to a user: in a copy of /etc that nobody else sees."""
        lines = "".join(f"{user}:{word}\n" for word in words)
        said = self._start(_ON_A_COPY, stdin=lines)
        if not said.stdout.startswith("copied"):
            raise CommandFailed("/etc could not be copied", hint=said.stderr.strip())
        refused = re.findall(r"\(line (\d+), ", said.stdout + said.stderr)
        return [w for n, w in enumerate(words, start=1) if str(n) not in refused]

    def settings_of(self, program: str) -> str:
        """What apt has, or systemd's programs read of files of that name together."""
        if program == "apt":
            return self._stdout("apt-config", "dump")
        return self._stdout("systemd-analyze", "cat-config", program)

    def wrong_passwords(self) -> str:
        """When those were typed that are counted, by account, as faillock(8) lists them."""
        return self._start(("faillock",), deadline_s=_QUESTION_S).stdout

    def sudo_rules(self, user: str) -> str:
        """What sudo says that a user may do."""
        return self._stdout("sudo", "-l", "-U", user)

    def fingerprints(self, keys: str) -> set[str]:
        """Of public keys, a line each, as ssh-keygen reads them."""
        argv = ("ssh-keygen", "-l", "-f", "/dev/stdin")
        lines = self._start(argv, stdin=keys).stdout.splitlines()
        return {line.split()[1] for line in lines if " SHA256:" in line}

    def files_of(self, uid: int, tops: Iterable[str]) -> list[tuple[int, str]]:
        """Mode and path of each file that is this uid's on these file systems; no folders."""
        of_uid = ("-xdev", "-uid", str(uid), "!", "-type", "d")
        find = ("find", *tops, *of_uid, "-printf", r"%m %p\0")
        lines = self._stdout(*find, deadline_s=_DU_S).split("\0")[:-1]
        return [(int(line.split()[0], 8), line.partition(" ")[2]) for line in lines]

    def last_words(
        self, unit: str, container: str, lines: int, since: float = 0
    ) -> list[str]:
        """The last lines of a service's container and of docker's client, but for its small talk."""
        of_both = (f"_SYSTEMD_UNIT={unit}", "+", f"CONTAINER_NAME={container}")
        # Backwards: of those since a time it would else give the first.
        last = ("--reverse", f"--since=@{since:.6f}", f"--lines={lines + 20}")
        said = self._journal("cat", *last, *of_both)[::-1]
        return [line for line in said if not line.startswith(_SMALL_TALK)][-lines:]

    def said(self, invocation: str) -> list[str]:
        """The last lines of what a unit ran when it was started this once."""
        this = f"_SYSTEMD_INVOCATION_ID={invocation}"
        return self._journal("cat", "--lines=20", this)

    def container_said(self, container: str, lines: int, since: float) -> str:
        """When it said what, as journalctl's JSON: its last lines since then.

        As docker says: anybody who may write to the journal can take the name of a container.
        """
        last = ("--reverse", f"--since=@{since:.6f}", f"--lines={lines}")
        which = ("_SYSTEMD_UNIT=docker.service", f"CONTAINER_NAME={container}")
        said = self._journal("json", "--output-fields=MESSAGE", *last, *which)
        return "\n".join(said[::-1])

    def tcp_connections(self, pid: int) -> str:
        """Of the network that a process is in, with what the kernel knows of each."""
        enter = ("nsenter", f"--net=/proc/{pid}/ns/net", "ss", "-H", "--numeric")
        those = ("--tcp", "--info", "--processes", "--oneline", "state", "established")
        return self._stdout(*enter, *those)

    def neighbours(self, pid: int) -> str:
        """Of the network that a process is in, with when each last showed that it hears it."""
        enter = ("nsenter", f"--net=/proc/{pid}/ns/net")
        return self._stdout(*enter, "ip", "-statistics", "neighbour")

    def starts_and_ends(self, unit: str) -> list[tuple[int | None, int]]:
        """When a unit started (None) or ended (its exit status), oldest first, in µs of UTC."""
        either = (f"MESSAGE_ID={_STARTED}", f"MESSAGE_ID={_ENDED}")
        said = self._journal("json", f"--lines={_LOOKS_BACK}", f"UNIT={unit}", *either)
        return [start_or_end(line) for line in said]

    def _journal(self, output: str, *words: str) -> list[str]:
        argv = ("journalctl", "--quiet", f"--output={output}")
        return self._stdout(*argv, *words).splitlines()

    def running_containers(self) -> list[str]:
        """Their names, docker's short way."""
        return self._stdout("docker", "ps", "--format={{.Names}}").split()

    def listeners(self) -> str:
        """What waits for others, and the programs that do, as ss(8) lists them."""
        those = ("--listening", "--tcp", "--udp", "--processes")
        return self._stdout("ss", "-H", "--numeric", *those)

    def _iptables_save(self) -> str:
        return self._if_installed("iptables-save")

    def disk_usage(self, folders: Iterable[str]) -> str:
        """Bytes and path of each folder and of those right below it, NUL between them."""
        du = ("du", "--one-file-system", "--block-size=1", "--max-depth=1", "--null")
        argv = ("nice", "ionice", "--class", "3", *du, "--", *folders)
        return self._stdout(*argv, deadline_s=_DU_S)

    def candidates(self, packages: Iterable[str]) -> str:
        """What apt would install of each, from the package lists that are on this host."""
        return self._stdout("apt-cache", "policy", *packages)

    def timers(self) -> str:
        """When each comes next, as systemctl(1) lists them."""
        return self._stdout("systemctl", "list-timers", "--all", "--no-legend")

    def certificate(self, path: str) -> command.Output:
        """When a certificate ends."""
        return self._start(("openssl", "x509", "-noout", "-enddate", "-in", path))

    def _ask_directory(self, kind: Directory, names: list[str]) -> dict[str, bool]:
        argv = ("getent", kind, "--", *names)
        try:
            known = parse_getent(self._stdout(*argv, deadline_s=10))
        except CommandFailed:  # an answer that is not known is no leave to go on
            return dict.fromkeys(names, True)
        return {name: name.lower() in known for name in names}

    def _systemctl_show(self, names: Iterable[str]) -> str:
        properties = f"--property={_UNIT_PROPERTIES}"
        return self._stdout("systemctl", "show", properties, *sorted(names))

    def _units_enabled(self, names: Iterable[str]) -> dict[str, str]:
        """UnitFileState by name, up to the first that systemd does not know."""
        asked = sorted(names)
        argv = ("systemctl", "is-enabled", *asked)
        said = self._start(argv, environment=_NO_SYSV).stdout if asked else ""
        return dict(zip(asked, said.split()))

    def _list_units(self) -> str:
        those = ("--all", "--full", "--plain", "--no-legend")
        return self._stdout("systemctl", "list-units", *those)

    def _nft_list(self) -> str:
        return self._if_installed("nft", "-n", "-j", "list", "ruleset", "inet")

    def _if_installed(self, *argv: str) -> str:
        try:
            return self._stdout(*argv)
        except CommandFailed:  # not yet
            return ""

    def _stdout(self, *argv: str, deadline_s: float = _QUESTION_S) -> str:
        """What it said, whatever it ended with."""
        return self._start(argv, deadline_s=deadline_s).stdout

    def _start(
        self,
        argv: tuple[str, ...],
        *,
        stdin: str = "",
        deadline_s: float = _QUESTION_S,
        environment: Mapping[str, str] | None = None,
    ) -> command.Output:
        process = self._begun.pop(argv, None)
        if process is None:
            hears = bool(stdin)
            process = command.start(argv, hears=hears, environment=environment)
            self.programs.append(argv)
        if self._begins:
            self._begun[argv] = process
            raise _Begun
        return command.answer(process, stdin=stdin, deadline_s=deadline_s)


def start_or_end(line: str) -> tuple[int | None, int]:
    """Of journalctl's JSON: None, or the exit status of what ended; and when, in µs of UTC."""
    entry = json.loads(line)
    ended = entry.get("MESSAGE_ID") != _STARTED
    status = int(entry.get("EXIT_STATUS") or 0) if ended else None
    return status, int(entry["__REALTIME_TIMESTAMP"])
