"""The keys of everybody at GitHub, as they stand on this host: asked for, judged, remembered."""

from __future__ import annotations

import json
import time
from typing import Mapping

from backend_server.checkout.gather import Site, everybody
from backend_server.checkout.keys import KEY_FOLDER, Key, in_text, without
from backend_server.engine import Refused, history
from backend_server.host import Host, HostReader, record, revoked
from backend_server.people import offers
from backend_server.people.offers import Answer, Held, Known, Verdict
from backend_server.text.parsers import parse_hosts
from backend_server.text.roles import MARKER


RECORD = "/var/lib/opensafely/github.json"
CLOCK = "/run/opensafely/clock"  # when this boot was by theirs, where ours is another
_CLOCK_S = 60  # a code of a second factor is too old then


def held(host: HostReader) -> Mapping[str, Held]:
    """By person. Of whom the record does not know, what their key file has from GitHub."""
    known = host.parsed(RECORD, _parse)
    lost = (name for name in host.names(KEY_FOLDER) if name not in known)
    return {**{name: _in_force(host, name) for name in lost}, **known}


def keep(host: Host, held: Mapping[str, Held]) -> None:
    """The record says exactly this; a file that says so already is left alone."""
    found = {
        name: {"seen": seen, "keys": [key.bare for key in keys]}
        for name, (keys, seen) in sorted(held.items())
    }
    record.keep(host, RECORD, found)


def _in_force(host: HostReader, name: str) -> Held:
    lines = (host.read(f"{KEY_FOLDER}/{name}") or "").splitlines()
    ours = (line for line in lines if line.endswith(f" {name}@github"))
    return Held(in_text("\n".join(ours)), "")


def _parse(text: str) -> Mapping[str, Held]:
    try:
        return {
            name: Held(
                tuple(Key(*line.split()) for line in found["keys"]), found["seen"]
            )
            for name, found in json.loads(text or "{}").items()
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Refused(
            f"{RECORD} cannot be read; wanted the keys that were accepted from GitHub",
            hint=f"mv {RECORD} {RECORD}.broken",
        ) from None


def remembered(host: HostReader) -> Verdict:
    """What was accepted before, without asking anybody."""
    return Verdict(held(host))


def asked(site: Site, host: HostReader) -> Verdict:
    """What GitHub says now of everybody on a roster, set against what was accepted before."""
    from backend_server.people import github, https

    names = everybody(site.people)
    there = https.Site(site.backend.github, parse_hosts(site.hosts))
    answers = github.ask(there, sorted(names))
    if there.booted:
        host.to_keep[CLOCK] = there.booted if ahead_s(there.booted) else ""
    shut = revoked.fingerprints(host)
    strangers = host.users().keys() - host.members(MARKER)  # not ours, or not yet
    known = Known(site.keys, shut, names & strangers)
    before = held(host)
    new = {key for answer in answers.values() for key in answer.keys}
    new -= {key for found in before.values() for key in found.keys}
    answers = _read_alike(answers, sorted(new), host)
    verdict = offers.judge(before, answers, known, history.now())
    unknown = {name for name, why in verdict.failed.items() if why == offers.NOBODY}
    unknown -= {*verdict.held, *site.keys, *host.users()}
    return verdict._replace(nobody=tuple(sorted(unknown)))


def ahead_s(booted: str) -> int:
    """So much this host's clock is ahead of GitHub's, by which it BOOTED then; 0: not worth a word."""
    now = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    ahead = round(now - float(booted or now))
    return ahead if abs(ahead) > _CLOCK_S else 0


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
