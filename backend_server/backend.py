"""What a backend says of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Follow:
    """An exception: a service whose image moves by itself with a tag, until a day.

    `owner` answers for it; from `until` on, as 2027-01-31, it no longer moves.
    """

    service: str
    tag: str
    owner: str
    until: str


@dataclass(frozen=True)
class Backend:
    """A place where studies run, as its backend.py declares it.

    `rosters` names the lists of people that are ours to manage here; where a role has none,
    the provider manages those people elsewhere. `provider_accounts` are never touched.
    `endpoints` are NAME:PORT that the host must reach; `github` is the https URL before
    NAME.keys. Where `sudo_password` is false, developers become root without being asked
    for theirs.

    `registry` is the name that images come from, `controller` the URL that the job-runner
    asks for work. Where `dns` is false the host has no name servers: it knows the names in
    its hosts file, and no others. Where `hyperv` is true it is a guest of Hyper-V.

    `database` is what jobs with access to the patients' database may reach,
    as ADDRESS:PORT, and nothing else; where `dummy_data` is true there is no such database.
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
    follows: tuple[Follow, ...] = ()
    sudo_password: bool = True
    dns: bool = True
    hyperv: bool = False
