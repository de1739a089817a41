"""Images that nothing has used for a month go; what is in use, was, or will be stays."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone
from typing import Any, Collection, Iterator, Mapping, NamedTuple

from backend_server.checkout.gather import Site
from backend_server.docker.containers import Image
from backend_server.engine.history import event
from backend_server.engine.lock import TIDY
from backend_server.host import Host, HostReader, record
from backend_server.jobs.listing import PREPARED, containers, images_here, kept, listed
from backend_server.services import states
from backend_server.text.errors import CommandFailed


KEPT = timedelta(days=30)
SEEN = "/var/lib/opensafely/images-seen.json"
# Where a job's metadata.json has the image, by id or by NAME@DIGEST.
_KEYS = frozenset({"Image", "image", "image_sha", "docker_image_id"})

Seen = Mapping[str, str]  # the day an image was last in use, or first here, by its id


class Tidied(NamedTuple):
    """What came of a day's tidying."""

    removed: list[str]
    bytes: int
    notes: list[str]  # sentences: what was not done, and why


def tidy(host: Host, site: Site, today: date) -> Tidied:
    """Raises NoDocker where docker does not answer."""
    in_use = {c.image_id for c in containers(host)}
    images = images_here(host)
    named = {*states.images_in_use(site, host), *of_jobs(host, today)}
    in_use |= {image.id for image in images if named.intersection(_all(image))}
    seen = noted(images, in_use, _seen(host), today)
    record.keep(host, SEEN, seen)
    old = unused(images, in_use, seen, today)
    return _remove(host, site, old)


def unused(
    images: Collection[Image], in_use: Collection[str], seen: Seen, today: date
) -> list[Image]:
    """Those that may go: not in use, and for so long that we have known it all the time."""
    oldest = (today - KEPT).isoformat()
    return [i for i in images if i.id not in in_use and seen.get(i.id, "9") < oldest]


def noted(
    images: Collection[Image], in_use: Collection[str], before: Seen, today: date
) -> dict[str, str]:
    """What is known from today on: one that is new here counts as used today."""
    now = today.isoformat()
    return {i.id: now if i.id in in_use else before.get(i.id, now) for i in images}


def of_jobs(host: HostReader, today: date) -> set[str]:
    """What images the jobs of so many days ran in, by what their metadata says."""
    found: set[str] = set()
    first = datetime.combine(today - KEPT, datetime.min.time(), timezone.utc)
    for _, _, facts in kept(host, first.timestamp()):
        found.update(_images_in(facts))
    return found


def _images_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key in _KEYS and isinstance(each, str):
                yield each
            yield from _images_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from _images_in(each)


def _all(image: Image) -> set[str]:
    """Its id and its names, and the digests alone, which some go by."""
    return {image.id, *image.names, *(n.partition("@")[2] for n in image.names)} - {""}


def _seen(host: HostReader) -> Seen:
    try:
        kept = json.loads(host.read(SEEN) or "{}")
    except ValueError:
        kept = {}
    return kept if isinstance(kept, dict) else {}


def _remove(host: Host, site: Site, old: list[Image]) -> Tidied:
    removed, size, notes = [], 0, []
    for image in old:
        # Looked at each time: a job may have come meanwhile, and have fetched this very one.
        waiting = [j.id for j in listed(host, site.backend) if j.state == PREPARED]
        if waiting:
            names = ", ".join(waiting)
            notes.append(f"no image is removed while a job waits to start: {names}")
            break
        name = image.names[-1] if image.names else image.id
        event(host, site.checkout, TIDY, subject=name)  # first, as this may be killed
        try:
            # By each of its names: of the id alone docker asks for force. It refuses what
            # a container uses.
            host.run("docker", "image", "rm", *(image.names or (image.id,)))
        except CommandFailed as error:
            event(host, site.checkout, TIDY, subject=name, outcome="failed")
            notes.append(f"{image.id[:19]} stays: {error.hint or error}")
            continue
        removed.append(name)
        size += image.size
    return Tidied(removed, size, notes)
