"""Airlock has a tree of its own to show, which nobody but the service writes."""

from __future__ import annotations

from typing import Iterator

from backend_server.base.verbatim import by_timer
from backend_server.checkout import Site
from backend_server.engine import Resource
from backend_server.resources import Acl, Directory
from backend_server.review.laying import STATE
from backend_server.storage.component import REVIEW_TREE, people_of
from backend_server.text.roles import MEDIUM, OPENSAFELY


def review(site: Site) -> Iterator[Resource]:
    """Reviewers see what it has for them, beside the workspaces that they edit."""
    group = people_of(MEDIUM).group
    yield Directory(REVIEW_TREE, mode=0o2750, owner=OPENSAFELY, group=group)
    yield Acl(REVIEW_TREE)
    yield Directory(STATE, mode=0o700, owner=OPENSAFELY, group=OPENSAFELY)
    yield from by_timer(site, "opensafely-review")
