"""The command line of scripts/roster.sh."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Sequence

from roster.ask import Api
from roster.judgement import Judgement


ROOT = Path(__file__).parents[1]
FINE, PROBLEMS, UNANSWERED = 0, 1, 4


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="roster.sh",
        description="Judge all rosters and keys of this checkout, and whom they name.",
        epilog="Exit 0: fine, 1: problems, 2: wrong usage, 4: something did not answer.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="check")
    check = commands.add_parser("check", help="say everything that is wrong")
    check.add_argument("--offline", action="store_true", help="ask no API")
    for name, default in (
        ("--github", "https://api.github.com"),
        ("--job-server", "https://jobs.opensafely.org"),
    ):
        check.add_argument(name, type=_url, default=default, metavar="URL")
    options = parser.parse_args(argv)
    options.github_token = _token(parser, "GITHUB_TOKEN")
    options.job_server_token = _token(parser, "JOB_SERVER_TOKEN")
    return options


def _url(text: str) -> str:
    if not re.fullmatch(r"https://[A-Za-z0-9.-]+(:[0-9]+)?(/[\w.-]+)*/?", text):
        raise argparse.ArgumentTypeError("wanted https://HOST")
    return text.rstrip("/")


def _token(parser: argparse.ArgumentParser, name: str) -> str:
    """Empty where there is none. A bad one is not shown: it may be a good one, badly pasted."""
    token = os.environ.get(name, "").strip()
    if not re.fullmatch("[!-~]*", token):
        parser.error(f"{name} holds a character that no token has")
    return token


def main(argv: Sequence[str], root: Path = ROOT) -> int:
    options = parse(argv)
    found = Judgement(root)
    if not options.offline:
        _ask(found, options)
    for line in found.lines():
        print(line)
    if found.problems:
        return PROBLEMS
    return UNANSWERED if found.unanswered else FINE


def _ask(found: Judgement, options: argparse.Namespace) -> None:
    token = options.github_token
    bearer = {"Authorization": f"Bearer {token}"} if token else {}
    questions = found.of_github(Api(options.github, bearer))
    if options.job_server_token:
        raw = {"Authorization": options.job_server_token}
        questions.update(found.of_job_server(Api(options.job_server, raw)))
    else:
        found.notes.append("job-server was not asked: there is no JOB_SERVER_TOKEN")
    found.ask(questions)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
