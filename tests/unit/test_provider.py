"""docs/provider.md is what each backend's files say: what its provider must give us.

`scripts/test.sh accept` writes it anew.
"""

from __future__ import annotations

from collections import defaultdict

import pytest

from backend_server.airlock.renewal import SITE
from backend_server.checkout.backend import Airlock, Share
from backend_server.checkout.gather import gather
from backend_server.run.place import load
from backend_server.storage.component import HIGH_TREE, MEDIUM_TREE
from backend_server.text.networks import DESKTOP_PORT
from backend_server.text.parsers import parse_hosts
from backend_server.text.releases import RELEASES
from backend_server.text.roles import ROLES
from tests.unit.example import BACKENDS, ROOT, TODAY


PAGE = ROOT / "docs/provider.md"
BEGIN, END = "<!-- backends -->\n", "<!-- end -->\n"


def page(sites):
    """A table of all backends, and a section for each."""
    yield "| backend | machine | reviewers come by | names | packages from | clock |"
    yield "|---|---|---|---|---|---|"
    for site in sites:
        cells = (machine, reviewers, names, packages, clock)
        said = " | ".join(cell(site) for cell in cells)
        yield f"| [{site.backend.name}](#{site.backend.name}) | {said} |"
    for site in sites:
        yield from ("", f"## {site.backend.name}", "")
        yield f"**{site.backend.title}.** {what(site)}"
        yield from ("", "| what | wanted | why |", "|---|---|---|")
        for row in rows(site):
            yield f"| {' | '.join(row)} |"


def what(site):
    """The first line of its backend.py."""
    text = (ROOT / site.backend.name / "backend.py").read_text()
    said = text.partition('"""')[2].partition('"""')[0].partition("\n")[0]
    said = said.partition(": ")[2] or said
    return said[:1].upper() + said[1:]


def machine(site):
    return "a guest of Hyper-V" if site.backend.hyperv else "a server, or a guest"


def reviewers(site):
    if site.backend.rdp_address:
        return "remote desktop"
    if site.backend.share:
        return "a share of the provider's"
    return "nothing here"


def names(site):
    return "name servers" if site.backend.dns else "none but pinned ones"


def packages(site):
    return site.mirror.partition("//")[2] or "the host's own sources"


def clock(site):
    return "the hypervisor's" if site.backend.hyperv else "a time service"


def rows(site):
    yield from of_machine(site)
    yield from disks(site)
    yield from inbound(site)
    yield from outbound(site)
    yield from clocks(site)
    yield from certificates(site)


def of_machine(site):
    accounts = ", ".join(f"`{each}`" for each in sorted(site.backend.provider_accounts))
    yield "machine", machines(site), "what it becomes, it is as a whole"
    why = "for the first run, and when nobody else gets in; never touched"
    yield (
        "an account",
        accounts or "none stays",
        why if accounts else "none is declared",
    )


def machines(site):
    if site.backend.hyperv:
        return "a guest of Hyper-V, with Time Synchronization, Data Exchange, Backup (VSS) and Shutdown"
    return "a server or a guest, of its own"


def disks(site):
    backend = site.backend
    yield "disk", f"`{HIGH_TREE}`", "what jobs read and write of patients' data"
    twice = "; Airlock shows a copy: room for it twice" if backend.airlock else ""
    yield "disk", f"`{MEDIUM_TREE}`", f"outputs that reviewers see{twice}"
    if backend.archives_disk:
        why = "no job is begun while it is not mounted"
        yield "disk of its own", f"`{backend.archives_disk}`", why
    yield "disk", f"`{backend.archives}`", "archived workspaces"
    if backend.share:
        yield from share(backend.share)


def share(share):
    wanted = f"`{share.source}`, folder `{share.folder}`, SMB {share.version}"
    sealed = ", encryption required" if share.seal else ""
    yield "a share", f"{wanted}{sealed}", "outputs go there, and nothing else is in it"
    account = f"{share.domain}\\{share.account}" if share.domain else share.account
    yield "its account", f"`{account}`, used by nothing else", "may change that folder"


def inbound(site):
    backend = site.backend
    by_ssh = {role.roster for role in ROLES if role.login == "ssh"}
    who = [each for each in backend.rosters if each in by_ssh]
    yield "in", "TCP 22", f"{' and '.join(who)}, by ssh"
    if backend.rdp_address:
        at = backend.rdp_address
        where = "" if at in ("0.0.0.0", "::") else f" at {at}"
        yield "in", f"TCP {DESKTOP_PORT}{where}", "reviewers, by remote desktop"
    for network in backend.airlock.level4 if backend.airlock else ():
        yield "in", f"TCP 443 from {network}", "level 4, to Airlock"
    for each in backend.listens:
        yield "in", f"`{each}`", "the provider's own"


def outbound(site):
    backend = site.backend
    for (address, port), found in sorted(endpoints(site).items()):
        yield "out", f"TCP {port} to {address}", ", ".join(found)
    for place in backend.database:
        yield "out", f"TCP to {place}", "jobs, to the database"
    if not backend.database and not backend.dummy_data:
        yield "out", "TCP to the database", "jobs; its address is not declared yet"
    if not site.mirror:
        yield (
            "out",
            "TCP 80 and 443",
            "the archives that its sources name, for packages",
        )
    if backend.dns:
        yield "out", "port 53 to name servers", "names that are not pinned"


def endpoints(site):
    """The names at each address and port; those in hosts(5) are pinned."""
    backend, pinned = site.backend, parse_hosts(site.hosts)
    wanted = [*backend.reaches, *backend.routes]
    wanted += [f"{SITE}:443"] if backend.airlock else []
    wanted += [backend.share.endpoint] if backend.share else []
    found = defaultdict(list)
    for each in dict.fromkeys(wanted):
        name, _, port = each.rpartition(":")
        found[pinned.get(name, name), port].append(name)
    return found


def clocks(site):
    if site.backend.hyperv:
        why = "`/dev/ptp_hyperv` sets it; no time server is asked"
        yield "clock", "Time Synchronization on", why
    else:
        wanted = "a time service of the distribution's, and where it asks (UDP 123)"
        yield "clock", wanted, "certificates, second factors and end dates go by it"


def certificates(site):
    backend = site.backend
    if backend.airlock:
        wanted = f"none: `{backend.airlock.name}` has OpenSAFELY's"
        yield "certificate", wanted, f"later ones come from {SITE}"
    if "TLS_CERT_PATH" in site.service_env:
        wanted = "a client certificate and its key"
        yield "certificate", wanted, "the database knows jobs by it"
    if not backend.airlock and "TLS_CERT_PATH" not in site.service_env:
        yield "certificate", "none", "nothing here has one"


# ---- what is held


def site_of_checkout(name):
    return gather(load(name, ROOT), RELEASES[0], ROOT, TODAY)


def test_the_page_is_what_backends_declare(request):
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    block = "\n".join(["", *page([*map(site_of_checkout, BACKENDS)]), "", ""])
    wanted = before + BEGIN + block + END + after
    if request.config.getoption("--accept"):
        PAGE.write_text(wanted, "utf-8")
    assert PAGE.read_text("utf-8") == wanted, "./scripts/test.sh accept"


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_the_page_names_each_release(release):
    system = {"ubuntu": "Ubuntu", "debian": "Debian"}[release.distribution]
    (line,) = (x for x in PAGE.read_text("utf-8").splitlines() if "| a release |" in x)
    assert release.version in line.partition(system)[2].partition(";")[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"listens": ("9100/tcp from 192.0.2.0/24",)}, "9100/tcp from 192.0.2.0/24"),
        ({"database": ("192.0.2.30:1433",)}, "TCP to 192.0.2.30:1433"),
        ({"rdp_address": "192.0.2.9"}, "TCP 3389 at 192.0.2.9"),
        (
            {"airlock": Airlock("a.example", ("10.1.2.0/24",))},
            "TCP 443 from 10.1.2.0/24",
        ),
        ({"airlock": Airlock("a.example")}, "`a.example`"),
        ({"dns": False}, "none but pinned ones"),
        ({"dns": True}, "port 53"),
        ({"hyperv": True}, "/dev/ptp_hyperv"),
        ({"hyperv": False}, "UDP 123"),
        ({"archives_disk": "/srv/high_privacy/a"}, "| `/srv/high_privacy/a` |"),
        ({"archives": "/srv/high_privacy/b"}, "| `/srv/high_privacy/b` |"),
        ({"provider_accounts": frozenset({"vendor"})}, "`vendor`"),
        (
            {"endpoints": ("collector.opensafely.org:4318",)},
            "TCP 4318 to 157.245.31.108",
        ),
        ({"telemetry": "https://other.example"}, "TCP 443 to other.example"),
        (
            {"share": Share("level4", "Out/x", "us", port=1445)},
            "TCP 1445 to 192.0.2.40",
        ),
        ({"share": Share("level4", "Out/x", "us", domain="D")}, "`D\\us`"),
    ],
)
def test_what_is_declared_is_on_the_page(change, said):
    site = site_of_checkout("tpp")
    changed = site._replace(backend=site.backend._replace(**change))
    lines = "\n".join(page([changed]))
    assert said in lines
    assert (
        lines != "\n".join(page([site])) or change.items() <= vars(site.backend).items()
    )
