"""Looking at the host. Nothing in this file can change it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, Mapping, TypeVar

from backend_server.host import dockerd
from backend_server.host.asking import Asking, Directory
from backend_server.host.looking import Looking
from backend_server.text import parsers
from backend_server.text.change import Changes
from backend_server.text.errors import Refused


PENDING = "/var/lib/opensafely/pending"
UNNOTICED_BY = ", unnoticed by process "
T = TypeVar("T")


class HostReader(Looking, Asking):
    """A host to look at: `check` is given this, so mypy proves that it is a pure read.

    What programs answered is kept until something on the host is changed.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        Asking.__init__(self)
        Looking.__init__(self, root)
        self.watched_units: frozenset[str] = frozenset()
        self.resting_units: frozenset[str] = frozenset()
        self.watched_names: frozenset[str] = frozenset()
        self.to_keep: dict[str, str] = {}  # by path, what the next run is faster by
        self._names: dict[str, tuple[object, Mapping[int, str]]] = {}
        self._units: dict[str, Mapping[str, str]] = {}
        self._enabled: Mapping[str, str] | None = None
        self._answers: dict[str, Any] = {}
        self._elsewhere: dict[str, dict[str, bool]] = {"passwd": {}, "group": {}}
        self._planned: dict[str, Changes] = {}
        self._planned_notices: set[str] = set()

    @contextlib.contextmanager
    def one_look(self) -> Iterator[None]:
        """Meanwhile nothing is changed: each file is seen once, and programs may run ahead."""
        with self.ahead(), self.parsing_once():
            if self.watched_units and not self._units and not self._prefix:
                self.begin(self._systemctl_show, self.watched_units)
            if self.resting_units and self._enabled is None and not self._prefix:
                self.begin(self.units_in_memory)
                self.begin(self._units_enabled, self.resting_units)
            yield

    # ---- accounts

    def users(self) -> Mapping[str, parsers.PasswdEntry]:
        return self.parsed("/etc/passwd", parsers.parse_passwd)

    def groups(self) -> Mapping[str, parsers.GroupEntry]:
        return self.parsed("/etc/group", parsers.parse_group)

    def shadow(self) -> Mapping[str, parsers.ShadowEntry]:
        return self.parsed("/etc/shadow", parsers.parse_shadow)

    def members(self, group: str) -> frozenset[str]:
        found = self.groups().get(group)
        return found.members if found else frozenset()

    def groups_of(self, user: str) -> frozenset[str]:
        """The groups of an account, its primary one among them."""
        found = self.users().get(user)
        own = {self.group_name(found.gid)} if found else set()
        rest = (g.name for g in self.groups().values() if user in g.members)
        return frozenset(own.union(rest))

    def user_name(self, uid: int) -> str:
        """The account with this uid, or the number where there is none."""
        return self._named("uid", self.users()).get(uid, str(uid))

    def group_name(self, gid: int) -> str:
        return self._named("gid", self.groups()).get(gid, str(gid))

    def _named(self, field: str, found: Mapping[str, Any]) -> Mapping[int, str]:
        """Name by number, made once of what was parsed; of those that share one, the first."""
        kept = self._names.get(field)
        if kept is None or kept[0] is not found:
            pairs = ((getattr(each, field), name) for name, each in found.items())
            kept = self._names[field] = (found, dict(reversed([*pairs])))
        return kept[1]

    def known_elsewhere(self, kind: Directory, name: str) -> bool:
        """Whether a source other than our files has it (nsswitch.conf(5)), or none can say.

        For names that our files have not. One call asks about all `watched_names`.
        """
        found = self._elsewhere[kind]
        if self._prefix:  # other sources are the machine's, not of a tree of files
            return False
        if name not in found:
            here = self.users() if kind == "passwd" else self.groups()
            names = sorted({name, *self.watched_names} - here.keys())
            found.update(self._ask_directory(kind, names))
        return found[name]

    def login_uid(self) -> str:
        """Of whoever logged in, whatever they became since; empty where nobody did.

        loginuid is set once at login and kept by the kernel, through sudo and su; it is unset on
        a console, in cloud-init and in timers.
        """
        login = (self.read("/proc/self/loginuid") or "").strip()
        return login if login.isdigit() and login != str(2**32 - 1) else ""

    def person(self) -> str:
        """The account with that uid; empty where nobody logged in."""
        login = self.login_uid()
        return self.user_name(int(login)) if login else ""

    def refuse_known_elsewhere(self, kind: Directory, name: str) -> None:
        """Raise Refused where our new account or group would have a namesake, as in sssd or LDAP."""
        if self.known_elsewhere(kind, name):
            raise Refused(
                f"{name} is not in /etc/{kind}, but another source has that name, or does "
                "not answer; wanted a name that is nobody's yet",
                hint=f"getent {kind} {name}; grep ^{kind} /etc/nsswitch.conf",
            )

    def has_directory(self) -> bool:
        """Whether people also come from a source that may be away for a while, such as sssd."""
        found = self.parsed("/etc/nsswitch.conf", parsers.parse_nsswitch)
        return not {"files", "compat", "systemd"}.issuperset(found.get("passwd", ()))

    # ---- packages and units

    def packages(self) -> Mapping[str, parsers.PackageState]:
        return self.parsed("/var/lib/dpkg/status", parsers.parse_dpkg_status)

    def os_release(self) -> Mapping[str, str]:
        return self.parsed("/etc/os-release", parsers.parse_assignments)

    def unit(self, name: str) -> Mapping[str, str]:
        """What systemd says of a unit; one call asks about all `watched_units`.

        A tree of files has no units.
        """
        if self._prefix:
            return {}
        if name not in self._units:
            asked = {name, *self.watched_units} - self._units.keys()
            self._units.update(parsers.parse_units(self._systemctl_show(asked)))
        return self._units.get(name, {})

    def active_state(self, name: str) -> str:
        """ActiveState of a unit. For this and the next, systemd words none of 300 properties."""
        memory = self.units_in_memory().get(name)
        if memory:
            return memory[1]
        # Nothing wants a unit of ours that is disabled and not in memory: it does not run.
        off = name in self.resting_units and self.file_state(name) == "disabled"
        return "inactive" if off else self._shown(name, "ActiveState")

    def file_state(self, name: str) -> str:
        """UnitFileState of a unit; one call asks about all `resting_units`."""
        if self._enabled is None:
            names = () if self._prefix else self.resting_units
            self._enabled = self._units_enabled(names)
        state = self._enabled.get(name, "alias")
        return self._shown(name, "UnitFileState") if state == "alias" else state

    def _shown(self, name: str, what: str) -> str:
        """Of a unit that is here by another name, or not at all: one call asks about all."""
        self.watched_units |= self.resting_units
        return self.unit(name).get(what, "")

    def units_in_memory(self) -> Mapping[str, tuple[str, str]]:
        """LoadState and ActiveState by name, of all but those that systemd has no use for now.

        One call asks for them: in a tenth of the time that `unit` takes for twenty.
        """
        if self._prefix:
            return {}
        return self.once("units", lambda: parsers.parse_unit_list(self._list_units()))

    def docker_object(self, name: str) -> Mapping[str, Any]:
        """What docker knows of a container, network or NAME@DIGEST of an image; {} where none is.

        Nothing is there where no daemon runs: it is not asked then, for systemd would start
        it to answer.
        """
        if not self._docker_runs():
            return {}
        return self.once(f"docker {name}", lambda: dockerd.inspect(name))

    def containers(self) -> list[Mapping[str, Any]] | None:
        """What docker knows of every container now; None where no daemon runs, or answers."""
        return dockerd.containers() if self._docker_runs() else None

    def docker_says(self, path: str) -> Any:
        """What the Engine API has at a path, as /images/json; None likewise."""
        return dockerd.tell(path) if self._docker_runs() else None

    def _docker_runs(self) -> bool:
        state = self.unit("docker.service").get("ActiveState")
        return state in ("active", "reloading")

    def nft_table(self, name: str) -> tuple[Mapping[str, Any], ...] | None:
        """The rules of the table `inet NAME` as the kernel has them; None without such a table."""
        tables = self.once("nft", lambda: parsers.parse_nft(self._nft_list()))
        return tables.get(name)

    def iptables_rules(self) -> str:
        """The rules of other programs than ours, docker above all, as iptables-save(8) has them."""
        return self.once("iptables", self._iptables_save)

    def once(self, what: str, ask: Callable[[], T]) -> T:
        """What was found out since something on the host was changed, or what is found out now."""
        if what not in self._answers:
            self._answers[what] = ask()
        answer: T = self._answers[what]
        return answer

    def _forget_answers(self) -> None:
        """What programs said is out of date: something was changed."""
        self._units, self._enabled, self._answers = {}, None, {}

    def boot_id(self) -> str:
        return (self.read("/proc/sys/kernel/random/boot_id") or "").strip()

    # ---- this run

    def pending(self, unit: str) -> bool:
        """Whether a unit has yet to notice a change to its configuration.

        A mark of another boot does not count: the unit was started anew since.
        """
        mark = self.read(f"{PENDING}/{unit}") or ""
        return unit in self._planned_notices or mark.split()[:1] == [self.boot_id()]

    def notice(self, unit: str) -> str:
        """The same in a word, for a field that a change is of."""
        return "pending" if self.pending(unit) else "done"

    def restarted(self, unit: str) -> bool:
        """Whether a unit that was left to a person to restart is another process since."""
        mark = self.read(f"{PENDING}/{unit}") or ""
        _, known, process = mark.rstrip().partition(UNNOTICED_BY)
        return bool(known) and process != self.unit(unit).get("MainPID")

    def planned(self, label: str) -> Changes:
        """What this run will still change of the resource with this label."""
        return self._planned.get(label, ())

    def will_have_account(self, name: str) -> bool:
        return name in self.users() or bool(self.planned(f"User {name}"))

    def expect(self, label: str, changes: Changes, notices: Iterable[str]) -> None:
        """Remember a planned change, for the checks that come after it in the plan."""
        self._planned[label] = changes
        self._planned_notices.update(notices)

    def forget_plan(self) -> None:
        self._forget_answers()
        self._planned.clear()
        self._planned_notices.clear()
