"""What containers and reviewers reach, and what is reached here: only what is declared."""

from __future__ import annotations

from typing import Iterable, Iterator, Mapping

from backend_server.base.inbound import FIREWALL, INBOUND, LIMITS, Inbound
from backend_server.base.nft import NftTable
from backend_server.base.verbatim import filled, verbatim
from backend_server.checkout.gather import Site, everybody
from backend_server.checkout.service import Service
from backend_server.resources import UNITS, Packages, Resource, Unit, UnitFile
from backend_server.text import networks
from backend_server.text.parsers import parse_hosts
from backend_server.text.roles import MARKER, ROLES


_UNIT = "opensafely-firewall.service"

# A line for each: the noun puts in the account's own uid, and those it may have in containers
# of its own, and leaves out whoever has no account yet.
_REVIEWER = f"add element inet {networks.TABLE} reviewers {{{{ uid:{{}} }}}}\n"
# Of a service with a network to itself; the uids are systemd's for units that have no account.
_IN = '        iifname "{}" goto answers\n'
_PUBLISHED = (
    '        oifname "lo" tcp dport {} meta skuid != 61184-65519 jump not_for_people\n'
)
_PROVIDER = "        meta skuid {{ uid:{} }} return\n"

# Whatever starts a process for somebody, which keeps the limits. Root's own tools want frames:
# over these come those who become root, and docker says by them where a container is.
_STARTERS = ("user@", "containerd")
_WITH_FRAMES = ("ssh", "ssh@", "getty@", "serial-getty@", "docker")
_LOCK = f"{UNITS}/{{}}.service.d/opensafely-lock.conf"
_FAMILIES = f"{UNITS}/ssh.service.d/opensafely-families.conf"


def firewall(site: Site) -> Iterator[Resource]:
    """The rules stand before docker does, and docker does not start without them."""
    yield Packages("firewall", frozenset({"nftables"}))
    yield verbatim(site, "/etc/modprobe.d/opensafely.conf")
    for name in (*_STARTERS, *_WITH_FRAMES):
        yield limited(site, name)
    for name in ("cron", "atd"):
        yield verbatim(site, _LOCK.format(name), notify=f"{name}.service")
        yield limited(site, name, f"{name}.service")
        yield Unit(f"{name}.service", enabled=None, running=None)
    yield Inbound(INBOUND, inbound(site))
    but = everybody(site.people)
    yield NftTable(networks.TABLE, FIREWALL, rules(site), but, included=INBOUND)
    yield verbatim(site, f"{UNITS}/{_UNIT}")
    yield Unit(_UNIT)
    yield verbatim(site, f"{UNITS}/docker.service.d/opensafely.conf")


def limits(site: Site) -> Iterator[Resource]:
    """Nothing waits for it: a kernel may lack what counts connections, and the rules stand."""
    unit = "opensafely-limits.service"
    yield verbatim(site, f"{UNITS}/{unit}")
    yield Unit(unit, running=None)
    yield NftTable(f"{networks.TABLE}_limits", LIMITS, site.etc[LIMITS])


def limited(site: Site, name: str, *notify: str) -> UnitFile:
    """A service of which processes have no sockets but those that the packet filter judges."""
    text = site.etc[_FAMILIES]
    text = text if name in _WITH_FRAMES else text.replace(" AF_PACKET", "")
    return UnitFile(_FAMILIES.replace("ssh.", f"{name}."), text, notify=notify)


def rules(site: Site) -> str:
    """The table: jobs reach the database, services the endpoints at their pinned addresses."""
    pinned = parse_hosts(site.hosts)
    walled = [each for each in site.services if each.route is not None]
    database = filter(None, map(networks.place, site.backend.database))
    providers = sorted(site.backend.provider_accounts)
    return filled(
        site,
        FIREWALL,
        database="".join(f"        {each.rule}\n" for each in database),
        services=_accept(pinned, site.backend.reaches),
        forward="".join(_forward(pinned, each) for each in walled),
        input="".join(_IN.format(each.network) for each in walled),
        output="".join(map(_output, walled)),
        reviewers="".join(map(_REVIEWER.format, (*_reviewers(site), f"@{MARKER}"))),
        providers="".join(map(_PROVIDER.format, providers)),
    )


def inbound(site: Site) -> str:
    """What is reached here: sshd, the remote desktop, and what the backend says besides."""
    at = site.backend.rdp_address
    to = "" if at in ("0.0.0.0", "::") else f"{networks.family(at)} daddr {at} "
    desktop = f"{to}tcp dport {{ {networks.DESKTOP_PORT} }} accept" if at else ""
    doors = filter(None, (desktop, *map(networks.door, site.backend.listens)))
    lines = "".join(f"        {door}\n" for door in doors)
    return filled(site, INBOUND, doors=lines)


def _reviewers(site: Site) -> list[str]:
    """Everybody in a role that has no network, whatever other roles they are in."""
    shut = {role.roster for role in ROLES if not role.network}
    return sorted(everybody({r: who for r, who in site.people.items() if r in shut}))


def _forward(pinned: Mapping[str, str], what: Service) -> str:
    """It reaches its route, and is reached from the networks that it is open to."""
    port = what.publish.rpartition(":")[2]
    doors = (networks.door(f"{port}/tcp from {each}") for each in what.open_to)
    lines = _accept(pinned, what.route or (), f'iifname "{what.network}" ')
    lines += _IN.format(what.network)
    lines += "".join(f'        oifname "{what.network}" {door}\n' for door in doors)
    return lines + f'        oifname "{what.network}" goto answers\n'


def _output(what: Service) -> str:
    """From here only root reaches it, who has docker's end of what is published."""
    lines = f'        oifname "{what.network}" meta skuid != 0 goto refuse\n'
    _, port, _ = what.publish.split(":") if what.publish else ("", "", "")
    return lines + (_PUBLISHED.format(port) if port else "")


def _accept(pinned: Mapping[str, str], named: Iterable[str], what: str = "") -> str:
    """Rules for these NAME:PORT, by addresses; nft takes no empty set."""
    parts = (each.rpartition(":") for each in named)
    places = [(pinned[name], int(port)) for name, _, port in parts]
    lines = ""
    for family in ("ip", "ip6"):
        known = sorted({each for each in places if networks.family(each[0]) == family})
        listed = ", ".join(f"{address} . {port}" for address, port in known)
        if listed:
            lines += f"        {what}{family} daddr . tcp dport {{ {listed} }} accept\n"
    return lines
