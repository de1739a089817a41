"""Where packages come from, which are installed, and that security updates flow."""

from __future__ import annotations

from typing import Iterator

from backend_server.base.last_word import settled
from backend_server.base.verbatim import filled
from backend_server.checkout.gather import Site
from backend_server.resources import File, NoFile, NoPackages, Packages, Resource, Unit
from backend_server.resources.package import PackageLists


_ONE_LINE = "/etc/apt/sources.list"
_DEB822 = "/etc/apt/sources.list.d/release.sources"  # on a host the distribution's name


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
    release, (archive, security) = site.release, _archives(site)
    deb822 = _DEB822.replace("release", release.distribution)
    text = filled(
        site,
        _DEB822 if release.deb822 else _ONE_LINE,
        archive=archive,
        security=security,
        codename=release.codename,
        areas=release.areas,
        keyring=release.keyring,
    )
    if release.deb822:
        yield File(deb822, text)
        yield File(_ONE_LINE, f"# see {deb822}\n")
    else:
        yield File(_ONE_LINE, text)
        yield NoFile(deb822)


def _archives(site: Site) -> tuple[str, str]:
    release = site.release
    security = f"{site.security_mirror}/{release.security}"
    return f"{site.mirror}/{release.archive}", security


def _releases(site: Site) -> frozenset[str]:
    """apt's list files for these sources: the URL without its scheme, slashes as `_`."""
    archive, security = _archives(site)
    sources = [(archive, suite) for suite in site.release.suites]
    return frozenset(
        f"{url.partition('://')[2]}_dists_{suite}".replace("/", "_")
        for url, suite in [*sources, (security, site.release.security_suite)]
    )
