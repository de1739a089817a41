"""The command line of scripts/roster.sh."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Sequence

from review.ask import Api
from review.review import Review


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
    review = Review(root)
    if not options.offline:
        _ask(review, options)
    for line in review.lines():
        print(line)
    if review.problems:
        return PROBLEMS
    return UNANSWERED if review.unanswered else FINE


def _ask(review: Review, options: argparse.Namespace) -> None:
    token = options.github_token
    bearer = {"Authorization": f"Bearer {token}"} if token else {}
    questions = review.of_github(Api(options.github, bearer))
    if options.job_server_token:
        raw = {"Authorization": options.job_server_token}
        questions.update(review.of_job_server(Api(options.job_server, raw)))
    else:
        review.notes.append("job-server was not asked: there is no JOB_SERVER_TOKEN")
    review.ask(questions)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
