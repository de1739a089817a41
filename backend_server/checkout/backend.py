"""What a backend says of itself."""

from __future__ import annotations

import re
from typing import Iterator

from backend_server.checkout.service import Service
from backend_server.text.frozen import Frozen


class Follow(Frozen):
    """An exception: a service whose image moves by itself with a tag, until a day.

    `owner` answers for it; from `until` on, as 2027-01-31, it no longer moves.
    """

    service: str
    tag: str
    owner: str
    until: str


# A comma or a blank would end the option, and a % means something to systemd.
_WORD = r"[A-Za-z0-9][A-Za-z0-9._$-]*"
_OF_SHARE = {
    "server": _WORD,
    "path": rf"{_WORD}(/{_WORD})*",
    "account": _WORD,
    "domain": rf"({_WORD})?",
    "mount_point": r"(/[a-z0-9_]+)+",  # a hyphen would be spelt \x2d in the unit's name
    "version": r"3(\.[0-9]+)*",
}


class Share(Frozen):
    """A folder of a Windows server, mounted here, that level 4 outputs are pushed to.

    `server` is a name in BACKEND/hosts, `path` the share there and the folder inside it, as
    level4/workspaces. `account` may write there; its password is set on the host. `uid`,
    `gid` and the modes say who sees on this host what is there. With `seal` all is encrypted
    on the way. With `removes` an output that is declared no longer goes there too, if it is
    still as it was put there. Nobody needs to look for `late_minutes` after a push failed.
    """

    server: str
    path: str
    account: str
    domain: str = ""
    mount_point: str = "/mnt/level4"
    version: str = "3.1.1"
    seal: bool = True
    port: int = 445
    uid: int = 0
    gid: int = 0
    file_mode: int = 0o600
    dir_mode: int = 0o700
    removes: bool = False
    late_minutes: int = 15

    def problems(self) -> Iterator[str]:
        """What no mount unit could say, each as a sentence."""
        for name, pattern in _OF_SHARE.items():
            value = getattr(self, name)
            if not re.fullmatch(pattern, value):
                yield f"share: {name} {value!a}: wanted {pattern}"

    @property
    def unit(self) -> str:
        """The mount's name at systemd, without its suffix: systemd-escape(1) --path."""
        return self.mount_point.strip("/").replace("/", "-")

    @property
    def mount(self) -> str:
        return f"{self.unit}.mount"

    @property
    def source(self) -> str:
        return f"//{self.server}/{self.path.partition('/')[0]}"

    @property
    def endpoint(self) -> str:
        return f"{self.server}:{self.port}"

    @property
    def folder(self) -> str:
        """Inside the share; empty: its top."""
        return self.path.partition("/")[2]


class Airlock(Frozen):
    """Airlock, where outputs are reviewed and released, at https://NAME.

    It is for the desktop's windows alone, and answers at 127.0.0.1; where level 4 is on another
    network, as 10.1.2.0/24, it answers it and nobody else, at every address of the host. It
    releases to `api`, and reaches nothing else. `kept` is how long its requests and its audit
    are kept here, as `host disk` shows it; people delete them, and no program.
    """

    name: str
    level4: tuple[str, ...] = ()
    api: str = "release.opensafely.org"
    kept: str = "for ever"


class Backend(Frozen):
    """A place where studies run, as its backend.py declares it.

    `rosters` names the lists of people that are ours to manage here; where a role has none,
    the provider manages those people elsewhere. `provider_accounts` are never touched.
    `endpoints` are NAME:PORT that the host must reach; `github` is the https URL before
    NAME.keys. Where `sudo_password` is false, developers become root without being asked
    for theirs.

    `registry` is the name that images come from, `controller` the URL that the job-runner
    asks for work. `share` is where level 4 outputs go; None: they stay on this host.
    With `airlock` they are reviewed and released here. `services` are further ones, in
    containers.
    Where `dns` is false the host has no name servers: it knows the names in its hosts file,
    and no others. Where `hyperv` is true it is a guest of Hyper-V.

    `database` is what jobs with access to the patients' database may reach, and nothing else:
    ADDRESS:PORT, ADDRESS/BITS:PORT or ADDRESS:FIRST-LAST; where `dummy_data` is true there is
    no such database.
    Archived workspaces lie in `archives`, and where that is on a disk of its own this is
    mounted at `archives_disk`: while it is not, no job is begun. The job-runner and
    Airlock tell `telemetry`, a URL, of what they do; empty: nobody.
    Where there is an `rdp_address`, reviewers come to it by remote desktop; 0.0.0.0 is every
    address of the host. With a `second_factor` they type, after their password, the code of
    the moment that their own device shows.

    Other machines reach sshd here, the remote desktop, and what `listens` names for the
    provider's own monitoring and backup, as `9100/tcp from 192.0.2.0/24`. `foreign` names
    what else may run here that `status` would tell of: containers, units, and other engines.
    """

    name: str
    title: str
    rosters: tuple[str, ...]
    provider_accounts: frozenset[str]
    endpoints: tuple[str, ...]
    github: str
    registry: str = "docker-proxy.opensafely.org"
    controller: str = "https://controller.opensafely.org"
    database: tuple[str, ...] = ()
    dummy_data: bool = False
    archives: str = "/srv/high_privacy/archives"
    archives_disk: str = ""
    telemetry: str = ""
    follows: tuple[Follow, ...] = ()
    sudo_password: bool = True
    rdp_address: str = ""
    second_factor: bool = False
    listens: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    share: Share | None = None
    airlock: Airlock | None = None
    services: tuple[Service, ...] = ()
    dns: bool = True
    hyperv: bool = False

    @property
    def reaches(self) -> tuple[str, ...]:
        """NAME:PORT of all that this host and its services must reach."""
        return (*self.endpoints, *self.collector)

    @property
    def collector(self) -> tuple[str, ...]:
        """NAME:PORT of `telemetry`, where there is such."""
        name, _, port = self.telemetry.partition("://")[2].partition(":")
        return (f"{name}:{port or 443}",) if name else ()

    @property
    def routes(self) -> tuple[str, ...]:
        """NAME:PORT of what services reach that have a network to themselves."""
        api = [f"{self.airlock.api}:443"] if self.airlock else []
        return (*api, *(each for what in self.services for each in what.route or ()))
