"""Another image for a service, on this host: found, tried, and kept only if it stays up."""

from __future__ import annotations

from typing import Callable, NamedTuple

from backend_server.checkout import Service, Site
from backend_server.checkout.service import CHOICES, SETTINGS
from backend_server.engine import Host, Refused, history, notices
from backend_server.host.question import agreed
from backend_server.resources import UNITS
from backend_server.services import agent, choices, environment, switching
from backend_server.services.choices import Choice
from backend_server.services.component import image


_LABELS = "org.opencontainers.image"


class Update(NamedTuple):
    """From which digest to which, with the days they were made. Empty: none before."""

    service: str
    before: str
    after: str
    made_before: str
    made_after: str
    source: str = ""  # what its labels say, which prove nothing
    returns: bool = False  # from what did not prove itself, whatever a tag means

    @property
    def sentence(self) -> str:
        before = f"{self.before} of {self.made_before or 'unknown'}"
        after = f"{self.after} of {self.made_after}, from {self.source or 'nowhere it says'}"
        return f"{before if self.before else 'no image'} -> {after}"


def find(site: Site, host: Host, service: Service, wanted: str) -> Update:
    """What an update to a digest, or to what a tag means now, comes to. The image is here then."""
    name = image(site.backend, service)
    joint = "@" if wanted.startswith("sha256:") else ":"
    return _between(host, service, name, switching.pull(host, f"{name}{joint}{wanted}"))


def back(site: Site, host: Host, service: Service) -> Update:
    """What going back to the image before comes to."""
    previous = choices.settings(host, service.name).previous
    name, _, digest = previous.partition("@")
    if name != image(site.backend, service):
        hint = f"sudo backend service update {service.name} --to sha256:…"
        raise Refused(f"{service.name} ran at no other image on this host before", hint)
    if not host.docker_object(previous):
        switching.pull(host, previous)
    return _between(host, service, name, digest)


def agree(service: Service, update: Update, already: bool) -> None:
    """Somebody says yes to it, or Refused is raised."""
    if already:
        return
    meanwhile = "Jobs that run go on" if service.docker else "It is away for a moment"
    agreed(
        f"{update.service} would change: {update.sentence}, and nobody is here to say yes",
        (f"{update.service}: {update.sentence}. {meanwhile}.",),
        "Type yes to restart it at that: ",
    )


def carry_out(
    site: Site,
    host: Host,
    service: Service,
    update: Update,
    what: str,
    keep: bool = False,
    doubt: Callable[[], str] = str,
    also: Callable[[], object] = bool,
) -> tuple[str, bool]:
    """The service runs at it, and the choice is written down; or all is as before.

    Written at the end of the trial, with what ALSO writes: what is killed before leaves none of
    it. Returns what was done, and whether it stays up, which with KEEP it need not; nor does it
    with a DOUBT once it is up.
    """
    from backend_server.services import answering, backup  # a plan needs none

    name = service.name
    _ready(host, service)
    reference = f"{image(site.backend, service)}@{update.after}"
    wanted = switching.wanted(host, name, reference, service.docker)
    who, done = history.who(host), [(f"{name} is as before", True)]
    more = {"subject": name, "before": update.before, "after": update.after}

    def proven(stays: bool) -> None:
        now = "runs at" if stays else "is to run at, and does not stay up yet,"
        sentence = f"{name} {now} another image: {update.sentence}, by {who}"
        done.append((sentence, stays))
        locked = site.images.get(name, "")
        outcome = "runs" if stays else "kept"
        notices.event(host, site.checkout, what, sentence, **more, outcome=outcome)
        also()
        choices.choose(host, Choice(name, update.after, locked, who, history.now()))

    try:
        data = backup.before(host, name, service.keeps)
        of = (host, name, wanted, service.steady_s, proven, keep)
        switching.switch(*of, lambda: doubt() or answering.doubt(service.page), data)
    except BaseException:
        if len(done) == 1:  # Ctrl-C may come after that
            sentence = f"{who} tried {what} of {name}, and it is as before"
            notices.event(
                host, site.checkout, what, sentence, **more, outcome="as before"
            )
        raise
    return done[-1]


def _ready(host: Host, service: Service) -> None:
    """Raises Refused where a restart would leave it down, or nothing could be written down."""
    if host.stat(f"{UNITS}/{service.unit}") is None:
        raise Refused(f"there is no {service.unit} here yet", hint="sudo backend")
    found = environment.now(host, service.secrets, service.others)
    lacks = [*map(str, found.problems), *found.missing]
    if lacks and choices.settings(host, service.name).image:
        raise Refused(
            f"{service.name} would not start again: it lacks {', '.join(lacks)}",
            hint="sudo backend service secrets",
        )
    for path in (CHOICES, f"{SETTINGS}/{service.name}"):
        host.refuse_unwritable(path, 0o644)


def _between(host: Host, service: Service, name: str, digest: str) -> Update:
    before = choices.settings(host, service.name).image
    after = host.docker_object(f"{name}@{digest}")
    labels = after.get("Config", {}).get("Labels") or {}
    said = (labels.get(f"{_LABELS}.{what}", "") for what in ("source", "revision"))
    return Update(
        service.name,
        before.partition("@")[2],
        digest,
        switching.created(host.docker_object(before)) if before else "",
        switching.created(after),
        agent.plain(" at ".join(filter(None, said)))[:100],
    )
