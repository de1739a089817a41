"""What is to be said of a checkout."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Callable, Iterator, Tuple

from backend_server.host.reader import HostReader
from backend_server.people.remarks import lookalikes
from backend_server.text.errors import CommandFailed
from backend_server.text.problem import Problem
from roster import ask, checkout
from roster.accounts import Known, on_github, on_job_server


Asked = Tuple[str, str]  # a service, and a name


class Judgement:
    """Problems are to be mended; notes are for a person to think about."""

    def __init__(self, root: Path) -> None:
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self.unanswered: list[str] = []
        self.rosters = checkout.read_rosters(root, self.problems)
        self.entries = [e for entries in self.rosters.values() for e in entries]
        self.names = sorted({entry.name for entry in self.entries})
        self.keys = checkout.read_keys(root, self.problems)
        self.problems += checkout.strangers(self.keys, frozenset(self.names))
        try:
            self.problems += checkout.read_otherwise(self.keys, HostReader())
        except CommandFailed as error:
            self.unanswered.append(str(error))
        for one, other in lookalikes(self.names, self.names):
            self.notes.append(f"{one} looks like {other}: are they two people?")

    def of_github(self, api: ask.Api) -> dict[Asked, Callable[[], Known]]:
        pins = {e.name: e.github_id for e in self.entries if e.github_id is not None}
        return {
            ("GitHub", name): partial(on_github, api, name, pins.get(name))
            for name in self.names
        }

    def of_job_server(self, api: ask.Api) -> dict[Asked, Callable[[], Known]]:
        return {
            ("job-server", name): partial(on_job_server, api, name)
            for name in self.names
        }

    def ask(self, questions: dict[Asked, Callable[[], Known]]) -> None:
        """Whom the rosters name is compared with what the services know."""
        answers = ask.together(lambda asked: _answer(questions[asked]), list(questions))
        late = f"no answer within {ask.DEADLINE_S:g} seconds"
        silent: dict[Asked, list[str]] = {}
        for service, name in questions:
            answer = answers.get((service, name), late)
            if isinstance(answer, str):
                silent.setdefault((service, answer), []).append(name)
            else:
                self._judge(name, answer)
        for (service, why), names in silent.items():
            self.unanswered.append(f"{service}: {why}: {', '.join(names)}")

    def _judge(self, name: str, known: Known) -> None:
        for entry in self.entries:
            if entry.name == name:
                problem, note = known.problem(entry), known.note(entry)
                if problem:
                    self.problems.append(Problem(entry.source, entry.line, problem))
                if note:
                    self.notes.append(str(Problem(entry.source, entry.line, note)))

    def lines(self) -> Iterator[str]:
        yield from map(str, sorted(self.problems))
        yield from (f"note: {line}" for line in sorted(self.notes))
        yield from (f"unanswered: {line}" for line in self.unanswered)
        counts = (
            (len(self.rosters), "rosters"),
            (len(self.names), "people"),
            (len(self.keys), "key files"),
            (len(self.problems), "problems"),
        )
        yield ", ".join(f"{number} {what}" for number, what in counts)


def _answer(question: Callable[[], Known]) -> Known | str:
    """What is known, or why nothing is."""
    try:
        return question()
    except ask.Unanswered as why:
        return str(why)
