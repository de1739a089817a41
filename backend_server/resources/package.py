"""Packages of the distribution's archive, and what apt knows of it."""

from __future__ import annotations

import fnmatch
import re
from typing import Iterator

from backend_server.engine import Changes, Resource, compare
from backend_server.engine.in_force import lines_of
from backend_server.host import Host, HostReader, apt
from backend_server.text.errors import CommandFailed, OutsideWorld, Refused, UserError


LISTS = "/var/lib/apt/lists"
_PINS = "/etc/apt/preferences"
_OWN = "those of the host's own sources"
_CANDIDATE = r"(?m)^(\S+):\n.*\n +Candidate: [^(]"  # of apt-cache(8)


class PackageLists(Resource):
    """apt's package lists are those of the sources that are configured.

    `releases` are list files without their _InRelease or _Release ending, as apt names them;
    none means that the host's own sources are used and any list will do.
    """

    sources: str
    releases: frozenset[str] = frozenset()

    def check(self, host: HostReader) -> Changes:
        found = {
            name.rpartition("_")[0]
            for name in host.names(LISTS)
            if name.endswith(("_InRelease", "_Release"))
        }
        wanted = self.releases or frozenset({_OWN})
        there = frozenset(found & self.releases if self.releases else {_OWN})
        return compare(releases=(there if found else frozenset(), wanted))

    def apply(self, host: Host, changes: Changes) -> None:
        try:
            apt.update(host)
        except CommandFailed as error:
            if self.check(host):
                raise
            # Ours are there all the same: it is somebody else's that is away.
            raise OutsideWorld(str(error), error.hint) from None


class _Listed(Resource):
    """Packages that a list names: one resource decides each."""

    list: str
    names: frozenset[str]

    def owns(self) -> tuple[str, ...]:
        return tuple(f"Package {name}" for name in sorted(self.names))


class Packages(_Listed):
    """These packages are installed. Nothing else is removed for it, or upgraded.

    But for what `upgrades` begins with: parts of it go with one version of what is there.
    """

    alone: bool = False
    upgrades: tuple[str, ...] = ()

    def stands_alone(self) -> bool:
        return self.alone

    def check(self, host: HostReader) -> Changes:
        there = installed(self.names, host)
        missing = self.names - there
        lists_will_change = host.planned("PackageLists apt")
        if missing and host.names(LISTS) and not lists_will_change:
            missing = _to_be_had(missing, host)
            if not missing:
                raise _not_to_be_had(self.names - there, host)
            self._refuse_side_effects(missing, host)
        return compare(names=(there, there | missing))

    def apply(self, host: Host, changes: Changes) -> None:
        wanted, silent = changes[0].after, ""
        assert isinstance(wanted, frozenset)
        try:
            # What `check` has just judged, where there were lists by which to.
            _install(wanted - installed(wanted, host), host)
        except CommandFailed:
            # The lists may be older than the archive, which drops superseded packages.
            try:
                apt.update(host)
            except CommandFailed as error:  # of somebody else's source, it may be
                silent = f"; {error}"
            known = _to_be_had(self.names - installed(self.names, host), host)
            self._refuse_side_effects(known, host)
            try:
                _install(known, host)
            except CommandFailed as error:
                raise CommandFailed(f"{error}{silent}", error.hint) from None

    def _refuse_side_effects(self, missing: frozenset[str], host: HostReader) -> None:
        simulation = host.apt_simulation("install", missing).stdout
        # What a killed dpkg left half-way counts as an upgrade to itself.
        removed, upgraded = _removed(simulation), _upgraded(simulation) - missing
        upgraded = frozenset(n for n in upgraded if not n.startswith(self.upgrades))
        if removed or upgraded:
            verbs = [f"remove {' '.join(sorted(removed))}"] if removed else []
            verbs += [f"upgrade {' '.join(sorted(upgraded))}"] if upgraded else []
            raise Refused(
                f"installing {' '.join(sorted(missing))} would also {' and '.join(verbs)}",
                hint=f"apt-get install {' '.join(sorted(upgraded | missing))}",
            )


def notes(host: HostReader) -> Iterator[str]:
    """Packages of others that hold up nothing here, and get no updates either."""
    for name in apt.unfinished(host):
        yield f"dpkg has not ended with {name}; `dpkg --configure {name}` says why"


class NoPackages(_Listed):
    """None of these packages is installed, nor their configuration kept."""

    def stands_alone(self) -> bool:
        return True

    def check(self, host: HostReader) -> Changes:
        there = self._there(host)
        if there:
            simulation = host.apt_simulation("purge", there)
            if simulation.status:
                raise Refused(
                    f"purging {' '.join(sorted(there))} would be refused by apt-get",
                    hint=simulation.stderr.strip(),
                )
            more = _removed(simulation.stdout) - self.names
            if more:
                raise Refused(
                    f"purging {' '.join(sorted(there))} would also remove "
                    f"{' '.join(sorted(more))} ({self.list})",
                    hint=f"apt-get purge {' '.join(sorted(there))}",
                )
        return compare(names=(there, frozenset()))

    def apply(self, host: Host, changes: Changes) -> None:
        apt.apt_get(host, "purge", *sorted(self._there(host)))

    def _there(self, host: HostReader) -> frozenset[str]:
        states = host.packages()
        known = self.names.intersection(states)
        return frozenset(name for name in known if states[name].configured)


def _install(names: frozenset[str], host: Host) -> None:
    try:
        apt.install(host, names)
    except CommandFailed:
        if names - installed(names, host):
            raise
        # What failed is somebody else's, as a package that was half there before.


def installed(names: frozenset[str], host: HostReader) -> frozenset[str]:
    states = host.packages()
    return frozenset(n for n in names if n in states and states[n].installed)


def _to_be_had(names: frozenset[str], host: HostReader) -> frozenset[str]:
    return names.intersection(re.findall(_CANDIDATE, host.candidates(names)))


def _not_to_be_had(names: frozenset[str], host: HostReader) -> UserError:
    """Of a name that apt does not know, or that a pin keeps away."""
    lines = [
        f"{where}: {line}"
        for where, line in lines_of(host, (_PINS, f"{_PINS}.d"))
        for pattern in line.partition("Package:")[2].split()
        if any(fnmatch.fnmatchcase(name, pattern) for name in names)
    ]
    them = " ".join(sorted(names))
    what = "\n".join([f"apt has no version of {them} to install", *lines])
    return UserError(what, hint=f"apt-cache policy {them}")


def _removed(simulation: str) -> frozenset[str]:
    return frozenset(re.findall(r"^(?:Remv|Purg) (\S+)", simulation, re.MULTILINE))


def _upgraded(simulation: str) -> frozenset[str]:
    """`Inst NAME [OLD] (NEW …)` is an upgrade, without [OLD] a new package."""
    return frozenset(re.findall(r"^Inst (\S+) \[", simulation, re.MULTILINE))


class Held(Resource):
    """Those of these packages that are installed are on hold: no upgrade touches them.

    `packages` is the label of the resource that installs some of them.
    """

    list: str
    names: frozenset[str]
    packages: str = ""

    def check(self, host: HostReader) -> Changes:
        there, states = installed(self.names, host), host.packages()
        held = frozenset(name for name in there if states[name].held)
        wanted = there | (self.names & self._coming(host))
        return compare(names=(held, wanted))

    def apply(self, host: Host, changes: Changes) -> None:
        apt.wait_for_locks(host)
        for change in changes:
            assert isinstance(change.after, frozenset)
            host.run("apt-mark", "hold", *sorted(change.after))

    def _coming(self, host: HostReader) -> frozenset[str]:
        """What this run will have installed by then."""
        planned = (change.after for change in host.planned(self.packages))
        return frozenset().union(*(a for a in planned if isinstance(a, frozenset)))
