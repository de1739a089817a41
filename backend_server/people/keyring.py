"""The keys of everybody at GitHub, as they stand on this host: asked for, judged, remembered."""

from __future__ import annotations

from typing import Mapping

from backend_server.checkout.gather import Site, everybody
from backend_server.checkout.keys import Key, without
from backend_server.engine import history
from backend_server.host import revoked
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.people import held, offers
from backend_server.people.offers import Answer, Known, Verdict
from backend_server.text.parsers import parse_hosts
from backend_server.text.roles import MARKER


def remembered(host: HostReader) -> Verdict:
    """What was accepted before, without asking anybody."""
    return Verdict(held.read(host))


def remember(host: Host, verdict: Verdict) -> None:
    """What stands is kept for when GitHub does not answer."""
    held.write(host, verdict.held)


def asked(site: Site, host: HostReader) -> Verdict:
    """What GitHub says now of everybody on a roster, set against what was accepted before."""
    from backend_server.people import github

    names = everybody(site.people)
    answers = github.ask(site.backend.github, names, parse_hosts(site.hosts))
    shut = revoked.fingerprints(host)
    strangers = host.users().keys() - host.members(MARKER)  # not ours, or not yet
    known = Known(site.keys, shut, names & strangers)
    before = held.read(host)
    new = {key for answer in answers.values() for key in answer.keys}
    new -= {key for found in before.values() for key in found.keys}
    answers = _read_alike(answers, sorted(new), host)
    return offers.judge(before, answers, known, history.now())


def with_keys(site: Site, verdict: Verdict, shut: frozenset[str]) -> Site:
    """The same place, where these keys from GitHub open their accounts, save those shut."""
    found = {name: without(keys, shut) for name, (keys, _) in verdict.held.items()}
    return site._replace(github=found)


def _read_alike(
    answers: Mapping[str, Answer], new: list[Key], host: HostReader
) -> dict[str, Answer]:
    """Answers with a new key that ssh-keygen reads otherwise than we do tell nothing."""
    text = "".join(key.line("somebody", "github") for key in new)
    read = host.fingerprints(text) if new else set()
    odd = {key for key in new if key.fingerprint not in read}
    why = "ssh-keygen does not read one of its keys as this tool does"
    return {
        name: answer._replace(keys=(), problem=why)
        if odd.intersection(answer.keys)
        else answer
        for name, answer in answers.items()
    }
