"""A sandbox: a lab with the outside world's stand-ins, and hosts with this checkout."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Callable, Sequence

from sandbox import cgroups, guestimage, layer, packages, people, services
from sandbox.authority import Authority
from sandbox.checkout import HERE, Checkout, commit
from sandbox.errors import CannotRun
from sandbox.guest import Guest
from sandbox.guestimage import Image
from sandbox.host import Host
from sandbox.images import images
from sandbox.mirror import own_mirror
from sandbox.network import Lab, pinned_addresses
from sandbox.outside import Outside
from sandbox.overlay import Layer
from sandbox.people import People
from sandbox.tree import Tree, bare_tree


# Changes a host that is made and not yet booted.
Shape = Callable[[Host], None]


class Sandbox:
    """Everything disposable of one run: `close` leaves nothing but the cache."""

    def __init__(
        self, root: Path = HERE, developers: Sequence[str] = (), keep: bool = False
    ) -> None:
        check_machine()
        packages.ensure()
        self.cache = cache_folder()
        self.checkout, self.developers = Checkout(root), developers
        self.mirror, self.authority = own_mirror(), Authority(self.cache / "ca")
        self.images = images(self.mirror, self.authority, self.cache)
        self._numbers = itertools.count(1)
        self.hosts: list[Host] = []
        self.guests: list[Guest] = []
        self.people: People = {}
        self.lab = Lab(pinned_addresses(root), online=bool(developers), keep=keep)
        try:
            self.outside = Outside(self.lab, self.mirror, self.authority, self.images)
            if not developers:
                self.people = people.make(self.lab.runtime / "keys")
                self.outside.start()
        except BaseException:
            self.lab.close()
            raise

    def tree(self, release: str = "") -> Tree:
        """The bare tree of a release, by default this machine's own."""
        release = self.mirror.release(release)
        return bare_tree(release, self.mirror, self.authority, self.cache)

    def bare(
        self,
        release: str = "",
        name: str = "",
        shape: Sequence[Shape] = (),
        legacy_cgroups: bool = False,
    ) -> Host:
        """A host nobody has touched, booted, with the checkout in its place."""
        host = self._host(name or f"bare{next(self._numbers)}", self.tree(release))
        host.people = self.people
        self.lay(host.root)
        if not self.lab.online:
            services.give_secrets(host.root)
        return self._boot(host, shape, legacy_cgroups)

    def lay(self, root: Path) -> Path:
        """The checkout at its place below a root, committed, with what the sandbox invents."""
        place = self.checkout.copy(root)
        people.lay_over(place, self.people, self.developers)
        if not self.lab.online:
            services.lay_over(place, self.images)
        commit(place)
        return place

    def warm(
        self,
        backend: str,
        release: str = "",
        name: str = "",
        shape: Sequence[Shape] = (),
        legacy_cgroups: bool = False,
    ) -> Host:
        """A host that was managed once as a backend, booted from the cached layer."""
        self.checkout.require(backend)
        tree = self.tree(release)

        def make() -> Host:
            host = self.bare(tree.release, "maker")
            self.hosts.remove(host)
            return host

        found = layer.warm(self.cache, backend, tree, self._recipe(), make)
        host = self._host(name or f"warm{next(self._numbers)}", tree, found)
        return self._boot(host, shape, legacy_cgroups)

    def guest(self, backend: str, name: str = "") -> Guest:
        """A server with a kernel of its own that was managed once, from a snapshot."""
        packages.ensure(packages.FOR_GUESTS)

        def make() -> Host:
            host = self.warm(backend, name="maker")
            self.hosts.remove(host)
            return host

        def boot(new: Image) -> None:
            Guest(self.lab, "maker", new, self.cache).boot().snapshot(new)

        kind = f"{backend}-{self.mirror.codename}"
        found = guestimage.image(self.cache, kind, self._recipe(), make, boot)
        return self._guest(name, found, found.people).resume()

    def bare_guest(self, name: str = "") -> Guest:
        """A server as its vendor delivers it, not yet booted: cloud-init, and no checkout.

        The packages that hosts fetched are there, for it is slow to fetch them.
        """
        packages.ensure(packages.FOR_GUESTS)
        tree = self.tree()

        def make() -> Host:
            host = self._host("maker", tree)
            self.hosts.remove(host)
            services.give_secrets(host.root)
            host.write(*guestimage.VENDORS)
            return self._boot(host, ())

        kind, recipe = f"bare-{tree.release}", f"{tree.path.name} {services.INVENTED}"
        found = guestimage.image(self.cache, kind, recipe, make, None, "cloud-init")
        return self._guest(name, found, self.people)

    def close(self) -> None:
        """Hosts, guests, stand-ins and lab are gone."""
        for guest in list(self.guests):
            self.remove(guest)
        for host in list(self.hosts):
            self.destroy(host)
        self.outside.close()
        self.lab.close()

    def destroy(self, host: Host) -> None:
        """One host is gone; destroying it twice does nothing."""
        if host in self.hosts:
            self.hosts.remove(host)
            host.destroy()

    def remove(self, guest: Guest) -> None:
        """One guest is gone; doing it twice does nothing."""
        if guest in self.guests:
            self.guests.remove(guest)
            guest.destroy()

    def _guest(self, name: str, found: Image, whose: People) -> Guest:
        name = name or f"guest{next(self._numbers)}"
        guest = Guest(self.lab, name, found, self.cache)
        self.guests.append(guest)
        guest.people = whose
        self.outside.know(guest.address, whose)
        return guest

    def _recipe(self) -> str:
        """Another one whenever a bare host would have other files."""
        return f"{self.checkout.digest()} {self.images.lock()}"

    def _host(self, name: str, tree: Tree, found: Layer | None = None) -> Host:
        host = Host(self.lab, name, tree, self.cache, found)
        self.hosts.append(host)
        return host

    def _boot(
        self, host: Host, shape: Sequence[Shape], legacy_cgroups: bool = False
    ) -> Host:
        self.outside.know(host.address, host.people)
        for change in shape:
            change(host)
        return host.boot(legacy_cgroups)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def cache_folder() -> Path:
    """Where trees, layers and packages are kept from one run to the next."""
    folder = Path(os.environ.get("SANDBOX_CACHE", "/var/cache/backend-sandbox"))
    # The programs in there run as root and are not kept up to date.
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def check_machine() -> None:
    """Refuses, before anything is touched, where no host can be booted."""
    if os.geteuid() != 0:
        raise CannotRun("a sandbox is made by root", hint="sudo ./scripts/sandbox.sh …")
    cgroups.check()
