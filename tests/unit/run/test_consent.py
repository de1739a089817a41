"""What a person is told before they say yes."""

from backend_server.engine.engine import Outcome
from backend_server.people.authorized_keys import NoOtherKeys
from backend_server.people.leavers import Leavers
from backend_server.resources import (
    File,
    Group,
    Members,
    NotMembers,
    RootEquivalent,
    User,
)
from backend_server.run.consent import gains_and_losses
from backend_server.text.change import compare
from backend_server.text.errors import UserError


KEYS = frozenset("abc")
ADA = User("ada", home="/home/ada")


def joins(resource, before, after):
    changes = compare(users=(frozenset(before.split()), frozenset(after.split())))
    return Outcome("people", resource, changes)


def members(group, before, after):
    return joins(Members(group, frozenset(after.split())), before, after)


def doors(*found):
    return compare(doors=(frozenset(found), frozenset()))


def test_gains_and_losses():
    exactly = RootEquivalent("sudo", frozenset(), frozenset(), "people")
    planned = [
        joins(exactly, "mallory", ""),
        Outcome("people", ADA, compare(name=(None, "ada"), home=(None, "/home/ada"))),
        Outcome("people", User("gus", home="/g"), compare(shell=("/bin/sh", "/bin/x"))),
        members("developers", "mallory", "ada grace"),
        members("reviewers", "ada", "ada"),
        Outcome("people", Group("x"), compare(name=(None, "x"))),
        Outcome("login", File("/etc/motd", "a"), compare(text=(None, "a"))),
        Outcome("login", Members("x", frozenset()), error=UserError("no")),
        Outcome("x", Leavers("people", frozenset()), doors("rita: 2 keys", "rita: at")),
        joins(NotMembers("reviewers", frozenset({"gus"})), "gus ada", "ada"),
        Outcome(
            "x", NoOtherKeys("gus", frozenset()), compare(keys=(KEYS, KEYS - {"b"}))
        ),
    ]
    assert gains_and_losses(planned) == [
        "ada: gets an account, joins developers",
        "grace: joins developers",
        "gus: leaves reviewers, loses b",
        "mallory: leaves sudo, leaves developers",
        "rita: loses every way in",
    ]


def test_nobody_gains_or_loses():
    assert gains_and_losses([]) == []
