"""What GitHub's answers mean: keys go at once, and come only with a person's yes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_server.checkout.keys import parse
from backend_server.people.offers import (
    Answer,
    Held,
    Known,
    Verdict,
    accept,
    degraded,
    judge,
    says,
)
from tests.unit.example import public_key


THEN, NOW = "2027-01-01T00:00:00Z", "2027-01-15T00:00:00Z"
KEYS = {name: parse("x", public_key(name).encode())[0][0] for name in "abcdef"}
A, B, C, D = (KEYS[name] for name in "abcd")


def answer(*keys, problem=""):
    return Answer(tuple(keys), (), problem)


def known(own=(), revoked=(), adopted=()):
    shut = frozenset(key.fingerprint for key in revoked)
    return Known({"ada": tuple(own)} if own else {}, shut, frozenset(adopted))


def of_ada(held, said, about=None):
    """The verdict on ada, of whom HELD is accepted; None: nothing yet."""
    before = {} if held is None else {"ada": Held(tuple(held), THEN)}
    return judge(before, {"ada": said}, about or known(), NOW)


def stands(verdict):
    return set(verdict.held["ada"].keys) if "ada" in verdict.held else None


def offered(verdict):
    return [(set(offer.further), set(offer.gone)) for offer in verdict.offers]


@pytest.mark.parametrize(
    ("held", "said", "about", "left", "offers", "failed"),
    [
        (None, answer(A, B), known(), {A, B}, [], False),  # a first set
        (None, answer(), known(), None, [], False),  # may still come
        ([], answer(A), known(), set(), [({A}, set())], False),  # has had its first
        (None, answer(A), known(adopted=["ada"]), set(), [({A}, set())], False),
        (None, answer(), known(adopted=["ada"]), set(), [], False),
        (None, answer(problem="502"), known(adopted=["ada"]), set(), [], True),
        (None, answer(A), known(own=[B]), {A}, [], False),
        (None, answer(problem="502"), known(own=[B]), None, [], True),
        ([], answer(A), known(own=[B]), set(), [({A}, set())], False),
        (None, answer(B), known(own=[B]), {B}, [], False),
        ([A], answer(A), known(), {A}, [], False),
        ([A, B], answer(B), known(), {B}, [], False),  # fewer at once
        ([A], answer(A, B), known(), {A}, [({B}, set())], False),  # more with a yes
        ([A, B], answer(B, C), known(), {B}, [({C}, set())], False),
        ([A], answer(B), known(), {A}, [({B}, {A})], False),  # the last one waits
        ([A], answer(B), known(own=[C]), set(), [({B}, set())], False),
        ([A], answer(B), known(own=[B]), {B}, [], False),
        ([A], answer(), known(), {A}, [], True),  # empty where there were keys
        ([A], answer(), known(own=[C]), {A}, [], True),
        ([A], answer(problem="502"), known(), {A}, [], True),
        (None, answer(problem="502"), known(), None, [], True),
        ([A], answer(A, B), known(revoked=[B]), {A}, [], False),
        # A revoked key opens nothing: what stands beside it must not be the only one left.
        ([A, B], answer(B), known(revoked=[B]), {A, B}, [(set(), {A})], False),
    ],
)
def test_one_person(held, said, about, left, offers, failed):
    verdict = of_ada(held, said, about)
    assert stands(verdict) == left
    assert offered(verdict) == offers
    assert bool(verdict.failed) == failed


def test_when_github_named_them_is_remembered():
    assert of_ada([A], answer(A)).held["ada"].seen == NOW
    assert of_ada([A], answer(B)).held["ada"].seen == NOW
    assert of_ada([A], answer(problem="502")).held["ada"].seen == THEN


def test_a_yes_lets_githubs_set_stand():
    verdict = accept(of_ada([A], answer(B, C)), ["ada"], NOW)
    assert stands(verdict) == {B, C}
    assert not verdict.offers
    assert of_ada([A], answer(B)) == accept(of_ada([A], answer(B)), ["grace"], NOW)


def test_whom_nobody_asked_about_keeps_all():
    before = {"ada": Held((A,), THEN), "vera": Held((B,), THEN)}
    assert (
        judge(before, {"ada": answer(A)}, known(), NOW).held["vera"] == before["vera"]
    )


def test_all_keys_of_three_people_replaced_is_called_out():
    names = ("ada", "grace", "vera")
    before = {name: Held((A,), THEN) for name in names}
    quiet = judge(before, {n: answer(B) for n in names[:2]}, known(), NOW)
    assert not [line for line in degraded(quiet) if "ALL" in line]
    loud = judge(before, {n: answer(B) for n in names}, known(), NOW)
    (line,) = [line for line in degraded(loud) if "ALL" in line]
    assert "ada, grace, vera" in line


def test_what_a_person_reads():
    verdict = of_ada([A], answer(B))
    (line,) = degraded(verdict)
    for key in (A, B):
        assert key.fingerprint in line
    assert "--accept-keys" in line
    assert "ada" in says(verdict.offers[0])
    before = {n: Held((A,), t) for n, t in (("ada", THEN), ("grace", NOW))}
    down = {n: answer(problem="it hung up") for n in ("grace", "ada", "vera")}
    (line,) = degraded(judge(before, down, known(), NOW))
    assert line.startswith("the keys of ada, grace, vera at GitHub: it hung up")


SETS = st.lists(st.sampled_from(list(KEYS.values())), unique=True, max_size=4)


@given(held=SETS, said=SETS, own=SETS, revoked=SETS, bad=st.booleans())
def test_nobody_gains_a_key_and_nobody_loses_the_last(held, said, own, revoked, bad):
    about = known(own=own, revoked=revoked)
    said_of = answer(*said, problem="502" if bad else "")
    verdict = of_ada(held or None, said_of, about)
    found = stands(verdict) or set()
    usable = {*found, *own} - set(revoked)
    if held:
        assert found <= {*held, *own}
    if {*held, *own} - set(revoked):
        assert usable, "the last key was taken by an answer of GitHub"
    if bad or (held and not said):
        assert found == set(held)
    agreed = accept(verdict, ["ada"], NOW)
    assert not agreed.offers
    assert (stands(agreed) or set()) <= {*held, *said, *own}


@given(first=SETS, own=SETS, said=SETS, adopted=st.booleans())
def test_what_waits_does_not_come_by_itself_in_the_next_run(first, own, said, adopted):
    """Not even when the account became ours meanwhile, or keys/ lost its lines."""
    before = of_ada(
        None, answer(*first), known(own, adopted=["ada"] if adopted else [])
    )
    waits = {key for offer in before.offers for key in offer.further}
    after = judge(before.held, {"ada": answer(*first)}, known(), NOW)
    assert not waits & (stands(after) or set())
    later = judge(after.held, {"ada": answer(*said)}, known(), NOW)
    if adopted:
        assert (stands(later) or set()) <= set(own)


def test_nothing_asked_nothing_said():
    assert list(degraded(Verdict({}))) == []
