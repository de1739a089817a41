"""What GitHub and job-server know of the people on the rosters."""

from __future__ import annotations

import re
from typing import Any, NamedTuple, Protocol

from backend_server.checkout.rosters import Entry
from roster.ask import Api, Unanswered


# Who deploys the backends is given this role on job-server too.
DEVELOPERS_ROLE = "DeploymentAdministrator"

_LOGIN = re.compile(r"[A-Za-z0-9_-]{1,39}")


class Known(Protocol):
    """What one service knows of one name."""

    def problem(self, entry: Entry) -> str:
        """What is wrong with a line of a roster; empty when nothing is."""

    def note(self, entry: Entry) -> str:
        """What a reviewer may want to know of it; empty when nothing."""


class Account(NamedTuple):
    """Who has a name on GitHub, and who has the number that is pinned to it."""

    number: int | None
    person: bool
    pinned: int | None
    holder: str | None  # asked for only where somebody else, or nobody, has the name

    def problem(self, entry: Entry) -> str:
        now = f"the account with id={self.pinned} is called {self.holder} now"
        if self.holder is None:
            now = f"nor is there one with id={self.pinned}"
        if self.number is None:
            pinned = "" if self.pinned is None else f"; {now}"
            return f"there is no account {entry.name} on GitHub{pinned}"
        if self.pinned not in (None, self.number):
            other = f"{entry.name} is another account on GitHub, with id={self.number}"
            return f"{other}; {now}"
        return "" if self.person else f"{entry.name} is no person on GitHub"

    def note(self, entry: Entry) -> str:
        if self.problem(entry) or entry.github_id is not None:
            return ""
        line = entry._replace(github_id=self.number)
        return f"no id says which account was approved; to pin it: {line}"


class Roles(NamedTuple):
    """The roles that somebody has everywhere on job-server; None: it does not know them."""

    everywhere: frozenset[str] | None

    def problem(self, entry: Entry) -> str:
        if self.everywhere is None:
            return f"job-server knows no {entry.name}"
        if entry.source == "developers" and DEVELOPERS_ROLE not in self.everywhere:
            return f"{entry.name} has not the role {DEVELOPERS_ROLE} on job-server"
        return ""

    def note(self, entry: Entry) -> str:
        return ""


def on_github(api: Api, name: str, pinned: int | None) -> Account:
    """Raises Unanswered."""
    found = api.get(f"/users/{name}")
    number = None if found is None else _number(found)
    if found is not None and _login(found).lower() != name.lower():
        raise Unanswered("the answer is about another account")
    holder = None
    if pinned not in (None, number):
        other = api.get(f"/user/{pinned}")
        holder = None if other is None else _login(other)
    person = found is not None and found.get("type") == "User"
    return Account(number, person, pinned, holder)


def on_job_server(api: Api, name: str) -> Roles:
    """Raises Unanswered."""
    found = api.get(f"/api/v2/users/{name}/")
    if found is None:
        return Roles(None)
    roles = found.get("roles")
    everywhere = roles.get("global") if isinstance(roles, dict) else None
    if not isinstance(everywhere, list):
        raise Unanswered("the answer is not what this API says")
    return Roles(frozenset(str(role).rpartition(".")[2] for role in everywhere))


def _number(found: dict[str, Any]) -> int:
    number = found.get("id")
    if type(number) is not int or number < 1:
        raise Unanswered("the answer is not what this API says")
    return number


def _login(found: dict[str, Any]) -> str:
    login = found.get("login")
    if not isinstance(login, str) or not _LOGIN.fullmatch(login):
        raise Unanswered("the answer is not what this API says")
    return login
