"""What GitHub's answers mean for the keys we hold: fewer at once, more with a person's yes."""

from __future__ import annotations

from typing import Iterable, Iterator, Mapping, NamedTuple

from backend_server.checkout.keys import Key, Keys
from backend_server.text.frozen import Frozen


# People whose keys are all new at once: more likely an attack than new laptops
MANY = 3
NOBODY = "GitHub says that there is no such account (404)"


class Answer(NamedTuple):
    """What GitHub says of a person; where there is a problem, nothing follows for their keys."""

    keys: Keys
    left_out: tuple[str, ...]  # a sentence for each key that is not let in
    problem: str


class Held(NamedTuple):
    """A person's keys at GitHub that are accepted here, and when GitHub last named any."""

    keys: Keys
    seen: str  # time in UTC, with Z; empty where it is not known


class Offer(Frozen):
    """Keys at GitHub that a person has to accept before they open anything.

    `old` stand meanwhile. Of these, `gone` are no longer at GitHub, and wait because without
    them nothing would open the account.
    """

    name: str
    old: Keys
    further: Keys
    gone: Keys
    answer: Keys

    @property
    def replaces_all(self) -> bool:
        return bool(self.old and self.further) and not set(self.old) & set(self.answer)


class Verdict(Frozen):
    """What stands, what waits for a yes, and whose answer tells nothing and why."""

    held: Mapping[str, Held]
    offers: tuple[Offer, ...] = ()
    failed: Mapping[str, str] = {}
    left_out: Mapping[str, tuple[str, ...]] = {}
    nobody: tuple[str, ...] = ()  # unknown to GitHub, with no key and no account here


class Known(Frozen):
    """What is known of people beside GitHub's answers."""

    own: Mapping[str, Keys]  # from keys/USER, without the revoked ones
    revoked: frozenset[str]  # fingerprints
    adopted: frozenset[str]  # accounts that were here before us: even a first set waits


def judge(
    held: Mapping[str, Held], answers: Mapping[str, Answer], known: Known, now: str
) -> Verdict:
    """Keys that a good answer no longer has go, and a first set comes; all else waits.

    Whoever is held, be it with no key, has had a first set: what comes later waits for a yes.
    """
    stands, offers, failed = dict(held), [], {}
    for name, answer in answers.items():
        own = known.own.get(name, ())
        if name in known.adopted:
            stands.setdefault(name, Held((), ""))
        was = stands.get(name)
        why = answer.problem or _lost(was, answer)
        if why:
            failed[name] = why
        elif was is None and answer.keys:
            stands[name] = Held(answer.keys, now)
        elif was is not None and answer.keys:
            offer = _offer(name, was.keys, answer.keys, known)
            accepted = dict.fromkeys((*was.keys, *own))
            waits = {*answer.keys, *offer.gone}
            left = tuple(key for key in accepted if key in waits)
            # To the day: a run that finds all as it was has nothing to write down.
            same = left == was.keys and now[:10] == was.seen[:10]
            stands[name] = was if same else Held(left, now)
            if offer.further or offer.gone:
                offers.append(offer)
    left_out = {name: answer.left_out for name, answer in answers.items()}
    return Verdict(stands, tuple(offers), failed, left_out)


def _lost(was: Held | None, answer: Answer) -> str:
    if answer.keys or not (was and was.keys):
        return ""
    return (
        "none of those it names is let in" if answer.left_out else "it names none now"
    )


def accept(verdict: Verdict, names: Iterable[str], now: str) -> Verdict:
    """The offers to these people are accepted: GitHub's set stands."""
    yes = {offer.name: offer for offer in verdict.offers if offer.name in set(names)}
    held = {name: Held(offer.answer, now) for name, offer in yes.items()}
    left = tuple(offer for offer in verdict.offers if offer.name not in yes)
    return verdict._replace(held={**verdict.held, **held}, offers=left)


def _offer(name: str, old: Keys, answer: Keys, known: Known) -> Offer:
    own = known.own.get(name, ())
    further = _without((*old, *own), answer, known.revoked)
    gone = _without(answer, old, frozenset())
    stays = _without(gone, old, known.revoked) or _without((), own, known.revoked)
    return Offer(name, old, further, () if stays else gone, answer)


def _without(out: Iterable[Key], keys: Keys, revoked: frozenset[str]) -> Keys:
    shut = set(out)
    return tuple(k for k in keys if k not in shut and k.fingerprint not in revoked)


# ---- for people to read


def no_key(verdict: Verdict, name: str) -> str:
    """Why this person, who has no key in keys/, has none from GitHub either."""
    there = [
        key.fingerprint for o in verdict.offers if o.name == name for key in o.further
    ]
    if there:
        return f"{', '.join(there)} at GitHub waits for a yes, or --accept-keys"
    if name in verdict.failed:
        return f"of GitHub's: {verdict.failed[name]}"
    if verdict.left_out.get(name):
        return f"none at GitHub is let in: {verdict.left_out[name][0]}"
    return (
        "GitHub shows none"
        if name in verdict.left_out
        else "none at GitHub was accepted here"
    )


def degraded(verdict: Verdict) -> Iterator[str]:
    """A line for each offer and each reason for which an answer tells nothing."""
    heard = {n: was.seen or "never on record" for n, was in verdict.held.items()}
    whose: dict[str, list[str]] = {}
    for name in verdict.nobody:
        yield (
            f"{name} is on a roster, and {NOBODY}: probably a slip, so no account is made; "
            f"correct that line, or put a key into keys/{name}"
        )
    for name, why in verdict.failed.items():
        if name in verdict.nobody:
            continue
        whose.setdefault(why, []).append(name)
    for why, names in whose.items():
        seen = min(heard.get(name, "never") for name in names)
        yield (
            f"the keys of {', '.join(sorted(names))} at GitHub: {why}; "
            f"what was accepted before stands (last heard of: {seen})"
        )
    yield from alarm(verdict)
    for offer in verdict.offers:
        yield f"{says(offer)}; until a person accepts that (--accept-keys), the old set stands"


def alarm(verdict: Verdict) -> Iterator[str]:
    replaced = [offer.name for offer in verdict.offers if offer.replaces_all]
    if len(replaced) >= MANY:
        yield (
            f"ALL keys of {len(replaced)} people were replaced at GitHub at once: "
            f"{', '.join(replaced)}. Ask each of them by voice before you accept any"
        )


def says(offer: Offer) -> str:
    """Who has which keys, and which are at GitHub instead, by fingerprint."""
    old = ", ".join(map(str, offer.old)) or "none"
    words = [f"{offer.name} has {old} from GitHub"]
    if offer.further:
        words.append(f"there is now further {', '.join(map(str, offer.further))}")
    if offer.gone:
        gone = ", ".join(key.fingerprint for key in offer.gone)
        words.append(f"{gone} is gone there, without which nobody could log in")
    return "; ".join(words)
