"""The package mirror of this machine, read from its own apt sources."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator
from urllib.parse import urlsplit

from sandbox.command import output
from sandbox.errors import CannotRun


RELEASES = {
    "debian": {"11": "bullseye", "12": "bookworm", "13": "trixie"},
    "ubuntu": {"20.04": "focal", "22.04": "jammy", "24.04": "noble"},
}
# The parts every release of a distribution has and a host needs.
COMPONENTS = ("main", "universe")
POCKETS = ("", "-updates", "-security")


@dataclass(frozen=True)
class Source:
    """One line of apt sources: where from, which suite, which components."""

    uri: str
    suite: str
    components: tuple[str, ...]


@dataclass(frozen=True)
class Mirror:
    """Where this machine gets its distribution from; third parties are left out."""

    distribution: str
    codename: str
    sources: tuple[Source, ...]

    def release(self, name: str = "") -> str:
        """The codename of a release given by number or name; this machine's by default."""
        known = RELEASES[self.distribution]
        codename = known.get(name, name) or self.codename
        if codename != self.codename and codename not in known.values():
            raise CannotRun(
                f"{name} is no release this machine's mirror has",
                hint=", ".join(known.values()),
            )
        return codename

    def lines(self, release: str) -> list[str]:
        """Apt sources for a release: the machine's own, under the other codename."""
        return [
            f"deb {source.uri} {source.suite.replace(self.codename, release)} "
            + " ".join(source.components)
            for source in self.sources
        ]

    @property
    def locations(self) -> dict[str, str]:
        """Path of each archive on its server, and its whole address."""
        return {urlsplit(s.uri).path.rstrip("/"): s.uri for s in self.sources}

    def addresses(self) -> list[str]:
        """IPv4 addresses the mirror answers at now."""
        names = {str(urlsplit(source.uri).hostname) for source in self.sources}
        return sorted({address for name in names for address in resolve(name)})


def own_mirror(
    apt: Path = Path("/etc/apt"), release_file: Path = Path("/etc/os-release")
) -> Mirror:
    """The mirror of this machine."""
    facts = dict(re.findall(r'^(\w+)="?([^"\n]*)', release_file.read_text(), re.M))
    distribution, codename = facts.get("ID", ""), facts.get("VERSION_CODENAME", "")
    if distribution not in RELEASES:
        raise CannotRun(f"this machine runs {distribution}; wanted Debian or Ubuntu")
    suites = {codename + pocket for pocket in POCKETS}
    own = tuple(
        Source(s.uri, s.suite, tuple(c for c in s.components if c in COMPONENTS))
        for s in sources(apt)
        if s.suite in suites and "main" in s.components and s.uri.startswith("http")
    )
    if not own:
        raise CannotRun(f"{apt} names no http mirror of {codename} main")
    return Mirror(distribution, codename, own)


def sources(apt: Path) -> Iterator[Source]:
    """Every binary source that is switched on, of both formats."""
    for path in sorted([apt / "sources.list", *apt.glob("sources.list.d/*")]):
        if path.suffix == ".list" and path.is_file():
            yield from parse_lines(path.read_text())
        elif path.suffix == ".sources":
            yield from parse_stanzas(path.read_text())


def parse_lines(text: str) -> Iterator[Source]:
    """The one-line format: deb [options] URI SUITE COMPONENT…"""
    for line in text.splitlines():
        line = re.sub(r"\[[^]]*\]", " ", line.split("#")[0])
        words = line.split()
        if len(words) >= 3 and words[0] == "deb":
            yield Source(words[1].rstrip("/"), words[2], tuple(words[3:]))


def parse_stanzas(text: str) -> Iterator[Source]:
    """The deb822 format: stanzas of fields, continued by a leading space."""
    text = re.sub(r"^#.*\n?", "", text, flags=re.M)
    for stanza in re.split(r"\n\s*\n", text):
        unfolded = re.sub(r"\n[ \t]+", " ", stanza)
        fields = {
            name.lower(): value.split()
            for name, value in re.findall(r"^([\w-]+):(.*)$", unfolded, re.M)
        }
        if "deb" not in fields.get("types", []) or fields.get("enabled") == ["no"]:
            continue
        for uri in fields.get("uris", []):
            for suite in fields.get("suites", []):
                parts = tuple(fields.get("components", []))
                yield Source(uri.rstrip("/"), suite, parts)


def resolve(name: str) -> set[str]:
    """IPv4 addresses of a name, none if it has none."""
    try:
        found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        return set()
    return {str(address[4][0]) for address in found}


def resolvers() -> list[str]:
    """IPv4 name servers of this machine that a host can reach too."""
    # A loopback address is a local stub; the servers behind it are in the other file.
    for path in ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"):
        if Path(path).exists():
            text = Path(path).read_text()
            found = re.findall(r"^nameserver\s+(\d+\.\d+\.\d+\.\d+)", text, re.M)
            usable = [address for address in found if not address.startswith("127.")]
            if usable:
                return usable
    return []


def apt_options() -> list[str]:
    """What this machine's apt forgives its mirror, such as a stale snapshot's date."""
    dump = output("apt-config", "dump", "Acquire")
    return re.findall(r"^Acquire::Check-(?:Valid-Until|Date) .*;$", dump, re.M)
