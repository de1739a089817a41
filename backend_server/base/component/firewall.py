"""What containers and reviewers reach: of all networks, only what is declared."""

from __future__ import annotations

from string import Template
from typing import Iterable, Iterator

from backend_server.base.nft import NftTable
from backend_server.checkout.gather import Site, everybody
from backend_server.engine.resource import Resource
from backend_server.resources import UNITS, Packages, Unit, UnitFile
from backend_server.text import networks
from backend_server.text.parsers import parse_hosts
from backend_server.text.roles import MARKER, ROLES


_FILE = "/etc/opensafely/firewall.nft"
_UNIT = "opensafely-firewall.service"

# By interface name, so that it stands before docker has made one. It comes before docker's
# own chains: what is let through here is for them to judge, what is refused here is refused.
# Frames between two containers on a bridge come by here too, for docker asks the kernel to.
_RULES = Template("""\
# Written by backend-server. What containers and reviewers may reach; loaded before any network.
table inet $table
delete table inet $table
table inet $table {
    # Whoever is in it reaches no network at all, this host's own included: also who has left,
    # for a program that becomes them may be anywhere. Nothing of a desktop
    # needs one: X, xrdp's channels, D-Bus and ssh-agent are unix sockets, and it is as the
    # account xrdp that xrdp asks sesman on port 335, in the versions that ask by TCP.
    set reviewers {
        type uid
        flags interval
    }
    chain refuse {
        meta l4proto tcp reject with tcp reset
        reject with icmpx type admin-prohibited
    }
    chain answers {
        ct direction reply ct state established,related accept
        goto refuse
    }
    chain from_database_network {
$database        goto refuse
    }
    chain from_services {
        ct direction reply ct state established,related accept
$services        goto refuse
    }
    chain forward {
        type filter hook forward priority -10; policy accept;
        iifname "$database_bridge" goto from_database_network
        oifname "$database_bridge" goto answers
        iifname "$services_bridge" goto from_services
    }
    chain input {
        type filter hook input priority -10; policy accept;
        iifname "$database_bridge" goto refuse
        iifname "$services_bridge" goto answers
    }
    chain output {
        type filter hook output priority -10; policy accept;
        meta skuid @reviewers goto refuse
        oifname "$database_bridge" goto answers
    }
}
$reviewers""")

# A line for each: the noun puts in the account's own uid, and those it may have in containers
# of its own, and leaves out whoever has no account yet.
_REVIEWER = f"add element inet {networks.TABLE} reviewers {{ uid:$name }}\n"
_OTHERS = Template(_REVIEWER).substitute(name=f"@{MARKER}")

# docker requires it. Stopping it would stop docker, and nothing is gained by it. There is no
# network before it: a reviewer's crontab may have something for the moment of booting. Services
# of a cloud come before sysinit.target and want a network, so this one may not wait for that.
_SERVICE = f"""\
[Unit]
Description=Containers and reviewers reach only what is declared
DefaultDependencies=no
Wants=network-pre.target
After=local-fs.target
Before=network-pre.target docker.service xrdp.service shutdown.target
Conflicts=shutdown.target
RefuseManualStop=yes
# Whoever asks docker for something asks for this: often, where its rules do not load.
StartLimitIntervalSec=0

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft --file {_FILE}

[Install]
RequiredBy=docker.service xrdp.service
"""

# However docker is started: the unit above counts as done, whoever flushed its rules since.
_DROP_IN = f"""\
[Service]
ExecStartPre=/usr/sbin/nft --file {_FILE}
"""


def firewall(site: Site) -> Iterator[Resource]:
    """The rules stand before docker does, and docker does not start without them."""
    yield Packages("firewall", frozenset({"nftables"}))
    yield NftTable(networks.TABLE, _FILE, rules(site), everybody(site.people))
    yield UnitFile(f"{UNITS}/{_UNIT}", _SERVICE)
    yield Unit(_UNIT)
    yield UnitFile(f"{UNITS}/docker.service.d/opensafely.conf", _DROP_IN)


def rules(site: Site) -> str:
    """The table: jobs reach the database, services the endpoints at their pinned addresses."""
    pinned = parse_hosts(site.hosts)
    named = (endpoint.rpartition(":") for endpoint in site.backend.endpoints)
    endpoints = [(pinned[name], int(port)) for name, _, port in named]
    database = filter(None, map(networks.place, site.backend.database))
    return _RULES.substitute(
        table=networks.TABLE,
        database=_accept(database),
        services=_accept(endpoints),
        reviewers="".join((*_reviewers(site), _OTHERS)),
        database_bridge=networks.DATABASE_BRIDGE,
        services_bridge=networks.SERVICES_BRIDGE,
    )


def _reviewers(site: Site) -> Iterator[str]:
    """Everybody in a role that has no network, whatever other roles they are in."""
    shut = {role.roster for role in ROLES if not role.network}
    people = {roster: site.people.get(roster or "", ()) for roster in shut}
    for name in sorted({e.name for entries in people.values() for e in entries}):
        yield Template(_REVIEWER).substitute(name=name)


def _accept(places: Iterable[tuple[str, int]]) -> str:
    """Rules for these addresses and ports; nft takes no empty set."""
    known, lines = sorted(set(places)), []
    for family, members in (
        ("ip", [place for place in known if networks.is_ipv4(place[0])]),
        ("ip6", [place for place in known if not networks.is_ipv4(place[0])]),
    ):
        if members:
            listed = ", ".join(f"{address} . {port}" for address, port in members)
            lines.append(f"        {family} daddr . tcp dport {{ {listed} }} accept\n")
    return "".join(lines)
