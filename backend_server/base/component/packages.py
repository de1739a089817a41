"""Where packages come from, which are installed, and that security updates flow."""

from __future__ import annotations

from string import Template
from typing import Iterator

from backend_server.base.last_word import settled
from backend_server.base.package_lists import PackageLists
from backend_server.checkout.gather import Site
from backend_server.engine.resource import Resource
from backend_server.resources import File, NoFile, NoPackages, Packages, Unit


_ONE_LINE = Template("deb [signed-by=$keyring] $url $suite $areas\n")
_DEB822 = Template("""\
Types: deb
URIs: $url
Suites: $suites
Components: $areas
Signed-By: $keyring
""")


def packages(site: Site) -> Iterator[Resource]:
    """Packages are added, never upgraded or removed, unless a list here says so."""
    if site.mirror:
        yield from _sources(site)
    yield PackageLists("apt", _releases(site) if site.mirror else frozenset())
    yield NoPackages("packages/purge.txt", site.packages["purge"])
    yield Packages("packages/core.txt", site.packages["core"])
    yield Packages("packages/extra.txt", site.packages["extra"], alone=True)


def updates(site: Site) -> Iterator[Resource]:
    """Security updates come by themselves; what they are not to touch is left alone."""
    ours, last_word = settled(site, "/etc/apt/apt.conf.d/zz-opensafely", "apt")
    yield ours
    yield NoFile("/etc/apt/apt.conf.d/52opensafely")
    yield last_word
    yield Unit("apt-daily.timer")
    yield Unit("apt-daily-upgrade.timer")


def _sources(site: Site) -> Iterator[Resource]:
    """The release's own sources file names the backend's mirror; sources of others stay."""
    release = site.release
    one_line = "/etc/apt/sources.list"
    deb822 = f"/etc/apt/sources.list.d/{release.distribution}.sources"
    both = {"areas": release.areas, "keyring": release.keyring}
    if release.deb822:
        parts = (
            _DEB822.substitute(both, url=url, suites=" ".join(suites))
            for url, suites in _archives(site)
        )
        yield File(deb822, "\n".join(parts))
        yield File(one_line, f"# see {deb822}\n")
        return
    lines = (
        _ONE_LINE.substitute(both, url=url, suite=suite)
        for url, suites in _archives(site)
        for suite in suites
    )
    yield File(one_line, "".join(lines))
    yield NoFile(deb822)


def _archives(site: Site) -> tuple[tuple[str, tuple[str, ...]], ...]:
    release = site.release
    return (
        (f"{site.mirror}/{release.archive}", release.suites),
        (f"{site.security_mirror}/{release.security}", (release.security_suite,)),
    )


def _releases(site: Site) -> frozenset[str]:
    """apt's list files for these sources: the URL without its scheme, slashes as `_`."""
    return frozenset(
        f"{url.partition('://')[2]}_dists_{suite}".replace("/", "_")
        for url, suites in _archives(site)
        for suite in suites
    )
